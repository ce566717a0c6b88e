"""Estimators of graphons that sort nodes into blocks of any size by what they are connected to."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mixkit_graph.graphon import as_graphon, block_means, default_width


@dataclass(frozen=True)
class LargestGap:
    """Blocks of similar degree, cut at the largest gaps between neighbours in degree (Channarond et al. 2012).

    Paper: "Classification and estimation in the Stochastic Blockmodel based on the empirical degrees",
    arXiv:1110.6517.

    NOTE[DIFF] Released code takes the largest of the signed differences of falling degrees, which are the smallest
    gaps; here gaps are absolute.

    Args:
        blocks: their number; None: floor(R / h) with h = floor(log2 R) + 1, at least 1.

    Raises:
        ValueError: blocks is below 1.

    >>> mean = torch.tensor([[0.9, 0.9, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1], [0.1, 0.1, 0.2, 0.2], [0.1, 0.1, 0.2, 0.2]])
    >>> torch.allclose(LargestGap(blocks=2)(mean), mean)
    True
    """

    blocks: int | None = None

    def __post_init__(self) -> None:
        if self.blocks is not None and self.blocks < 1:
            raise ValueError(f"blocks must be at least 1, got blocks={self.blocks!r}")

    def __call__(self, mean: Tensor, halves: Tensor | None = None) -> Tensor:
        """Return the graphon; see `Estimator`."""
        size = len(mean)
        count = min(self.blocks or max(1, size // default_width(size)), size)
        degrees, order = mean.sum(1).sort(descending=True, stable=True)
        cuts = degrees.diff().abs().topk(count - 1).indices
        starts = torch.zeros(size, dtype=torch.long, device=mean.device)
        starts[cuts + 1] = 1
        block = torch.empty_like(order)
        block[order] = starts.cumsum(0)
        return spread(mean, block)


@dataclass(frozen=True)
class BlockApproximation:
    """Blocks of nodes with similar rows, found greedily (stochastic block approximation, Airoldi et al. 2013).

    Paper: "Stochastic blockmodel approximation of a graphon: Theory and consistent estimation", arXiv:1311.1731.
    Node i joins the nearest pivot b, or becomes a pivot where all are farther than `threshold`.  The squared distance
    of two rows is |sum over k other than i and b of (A_ik - A_bk)(A'_ik - A'_bk)| / (R - 2) with A and A' the mean
    adjacencies of two halves of the graphs: noise is independent in them and cancels.

    NOTE[DIFF] Nodes are visited in order of degree, not at random: the same data give the same graphon.

    Args:
        threshold: positive, on the distance: a root mean square difference of edge probabilities.

    Raises:
        ValueError: threshold is not positive.

    >>> mean = torch.tensor([[0.9, 0.9, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1], [0.1, 0.1, 0.2, 0.2], [0.1, 0.1, 0.2, 0.2]])
    >>> torch.allclose(BlockApproximation()(mean), mean)
    True
    """

    threshold: float = 0.1

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(f"threshold must be positive, got threshold={self.threshold!r}")

    def __call__(self, mean: Tensor, halves: Tensor | None = None) -> Tensor:
        """Return the graphon; see `Estimator`."""
        if len(mean) < 3:
            return as_graphon(mean)
        distances = row_distances(*(torch.stack([mean, mean]) if halves is None else halves))
        block = torch.zeros(len(mean), dtype=torch.long, device=mean.device)
        pivots = [0]
        for node in range(1, len(mean)):
            nearest = int(distances[node, pivots].argmin())
            if float(distances[node, pivots[nearest]]) > self.threshold:
                nearest = len(pivots)
                pivots.append(node)
            block[node] = nearest
        return spread(mean, block)


def row_distances(first: Tensor, second: Tensor) -> Tensor:
    """Return (R, R): the distances of rows from the mean adjacencies (R, R) of two halves, as in Airoldi et al."""
    products = first @ second.T
    own = products.diagonal()
    every = own[:, None] + own - products - products.T  # sum over all k of the product of differences
    at_own = first.diagonal()[:, None] - first.T, second.diagonal()[:, None] - second.T  # k = i
    at_pivot = first - first.diagonal(), second - second.diagonal()  # k = b
    others = every - at_own[0] * at_own[1] - at_pivot[0] * at_pivot[1]
    return (others.abs() / (len(first) - 2)).sqrt()


def spread(mean: Tensor, block: Tensor) -> Tensor:
    """Return the graphon (R, R) whose cells are the means of their blocks."""
    return as_graphon(block_means(mean, block)[block[:, None], block])
