"""Estimators of graphons: from a class's mean adjacency, nodes in order of degree, to edge probabilities.

A graphon W is a symmetric function on the unit square; W(u, v) is the probability of an edge between nodes at the
latent positions u and v.  Here it is a step function: a matrix (R, R) with equal steps.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Estimator(Protocol):
    """Smooths the mean adjacency of a class; a frozen dataclass that holds options only."""

    def __call__(self, mean: Tensor, halves: Tensor | None = None) -> Tensor:
        """Return the graphon, symmetric and in [0, 1].

        Args:
            mean: float (R, R), the mean adjacency of a class, rows and columns in falling order of degree.
            halves: float (2, R, R), the same of two halves of the graphs, for estimators that need independent noise;
                None: the mean stands for both.
        """
        ...


@dataclass(frozen=True)
class USVT:
    """Universal singular value thresholding (Chatterjee 2015, arXiv:1212.1247): small singular values become 0.

    NOTE[DIFF] Values below threshold * sqrt(R) go, and the default is 0.2; Chatterjee's 2.02 is for one graph, whose
    0/1 noise alone has singular values near sqrt(R).  A mean of m graphs has 1 / sqrt(m) of that noise, and its largest
    singular value is about R times the density: 2.02 leaves nothing of a class of density below 2.02 / sqrt(R), which
    is 0.48 for 18 nodes.

    Args:
        threshold: positive, in units of sqrt(R).

    Raises:
        ValueError: threshold is not positive.

    >>> USVT()(torch.full((4, 4), 0.5))[0]
    tensor([0.5000, 0.5000, 0.5000, 0.5000])
    >>> USVT(2.02)(torch.full((4, 4), 0.5))[0]
    tensor([0., 0., 0., 0.])
    """

    threshold: float = 0.2

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(f"threshold must be positive, got threshold={self.threshold!r}")

    def __call__(self, mean: Tensor, halves: Tensor | None = None) -> Tensor:
        """Return the graphon; see `Estimator`."""
        left, values, right = torch.linalg.svd(mean)
        kept = torch.where(values < self.threshold * math.sqrt(len(mean)), 0.0, values)
        return as_graphon(left * kept @ right)


@dataclass(frozen=True)
class MatrixCompletion:
    """The best approximation of low rank to 2 A - 1 (after Keshavan et al. 2010, arXiv:0901.3150).

    NOTE[DIFF] A plain truncated singular value decomposition: nothing is missing in a mean adjacency, and so the steps
    that refine the filled-in entries have nothing to do.

    Args:
        rank: of the approximation; None: floor(R / floor(ln R)).

    Raises:
        ValueError: rank is below 1.
    """

    rank: int | None = None

    def __post_init__(self) -> None:
        if self.rank is not None and self.rank < 1:
            raise ValueError(f"rank must be at least 1, got rank={self.rank!r}")

    def __call__(self, mean: Tensor, halves: Tensor | None = None) -> Tensor:
        """Return the graphon; see `Estimator`."""
        size = len(mean)
        rank = self.rank or (size // max(1, int(math.log(size))))
        left, values, right = torch.linalg.svd(2 * mean - 1)
        return as_graphon((left[:, :rank] * values[:rank] @ right[:rank] + 1) / 2)


@dataclass(frozen=True)
class SortAndSmooth:
    """Means of h x h blocks, h = floor(log2 R) + 1, total variation removed from them (Chan and Airoldi 2014).

    Paper: "A Consistent Histogram Estimator for Exchangeable Graph Models", arXiv:1402.1888.

    NOTE[DIFF] The means stand for all cells of their blocks again (R, R); left small and padded with zeros, as some
    code does, most nodes would be isolated.

    NOTE[DIFF] A published implementation takes h as the weight of the total variation.  Of values between 0 and 1 that
    leaves the mean density only, on MUTAG, PROTEINS and IMDB-BINARY alike; the default is near the noise of a block's
    mean, 1 / (2 h sqrt(m)) for m graphs.

    Args:
        weight: of the total variation, non-negative; see `denoised`.
        width: h, cells of a block's side; None: floor(log2 R) + 1.

    Raises:
        ValueError: weight is negative, width is below 1.
    """

    weight: float = 0.02
    width: int | None = None

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"weight must be non-negative, got weight={self.weight!r}")
        if self.width is not None and self.width < 1:
            raise ValueError(f"width must be at least 1, got width={self.width!r}")

    def __call__(self, mean: Tensor, halves: Tensor | None = None) -> Tensor:
        """Return the graphon; see `Estimator`."""
        block = torch.arange(len(mean), device=mean.device) // (self.width or default_width(len(mean)))
        smooth = denoised(block_means(mean, block), self.weight)
        return as_graphon(smooth[block[:, None], block])


def denoised(image: Tensor, weight: float, *, steps: int = 200) -> Tensor:
    """Return the u (H, W) that minimises |u - image|^2 / 2 + weight TV(u), TV the sum of the gradients' lengths.

    Chambolle's projection (2004, "An Algorithm for Total Variation Minimization and Applications"): u is the image
    plus the divergence of a field p with |p| <= weight, found by a fixed number of steps.

    >>> denoised(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), weight=9.0)[0, 0].round(decimals=3)  # only the mean is left
    tensor(0.5000)
    """
    if weight == 0:
        return image
    field = image.new_zeros(2, *image.shape)
    for _ in range(steps):
        gradient = gradient_of(image + divergence_of(field))
        length = gradient.square().sum(0).sqrt()
        field = (field + 0.25 * gradient) / (1 + 0.25 / weight * length)
    return image + divergence_of(field)


def gradient_of(image: Tensor) -> Tensor:
    """Return forward differences (2, H, W) of an image (H, W), 0 at the far borders."""
    down = torch.zeros_like(image)
    across = torch.zeros_like(image)
    down[:-1] = image.diff(dim=0)
    across[:, :-1] = image.diff(dim=1)
    return torch.stack([down, across])


def divergence_of(field: Tensor) -> Tensor:
    """Return the divergence (H, W) of a field (2, H, W): minus the adjoint of `gradient_of`."""
    down, across = field.clone()
    down[-1] = 0
    across[:, -1] = 0
    first = torch.cat([down[:1], down.diff(dim=0)])
    return first + torch.cat([across[:, :1], across.diff(dim=1)], 1)


def block_means(mean: Tensor, block: Tensor) -> Tensor:
    """Return the means (B, B) of a matrix (R, R) over blocks; each row and column r belongs to block[r], 0 .. B - 1.

    >>> block_means(torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 4.0], [2.0, 4.0, 0.0]]), torch.tensor([0, 0, 1]))
    tensor([[0.5000, 3.0000],
            [3.0000, 0.0000]])
    """
    member = torch.nn.functional.one_hot(block).to(mean.dtype)
    share = member / member.sum(0)
    return share.T @ mean @ share


def default_width(size: int) -> int:
    """Return h = floor(log2 R) + 1."""
    return size.bit_length()


def as_graphon(matrix: Tensor) -> Tensor:
    """Return `matrix` made symmetric and clamped to [0, 1]."""
    return ((matrix + matrix.T) / 2).clamp(0, 1)
