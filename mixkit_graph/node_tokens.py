"""`NodeTokens`: nodes of graphs as the tokens of learned mixing."""

from typing import Any

import torch
from torch import Tensor

from mixkit.mixblock import Scored, at_least_float32
from mixkit.pairing import Sources
from mixkit.placement import Placement
from mixkit.token_runs import scores
from mixkit.tokens import Tokens, TokenSite, WeightedMean
from mixkit_graph.aligned import AlignedPlan, NodeCells, graph_of_nodes
from mixkit_graph.at_nodes import AtNodes


class NodeTokens(TokenSite):
    """Node features (n, D) of a batch of graphs: a token a node; graphs are mixed by soft alignment (`AlignedPlan`).

    The block's attention from own nodes to the partner's says which of these a node is mixed with, its weights say how
    much.  Nodes have no common order: take `MixBlock` with `Shared()` or `FromEach()`; what comes out follows the nodes
    when they are permuted.  In graphs of more nodes than `most_tokens`, nodes of similar features share a token, their
    mean.

    Args:
        site: the submodule whose output node features are, or its first input with "name:input"; best the last one
            before the pooling.
        channels: D.
        place: where graphs are mixed; None: `AtNodes(site)`.
        most_tokens: of a graph.

    Raises:
        ValueError: a number is not positive.

    >>> from types import SimpleNamespace
    >>> import torch
    >>> batch = SimpleNamespace(batch=torch.tensor([0, 0, 0, 1]), num_graphs=2)
    >>> tokens = NodeTokens("readout:input", 8).tokens(torch.rand(4, 8), batch)
    >>> tokens.values.shape, tokens.real.sum(1)
    (torch.Size([2, 3, 8]), tensor([3, 1]))
    """

    common_grid = False

    def __init__(self, site: str, channels: int, *, place: Placement | None = None, most_tokens: int = 64) -> None:
        super().__init__(site, channels)
        if most_tokens < 1:
            raise ValueError(f"most_tokens must be positive, got {most_tokens=}")
        self.place = AtNodes(site) if place is None else place
        self.most_tokens = most_tokens

    def tokens(self, features: Tensor, inputs: Any) -> Tokens:
        """Return (B, size of the largest graph but at most `most_tokens`, D).

        Raises:
            ValueError: `inputs` are no batch of graphs, or the features are not (n, D).
        """
        graph, count = graph_of_nodes(inputs)
        if features.shape != (len(graph), self.channels):
            raise ValueError(
                f"features at {self.site!r} must be ({len(graph)}, {self.channels}), a row a node, "
                f"got {tuple(features.shape)}; give NodeTokens a site before the pooling and its channels"
            )
        nodes, features = NodeCells.of_graphs(graph, count), at_least_float32(features)
        cells = nodes if nodes.members.shape[1] <= self.most_tokens else self._shared(features, graph, nodes)
        return Tokens(cells.mean(features), cells.real, tuple(cells.members.shape[1:]), (nodes, cells))

    def _shared(self, features: Tensor, graph: Tensor, nodes: NodeCells) -> NodeCells:
        """Return the tokens of nodes, shared by those of similar features in graphs that are too large."""
        with torch.autocast(features.device.type, enabled=False):
            order = scores(features[None])[0].argsort(stable=True)
        order = order[graph[order].argsort(stable=True)]
        return NodeCells.ranked(graph, order, nodes.real.sum(1), self.most_tokens)

    def plan(self, sources: Sources, scored: Scored, tokens: Tokens) -> AlignedPlan:
        """Return the plan; see `TokenSite.plan`.

        Raises:
            ValueError: the block has no attention between samples.
        """
        if scored.align is None:
            raise ValueError("NodeTokens needs a block that aligns tokens of two samples; take MixBlock")
        assert isinstance(tokens.layout, tuple)
        nodes, cells = tokens.layout
        logits = scored.logits.transpose(1, 2)
        if cells is not nodes:
            logits = nodes.mean(cells.spread(logits))
        return AlignedPlan(
            sources,
            logits.transpose(1, 2),
            sources.lam,
            lambda logits, shape: nodes.spread(logits.transpose(1, 2))[..., None],
            WeightedMean(),
            nodes.real,
            nodes=nodes,
            tokens=cells,
            align=scored.align,
        )
