"""A graph's nodes without their neighbours, and the same graph with other nodes asked for."""

import copy
from typing import Any

import torch
from torch import Tensor

import mixkit_graph._pyg  # noqa: F401 - silences what importing torch_geometric says

from torch_geometric.data import Data  # isort: skip


def with_rows(data: Any, rows: Tensor) -> Any:
    """Return the same graph with `rows` (M,) as its samples; tensors are shared, `data` stays as it is."""
    asked = copy.copy(data)
    asked.rows = rows
    return asked


def unlabelled_rows(data: Any, rows: Tensor) -> Tensor:
    """Return all nodes of a graph but `rows`, int64.

    >>> unlabelled_rows(Data(x=torch.zeros(4, 1)), torch.tensor([2, 0]))
    tensor([1, 3])
    """
    other = torch.ones(data.num_nodes, dtype=torch.bool, device=rows.device)
    other[rows] = False
    return other.nonzero().squeeze(1)


def isolated(data: Any, rows: Tensor) -> Data:
    """Return a graph of the nodes `rows` (M,) alone, without edges between them; all of them are its samples.

    What belongs to nodes is picked, what belongs to edges is emptied.  Where all of `rows` carry a loop in
    `edge_index` (models that take the normalised adjacency as edges) they keep it, with weight 1: the normalised
    adjacency of a node without neighbours.

    Args:
        data: a `Data`; stays as it is.
        rows: int64 (M,).

    Raises:
        ValueError: the graph has no `edge_index` (`adj_t`, say), or loops carry attributes.

    >>> path = Data(x=torch.tensor([[1.0], [2.0], [3.0]]), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
    >>> alone = isolated(path, torch.tensor([2, 0]))
    >>> alone.x.flatten(), alone.edge_index.shape, alone.rows
    (tensor([3., 1.]), torch.Size([2, 0]), tensor([0, 1]))
    """
    if data.edge_index is None:
        raise ValueError(
            f"data must have edge_index, got {', '.join(data.keys())}; "
            "a transposed adjacency (adj_t) is not looked into: set edge_index and let the model take that"
        )
    everyone = torch.arange(len(rows), device=rows.device)
    loops = everyone.expand(2, -1) if _looped(data, rows) else data.edge_index.new_empty(2, 0)
    alone = Data(edge_index=loops, rows=everyone)
    for key, value in data.to_dict().items():
        if key in ("edge_index", "rows", "batch_size"):
            continue
        if key == "num_nodes":
            alone.num_nodes = len(rows)
        elif key == "edge_weight":
            alone.edge_weight = value.new_ones(loops.shape[1])
        elif data.is_edge_attr(key):
            alone[key] = _without_edges(key, value, loops)
        else:
            alone[key] = _picked(value, rows) if data.is_node_attr(key) else value
    return alone


def _looped(data: Any, rows: Tensor) -> bool:
    """Return whether all of `rows` carry a loop."""
    source, target = data.edge_index
    carries = torch.zeros(data.num_nodes, dtype=torch.bool, device=rows.device)
    carries[source[source == target]] = True
    return bool(carries[rows].all()) and len(rows) > 0


def _without_edges(key: str, value: Any, loops: Tensor) -> Any:
    """Return an attribute of edges for none of them."""
    if loops.shape[1]:
        raise ValueError(
            f"edges carry {key} and every node has a loop, but what {key} of a node without neighbours would be is "
            "unknown; leave the loops to the layers (add_self_loops=True)"
        )
    return value[:0]


def _picked(value: Any, rows: Tensor) -> Any:
    """Return the rows of a tensor, dense or sparse."""
    if not isinstance(value, Tensor):
        return value
    some = value.index_select(0, rows)
    return some.coalesce() if some.is_sparse else some
