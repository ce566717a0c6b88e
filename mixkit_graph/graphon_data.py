"""Data sets as G-Mixup reads them: structure, features and targets of many graphs; integer labels as float rows."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mixkit_graph._pyg import Batch
from mixkit_graph.graphs import GraphSet, graph_set, pointers


@dataclass(frozen=True, eq=False)
class LabelledGraphs:
    """Graphs as flat tensors.

    Attributes:
        graphs: structure; undirected, without loops and repetitions.
        x: float (N, F), the nodes' features, or None.
        targets: float32 (G, C).
    """

    graphs: GraphSet
    x: Tensor | None
    targets: Tensor

    @property
    def classes(self) -> Tensor:
        """The class of the largest target, int64 (G,); -1 where the label is missing (NaN)."""
        missing = self.targets.isnan().any(1)
        return torch.where(missing, -1, self.targets.nan_to_num().argmax(1))


def read_graphs(dataset: Any, targets: Tensor | None) -> LabelledGraphs:
    """Return the graphs of a sequence of `Data`, or of a `Batch`.

    Args:
        dataset: the graphs, with `edge_index`, perhaps `x`, and `y` where `targets` are not given.
        targets: float (G, C), or None.

    Raises:
        ValueError: there are no graphs, they carry edge attributes or weights, some edges have one direction only, only
            some graphs have features, or there are no labels of classes.
    """
    parts = [dataset] if isinstance(dataset, Batch) else [dataset[k] for k in range(len(dataset))]
    if not parts:
        raise ValueError("dataset must hold graphs, got none")
    for part in parts:
        check_edges_plain(part)
    sizes = dataset.ptr.diff() if isinstance(dataset, Batch) else torch.tensor([part.num_nodes for part in parts])
    shifts = [0] if isinstance(dataset, Batch) else pointers(sizes)[:-1].tolist()
    edges = torch.cat([part.edge_index + shift for part, shift in zip(parts, shifts, strict=True)], 1).cpu()
    found = [part.x for part in parts if part.x is not None]
    if found and len(found) < len(parts):
        raise ValueError(f"all graphs must have x, or none, got x in {len(found)} of {len(parts)}")
    labels = class_rows(torch.cat([labels_of(part) for part in parts])) if targets is None else targets.float()
    if len(labels) != len(sizes):
        raise ValueError(f"targets must have a row a graph, got {len(labels)} rows for {len(sizes)} graphs")
    graphs = graph_set(sizes.cpu(), edges)
    check_undirected(edges, graphs)
    return LabelledGraphs(graphs, torch.cat(found).cpu() if found else None, labels.cpu())


def check_undirected(edges: Tensor, graphs: GraphSet) -> None:
    """Raise ValueError unless `edges` (2, E), as they were given, hold both directions of each edge of `graphs`."""
    straight = edges[:, edges[0] != edges[1]]
    given = len(torch.unique(straight[0] * len(graphs.node_labels) + straight[1]))
    if given < graphs.edges.shape[1]:
        raise ValueError(
            f"graphs must be undirected, as drawn ones are, but {graphs.edges.shape[1] - given} edges lack their other "
            "direction; take torch_geometric.transforms.ToUndirected() if they have none, or mix at the readout instead"
        )


def check_edges_plain(data: Any) -> None:
    """Raise ValueError if edges carry something that drawn ones could not have."""
    for name in ("edge_attr", "edge_weight"):
        if getattr(data, name, None) is not None:
            raise ValueError(
                f"G-Mixup draws edges that are there or not, without {name}, and a batch needs the same attributes in "
                f"all graphs; leave {name} out of copies of the graphs, or mix at the readout instead"
            )


def labels_of(data: Any) -> Tensor:
    """Return the `y` of a graph, or of several in a batch, with a row a graph.

    Raises:
        ValueError: there is none.
    """
    y = getattr(data, "y", None)
    if not isinstance(y, Tensor):
        raise ValueError("graphs must have labels in y, got none; set data.y, or give targets float (G, C)")
    return y.reshape(1) if y.ndim == 0 else y


def class_rows(labels: Tensor, classes: int | None = None) -> Tensor:
    """Return labels as float32 (G, C): integer codes (G,) or (G, 1) one-hot, float (G, C) as they are.

    Args:
        labels: as PyG's data sets have them in `y`.
        classes: C; None: as many as the largest code tells.

    Raises:
        ValueError: labels are of another kind, or codes are out of range.

    >>> class_rows(torch.tensor([1, 0]))
    tensor([[0., 1.],
            [1., 0.]])
    """
    if labels.is_floating_point() and labels.ndim == 2 and labels.shape[1] >= 2:
        return labels.float()
    codes = labels.squeeze(1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if codes.is_floating_point() or codes.ndim != 1:
        raise ValueError(
            f"labels must be integer classes (G,) or float rows (G, C), got {labels.dtype} {tuple(labels.shape)}; "
            "G-Mixup mixes classes: other targets can be mixed at the readout"
        )
    count = int(codes.max()) + 1 if classes is None else classes
    if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < count:
        raise ValueError(f"labels must be in 0 .. {count - 1}, got {int(codes.min())} .. {int(codes.max())}")
    return F.one_hot(codes.long(), count).float()


def soft_labels(dataset: Sequence[Any], classes: int | None = None) -> list[Any]:
    """Return the graphs with `y` as float rows [1, C], so that they go into one batch with mixed ones.

    A `y` of [C] would be joined to [B C] by collate, and an integer `y` of [1] beside a float one of [1, C] raises an
    error there: all graphs of a batch need rows.  The graphs are shallow copies; the data set stays as it is.

    Args:
        dataset: `Data` with integer classes or float rows in `y`.
        classes: C; None: as many as the largest code tells.

    Raises:
        ValueError: labels are missing or of another kind, or codes are out of range.

    >>> from torch_geometric.data import Data
    >>> plain = Data(x=torch.zeros(2, 1), y=torch.tensor([1]))
    >>> soft_labels([plain], classes=3)[0].y, plain.y
    (tensor([[0., 1., 0.]]), tensor([1]))
    """
    graphs = [dataset[k] for k in range(len(dataset))]
    if not graphs:
        return []
    rows = class_rows(torch.cat([labels_of(graph) for graph in graphs]), classes)
    softened = []
    for graph, row in zip(graphs, rows, strict=True):
        own = copy.copy(graph)
        own.y = row[None]
        softened.append(own)
    return softened
