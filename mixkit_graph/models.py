"""Networks written for `torch_geometric` as models of one argument: `GraphModel`, `NodeModel`, and `labelled_rows`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import mixkit_graph._pyg  # noqa: F401 - silences what importing torch_geometric says
from mixkit_graph.networks import SelectRows

from torch_geometric.data import HeteroData  # isort: skip

Arguments = Sequence[str] | Mapping[str, str]


def labelled_rows(data: Any) -> Tensor:
    """Return the rows of a graph that are samples, int64 (M,).

    They are `data.rows` where that is there; else the first `data.batch_size` rows, the seeds of a neighbour-sampled
    piece; else those that are True in `data.train_mask`.

    Args:
        data: a `torch_geometric` `Data`, or what a `HeteroData` holds for one type of nodes (`data["paper"]`).

    Raises:
        ValueError: none of them is there, `rows` are no int64 indices, the mask is not bool (N,), or there are several
            types of nodes.

    >>> from torch_geometric.data import Data
    >>> labelled_rows(Data(x=torch.zeros(3, 2), train_mask=torch.tensor([True, False, True])))
    tensor([0, 2])
    """
    if isinstance(data, HeteroData):
        raise ValueError(
            f"node_type must name the nodes that are samples, got none for {', '.join(data.node_types)}; give it to "
            'both: NodeModel(..., node_type="paper") and TwoBranch(node_type="paper")'
        )
    if "rows" in data:
        rows: Tensor = data.rows
        if rows.dtype != torch.int64 or rows.ndim != 1:
            raise ValueError(f"rows must be int64 of shape (M,), got {rows.dtype} {tuple(rows.shape)}")
        return rows
    if "batch_size" in data:
        device = next((v.device for v in data.to_dict().values() if isinstance(v, Tensor)), None)
        return torch.arange(int(data.batch_size), device=device)
    if "train_mask" not in data:
        raise ValueError(
            f"data must say which of its nodes are samples, got only {', '.join(sorted(data.keys())) or 'nothing'}; "
            "set data.rows to their indices, or data.train_mask"
        )
    mask: Tensor = data.train_mask
    if mask.ndim != 1 or mask.dtype != torch.bool:
        several = mask.ndim > 1
        way_out = "of several splits take one: data.train_mask = data.train_mask[:, 0]"
        raise ValueError(
            f"train_mask must be bool of shape (N,), got {mask.dtype} {tuple(mask.shape)}; "
            f"{way_out if several else 'data.train_mask = data.train_mask.bool()'}"
        )
    return mask.nonzero().flatten()


def nodes_of(data: Any, node_type: str | None) -> Any:
    """Return what a graph holds for the nodes that are samples: itself, or what it has of one type.

    Raises:
        ValueError: there is no such type; asking a `HeteroData` for it would write it there.
    """
    if node_type is None:
        return data
    if not isinstance(data, HeteroData):
        raise ValueError(f"node_type must be None for a {type(data).__name__}, got {node_type=}; leave it out")
    if node_type not in data.node_types:
        raise ValueError(f"node_type must be one of {', '.join(data.node_types)}, got {node_type=}")
    return data[node_type]


class GraphModel(nn.Module):
    """A network over graphs as a model of one argument: batch -> logits (B, K).

    Args:
        model: the network.
        arguments: attributes of the batch that it is called with, in order; or a mapping from the names of its
            parameters to attributes, to call it by keyword.

    Raises:
        ValueError: (when called) the batch lacks one of them; or graphs were mixed by weights of edges, which the
            network is not called with.

    >>> from torch_geometric.data import Data
    >>> class Mean(nn.Module):
    ...     def forward(self, x, edge_index):
    ...         return x.mean(0, keepdim=True)
    >>> GraphModel(Mean(), ("x", "edge_index"))(Data(x=torch.eye(2), edge_index=torch.tensor([[0], [1]])))
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self, model: nn.Module, arguments: Arguments = ("x", "edge_index", "batch")) -> None:
        super().__init__()
        self.model = model
        self.arguments = dict(arguments) if isinstance(arguments, Mapping) else tuple(arguments)

    def forward(self, batch: Any) -> Tensor:
        """Return the logits of a `torch_geometric` `Batch`."""
        if getattr(batch, "_weighted_by_mixing", False) and not self._takes_weights(batch):
            raise ValueError(
                "arguments must name 'edge_weight' for graphs mixed by weights of edges, or the model trains on all "
                f"edges of both, got {self.arguments}; name it, with layers that take weights, or take "
                "IfMixup(Bernoulli())"
            )
        logits: Tensor = called(self.model, self.arguments, batch)
        return logits

    def _takes_weights(self, batch: Any) -> bool:
        """Return whether the network is called with what tells mixed edges apart."""
        names = self.arguments.values() if isinstance(self.arguments, dict) else self.arguments
        return "edge_weight" in names or ("edge_attr" in names and batch.edge_attr is not None)


class NodeModel(nn.Module):
    """A network over the nodes of a graph as a model of one argument: data -> logits (M, K) of its samples.

    What the network gives out for the samples passes the submodule `select`, so that `AtSite("select")` mixes it:
    there, behind the last layer, rows are independent samples.

    Args:
        model: the network; gives out a row a node, or a dict of them by the nodes' type.
        arguments: attributes of the data that it is called with, in order; or a mapping from the names of its
            parameters to attributes, to call it by keyword.
        rows: data -> int64 (M,), which nodes are samples; None: all nodes come out.
        node_type: of heterogeneous graphs, the type of nodes that are samples.

    Raises:
        ValueError: (when called) the data lack one of the arguments or the type of nodes, or do not say which nodes are
            samples; or edges were mixed, which a layer with `cached=True` would not see.
    """

    def __init__(
        self,
        model: nn.Module,
        arguments: Arguments = ("x", "edge_index"),
        rows: Callable[[Any], Tensor] | None = labelled_rows,
        *,
        node_type: str | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.arguments = dict(arguments) if isinstance(arguments, Mapping) else tuple(arguments)
        self.rows = rows
        self.node_type = node_type
        self.select = SelectRows()
        self._looks = False  # known to look at the edges of each batch

    def forward(self, data: Any) -> Tensor:
        """Return the logits of the samples among the nodes of a `torch_geometric` `Data` or `HeteroData`."""
        if not self._looks and getattr(data, "_edges_by_mixing", False):
            from mixkit_graph.edge_weights import refuse_cached  # noqa: PLC0415 - takes seconds

            refuse_cached(self.model)
            self._looks = True
        nodes = nodes_of(data, self.node_type)
        found = called(self.model, self.arguments, data)
        if self.node_type is not None:
            found = found[self.node_type]
        logits: Tensor = found if self.rows is None else self.select(found, self.rows(nodes))
        return logits


def called(model: nn.Module, arguments: Arguments, data: Any) -> Any:
    """Return what `model` gives out for these attributes of `data`.

    Raises:
        ValueError: an attribute is missing.
    """
    if isinstance(arguments, Mapping):
        return model(**{name: attribute(data, key) for name, key in arguments.items()})
    return model(*(attribute(data, key) for key in arguments))


def attribute(data: Any, name: str) -> Any:
    """Return an attribute of `data`; edges without `edge_weight` count 1 in torch_geometric's layers, given None.

    Raises:
        ValueError: there is none, or it is None.
    """
    try:
        value = getattr(data, name, None)
    except KeyError:  # a HeteroData collects "x_dict" and the like
        value = None
    if value is None and name != "edge_weight":
        raise ValueError(
            f"data must have {name!r}, which the model is called with, got {type(data).__name__} with "
            f"{', '.join(sorted(data.keys())) or 'nothing'}; set it, or name other arguments"
        )
    return value
