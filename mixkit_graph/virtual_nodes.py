"""Graphs with virtual nodes behind their own: two for each mixed pair, each with the in-edges of one of its members."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixkit.pairing import Pairing

OF_SAMPLES = ("rows", "input_id")
"""Attributes with a row a sample: there may be as many samples as edges or nodes."""


@dataclass(frozen=True)
class Layout:
    """Which rows are which, in anything that has a row a node.

    Attributes:
        own: N, nodes of the graph itself; they come first.
        pairs: M; row own + r is the virtual node of pair r with the in-edges of its first member, row own + M + r the
            one with those of its second member.
        spare: nodes without edges behind all of them, so that no other type of nodes has as many.
    """

    own: int
    pairs: int
    spare: int = 0

    @property
    def total(self) -> int:
        """Number of all rows."""
        return self.own + 2 * self.pairs + self.spare

    def branches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows of the first and of the second members' virtual nodes, (M, ...) each."""
        middle = self.own + self.pairs
        return x[self.own : middle], x[middle : middle + self.pairs]

    def alike(self, x: Tensor) -> bool:
        """Return whether the two rows of each pair are equal in `x` (total, ...)."""
        if x.is_sparse:
            x = x.index_select(0, torch.arange(self.own, self.total, device=x.device)).to_dense()
            return torch.equal(x[: self.pairs], x[self.pairs : 2 * self.pairs])
        return torch.equal(*self.branches(x))

    def remixed(self, x: Tensor, lam: Tensor) -> Tensor:
        """Return `x` (total, ...) in which both rows of each pair are their blend; lam (M,) belongs to the first.

        >>> Layout(own=1, pairs=1).remixed(torch.tensor([[5.0], [4.0], [0.0]]), torch.tensor([0.25])).flatten()
        tensor([5., 1., 1.])
        """
        mixed = blended(*self.branches(x), lam)
        return torch.cat([x[: self.own], mixed, mixed, x[self.own + 2 * self.pairs :]])


def blended(first: Tensor, second: Tensor, lam: Tensor) -> Tensor:
    """Return lam * first + (1 - lam) * second, row by row; half precision is blended in float32.

    Args:
        first: (M, ...).
        second: (M, ...).
        lam: float32 (M,), on their device.
    """
    work = first.dtype if first.dtype == torch.float64 else torch.float32
    weight = lam.view(-1, *[1] * (first.ndim - 1)).to(work)
    # torch.lerp is exact at both ends, so that lam = 1 is the identity bit for bit
    return torch.lerp(second.to(work), first.to(work), weight).to(first.dtype)


def with_virtual_nodes(
    data: Any, rows: Tensor, pairing: Pairing, *, clean: Tensor | None = None, node_type: str | None = None
) -> tuple[Any, Layout]:
    """Return a copy of the graph with two virtual nodes for each of M pairs, and which rows are which.

    Both start from the blend of their pair's features `x` (integer codes, and everything else that nodes have, are
    copied instead) and have edges from where one member has them, with all that the edges carry.  They are nobody's
    source, so that no message to another node changes; where a member has a loop, so does its virtual node.  The
    copy's `rows` are the clean ones asked for, then the virtual ones.  Nothing is written into `data`.

    Args:
        data: a `torch_geometric` `Data` with `edge_index`, or a `HeteroData`.
        rows: int64 (M,), the nodes that are mixed, on the data's device.
        pairing: each one's partner among them, and its own share.
        clean: int64 (C,), which of `rows` are asked for unmixed.
        node_type: of a `HeteroData`, the type of nodes that are mixed.

    Raises:
        ValueError: the graph has no `edge_index`.
    """
    out = copy.copy(data)
    nodes = out if node_type is None else out[node_type]
    own, pairs = int(nodes.num_nodes), len(rows)
    layout = Layout(own, pairs, 0 if node_type is None else _spare(data, node_type, own + 2 * pairs))
    centres = torch.cat([rows, rows[pairing.partner.to(rows.device)]])
    of_nodes = [key for key, value in nodes.items() if _of_nodes(key, value, own)]
    if node_type is None:
        _copy_edges(out, centres, own, apart_from=of_nodes, loops=True)
    else:
        for source, relation, target in data.edge_types:
            if target == node_type:
                _copy_edges(out[source, relation, target], centres, own, loops=source == target)
    for key in of_nodes:
        nodes[key] = _extended(key, nodes[key], centres, pairing, layout)
    if "num_nodes" in nodes:
        nodes.num_nodes = layout.total
    virtual = torch.arange(own, own + 2 * pairs, device=rows.device)
    nodes.rows = virtual if clean is None else torch.cat([rows[clean.to(rows.device)], virtual])
    return out, layout


def incoming(targets: Tensor, centres: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """Return the edges that end at each of `centres`, int64 (E',), and at which one of them, int64 (E',).

    Linear in the edges, without a loop over nodes; a node may be named several times.

    Args:
        targets: int64 (E,), where each edge ends.
        centres: int64 (C,).
        nodes: N.

    >>> edges, owners = incoming(torch.tensor([1, 0, 1]), torch.tensor([1, 2, 1]), 3)
    >>> edges.tolist(), owners.tolist()
    ([0, 2, 0, 2], [0, 0, 2, 2])
    """
    wanted = torch.zeros(nodes, dtype=torch.bool, device=targets.device)
    wanted[centres] = True
    found = wanted[targets].nonzero().flatten()
    into = targets[found]
    by_target = found[into.argsort(stable=True)]
    counts = torch.bincount(into, minlength=nodes)
    starts, lengths = (counts.cumsum(0) - counts)[centres], counts[centres]
    owners = torch.arange(len(centres), device=targets.device).repeat_interleave(lengths)
    shift = starts - (lengths.cumsum(0) - lengths)
    return by_target[torch.arange(len(owners), device=targets.device) + shift[owners]], owners


def checked_edges(store: Any) -> Tensor:
    """Return `edge_index`, int64 (2, E), as a plain tensor.

    Raises:
        ValueError: there is none.
    """
    edges = store.edge_index if "edge_index" in store else None
    if not isinstance(edges, Tensor):
        raise ValueError(
            f"data must hold its edges as edge_index (2, E), got {', '.join(sorted(map(str, store.keys())))}; "
            "leave out the ToSparseTensor transform"
        )
    # torch_geometric's EdgeIndex remembers an order that copies at the end would break
    return edges.as_tensor() if hasattr(edges, "as_tensor") else edges


def edge_attributes(data: Any) -> list[str]:
    """Return the names of what a graph's edges carry, beside `edge_index`."""
    nodes, edges = int(data.num_nodes), checked_edges(data).shape[1]
    return [k for k, value in data.items() if _of_edges(k, value, edges) and not _of_nodes(k, value, nodes)]


def _copy_edges(store: Any, centres: Tensor, own: int, *, apart_from: Sequence[str] = (), loops: bool) -> None:
    """Copy the edges that end at `centres` (2 M,) to the virtual nodes, in a store that is ours."""
    edges = checked_edges(store)
    found, owners = incoming(edges[1], centres, own)
    sources, virtual = edges[0, found], own + owners
    if loops:
        sources = torch.where(sources == centres[owners], virtual, sources)
    for key, value in list(store.items()):
        if key not in apart_from and _of_edges(key, value, edges.shape[1]):
            store[key] = torch.cat([value, value[found]])
    store.edge_index = torch.cat([edges, torch.stack([sources, virtual])], 1)


def _of_edges(key: str, value: Any, edges: int) -> bool:
    """Return whether an attribute has a row an edge."""
    named = key.endswith("index") or key in OF_SAMPLES
    return isinstance(value, Tensor) and value.ndim > 0 and len(value) == edges and not named


def _of_nodes(key: str, value: Any, nodes: int) -> bool:
    """Return whether an attribute has a row a node."""
    named = "edge" in key or key in OF_SAMPLES
    return isinstance(value, Tensor) and value.ndim > 0 and len(value) == nodes and not named


def _extended(key: str, value: Tensor, centres: Tensor, pairing: Pairing, layout: Layout) -> Tensor:
    """Return an attribute with a row a node for the virtual ones too."""
    spare = centres.new_zeros(layout.spare)
    if key != "x" or not value.is_floating_point():
        return torch.cat([value, value[torch.cat([centres, spare])]])
    lam = pairing.lam.to(value.device)
    if value.is_sparse:
        return _sparse_extended(value.coalesce(), centres, lam, layout)
    first, second = value[centres].chunk(2)
    mixed = blended(first, second, lam)
    return torch.cat([value, mixed, mixed, value[spare]])


def _sparse_extended(x: Tensor, centres: Tensor, lam: Tensor, layout: Layout) -> Tensor:
    """Return sparse features (N, F) with those of the virtual nodes."""
    indices, values = sparse_blend(x, centres[: layout.pairs], centres[layout.pairs :], lam)
    own = torch.tensor([[layout.own], [0]], device=x.device)
    shift = torch.tensor([[layout.pairs], [0]], device=x.device)
    shape = (layout.total, x.shape[1])
    mixed = torch.sparse_coo_tensor(
        torch.cat([indices + own, indices + own + shift], 1), values.repeat(2), shape, check_invariants=False
    ).coalesce()
    # rows of the virtual nodes come behind all others: what is put together is in order
    return torch.sparse_coo_tensor(
        torch.cat([x.indices(), mixed.indices()], 1),
        torch.cat([x.values(), mixed.values()]),
        shape,
        is_coalesced=True,
        check_invariants=False,
    )


def sparse_blend(x: Tensor, first: Tensor, second: Tensor, lam: Tensor) -> tuple[Tensor, Tensor]:
    """Return lam * x[first] + (1 - lam) * x[second] as entries to sum up: int64 (2, V) of (M, F), and values (V,).

    Args:
        x: sparse (N, F), coalesced.
        first: int64 (M,).
        second: int64 (M,).
        lam: float32 (M,).
    """
    rows, columns = x.indices()
    found, owners = incoming(rows, torch.cat([first, second]), len(x))
    shares = torch.cat([lam, 1 - lam]).to(x.dtype)
    return torch.stack([owners % len(first), columns[found]]), x.values()[found] * shares[owners]


def _spare(data: Any, node_type: str, total: int) -> int:
    """Return how many nodes without edges give `node_type` a size that no other type has."""
    others = {int(data[other].num_nodes) for other in data.node_types if other != node_type}
    spare = 0
    while total + spare in others:
        spare += 1
    return spare
