"""`GraphSet`: many graphs in a few flat tensors, from which a batch is gathered without a loop over graphs."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class GraphSet:
    """G undirected graphs with N nodes and E directed edges (two for each undirected one) in all.

    Attributes:
        node_ptr: int64 (G + 1,), graph g has the nodes node_ptr[g] .. node_ptr[g + 1] - 1.
        edge_ptr: int64 (G + 1,), graph g has the edges edge_ptr[g] .. edge_ptr[g + 1] - 1.
        edges: int64 (2, E), source and target, numbered over all graphs.
        node_labels: int64 (N, L), L categorical labels a node; L may be 0.
        attributes: float32 (N, A), A numeric attributes a node; A may be 0.
    """

    node_ptr: Tensor
    edge_ptr: Tensor
    edges: Tensor
    node_labels: Tensor
    attributes: Tensor

    def __len__(self) -> int:
        """G, the number of graphs."""
        return len(self.node_ptr) - 1

    @property
    def degrees(self) -> Tensor:
        """Number of neighbours of each node, int64 (N,)."""
        return torch.bincount(self.edges[1], minlength=len(self.node_labels))

    def nodes_of(self, rows: Tensor) -> Tensor:
        """Return the numbers of the nodes of graphs `rows` (B,), one graph after the other."""
        return ranges(self.node_ptr[rows], self.node_ptr[rows + 1])

    def gather(self, rows: Tensor) -> "Gathered":
        """Return graphs `rows` (B,), renumbered from 0; a graph may be asked for several times."""
        starts, ends = self.node_ptr[rows], self.node_ptr[rows + 1]
        first_edges, last_edges = self.edge_ptr[rows], self.edge_ptr[rows + 1]
        node_ptr, edge_ptr = pointers(ends - starts), pointers(last_edges - first_edges)
        shifts = (node_ptr[:-1] - starts).repeat_interleave(last_edges - first_edges)
        return Gathered(
            nodes=ranges(starts, ends),
            edges=self.edges[:, ranges(first_edges, last_edges)] + shifts,
            graph=torch.arange(len(rows)).repeat_interleave(ends - starts),
            node_ptr=node_ptr,
            edge_ptr=edge_ptr,
        )


@dataclass(frozen=True, eq=False)
class Gathered:
    """Some graphs of a `GraphSet`.

    Attributes:
        nodes: int64 (n,), their numbers in the set.
        edges: int64 (2, e), numbered from 0 over the gathered graphs.
        graph: int64 (n,), which of the gathered graphs a node belongs to.
        node_ptr: int64 (B + 1,), first node of each graph.
        edge_ptr: int64 (B + 1,), first edge of each graph.
    """

    nodes: Tensor
    edges: Tensor
    graph: Tensor
    node_ptr: Tensor
    edge_ptr: Tensor


def ranges(starts: Tensor, ends: Tensor) -> Tensor:
    """Return the numbers starts[0] .. ends[0] - 1, starts[1] .. ends[1] - 1, ..., int64.

    >>> ranges(torch.tensor([5, 0, 9]), torch.tensor([7, 0, 12]))
    tensor([ 5,  6,  9, 10, 11])
    """
    counts = ends - starts
    before = counts.cumsum(0) - counts
    return torch.arange(int(counts.sum())) + (starts - before).repeat_interleave(counts)


def pointers(counts: Tensor) -> Tensor:
    """Return where each of len(counts) consecutive pieces starts, and where the last one ends.

    >>> pointers(torch.tensor([2, 0, 3]))
    tensor([0, 2, 2, 5])
    """
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def graph_set(
    counts: Tensor, edges: Tensor, node_labels: Tensor | None = None, attributes: Tensor | None = None
) -> GraphSet:
    """Build a `GraphSet`: edges are made undirected; loops and repetitions are left out.

    Args:
        counts: int64 (G,), number of nodes of each graph.
        edges: int64 (2, E), numbered over all graphs, in any order, in one direction or both.
        node_labels: int64 (N, L) or None.
        attributes: float32 (N, A) or None.

    Raises:
        ValueError: an edge names a node that is not there, or connects two graphs.

    >>> two = graph_set(torch.tensor([2, 3]), torch.tensor([[0, 3, 4], [1, 2, 3]]))
    >>> two.edges, two.edge_ptr
    (tensor([[0, 1, 2, 3, 3, 4],
            [1, 0, 3, 2, 4, 3]]), tensor([0, 2, 6]))
    """
    size = int(counts.sum())
    graph = torch.arange(len(counts)).repeat_interleave(counts)
    _check_edges(edges, graph)
    edges = undirected(edges, size)
    per_graph = torch.bincount(graph[edges[0]], minlength=len(counts))
    return GraphSet(
        node_ptr=pointers(counts),
        edge_ptr=pointers(per_graph),
        edges=edges,
        node_labels=torch.empty(size, 0, dtype=torch.long) if node_labels is None else node_labels,
        attributes=torch.empty(size, 0) if attributes is None else attributes,
    )


def undirected(edges: Tensor, size: int) -> Tensor:
    """Return the edges (2, E) between `size` nodes in both directions, sorted, without loops and repetitions."""
    edges = edges[:, edges[0] != edges[1]]
    keys = torch.cat([edges[0] * size + edges[1], edges[1] * size + edges[0]])
    keys = torch.unique(keys)
    return torch.stack([keys // size, keys % size]) if len(keys) else torch.empty(2, 0, dtype=torch.long)


def _check_edges(edges: Tensor, graph: Tensor) -> None:
    outside = ((edges < 0) | (edges >= len(graph))).any(0)
    if bool(outside.any()):
        bad = int(outside.nonzero()[0])
        raise ValueError(f"edges must be between nodes 0..{len(graph) - 1}, got {tuple(edges[:, bad].tolist())}")
    torn = graph[edges[0]] != graph[edges[1]]
    if bool(torn.any()):
        bad = int(torn.nonzero()[0])
        raise ValueError(
            f"edges must stay inside one graph, got {tuple(edges[:, bad].tolist())} "
            f"between graphs {int(graph[edges[0, bad]])} and {int(graph[edges[1, bad]])}"
        )
