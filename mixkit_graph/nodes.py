"""One graph whose nodes are the samples: `NodeGraph`, and `NodeRows`, which asks for some of them."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from mixkit_graph.graphs import undirected


@dataclass(frozen=True, eq=False)
class NodeGraph:
    """A graph of N nodes, as the network takes it.

    Attributes:
        x: float32 (N, F), sparse (COO, coalesced) or dense.
        adjacency: float32 (N, N), sparse (COO, coalesced), normalised.
        edges: int64 (2, E), both directions, without loops; for drawing.
    """

    x: Tensor
    adjacency: Tensor
    edges: Tensor
    _moved: "dict[torch.device, NodeGraph]" = field(default_factory=dict, repr=False)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "NodeGraph":
        """Return the graph on `device`; the copy is kept, because each step asks for it again."""
        device = torch.device(device)
        if device == self.x.device:
            return self
        if device not in self._moved:
            x, adjacency, edges = (
                t.to(device, non_blocking=non_blocking) for t in (self.x, self.adjacency, self.edges)
            )
            self._moved[device] = NodeGraph(x, adjacency, edges)
        return self._moved[device]


@dataclass(frozen=True, eq=False)
class NodeRows:
    """Some nodes of a graph, with all of it around them.

    Attributes:
        graph: the whole graph.
        rows: int64 (B,), the nodes whose logits are wanted.
    """

    graph: NodeGraph
    rows: Tensor

    def __len__(self) -> int:
        """B, the number of nodes asked for."""
        return len(self.rows)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "NodeRows":
        """Return the same rows of the same graph on `device`."""
        return NodeRows(
            self.graph.to(device, non_blocking=non_blocking), self.rows.to(device, non_blocking=non_blocking)
        )


def node_graph(x: Tensor, edges: Tensor) -> NodeGraph:
    """Build a `NodeGraph` with the adjacency of Kipf and Welling (2017): D^-1/2 (A + I) D^-1/2.

    Args:
        x: float32 (N, F), sparse or dense, non-negative: words of a node, say; each row is scaled to the sum 1.
        edges: int64 (2, E), in one direction or both.

    >>> pair = node_graph(torch.tensor([[1.0, 3.0], [0.0, 0.0], [2.0, 0.0]]), torch.tensor([[0], [1]]))
    >>> pair.x.to_dense()
    tensor([[0.2500, 0.7500],
            [0.0000, 0.0000],
            [1.0000, 0.0000]])
    >>> pair.adjacency.to_dense()
    tensor([[0.5000, 0.5000, 0.0000],
            [0.5000, 0.5000, 0.0000],
            [0.0000, 0.0000, 1.0000]])
    """
    size = len(x)
    edges = undirected(edges, size)
    looped = torch.cat([edges, torch.arange(size).expand(2, -1)], 1)
    root = torch.bincount(looped[0], minlength=size).float().rsqrt()
    weights = root[looped[0]] * root[looped[1]]
    words = x.to_sparse().coalesce()
    sums = torch.zeros(size).index_add_(0, words.indices()[0], words.values().abs())
    shares = words.values() / sums[words.indices()[0]]
    return NodeGraph(_sparse(words.indices(), shares, tuple(x.shape)), _sparse(looped, weights, (size, size)), edges)


def _sparse(indices: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.sparse_coo_tensor(indices, values, shape, check_invariants=True).coalesce()
