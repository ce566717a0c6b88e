"""Graphs of a batch in dense form, padded, in chunks of similar size."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mixkit_graph.flat_batch import FlatGraphs
from mixkit_graph.segments import ranges

SMALLEST_BUCKET = 16
"""Graphs of up to so many nodes are padded alike: more buckets would cost more than the padding."""
MOST_CELLS = 1 << 22
"""Of the dense matrices of one chunk: 16 MiB in float32."""


@dataclass(frozen=True, eq=False)
class DenseGraphs:
    """Some graphs of a batch, each padded to the same number of nodes.

    Attributes:
        rows: int64 (c,), which graphs.
        size: L, the number of nodes that each is padded to.
        members: int64 (m,), their nodes.
        cells: int64 (m,), where these are among the c * L.
        real: bool (c, L), False: padding.
    """

    rows: Tensor
    size: int
    members: Tensor
    cells: Tensor
    real: Tensor

    @classmethod
    def of(cls, graphs: FlatGraphs, rows: Tensor, size: int) -> "DenseGraphs":
        """Lay out graphs `rows` (c,) of at most `size` nodes."""
        first, counts = graphs.node_ptr[rows], graphs.sizes[rows]
        members, owner = ranges(first, counts)
        cells = members + (torch.arange(len(rows), device=rows.device) * size - first).index_select(0, owner)
        return cls(rows, size, members, cells, torch.arange(size, device=rows.device) < counts[:, None])

    def nodes(self, values: Tensor) -> Tensor:
        """Return values (n, D) of nodes as (c, size, D); zeros as padding."""
        dense = values.new_zeros(len(self.rows) * self.size, values.shape[1])
        return dense.index_copy(0, self.cells, values.index_select(0, self.members)).view(len(self.rows), self.size, -1)

    def adjacency(self, graphs: FlatGraphs) -> Tensor:
        """Return weights of edges, float32 (c, size, size)."""
        edges, owner = ranges(graphs.edge_ptr[self.rows], graphs.edge_counts[self.rows])
        ends = graphs.edges.index_select(1, edges) - graphs.node_ptr[self.rows].index_select(0, owner)
        flat = (owner * self.size + ends[0]) * self.size + ends[1]
        weight = flat.new_ones(len(edges)) if graphs.weight is None else graphs.weight[edges]
        dense = torch.zeros(len(self.rows) * self.size**2, dtype=torch.float32, device=flat.device)
        return dense.index_add(0, flat, weight.float()).view(len(self.rows), self.size, self.size)


def size_chunks(sizes: Tensor, partner: Tensor, rows: Tensor) -> Iterator[tuple[Tensor, tuple[int, int]]]:
    """Yield rows of similar size whose partners are of similar size, and the largest sizes of both.

    Padding is less than twofold along each axis of graphs larger than SMALLEST_BUCKET.
    """
    both = torch.stack([sizes[rows], sizes[partner[rows]]])
    bucket = both.clamp(min=SMALLEST_BUCKET).double().log2().ceil().long()
    kinds, kind = torch.unique(bucket[0] * 64 + bucket[1], return_inverse=True)
    for k in range(len(kinds)):
        members = (kind == k).nonzero().flatten()
        own, other = (max(1, int(size)) for size in both[:, members].amax(1))
        for part in members.split(max(1, MOST_CELLS // max(own, other) ** 2)):
            yield rows[part], (own, other)
