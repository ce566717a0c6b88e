"""The embedded problems, generated in code from fixed seeds: graphs with a hidden motif, and a block model of nodes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from numpy.random import Generator

from mixkit.comparison.problems import Recipe
from mixkit_graph.graph_problem import GraphProblem, feature_notes
from mixkit_graph.graphs import graph_set
from mixkit_graph.node_problem import TRANSDUCTIVE, NodeProblem

Edges = list[tuple[int, int]]

MOTIFS: dict[str, Edges] = {
    "house": [(0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (1, 4)],
    "cycle": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)],
    "clique": [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)],
    "grid": [(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)],
}
GRAPHS = 320
NODES = (14, 22)  # smallest and largest graph: motifs do not show in the size
EXTRA_EDGES = 1.0  # mean number of random edges a graph: noise that no method can remove

BLOCKS = ("a", "b", "c", "d")
BLOCK_NODES = 360
INSIDE, ACROSS = 0.06, 0.01  # probability of an edge inside a block and between two
WORDS, OWN_WORDS = 64, 16  # each block has 16 of 64 words of its own
COMMON, OWN = 0.06, 0.09  # probability of a word in any node, and of one of its block's own


def motif_graphs(seed: int = 0) -> GraphProblem:
    """Return a graph classification problem: which motif is attached to a random tree, with random edges as noise.

    Args:
        seed: of the generator; another one gives another data set of the same kind.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(GRAPHS) % len(MOTIFS)
    counts, edges, before = [], [], 0
    for label in labels:
        size, own = _motif_graph(rng, list(MOTIFS.values())[label])
        counts.append(size)
        edges += [(a + before, b + before) for a, b in own]
        before += size
    graphs = graph_set(torch.tensor(counts), torch.tensor(edges).T)
    return GraphProblem(
        name="motifs",
        title=f"motifs: {GRAPHS} graphs with one of {len(MOTIFS)} motifs (generated)",
        notes=("generated in code: random trees, each with a motif attached, and random edges", *feature_notes(graphs)),
        labels=labels.astype(np.int64),
        classes=tuple(MOTIFS),
        graphs=graphs,
        recipe=Recipe(epochs=30, batch_size=64, learning_rate=4e-3, weight_decay=1e-2),
    )


def _motif_graph(rng: Generator, motif: Edges) -> tuple[int, Edges]:
    """Return a graph's number of nodes and its edges: a random tree, the motif tied to it, noise; shuffled."""
    inner = 1 + max(max(edge) for edge in motif)
    size = int(rng.integers(NODES[0], NODES[1] + 1))
    tree = [(node, int(rng.integers(inner, node))) for node in range(inner + 1, size)]
    tie = [(int(rng.integers(inner)), int(rng.integers(inner, size)))]
    noise = [(int(a), int(b)) for a, b in rng.integers(0, size, (rng.poisson(EXTRA_EDGES), 2))]
    order = rng.permutation(size)
    return size, [(int(order[a]), int(order[b])) for a, b in [*motif, *tree, *tie, *noise]]


def block_model(seed: int = 0) -> NodeProblem:
    """Return a node classification problem: a stochastic block model with words that only lean towards a block.

    Args:
        seed: of the generator; another one gives another data set of the same kind.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(BLOCK_NODES) % len(BLOCKS)).astype(np.int64)
    same = labels[:, None] == labels[None, :]
    linked = np.triu(rng.random(same.shape) < np.where(same, INSIDE, ACROSS), 1)
    words = rng.random((BLOCK_NODES, WORDS)) < np.where(_own_words(labels), OWN, COMMON)
    return NodeProblem(
        name="blocks",
        title=f"blocks: {BLOCK_NODES} nodes of one graph, {len(BLOCKS)} classes (generated)",
        notes=("generated in code: a stochastic block model with noisy binary features", TRANSDUCTIVE),
        labels=labels,
        classes=BLOCKS,
        x=torch.from_numpy(words.astype(np.float32)).to_sparse().coalesce(),
        edges=torch.from_numpy(np.argwhere(linked).T.copy()),
        labelled=None,
        network={"hidden": 32, "dropout": 0.5},
        recipe=Recipe(epochs=100, batch_size=BLOCK_NODES, learning_rate=3e-2, weight_decay=1e-2),
    )


def _own_words(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which words belong to a node's block, bool (N, WORDS)."""
    first = labels[:, None] * OWN_WORDS
    word = np.arange(WORDS)[None, :]
    return np.asarray((word >= first) & (word < first + OWN_WORDS))


def embedded_problems() -> Sequence[GraphProblem | NodeProblem]:
    """Return the problems that need no data from the user."""
    return (motif_graphs(), block_model())
