"""What becomes of the edges of two graphs that are laid over one another: `Weighted` or `Bernoulli`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Generator, Tensor

from mixkit.pairing import Pairing
from mixkit_graph.flat_batch import Copies, FlatGraphs
from mixkit_graph.segments import starts


class MergedEdges(NamedTuple):
    """Edges of B mixed graphs, graph by graph: (2, e), weights (e,) or None, attributes (e, ...) or None, (B + 1,)."""

    ends: Tensor
    weight: Tensor | None
    attr: Tensor | None
    ptr: Tensor


class EdgeRule(Protocol):
    """What becomes of the edges of two graphs; a frozen dataclass without state."""

    def draw(self, graphs: Callable[[], FlatGraphs], pairing: Pairing, generator: Generator) -> Tensor:
        """Draw what is needed for the edges of graphs and partners, on the CPU; `graphs` are taken apart if called."""
        ...

    def merge(self, graphs: FlatGraphs, own: Copies, other: Copies, drawn: Tensor) -> MergedEdges:
        """Merge the copies of the own graphs and of the partners by what was drawn for their edges."""
        ...


@dataclass(frozen=True)
class Weighted:
    """Edges of both graphs with weights lam and 1 - lam; an edge that both have is one, with the sum: ifMixup's.

    Weights that the edges had are multiplied, attributes are mixed alike: an edge that a graph has not counts as zeros.
    The model must take `edge_weight`: see `AtWeightedEdges`.
    """

    def draw(self, graphs: Callable[[], FlatGraphs], pairing: Pairing, generator: Generator) -> Tensor:
        """Draw nothing."""
        return torch.empty(0, device="cpu")

    def merge(self, graphs: FlatGraphs, own: Copies, other: Copies, drawn: Tensor) -> MergedEdges:
        """Return own edges in their order, then those that only the partner has, graph by graph.

        Raises:
            ValueError: attributes of edges hold codes.
        """
        if graphs.attr is not None and not graphs.attr.is_floating_point():
            raise ValueError(
                f"edge_attr must be float to be mixed, got {graphs.attr.dtype} {tuple(graphs.attr.shape)}: codes can't "
                "be averaged; make them one-hot, take edges=Bernoulli(), or leave them out with drop=('edge_attr',)"
            )
        position, shared = _matches(own.keys, other.keys)
        both, alone = shared.nonzero().flatten(), (~shared).nonzero().flatten()
        position = position.index_select(0, both)
        merged = _Merged.of(own.place, other.place.index_select(0, alone), len(graphs))

        def mixed(mine: Tensor, theirs: Tensor) -> Tensor:
            summed = mine.index_add(0, position, theirs.index_select(0, both))
            return merged.values(summed, theirs.index_select(0, alone))

        like = graphs.x if graphs.weight is None else graphs.weight
        shares = (own.edge_share.to(like.dtype), other.edge_share.to(like.dtype))
        weight = mixed(*(shares if graphs.weight is None else _scaled_copies(graphs.weight, own, other)))
        attr = None if graphs.attr is None else mixed(*_scaled_copies(graphs.attr, own, other)).to(graphs.attr.dtype)
        ends = own.ends(merged.values(own.keys, other.keys.index_select(0, alone)))
        return MergedEdges(ends, weight.to(like.dtype), attr, merged.ptr)


@dataclass(frozen=True)
class Bernoulli:
    """Each pair of nodes is connected as in the own graph with probability lam, else as in the partner's.

    An edge that one of them has is there with its graph's share as probability, one that both have always.  Edges keep
    their weights and attributes, of any dtype, and undirected graphs stay undirected: for layers that take no weights.
    On average over the draws this is `Weighted`.
    """

    def draw(self, graphs: Callable[[], FlatGraphs], pairing: Pairing, generator: Generator) -> Tensor:
        """Draw a uniform number an edge; a pair of nodes takes one, so that some are left."""
        counts = graphs().edge_counts.cpu()
        count = counts[pairing.lam > 0].sum() + counts[pairing.partner[pairing.lam < 1]].sum()
        return torch.rand(int(count), generator=generator, device="cpu")

    def merge(self, graphs: FlatGraphs, own: Copies, other: Copies, drawn: Tensor) -> MergedEdges:
        """Return what is left of own edges in their order, then of the partner's, graph by graph.

        Raises:
            ValueError: the plan was drawn for a batch of another number of edges.
        """
        edges = torch.cat([own.edges, other.edges])
        if len(edges) != len(drawn):
            raise ValueError(
                f"inputs must be the batch that the plan was drawn for, with {len(drawn)} edges of graphs and "
                f"partners, got {len(edges)}; mix one after the other instead of in a Chain"
            )
        keys = torch.cat([own.keys, other.keys])
        sources, targets = own.ends(keys)
        undirected = torch.where(sources <= targets, keys, targets * own.size + sources)
        uniform = drawn.to(keys.device).index_select(0, torch.unique(undirected, return_inverse=True)[1])
        mine = len(own.edges)
        # rounded like the partner's bound, so that exactly one of the two graphs is chosen for each pair
        left = (uniform[:mine] < 1 - (1 - own.edge_share)).nonzero().flatten()
        taken = (uniform[mine:] >= 1 - other.edge_share).nonzero().flatten()
        merged = _Merged.of(own.place.index_select(0, left), other.place.index_select(0, taken), len(graphs))
        rows = merged.values(own.edges.index_select(0, left), other.edges.index_select(0, taken))
        weight, attr = (None if value is None else value[rows] for value in (graphs.weight, graphs.attr))
        ends = own.ends(merged.values(own.keys.index_select(0, left), other.keys.index_select(0, taken)))
        return MergedEdges(ends, weight, attr, merged.ptr)


@dataclass(frozen=True, eq=False)
class _Merged:
    """Where own edges and those of partners go so that they lie graph by graph, own ones first."""

    mine: Tensor
    theirs: Tensor
    ptr: Tensor

    @classmethod
    def of(cls, own: Tensor, other: Tensor, count: int) -> "_Merged":
        """Place edges of graphs `own` and `other`, each in ascending order: a sort would cost more than the rest."""
        before, behind = starts(own, count), starts(other, count)
        mine = torch.arange(len(own), device=own.device) + behind.index_select(0, own)
        theirs = torch.arange(len(other), device=own.device) + before[1:].index_select(0, other)
        return cls(mine, theirs, before + behind)

    def values(self, own: Tensor, other: Tensor) -> Tensor:
        """Return what belongs to the edges, in their places."""
        whole = own.new_empty(len(own) + len(other), *own.shape[1:])
        return whole.index_copy_(0, self.mine, own).index_copy_(0, self.theirs, other)


def scaled(values: Tensor, rows: Tensor, share: Tensor) -> Tensor:
    """Return values[rows] times `share` (len(rows),); half precision in float32."""
    picked = values.index_select(0, rows)
    picked = picked if picked.dtype in (torch.float32, torch.float64) else picked.float()
    return picked * share.to(picked.dtype).view(-1, *[1] * (picked.ndim - 1))


def _scaled_copies(values: Tensor, own: Copies, other: Copies) -> tuple[Tensor, Tensor]:
    return scaled(values, own.edges, own.edge_share), scaled(values, other.edges, other.edge_share)


def _matches(keys: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each of `wanted` a position in `keys` and whether that holds it."""
    if not len(keys):
        return torch.zeros_like(wanted), torch.zeros_like(wanted, dtype=torch.bool)
    order = None
    if bool((keys[1:] < keys[:-1]).any()):
        keys, order = keys.sort(stable=True)
    # NumPy's search is twice as fast where what is wanted is in order itself, as edges mostly are
    if keys.device.type == "cpu":
        position = torch.from_numpy(np.searchsorted(keys.numpy(), wanted.numpy()))
    else:
        position = torch.searchsorted(keys, wanted)
    position = position.clamp(max=len(keys) - 1)
    found = keys.index_select(0, position) == wanted
    return (position if order is None else order.index_select(0, position)), found
