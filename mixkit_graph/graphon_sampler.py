"""Drawing the edges of many graphs at once, each from a step graphon of its own."""

import torch
from torch import Generator, Tensor

from mixkit_graph.graphs import pointers

LARGEST_PART = 1 << 21
"""Pairs of nodes that are looked at at a time, or those of a single graph."""


def rescaled(graphons: Tensor, counts: Tensor, edges: Tensor) -> Tensor:
    """Return probabilities (n, R, R) with which graphs have `edges` (n,) edges in the mean, near their graphons.

    A graphon is a limit of dense graphs: where real graphs grow sparser with size, its density is not theirs.  The
    probabilities are multiplied by wanted over expected edges and clamped at 1; what clamping leaves missing (all, if
    the graphon is 0) is taken from all pairs in proportion to what they are short of 1.

    Args:
        graphons: float (n, R, R), in [0, 1].
        counts: float (n, R), the number of nodes at each position.
        edges: float (n,), at most the number of pairs.
    """
    nodes = counts.sum(1)
    expected = expected_edges(graphons, counts)
    scaled = (graphons * (edges / expected.clamp_min(1e-12))[:, None, None]).clamp_max_(1.0)
    expected = expected_edges(scaled, counts)
    short = nodes * (nodes - 1) / 2 - expected  # what all pairs together are short of 1
    rest = ((edges - expected).clamp_min(0) / short.clamp_min(1e-6)).clamp_max_(1.0)[:, None, None]
    # mostly nothing is missing but what rounding leaves
    return torch.lerp(scaled, torch.ones((), dtype=scaled.dtype), rest) if float(rest.max()) > 1e-6 else scaled


def expected_edges(graphons: Tensor, counts: Tensor) -> Tensor:
    """Return the mean number of edges (n,) of graphs with `counts` (n, R) nodes at the positions of (n, R, R).

    >>> expected_edges(torch.full((1, 2, 2), 0.5), torch.tensor([[2.0, 1.0]]))      # of 3 pairs
    tensor([1.5000])
    """
    ordered = (torch.bmm(graphons, counts[:, :, None]).squeeze(2) * counts).sum(1)
    return (ordered - (graphons.diagonal(dim1=1, dim2=2) * counts).sum(1)) / 2


def draw_edges(graphons: Tensor, cell: Tensor, node_ptr: Tensor, generator: Generator) -> Tensor:
    """Return the edges int64 (2, E) of n undirected graphs, graph by graph: (i, j), (j, i), i < j, in order of j.

    Every pair of nodes is an edge with the probability at their positions, independently.

    Args:
        graphons: float (n, R, R).
        cell: int64 (N,), the position of each node, 0 .. R - 1.
        node_ptr: int64 (n + 1,), first node of each graph.
        generator: a CPU generator.
    """
    sizes = node_ptr.diff()
    found = [
        _draw_part(graphons[first:last], cell, node_ptr[first : last + 1], generator)
        for first, last in _parts(sizes * (sizes - 1) // 2)
    ]
    edges = torch.cat(found, 1) if len(found) != 1 else found[0]
    return torch.stack([edges, edges.flip(0)], 2).view(2, -1)


def _parts(pairs: Tensor) -> list[tuple[int, int]]:
    """Return ranges of graphs of at most LARGEST_PART pairs of nodes together, or of a single graph."""
    parts, first, held = [], 0, 0
    for graph, count in enumerate(pairs.tolist()):
        if held and held + count > LARGEST_PART:
            parts.append((first, graph))
            first, held = graph, 0
        held += count
    return [*parts, (first, len(pairs))]


def _draw_part(graphons: Tensor, cell: Tensor, node_ptr: Tensor, generator: Generator) -> Tensor:
    """Return the edges (2, E), i < j, of consecutive graphs."""
    sizes, resolution = node_ptr.diff(), graphons.shape[1]
    first, last = int(node_ptr[0]), int(node_ptr[-1])
    graph = torch.repeat_interleave(sizes, output_size=last - first)
    own = cell[first:last]
    base = (graph * resolution + own) * resolution
    start = (node_ptr[:-1] - first).index_select(0, graph)
    everyone = torch.arange(last - first)
    before = everyone - start  # nodes of the same graph in front: each makes a pair
    ends = before.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    # index_select is several times faster than indexing
    j = torch.repeat_interleave(before, output_size=total)
    i = torch.arange(total).sub_((ends - before - start).index_select(0, j))
    place = base.index_select(0, i).add_(own.index_select(0, j))
    chance = graphons.reshape(-1).index_select(0, place)
    hit = (torch.rand(total, dtype=chance.dtype, generator=generator, device="cpu") < chance).nonzero().squeeze(1)
    return torch.stack([i.index_select(0, hit), j.index_select(0, hit)]).add_(first)


def connected(edges: Tensor, node_ptr: Tensor) -> Tensor:
    """Return int64: the nodes with an edge, and all nodes of graphs that have none, in order."""
    has = torch.zeros(int(node_ptr[-1]), dtype=torch.bool)
    has.index_fill_(0, edges[0], True)
    running = pointers(has.long()).index_select(0, node_ptr)
    empty = running.diff() == 0
    if bool(empty.any()):
        has |= empty.repeat_interleave(node_ptr.diff())
    return has.nonzero().squeeze(1)


def renumbered(edges: Tensor, node_ptr: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return edges and first nodes of the graphs with only the nodes `kept`, int64 (n,) in order.

    >>> renumbered(torch.tensor([[1, 3], [3, 1]]), torch.tensor([0, 4]), torch.tensor([1, 3]))
    (tensor([[0, 1],
            [1, 0]]), tensor([0, 2]))
    """
    place = torch.zeros(int(node_ptr[-1]), dtype=torch.long)
    place[kept] = torch.arange(len(kept))
    return place.index_select(0, edges.view(-1)).view(2, -1), torch.searchsorted(kept, node_ptr)
