"""Classification of whole graphs as a problem of a comparison."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from mixkit.comparison.problems import DataError, IntArray, Prepared, Recipe, Split
from mixkit.placement import AtSite
from mixkit.tasks import MultiClass
from mixkit_graph.drawing import show_graph, show_node_weights
from mixkit_graph.features import NodeFeatures
from mixkit_graph.graphs import GraphSet
from mixkit_graph.networks import GraphNet
from mixkit_graph.node_tokens import NodeTokens
from mixkit_graph.tudataset import read_tu

HIDDEN = 32


@dataclass(eq=False)
class GraphProblem:
    """Graphs with one class each (the attributes of `Problem`, and what `prepare` needs).

    Attributes:
        graphs: all graphs.
        recipe: how to train; None: chosen by the number of training graphs.
    """

    name: str
    title: str
    notes: tuple[str, ...]
    labels: IntArray
    classes: tuple[str, ...]
    graphs: GraphSet
    recipe: Recipe | None = None
    groups: IntArray | None = None
    grouped_look: str | None = None
    official: Split | None = None
    modality: str = "graph"

    def prepare(self, train: IntArray) -> Prepared:
        """Fit the nodes' features on graphs `train`."""
        features = NodeFeatures.fit(self.graphs, torch.as_tensor(train))
        card = {
            "modality": self.modality,
            "samples": "graphs",
            "classes": list(self.classes),
            "features": features.card(),
            "network": {"features": features.width, "outputs": len(self.classes), "hidden": HIDDEN},
            "recipe": asdict(self.recipe or default_recipe(len(train))),
        }
        return assemble(card, self.graphs, MultiClass(len(self.classes)).encode(self.labels))


def load_graphs(folder: Path, name: str) -> GraphProblem:
    """Read a TU data set.

    Raises:
        DataError: files are missing or unreadable, or all graphs have one class.
    """
    data = read_tu(folder, name)
    assert data.labels is not None
    if len(data.classes) < 2:
        raise DataError(f"{folder}/{name}_graph_labels.txt must have at least 2 classes, got {len(data.classes)}")
    title = f"{name}: {len(data.graphs):,} graphs, {len(data.classes)} classes (TU Dortmund layout)"
    notes = (*data.notes, *feature_notes(data.graphs))
    return GraphProblem(name, title, notes, data.labels, data.classes, data.graphs)


def restore_graphs(card: Mapping[str, Any], folder: Path, name: str) -> tuple[Prepared, list[str]]:
    """Read a TU data set, whose labels may be missing, and preprocess it as `card` says.

    Returns:
        What prediction needs, with targets of zeros, and the numbers of the graphs from 1, as in the files.

    Raises:
        DataError: files are missing or unreadable, or nodes have other labels or attributes than in training.
    """
    graphs = read_tu(folder, name, labelled=False).graphs
    targets = torch.zeros(len(graphs), card["network"]["outputs"])
    return assemble(card, graphs, targets), [str(k + 1) for k in range(len(graphs))]


def assemble(card: Mapping[str, Any], graphs: GraphSet, targets: Tensor) -> Prepared:
    """Return what a run needs from a card, graphs and targets (G, K).

    Raises:
        DataError: nodes have other labels or attributes than in training.
    """
    from mixkit_graph.collate import collate  # noqa: PLC0415 - takes seconds; nobody waits who only lists problems

    features = NodeFeatures.from_card(card["features"])
    return Prepared(
        task=MultiClass(len(card["classes"])),
        targets=targets,
        batch=partial(collate, graphs, features.encode(graphs)),
        model=partial(GraphNet, **card["network"]),
        place=AtSite("readout"),
        sites=("head.0",),
        recipe=Recipe(**card["recipe"]),
        show=partial(show_graph, features),
        card=card,
        tokens=tokens_of,
        show_weights=partial(show_node_weights, features),
    )


def tokens_of(network: nn.Module, generator: Generator) -> NodeTokens:
    """Return the nodes as the readout takes them; learned mixing mixes them there, by soft alignment."""
    assert isinstance(network, GraphNet)
    return NodeTokens("readout:input", network.readout.norm.normalized_shape[0])


def default_recipe(rows: int) -> Recipe:
    """Choose epochs and batch size by the number of training graphs.

    >>> [(r.epochs, r.batch_size) for r in map(default_recipe, (150, 900, 4000))]
    [(60, 32), (30, 64), (15, 64)]
    """
    epochs = 60 if rows < 500 else 30 if rows < 2000 else 15
    return Recipe(epochs=epochs, batch_size=32 if rows < 500 else 64, learning_rate=2e-3, weight_decay=1e-2)


def feature_notes(graphs: GraphSet) -> tuple[str, ...]:
    """Return a note where nodes carry nothing."""
    if graphs.node_labels.shape[1] or graphs.attributes.shape[1]:
        return ()
    return ("nodes have neither labels nor attributes: their degrees are the features",)
