"""One graph whose nodes are the samples, as a `torch_geometric` `Data`."""

import copy

import torch
from torch import Tensor

import mixkit_graph._pyg  # noqa: F401 - silences what importing torch_geometric says
from mixkit_graph.graphs import undirected

from torch_geometric.data import Data  # isort: skip


class Copies:
    """Copies of a graph's tensors on other devices, each made once.

    Args:
        originals: the tensors; others are copied whenever they are asked for.
    """

    def __init__(self, *originals: Tensor) -> None:
        self._originals = originals
        self._made: dict[tuple[int, torch.device], Tensor] = {}

    def on(self, tensor: Tensor, device: torch.device, *, non_blocking: bool) -> Tensor:
        """Return `tensor` on `device`."""
        places = [place for place, original in enumerate(self._originals) if original is tensor]
        if tensor.device == device or not places:
            return tensor.to(device, non_blocking=non_blocking)
        key = (places[0], device)
        if key not in self._made:
            self._made[key] = tensor.to(device, non_blocking=non_blocking)
        return self._made[key]


class NodeData(Data):  # type: ignore[misc]  # torch_geometric ships no types
    """A graph of N nodes, some of which are asked for; all of it is around them.

    The tensors that it was built with are copied to another device once, because each step asks for them again.

    Attributes:
        x: float32 (N, F), sparse (COO, coalesced) or dense.
        edge_index: int64 (2, E), source and target; both directions, without loops.
        rows: int64 (M,), the nodes whose logits are wanted.
    """

    def to(self, device: torch.device | str, *args: str, non_blocking: bool = False) -> "NodeData":
        """Return the same rows of the same graph on `device`; `args` name the attributes to move, all by default.

        Unlike `Data.to`, it leaves this object as it is.
        """
        moved, copies, device = copy.copy(self), self._copies, torch.device(device)
        for key in args or self.keys():
            moved[key] = copies.on(self[key], device, non_blocking=non_blocking)
        return moved


def node_graph(x: Tensor, edges: Tensor) -> NodeData:
    """Build a graph of nodes.

    Args:
        x: float32 (N, F), sparse or dense, non-negative: words of a node, say; each row is scaled to the sum 1.
        edges: int64 (2, E), in one direction or both.

    >>> pair = node_graph(torch.tensor([[1.0, 3.0], [0.0, 0.0], [2.0, 0.0]]), torch.tensor([[0], [1]]))
    >>> pair.x.to_dense()
    tensor([[0.2500, 0.7500],
            [0.0000, 0.0000],
            [1.0000, 0.0000]])
    >>> pair.edge_index
    tensor([[0, 1],
            [1, 0]])
    """
    size = len(x)
    words = x.to_sparse().coalesce()
    sums = torch.zeros(size).index_add_(0, words.indices()[0], words.values().abs())
    shares = words.values() / sums[words.indices()[0]]
    scaled = torch.sparse_coo_tensor(words.indices(), shares, tuple(x.shape), check_invariants=True).coalesce()
    graph = NodeData(x=scaled, edge_index=undirected(edges, size))
    graph._copies = Copies(graph.x, graph.edge_index)
    return graph


def node_rows(graph: NodeData, rows: Tensor) -> NodeData:
    """Return nodes `rows` (M,) of the graph; its tensors are shared."""
    asked = copy.copy(graph)
    asked.rows = torch.as_tensor(rows, dtype=torch.long)
    return asked
