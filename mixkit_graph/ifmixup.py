"""ifMixup (Guo and Mao 2023, AAAI): two graphs laid over one another, as a policy on a `torch_geometric` `Batch`."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from mixkit.pairing import Pairing
from mixkit.plan import PairPlan
from mixkit_graph._pyg import Batch
from mixkit_graph.edge_rules import Bernoulli, EdgeRule, Weighted, scaled
from mixkit_graph.flat_batch import Copies, FlatGraphs, batch_of, check
from mixkit_graph.segments import pointers

__all__ = ["Bernoulli", "IfMixup", "IfMixupPlan", "Weighted", "decode_edges"]


@dataclass(frozen=True)
class IfMixup:
    """Lay the partner's graph over the own one, node k on node k as they are stored, features and edges blended.

    With graphs of n_a and n_b nodes the mixed one has max(n_a, n_b); nodes that a graph has not count as zeros:
    x = lam x_a + (1 - lam) x_b, and edges likewise (Guo and Mao 2023, "Interpolating Graph Pair to Regularize Graph
    Classification", AAAI, arXiv:2110.09344).  A graph of share 0 leaves no trace: lam = 1 gives the own graph bit for
    bit, lam = 0 the partner's.  The paper draws lam from Beta(20, 1): `AsymmetricBetaPairs(20.0, 1.0)`.

    A policy for `place=AtInputs()` or a `Mixer`.  Mixed batches have `x`, `edge_index`, `edge_weight` (with `Weighted`
    always), `edge_attr` where there is one, `batch` and `ptr`.  Labels `y` are left out: `plan.targets` mixes them.

    Where edges are binary, as most graphs have them, and lam is neither 0, 1/2 nor 1, mixed weights tell which graph
    an edge came from (Guo and Mao 2023, "intrusion-freeness"); see `decode_edges` and `margin`.

    Args:
        edges: `Weighted()` (the paper's), for models that take `edge_weight`; `Bernoulli()` for others.
        margin: a lam nearer than this to 1/2 is moved to 1/2 - margin or 1/2 + margin, on its side, so that mixed
            edges can be decoded; 0: lam stays as drawn.  (The pairs' `expected_partner_share` is that of the draws.)
        drop: names of attributes that mixed batches do without; other unknown ones are refused.

    Raises:
        ValueError: margin is not in [0, 1/2).

    >>> import torch
    >>> from torch_geometric.data import Data
    >>> pair, single = torch.tensor([[0, 1], [1, 0]]), torch.empty(2, 0, dtype=torch.long)
    >>> graphs = [Data(x=torch.ones(2, 1), edge_index=pair), Data(x=torch.ones(3, 1), edge_index=single)]
    >>> pairing = Pairing(torch.tensor([1, 0]), torch.tensor([0.75, 1.0]))
    >>> inputs = Batch.from_data_list(graphs)
    >>> mixed = IfMixup().draw(inputs, pairing, torch.Generator()).apply(inputs)
    >>> mixed[0].x.flatten(), mixed[0].edge_weight
    (tensor([1.0000, 1.0000, 0.2500]), tensor([0.7500, 0.7500]))
    """

    edges: EdgeRule = field(default_factory=Weighted)
    margin: float = 0.0
    drop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.margin < 0.5:
            raise ValueError(f"margin must be in [0, 1/2), got margin={self.margin!r}")

    def draw(self, inputs: Any, pairing: Pairing, generator: Generator) -> "IfMixupPlan":
        """Return the plan that lays graphs over one another by `pairing`.

        Raises:
            ValueError: `inputs` can't be mixed (see `FlatGraphs.of`) or are not as many graphs as `pairing` has.
        """
        check(inputs, len(pairing), self.drop)
        # a graph laid over itself is itself, which sums of shares would miss by a rounding
        pairing = pairing.keep(pairing.partner == torch.arange(len(pairing), device="cpu"))
        pairing = Pairing(pairing.partner, away_from_half(pairing.lam, self.margin))
        drawn = self.edges.draw(lambda: FlatGraphs.of(inputs, self.drop), pairing, generator)
        return IfMixupPlan(pairing, edges=self.edges, drawn=drawn, drop=self.drop)


@dataclass(frozen=True, eq=False)
class IfMixupPlan(PairPlan):
    """What `IfMixup` drew.

    Attributes:
        edges: what becomes of edges.
        drawn: what that needs.
        drop: names of attributes that are left out.

    The others are those of `PairPlan`.
    """

    edges: EdgeRule = field(kw_only=True)
    drawn: Tensor = field(kw_only=True)
    drop: tuple[str, ...] = ()

    def kept(self) -> Tensor:
        """Return lam (B,): the grid is a single cell."""
        return self.pairing.lam

    def apply(self, x: Any) -> Batch:
        """Mix a `Batch`; the caller's is not changed.  Half precision is mixed in float32.

        Raises:
            ValueError: it can't be mixed, or is not the batch that the plan was drawn for.
        """
        check(x, len(self), self.drop)
        graphs = FlatGraphs.of(x, self.drop)
        device = graphs.x.device
        lam, partner = self.pairing.lam.to(device), self.pairing.partner.to(device)
        own, other = (lam > 0).nonzero().flatten(), (lam < 1).nonzero().flatten()
        sizes = torch.zeros_like(partner).index_copy_(0, own, graphs.sizes[own])
        sizes[other] = torch.maximum(sizes[other], graphs.sizes[partner[other]])
        ptr = pointers(sizes)
        everyone = len(own) == len(lam)
        mine = Copies.all(graphs, lam, ptr) if everyone else Copies.some(graphs, own, own, lam[own], ptr)
        theirs = Copies.some(graphs, partner[other], other, 1 - lam[other], ptr)
        merged = self.edges.merge(graphs, mine, theirs, self.drawn)
        nodes = _overlay(graphs.x, mine, theirs)
        new = graphs.weight is None and merged.weight is not None
        return batch_of(nodes, ptr, merged.ends, merged.ptr, weight=merged.weight, attr=merged.attr, new=new)


def _overlay(x: Tensor, own: Copies, other: Copies) -> Tensor:
    """Return the features of all slots, (size, ...): weighted sums of those laid into them."""
    mine, theirs = scaled(x, own.nodes, own.node_share), scaled(x, other.nodes, other.node_share)
    slots = mine.new_zeros(own.size, *x.shape[1:])
    return slots.index_add(0, own.slots, mine).index_add(0, other.slots, theirs).to(x.dtype)


def away_from_half(lam: Tensor, margin: float) -> Tensor:
    """Return `lam` with what is nearer than `margin` to 1/2 moved to that distance, on its side; 1/2 itself up.

    >>> away_from_half(torch.tensor([0.25, 0.49, 0.5, 0.6]), 0.125)
    tensor([0.2500, 0.3750, 0.6250, 0.6250])
    """
    moved = torch.where(lam < 0.5, 0.5 - margin, 0.5 + margin).to(lam.dtype)  # the default one may be another
    return torch.where((lam - 0.5).abs() < margin, moved, lam)


def decode_edges(weight: Tensor, lam: float, *, tolerance: float = 1e-4) -> tuple[Tensor, Tensor]:
    """Return which edges of a mixed graph the own graph had and which the partner, bool (e,) each.

    The inverse of `Weighted` for graphs with binary edges (Guo and Mao 2023, intrusion-freeness): the weights 0, lam,
    1 - lam and 1 stand for neither, own, partner's and both.

    Args:
        weight: (e,), the mixed graph's `edge_weight`, or any entries of its adjacency matrix.
        lam: the own share it was mixed with.
        tolerance: how far weights may be off; lam must be farther than that from 0, 1/2 and 1.

    Raises:
        ValueError: lam does not tell the graphs apart, or a weight is none of the four.

    >>> decode_edges(torch.tensor([0.7, 0.3, 1.0, 0.0]), 0.7)
    (tensor([ True, False,  True, False]), tensor([False,  True,  True, False]))
    """
    if min(abs(lam), abs(lam - 0.5), abs(lam - 1)) <= tolerance or not 0 < lam < 1:
        raise ValueError(
            f"lam must be in (0, 1) and farther than {tolerance} from 0, 1/2 and 1 to tell the graphs apart, "
            f"got {lam=}; IfMixup(margin=...) keeps it away from 1/2"
        )
    levels = torch.tensor([0.0, lam, 1 - lam, 1.0], dtype=torch.float64, device=weight.device)
    distance, level = (weight.double()[:, None] - levels).abs().min(1)
    if bool((distance > tolerance).any()):
        bad = float(weight[distance.argmax()])
        raise ValueError(
            f"weights must be 0, lam, 1 - lam or 1 with {lam=}, got {bad}; only graphs with binary edges decode"
        )
    return (level == 1) | (level == 3), (level == 2) | (level == 3)
