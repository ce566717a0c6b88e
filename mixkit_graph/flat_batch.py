"""A `Batch` of graphs taken apart into flat tensors, checked, and put together again, for structural mixing.

Rows are picked with `index_select`: indexing with brackets takes several times as long.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixkit_graph._pyg import Batch
from mixkit_graph.aligned import graph_of_nodes
from mixkit_graph.segments import ranges, starts

MIXED = ("x", "edge_index", "edge_weight", "edge_attr")
LEFT_OUT = ("y", "batch", "ptr", "num_nodes")  # labels are mixed by the plan, the others are made anew


@dataclass(frozen=True, eq=False)
class FlatGraphs:
    """B graphs, one after the other.

    Attributes:
        x: float (n, ...), features of the nodes.
        edges: int64 (2, e), source and target, numbered over the batch; graph by graph.
        node_ptr: int64 (B + 1,), first node of each graph, and n.
        edge_ptr: int64 (B + 1,), first edge of each graph, and e.
        graph: int64 (n,), which graph a node belongs to.
        edge_graph: int64 (e,), which graph an edge belongs to.
        weight: float (e,), or None.
        attr: (e, ...), or None.
    """

    x: Tensor
    edges: Tensor
    node_ptr: Tensor
    edge_ptr: Tensor
    graph: Tensor
    edge_graph: Tensor
    weight: Tensor | None
    attr: Tensor | None

    def __len__(self) -> int:
        """B, the number of graphs."""
        return len(self.node_ptr) - 1

    @property
    def sizes(self) -> Tensor:
        """Number of nodes of each graph, int64 (B,)."""
        return self.node_ptr.diff()

    @property
    def edge_counts(self) -> Tensor:
        """Number of edges of each graph, int64 (B,)."""
        return self.edge_ptr.diff()

    @classmethod
    def of(cls, inputs: Any, drop: Collection[str] = ()) -> "FlatGraphs":
        """Take a `Batch` that passed `check` apart; its tensors are shared, not copied.

        Args:
            inputs: the batch; labels `y` are left out.
            drop: names of attributes that are left out, too.

        Raises:
            ValueError: nodes are not graph by graph.
        """
        graph, count = graph_of_nodes(inputs)
        edges: Tensor = inputs.edge_index
        weight, attr = (None if key in drop else getattr(inputs, key, None) for key in MIXED[2:])
        if bool((graph[1:] < graph[:-1]).any()):
            raise ValueError("inputs must have their nodes graph by graph, but `batch` is not in ascending order")
        own = graph.index_select(0, edges[0])
        if bool((own[1:] < own[:-1]).any()):  # loops that were added behind all the edges, say
            order = own.argsort(stable=True)
            own, edges = own[order], edges[:, order]
            weight, attr = (None if value is None else value[order] for value in (weight, attr))
        return cls(
            inputs.x,
            edges,
            starts(graph, count),
            starts(own, count),
            graph,
            own,
            weight,
            attr,
        )


@dataclass(frozen=True, eq=False)
class Copies:
    """Some graphs of a batch, each laid into one of B wider places of `size` slots in all.

    Attributes:
        nodes: int64 (m,), the nodes copied.
        slots: int64 (m,), where each goes.
        node_share: float32 (m,), the share of the graph that a node comes with.
        edges: int64 (k,), the edges copied, place by place.
        keys: int64 (k,), source slot times `size` plus target slot.
        place: int64 (k,), the places they are in.
        edge_share: float32 (k,).
        size: number of slots.
    """

    nodes: Tensor
    slots: Tensor
    node_share: Tensor
    edges: Tensor
    keys: Tensor
    place: Tensor
    edge_share: Tensor
    size: int

    @classmethod
    def all(cls, graphs: FlatGraphs, share: Tensor, ptr: Tensor) -> "Copies":
        """Copy each graph to its own place; `share` and `ptr` as for `some`."""
        size, shift = int(ptr[-1]), ptr[:-1] - graphs.node_ptr[:-1]
        nodes = torch.arange(len(graphs.x), device=ptr.device)
        return cls(
            nodes=nodes,
            slots=nodes + shift.index_select(0, graphs.graph),
            node_share=share.index_select(0, graphs.graph),
            edges=torch.arange(graphs.edges.shape[1], device=ptr.device),
            keys=graphs.edges[0] * size + graphs.edges[1] + (shift * (size + 1)).index_select(0, graphs.edge_graph),
            place=graphs.edge_graph,
            edge_share=share.index_select(0, graphs.edge_graph),
            size=size,
        )

    @classmethod
    def some(cls, graphs: FlatGraphs, source: Tensor, place: Tensor, share: Tensor, ptr: Tensor) -> "Copies":
        """Copy graphs to places.

        Args:
            graphs: where from.
            source: int64 (c,), the graphs to be copied.
            place: int64 (c,), where each goes, in ascending order.
            share: float32 (c,).
            ptr: int64 (B + 1,), first slot of each place, and their number.
        """
        nodes, of_node = ranges(graphs.node_ptr[source], graphs.sizes[source])
        edges, of_edge = ranges(graphs.edge_ptr[source], graphs.edge_counts[source])
        size, shift = int(ptr[-1]), ptr[place] - graphs.node_ptr[source]
        keys = (graphs.edges[0] * size + graphs.edges[1]).index_select(0, edges)
        return cls(
            nodes=nodes,
            slots=nodes + shift.index_select(0, of_node),
            node_share=share.index_select(0, of_node),
            edges=edges,
            keys=keys + (shift * (size + 1)).index_select(0, of_edge),
            place=place.index_select(0, of_edge),
            edge_share=share.index_select(0, of_edge),
            size=size,
        )

    def ends(self, keys: Tensor) -> Tensor:
        """Return the slots (2, k) that edges of the given keys connect."""
        sources = torch.div(keys, max(self.size, 1), rounding_mode="floor")
        return torch.stack([sources, keys - sources * self.size])


def batch_of(
    x: Tensor,
    node_ptr: Tensor,
    edges: Tensor,
    edge_ptr: Tensor,
    *,
    weight: Tensor | None,
    attr: Tensor | None,
    new: bool = False,
) -> Batch:
    """Return graphs as `Batch.from_data_list` would; arguments as in `FlatGraphs`.

    `new` notes that the graphs had no weights before they were mixed: see `GraphModel`.
    """
    count = len(node_ptr) - 1
    graph = torch.arange(count, device=node_ptr.device).repeat_interleave(node_ptr.diff(), output_size=len(x))
    batch = Batch(x=x, edge_index=edges, batch=graph, ptr=node_ptr)
    # what Batch.from_data_list leaves, so that `batch[i]` and `batch.to_data_list()` work
    nothing = torch.zeros(count, dtype=torch.long, device="cpu")
    nodes, per_edge = node_ptr.cpu(), edge_ptr.cpu()
    batch._num_graphs = count
    batch._weighted_by_mixing = new
    batch._slice_dict = {"x": nodes, "edge_index": per_edge}
    batch._inc_dict = {"x": nothing, "edge_index": nodes[:-1]}
    for key, value in (("edge_weight", weight), ("edge_attr", attr)):
        if value is not None:
            batch[key] = value
            batch._slice_dict[key], batch._inc_dict[key] = per_edge, nothing
    return batch


def check(inputs: Any, count: int, drop: Collection[str] = ()) -> None:
    """Raise ValueError unless `inputs` are a batch of `count` graphs whose structure can be mixed.

    That is: float features `x`, `edge_index`, perhaps `edge_weight` and `edge_attr`, with a row for each node or edge;
    labels `y`; and no other attributes, which would get lost silently, but those in `drop`.
    """
    if isinstance(inputs, Tensor):
        raise ValueError(
            f"structures are mixed on a Batch of graphs, got a tensor of shape {tuple(inputs.shape)}; "
            "take place=AtInputs(), or mix hidden features with Blend()"
        )
    graph, graphs = graph_of_nodes(inputs)
    if graphs != count:
        raise ValueError(f"inputs must be the {count} graphs that the pairing is for, got {graphs}")
    x = getattr(inputs, "x", None)
    if not isinstance(x, Tensor) or len(x) != len(graph):
        what = "none" if x is None else type(x).__name__ if not isinstance(x, Tensor) else tuple(x.shape)
        raise ValueError(
            f"x must be float features of the {len(graph)} nodes, got {what}; give nodes some, e.g. their degrees "
            "with torch_geometric.transforms.OneHotDegree"
        )
    if not x.is_floating_point():
        raise ValueError(
            f"x must be float features, got {x.dtype} {tuple(x.shape)}: codes can't be averaged; make them one-hot, "
            'or mix what the pooling gives out, with Blend() and place=AtSite("name of the pooling")'
        )
    others = sorted(set(inputs.keys()) - {*MIXED, *LEFT_OUT, *drop})
    if others:
        raise ValueError(
            f"inputs must have no attributes but {', '.join(MIXED)} and y, got {', '.join(others)}: nobody said how "
            f"they mix; name those that the model can do without in drop={tuple(others)!r}"
        )
    _check_edges(inputs.edge_index, *(None if key in drop else getattr(inputs, key, None) for key in MIXED[2:]))


def _check_edges(edges: Any, weight: Any, attr: Any) -> None:
    """Raise ValueError unless there are edges, each with a weight and attributes if there are any."""
    if not isinstance(edges, Tensor) or edges.dtype != torch.int64 or edges.ndim != 2 or len(edges) != 2:
        what = f"{edges.dtype} {tuple(edges.shape)}" if isinstance(edges, Tensor) else type(edges).__name__
        raise ValueError(
            f"edge_index must be int64 of shape (2, E), got {what}; sparse adjacencies are not mixed: "
            "leave out the transform ToSparseTensor"
        )
    count = edges.shape[1]
    if weight is not None and not (weight.is_floating_point() and weight.shape == (count,)):
        raise ValueError(
            f"edge_weight must be float of shape ({count},), a number an edge, got {weight.dtype} "
            f"{tuple(weight.shape)}; give all graphs weights before they are put into a batch"
        )
    if attr is not None and len(attr) != count:
        raise ValueError(
            f"edge_attr must have a row for each of the {count} edges, got shape {tuple(attr.shape)}; "
            "give all graphs attributes before they are put into a batch"
        )
