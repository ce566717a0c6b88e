"""Graphs as SVG, for galleries."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mixkit.report.weights import colour, scale, spread
from mixkit_graph.features import NodeFeatures
from mixkit_graph.graphs import ranges

SIZE = 220
MARGIN = 12
MOST_NODES = 120
MOST_NEIGHBOURS = 40
# Okabe and Ito's colours, told apart by colour-blind readers, too
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000")
GREY = "#c8c8c8"


def show_graph(features: NodeFeatures, batch: Any, i: int) -> str:
    """Return a drawing of graph i of a `Batch`; colours are node labels, or degrees where there are no labels."""
    edges, names = nodes_of(features, batch, i)
    kept, caption = chosen(edges, len(names))
    return svg(edges, kept, [(palette(names[k][0]), names[k][1]) for k in kept.tolist()], caption)


def show_node_weights(features: NodeFeatures, batch: Any, rows: Sequence[int], weights: Tensor) -> str:
    """Return a drawing of the first of the graphs `rows` of a `Batch`, coloured by its nodes' weights in the mix.

    Args:
        features: names the nodes.
        batch: holds the graphs.
        rows: the graphs that are mixed; the first keeps its structure and takes features of the others.
        weights: (K, nodes of the first graph).
    """
    edges, names = nodes_of(features, batch, rows[0])
    kept, caption = chosen(edges, len(names))
    own = weights[0].tolist()
    nodes = [(colour(own[k], even=1 / len(weights)), f"weight {own[k]:.2f}, {names[k][1]}") for k in kept.tolist()]
    if own:
        caption += f"; weights {spread(weights[0].numpy())}"
    drawing = f"<div><span>sample's weight</span>{svg(edges, kept, nodes, caption)}</div>"
    return f'<div class="parts">{drawing}</div>{scale(even=1 / len(weights))}'


def nodes_of(features: NodeFeatures, batch: Any, i: int) -> tuple[Tensor, list[tuple[int, str]]]:
    """Return the edges of graph i of a `Batch`, int64 (2, E), and its nodes as in `node_names`."""
    first, last = int(batch.ptr[i]), int(batch.ptr[i + 1])
    inside = (batch.edge_index[0] >= first) & (batch.edge_index[0] < last)
    edges = batch.edge_index[:, inside].cpu() - first
    return edges, node_names(features, batch.x[first:last].cpu(), edges)


def chosen(edges: Tensor, size: int) -> tuple[Tensor, str]:
    """Return which nodes of a graph are drawn, int64 (n,), and a caption."""
    kept = around(edges, size, start=most_connected(edges, size), most=MOST_NODES)
    caption = f"{size} nodes, {int((edges[0] < edges[1]).sum())} edges"
    return kept, caption if len(kept) == size else f"{caption}; {len(kept)} nodes drawn"


def show_node(classes: tuple[str, ...], known: Tensor, nodes: Any, i: int) -> str:
    """Return a drawing of node i of `nodes` (ringed) and what is around it.

    Args:
        classes: names of the classes.
        known: int64 (N,), the class of training nodes, -1 elsewhere: others stay grey.
        nodes: a `NodeData`.
        i: which of its rows.
    """
    edges, centre = nodes.edge_index.cpu(), int(nodes.rows[i])
    kept = around(edges, len(known), start=centre, most=MOST_NEIGHBOURS, hops=2)
    named = [f"node {k}" + (f", {classes[known[k]]}" if known[k] >= 0 else "") for k in kept.tolist()]
    names = [(palette(int(known[k])), name) for k, name in zip(kept.tolist(), named, strict=True)]
    neighbours = int((edges[0] == centre).sum())
    near = "1 neighbour" if neighbours == 1 else f"{neighbours} neighbours"
    caption = f"node {centre}, {near}; {len(kept)} nodes within 2 steps drawn"
    return svg(edges, kept, names, caption, ring=0)


def node_names(features: NodeFeatures, x: Tensor, edges: Tensor) -> list[tuple[int, str]]:
    """Return a colour's number and a tooltip for each node: its first label, or its degree."""
    if features.values and features.values[0]:
        values = features.values[0]
        places = x[:, : len(values)].argmax(1).tolist()
        known = (x[:, : len(values)].amax(1) > 0).tolist()
        return [(p, f"label {values[p]}") if k else (-1, "other label") for p, k in zip(places, known, strict=True)]
    degrees = torch.bincount(edges[1], minlength=len(x)).tolist()
    return [(min(degree, len(COLOURS) - 1), f"{degree} neighbours") for degree in degrees]


def most_connected(edges: Tensor, size: int) -> int:
    """Return the node with most neighbours; 0 where there is none."""
    return int(torch.bincount(edges[0], minlength=max(size, 1)).argmax())


def around(edges: Tensor, size: int, *, start: int, most: int, hops: int | None = None) -> Tensor:
    """Return at most `most` nodes by their distance from `start`, which comes first, int64.

    Args:
        edges: int64 (2, E), both directions.
        size: number of nodes.
        start: where to begin.
        most: how many nodes are returned.
        hops: how far to go; None: everywhere, and on to parts that are not connected.

    >>> path = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
    >>> around(path, 4, start=1, most=9, hops=1)
    tensor([1, 0, 2])
    """
    if size == 0:
        return torch.empty(0, dtype=torch.long)
    order = edges[0].argsort(stable=True)
    targets = edges[1, order]
    ends = torch.bincount(edges[0], minlength=size).cumsum(0)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    found = torch.tensor([start])
    seen = torch.zeros(size, dtype=torch.bool)
    seen[start] = True
    frontier, step = found, 0
    while len(frontier) and len(found) < most and (hops is None or step < hops):
        reached = torch.zeros_like(seen)
        reached[targets[ranges(starts[frontier], ends[frontier])]] = True
        frontier = (reached & ~seen).nonzero().flatten()
        if not len(frontier) and hops is None:
            frontier = (~seen).nonzero().flatten()[:1]
        seen[frontier] = True
        found, step = torch.cat([found, frontier]), step + 1
    return found[:most]


def layout(size: int, edges: Sequence[tuple[int, int]]) -> npt.NDArray[np.float64]:
    """Return a position in the picture for each node, (size, 2); the same for the same graph."""
    import networkx as nx  # noqa: PLC0415 - takes a while, and only drawing needs it

    graph = nx.Graph()
    graph.add_nodes_from(range(size))
    graph.add_edges_from(edges)
    placed = nx.spring_layout(graph, seed=0, iterations=100)
    places = np.array([placed[k] for k in range(size)]).reshape(-1, 2)
    low, span = places.min(0), np.ptp(places, 0)
    scaled: npt.NDArray[np.float64] = (places - low) / np.where(span > 0, span, 1.0)
    return MARGIN + scaled * (SIZE - 2 * MARGIN)


def palette(number: int) -> str:
    """Return colour `number`; grey for a negative one."""
    return COLOURS[number % len(COLOURS)] if number >= 0 else GREY


def svg(edges: Tensor, kept: Tensor, names: list[tuple[str, str]], caption: str, ring: int | None = None) -> str:
    """Return a figure of the nodes `kept` and the edges among them.

    Args:
        edges: int64 (2, E), both directions.
        kept: int64 (n,), the nodes to draw.
        names: a colour and a tooltip for each of them.
        caption: the line below.
        ring: which of them to ring, or None.
    """
    place = {k: at for at, k in enumerate(kept.tolist())}
    pairs = [(place[a], place[b]) for a, b in edges.T.tolist() if a < b and a in place and b in place]
    parts = []
    if len(kept):
        positions = layout(len(kept), pairs)
        parts = [_line(positions[a], positions[b]) for a, b in pairs]
        parts += [_circle(positions[at], *name, ringed=at == ring) for at, name in enumerate(names)]
    return (
        f'<figure class="graph"><svg viewBox="0 0 {SIZE} {SIZE}" width="{SIZE}" height="{SIZE}" role="img">'
        f"{''.join(parts)}</svg><figcaption>{escape(caption)}</figcaption></figure>"
    )


def _line(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> str:
    return f'<line x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}" stroke="#888"/>'


def _circle(at: npt.NDArray[np.float64], fill: str, tooltip: str, *, ringed: bool) -> str:
    edge = 'stroke="#000" stroke-width="2.5"' if ringed else 'stroke="#fff"'
    return (
        f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{7 if ringed else 5}" fill="{fill}" {edge}>'
        f"<title>{escape(tooltip)}</title></circle>"
    )
