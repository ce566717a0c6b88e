"""Mean adjacencies and mean features of a class's graphs on R common positions, in time linear in the edges."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mixkit_graph.graphs import Gathered, pointers, ranges

LARGEST_PART = 1 << 21
"""Pairs of cells that are added up at a time."""


@dataclass(frozen=True, eq=False)
class Spans:
    """Which of R cells each of n nodes covers: entry_ptr[i] .. entry_ptr[i + 1] - 1 are the entries of node i.

    Attributes:
        entry_ptr: int64 (n + 1,).
        cell: int64 (entries,), 0 .. R - 1.
        share: float64 (entries,), the share of the cell that the node covers.
    """

    entry_ptr: Tensor
    cell: Tensor
    share: Tensor


class Alignment(Protocol):
    """Puts nodes, in falling order of degree, on R positions; a frozen dataclass that holds options only."""

    def spans(self, rank: Tensor, size: Tensor, resolution: int) -> Spans:
        """Return the cells of nodes.

        Args:
            rank: int64 (n,), position of each node in its graph's order, from 0.
            size: int64 (n,), number of nodes of its graph.
            resolution: R.
        """
        ...


@dataclass(frozen=True)
class Stretch:
    """Every graph covers all R cells, whatever its size: node r of n the interval from r/n to (r + 1)/n.

    The mean over cells is then the mean density of the graphs, and the k-th percentile in degree of a small graph meets
    that of a large one, as a graphon has it.

    NOTE[DIFF] Released code pads and cuts to R nodes; see `Pad`.
    """

    def spans(self, rank: Tensor, size: Tensor, resolution: int) -> Spans:
        """Return the cells of nodes; see `Alignment`."""
        first, end = rank * resolution // size, -(-(rank + 1) * resolution // size)
        entry_ptr = pointers(end - first)
        cell, node = ranges(first, end), torch.arange(len(rank)).repeat_interleave(end - first)
        # in units of 1 / (R n): nodes are R wide and cells n, so that overlaps are integers
        low = torch.maximum(cell * size[node], rank[node] * resolution)
        high = torch.minimum((cell + 1) * size[node], (rank[node] + 1) * resolution)
        return Spans(entry_ptr, cell, (high - low).double() / size[node])


@dataclass(frozen=True)
class Pad:
    """Node r stands at cell r: graphs with fewer than R nodes are padded with zeros, larger ones are cut.

    As in the released code, where R is the median number of nodes.  Cutting loses edges of large graphs, and the
    mean density falls with R.
    """

    def spans(self, rank: Tensor, size: Tensor, resolution: int) -> Spans:
        """Return the cells of nodes; see `Alignment`."""
        inside = rank < resolution
        return Spans(pointers(inside.long()), rank[inside], torch.ones(int(inside.sum()), dtype=torch.float64))


def ranks(some: Gathered) -> Tensor:
    """Return each node's position, int64 (n,), in its graph's falling order of degree.

    NOTE[DIFF] Equal degrees are ordered by the sum of the neighbours' degrees, which does not depend on how nodes are
    numbered; what is equal then, too, keeps the stored order.
    """
    degree = torch.bincount(some.edges[1], minlength=len(some.nodes))
    around = torch.zeros_like(degree).index_add_(0, some.edges[1], degree[some.edges[0]])
    order = around.argsort(descending=True, stable=True)
    for key, falling in ((degree, True), (some.graph, False)):
        order = order[key[order].argsort(descending=falling, stable=True)]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order)) - some.node_ptr[some.graph]
    return rank


def mean_adjacency(some: Gathered, spans: Spans, resolution: int) -> Tensor:
    """Return the mean adjacency float64 (R, R) of graphs, each on its positions.

    Cells are filled from the edges alone, O(sum of E) with no matrix a graph, and divided by the pairs of different
    nodes there: a node is no neighbour of itself.  Cells in which hardly a graph has such pairs, as on the diagonal
    where most have R nodes or fewer, get the mean of the cells beside them.
    """
    graphs = int((some.node_ptr.diff() > 0).sum())
    everyone = torch.arange(len(some.nodes))
    edges = pair_mass(some.edges, spans, resolution)
    selves = pair_mass(everyone.expand(2, -1), spans, resolution)
    pairs = graphs - selves
    there = pairs > graphs / 4
    return filled(torch.where(there, edges / pairs, 0.0), there)


def pair_mass(pairs: Tensor, spans: Spans, resolution: int) -> Tensor:
    """Return float64 (R, R): for each pair (2, P) of nodes, the product of their shares of the row and the column."""
    mass = torch.zeros(resolution * resolution, dtype=torch.float64)
    counts = spans.entry_ptr.diff()
    most = int(counts.max()) if len(counts) else 0
    for part in torch.split(pairs, max(1, LARGEST_PART // max(1, most * most)), 1):
        wide = counts[part[1]]
        combinations = counts[part[0]] * wide
        pair = torch.arange(part.shape[1]).repeat_interleave(combinations)
        place = torch.arange(len(pair)) - (combinations.cumsum(0) - combinations)[pair]
        row = spans.entry_ptr[part[0]][pair] + place // wide[pair]
        column = spans.entry_ptr[part[1]][pair] + place % wide[pair]
        cell = spans.cell[row] * resolution + spans.cell[column]
        mass.index_put_((cell,), spans.share[row] * spans.share[column], accumulate=True)
    return mass.view(resolution, resolution)


def filled(values: Tensor, there: Tensor) -> Tensor:
    """Return `values` (H, W) with the mean of the cells beside them where `there` (H, W) is False, from the edge in.

    >>> filled(torch.tensor([[0.0, 1.0], [3.0, 0.0]]), torch.tensor([[False, True], [True, False]]))
    tensor([[2., 1.],
            [3., 2.]])
    """
    while bool(there.any()) and not bool(there.all()):
        total, count = (beside(torch.where(there, part, 0.0)) for part in (values, torch.ones_like(values)))
        values = torch.where(there | (count == 0), values, total / count.clamp_min(1))
        there = there | (count > 0)
    return values


def beside(matrix: Tensor) -> Tensor:
    """Return, for each cell (H, W), the sum of the four beside it."""
    padded = torch.nn.functional.pad(matrix, (1, 1, 1, 1))
    return padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]


def mean_features(x: Tensor, spans: Spans, resolution: int) -> Tensor:
    """Return float (R, F): the mean of the features (n, F) of the nodes at each position, by the share they cover.

    Positions without nodes (a padded tail) get the mean of all.
    """
    node = torch.arange(len(x)).repeat_interleave(spans.entry_ptr.diff())
    share = spans.share.to(x.dtype)
    weight = x.new_zeros(resolution).index_add_(0, spans.cell, share)
    total = x.new_zeros(resolution, x.shape[1]).index_add_(0, spans.cell, share[:, None] * x[node])
    return torch.where(weight[:, None] > 0, total / weight[:, None], x.mean(0))
