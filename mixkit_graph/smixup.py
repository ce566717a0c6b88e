"""S-Mixup (Ling et al. 2023, ICML): the partner's nodes, softly aligned to the own ones; a policy on a `Batch`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from mixkit.feature_tap import FeatureTap
from mixkit.pairing import Pairing, check_positive
from mixkit.plan import PairPlan
from mixkit.sites import unwrapped
from mixkit_graph._pyg import Batch
from mixkit_graph.dense_graphs import DenseGraphs, size_chunks
from mixkit_graph.flat_batch import FlatGraphs, batch_of, check
from mixkit_graph.segments import ranges, starts


class SiteEmbedding:
    """Node embeddings from a site of a model, in evaluation mode and without gradient: `embed` of `SMixup`.

    The pass stops at the site.  Neither weights nor running statistics nor modes of the model change.

    Args:
        model: batch -> logits.
        site: the submodule whose output node features are, or its first input with "name:input"; best the last one
            before the pooling, e.g. "readout:input" of `GraphNet`.

    Raises:
        ValueError: there is no such submodule.
        RuntimeError: (when called) it does not run once a pass.
    """

    def __init__(self, model: nn.Module, site: str) -> None:
        self._model = unwrapped(model)
        self._tap = FeatureTap(model, site)

    def __call__(self, batch: Any) -> Tensor:
        """Return what passes the site for `batch`, (n, D)."""
        modes = {module: module.training for module in self._model.modules()}
        try:
            for module in modes:
                module.training = False
            return self._tap.look(self._model, batch, whole=False)[0]
        finally:
            for module, training in modes.items():
                module.training = training


@dataclass(frozen=True)
class SMixup:
    """Mix the partner's nodes into those own ones that they resemble; the graph keeps its own nodes.

    With adjacencies A, features X and S (n_a, n_b), the softmax over the OWN nodes of similarities / temperature, so
    that each node of the partner spreads a weight of 1 (Ling et al. 2023, "Graph Mixup with Soft Alignments",
    arXiv:2306.06788):

        A = lam A_a + (1 - lam) S A_b S^T, entries nearer to 0 than `threshold` left out,
        X = lam X_a + (1 - lam) S X_b.

    lam is the larger of lam and 1 - lam, for labels too; the paper draws it from Beta(a, a) with a in 0.1 .. 0.3.  The
    model must take `edge_weight` (see `AtWeightedEdges`).  A policy for `place=AtInputs()` or a `Mixer`.  Graphs are
    aligned in buckets of similar size; cost and memory are those of the matrices S, A_a and A_b as dense ones.

    NOTE[DIFF] The paper trains a graph matching network first; here similarities are cosines between the detached node
    embeddings that `embed` returns, by default the model's own, which change as it learns.
    NOTE[DIFF] The temperature is 0.1.  At 1, with a network trained on MUTAG, a fifth of the weight of the partners'
    edges stays above the threshold, at 0.1 two thirds; with a fresh network a third: alignments need a training.

    Args:
        embed: batch -> node embeddings (n, D), e.g. `SiteEmbedding(model, "readout:input")`; called once a draw.
        temperature: positive; the smaller, the harder the alignment.
        threshold: mixed edges of a smaller weight, whatever its sign, are left out; in [0, 1).
        drop: names of attributes that mixed batches do without (edges' attributes can't be aligned: "edge_attr").

    Raises:
        ValueError: temperature or threshold is out of range.

    >>> import torch
    >>> from torch_geometric.data import Data
    >>> path = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
    >>> edge = Data(x=torch.eye(3)[[2, 1]], edge_index=torch.tensor([[0, 1], [1, 0]]))
    >>> inputs, pairing = Batch.from_data_list([path, edge]), Pairing(torch.tensor([1, 0]), torch.tensor([0.75, 1.0]))
    >>> plan = SMixup(lambda batch: batch.x, temperature=0.01).draw(inputs, pairing, torch.Generator())
    >>> plan.apply(inputs)[0].edge_weight      # 0-1 as in the path, 1-2 as in both
    tensor([0.7500, 0.7500, 1.0000, 1.0000])
    """

    embed: Callable[[Any], Tensor]
    temperature: float = 0.1
    threshold: float = 0.1
    drop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold must be in [0, 1), got threshold={self.threshold!r}")

    def draw(self, inputs: Any, pairing: Pairing, generator: Generator) -> "SMixupPlan":
        """Return the plan that aligns graphs by their embeddings of now; nothing random is drawn.

        Raises:
            ValueError: `inputs` can't be mixed (see `FlatGraphs.of`), have attributes of edges, or are not as many
                graphs as `pairing` has; `embed` does not return a row a node.
        """
        graphs = _without_attributes(inputs, pairing, self.drop)
        embedding = self.embed(inputs).detach()
        if embedding.ndim != 2 or len(embedding) != len(graphs.x):
            raise ValueError(
                f"embed must return a row for each of the {len(graphs.x)} nodes, got shape {tuple(embedding.shape)}; "
                "name a site before the pooling"
            )
        lam = torch.maximum(pairing.lam, 1 - pairing.lam)
        pairing = Pairing(pairing.partner, lam).keep(pairing.partner == torch.arange(len(lam), device="cpu"))
        unit = F.normalize(embedding.float(), dim=1) / self.temperature**0.5
        return SMixupPlan(pairing, embedding=unit, threshold=self.threshold, drop=self.drop)


@dataclass(frozen=True, eq=False)
class SMixupPlan(PairPlan):
    """What `SMixup` drew.

    Attributes:
        embedding: float32 (n, D), whose inner products are similarities over temperature.
        threshold: mixed edges below it are left out.
        drop: names of attributes that are left out.

    The others are those of `PairPlan`.
    """

    embedding: Tensor = field(kw_only=True)
    threshold: float = field(kw_only=True)
    drop: tuple[str, ...] = ()

    def kept(self) -> Tensor:
        """Return lam (B,): the grid is a single cell."""
        return self.pairing.lam

    def apply(self, x: Any) -> Batch:
        """Mix a `Batch`; the caller's is not changed.

        Raises:
            ValueError: it can't be mixed, or is not the batch that the plan was drawn for.
        """
        graphs = _without_attributes(x, self.pairing, self.drop)
        if len(graphs.x) != len(self.embedding):
            raise ValueError(
                f"inputs must be the batch of {len(self.embedding)} nodes that the plan was drawn for, "
                f"got {len(graphs.x)}; mix one after the other instead of in a Chain"
            )
        with torch.autocast(graphs.x.device.type, enabled=False):
            return self._mixed(graphs)

    def _mixed(self, graphs: FlatGraphs) -> Batch:
        """Return the mixed batch: rows that keep all of themselves, and the others chunk by chunk."""
        device, sizes = graphs.x.device, graphs.sizes.cpu()
        changed = (self.pairing.lam < 1) & (sizes > 0)
        nodes, parts = graphs.x, [_own_edges(graphs, (~changed).nonzero().flatten().to(device))]
        for rows, shape in size_chunks(sizes, self.pairing.partner, changed.nonzero().flatten()):
            pair = _Pair.of(graphs, self.pairing, rows, self.embedding)
            features, cells, edges = self._chunk(graphs, pair, shape)
            nodes = nodes.index_copy(0, cells, features.to(nodes.dtype))
            parts.append(edges)
        ends, weight, place = (torch.cat(part, -1) for part in zip(*parts, strict=True))
        place, order = place.sort(stable=True)
        ptr = starts(place, len(graphs))
        ends, weight = ends.index_select(1, order), weight.index_select(0, order)
        return batch_of(nodes, graphs.node_ptr, ends, ptr, weight=weight, attr=None, new=graphs.weight is None)

    def _chunk(self, graphs: FlatGraphs, pair: "_Pair", shape: tuple[int, int]) -> tuple[Tensor, Tensor, "_Edges"]:
        """Return features of the own nodes, which nodes these are, and edges of pairs of at most `shape` nodes."""
        own, other = (
            DenseGraphs.of(graphs, rows, size) for rows, size in zip((pair.own, pair.other), shape, strict=True)
        )
        logits = own.nodes(self.embedding) @ other.nodes(self.embedding).mT
        spread = logits.masked_fill(~own.real[:, :, None], -torch.inf).softmax(1)
        lam = pair.lam[:, None, None]
        # in the features' precision, but not below float32
        work = graphs.x if graphs.x.dtype in (torch.float32, torch.float64) else graphs.x.float()
        work = work.reshape(len(work), -1)
        features = torch.lerp(spread.to(work.dtype) @ other.nodes(work), own.nodes(work), lam.to(work.dtype))
        adjacency = torch.lerp(spread @ other.adjacency(graphs) @ spread.mT, own.adjacency(graphs), lam)
        size = adjacency if graphs.weight is None else adjacency.abs()  # weights may be negative
        row, source, target = (size >= max(self.threshold, 1e-12)).nonzero().T
        first = graphs.node_ptr[pair.own].index_select(0, row)
        weight = adjacency[row, source, target].to((graphs.x if graphs.weight is None else graphs.weight).dtype)
        edges = _Edges(torch.stack([first + source, first + target]), weight, pair.own.index_select(0, row))
        rows = features.flatten(0, 1).index_select(0, own.cells).view(-1, *graphs.x.shape[1:])
        return rows, own.members, edges


class _Edges(NamedTuple):
    """Edges (2, e), their weights (e,), and the graphs they are in (e,)."""

    ends: Tensor
    weight: Tensor
    place: Tensor


class _Pair(NamedTuple):
    """Own graphs, partners (c,) and own shares (c,) of a chunk, on the device of the batch."""

    own: Tensor
    other: Tensor
    lam: Tensor

    @classmethod
    def of(cls, graphs: FlatGraphs, pairing: Pairing, rows: Tensor, embedding: Tensor) -> "_Pair":
        device = graphs.x.device
        return cls(rows.to(device), pairing.partner[rows].to(device), pairing.lam[rows].to(embedding))


def _own_edges(graphs: FlatGraphs, rows: Tensor) -> _Edges:
    """Return the edges of graphs that are not mixed."""
    edges, owner = ranges(graphs.edge_ptr[rows], graphs.edge_counts[rows])
    ones = torch.ones(graphs.edges.shape[1], dtype=graphs.x.dtype, device=edges.device)
    weight = (ones if graphs.weight is None else graphs.weight).index_select(0, edges)
    return _Edges(graphs.edges.index_select(1, edges), weight, rows.index_select(0, owner))


def _without_attributes(inputs: Any, pairing: Pairing, drop: tuple[str, ...]) -> FlatGraphs:
    """Return `inputs` taken apart; raise ValueError if they can't be mixed."""
    check(inputs, len(pairing), drop)
    graphs = FlatGraphs.of(inputs, drop)
    if graphs.attr is not None:
        raise ValueError(
            "S-Mixup aligns nodes, which leaves edges without attributes, but inputs have edge_attr; "
            "leave it out with drop=('edge_attr',), or take IfMixup"
        )
    return graphs
