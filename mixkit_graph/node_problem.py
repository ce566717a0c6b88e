"""Classification of the nodes of one graph as a problem of a comparison."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, nn

from mixkit.comparison.problems import DataError, IntArray, Prepared, Recipe, Split
from mixkit.placement import AtSite
from mixkit.tasks import MISSING, MultiClass
from mixkit.tokens import SpanTokens
from mixkit_graph.drawing import show_node
from mixkit_graph.networks import NodeNet
from mixkit_graph.planetoid import read_planetoid

TRANSDUCTIVE = (
    "transductive: the graph and the features of all nodes are seen in training, labels of training nodes only"
)
SPANS = 8


@dataclass(eq=False)
class NodeProblem:
    """Nodes with one class each (the attributes of `Problem`, and what `prepare` needs).

    Attributes:
        x: float32 (N, F), sparse (COO, coalesced), the nodes' features, non-negative.
        edges: int64 (2, E).
        labelled: bool (N,), whether a node has a label at all; None: each has.
        network: arguments of `NodeNet` that differ from its defaults.
        recipe: how to train; the batch holds all rows.
    """

    name: str
    title: str
    notes: tuple[str, ...]
    labels: IntArray
    classes: tuple[str, ...]
    x: Tensor
    edges: Tensor
    labelled: npt.NDArray[np.bool_] | None
    network: Mapping[str, Any]
    recipe: Recipe
    official: Split | None = None
    groups: IntArray | None = None
    grouped_look: str | None = None
    modality: str = "node"

    def prepare(self, train: IntArray) -> Prepared:
        """Return what a run needs; nothing is fitted, `train` only says whose classes a drawing may show."""
        from mixkit_graph.nodes import node_graph  # noqa: PLC0415 - takes seconds; nobody waits who only lists problems

        graph = node_graph(self.x, self.edges)
        labels = torch.from_numpy(
            self.labels if self.labelled is None else np.where(self.labelled, self.labels, MISSING)
        )
        known = torch.full_like(labels, -1)
        known[torch.as_tensor(train)] = labels[torch.as_tensor(train)]
        card = {
            "modality": "graph",  # whose adapter reads it back
            "samples": "nodes",
            "classes": list(self.classes),
            "graph": fingerprint(self.x, graph.edge_index),
            "network": {"features": self.x.shape[1], "outputs": len(self.classes), **self.network},
            "recipe": asdict(self.recipe),
        }
        return assemble(card, graph, MultiClass(len(self.classes)).encode(labels), known)


def load_nodes(folder: Path, name: str) -> NodeProblem:
    """Read a Planetoid data set.

    Raises:
        DataError: files are missing or unreadable, or all nodes have one class.
    """
    data = read_planetoid(folder, name)
    found = len(np.unique(data.labels[data.labelled]))
    if found < 2:
        raise DataError(f"{folder}/ind.{name}.* must have at least 2 classes, got {found}")
    size, without = len(data.labels), int((~data.labelled).sum())
    notes: tuple[str, ...] = (TRANSDUCTIVE,)
    if without:
        notes += (f"{without} nodes have no label: part of the graph, but in no split",)
    return NodeProblem(
        name=name,
        title=f"{name}: {size:,} nodes of one graph, {data.classes} classes (Planetoid layout, official split)",
        notes=notes,
        labels=data.labels,
        classes=tuple(map(str, range(data.classes))),
        x=data.x,
        edges=data.edges,
        labelled=data.labelled,
        network={"hidden": 64, "dropout": 0.8},
        recipe=Recipe(epochs=100, batch_size=size, learning_rate=3e-2, weight_decay=0.5),
        official=data.official,
    )


def restore_nodes(card: Mapping[str, Any], folder: Path, name: str) -> tuple[Prepared, list[str]]:
    """Read the graph that the model was trained on.

    Returns:
        What prediction needs, with targets of zeros, and the numbers of the nodes from 0.

    Raises:
        DataError: files are missing or unreadable, or it is another graph.
    """
    from mixkit_graph.nodes import node_graph  # noqa: PLC0415 - as above

    data = read_planetoid(folder, name)
    graph = node_graph(data.x, data.edges)
    found = fingerprint(data.x, graph.edge_index)
    if found != card["graph"]:
        raise DataError(
            f"the graph must be the one of the training ({describe(card['graph'])}), got {describe(found)}; "
            "a model of nodes predicts in its own graph"
        )
    size = len(graph.x)
    targets = torch.zeros(size, card["network"]["outputs"])
    return assemble(card, graph, targets, torch.full((size,), -1)), [str(k) for k in range(size)]


def assemble(card: Mapping[str, Any], graph: Any, targets: Tensor, known: Tensor) -> Prepared:
    """Return what a run needs from a card, the graph, targets (N, K) and the classes that may be shown (N,)."""
    from mixkit_graph.nodes import node_rows  # noqa: PLC0415 - as above

    classes = tuple(card["classes"])
    return Prepared(
        task=MultiClass(len(classes)),
        targets=targets,
        batch=partial(node_rows, graph),
        model=partial(NodeNet, **card["network"]),
        place=AtSite("select"),
        sites=("head.0",),
        recipe=Recipe(**card["recipe"]),
        show=partial(show_node, classes, known),
        card=card,
        tokens=tokens_of,
    )


def tokens_of(network: nn.Module, generator: Generator) -> SpanTokens:
    """Return equal spans of the hidden vector's channels: a selected node is one row, like a row of a table."""
    assert isinstance(network, NodeNet)
    width = network.second.bias.shape[0]
    spans = min(SPANS, width)
    return SpanTokens("select", [channel * spans // width for channel in range(width)], generator=generator)


def fingerprint(x: Tensor, edges: Tensor) -> dict[str, Any]:
    """Return sizes and a digest of features (N, F) as they were read, sparse, and edges (2, E), JSON-serialisable."""
    digest = hashlib.sha256()
    for part in (edges, x.indices(), x.values()):
        digest.update(part.contiguous().numpy().tobytes())
    return {
        "nodes": x.shape[0],
        "features": x.shape[1],
        "edges": edges.shape[1] // 2,
        "sha256": digest.hexdigest(),
    }


def describe(found: Mapping[str, Any]) -> str:
    """Return a fingerprint in words."""
    return f"{found['nodes']:,} nodes, {found['edges']:,} edges, {found['features']:,} features, {found['sha256'][:8]}"
