"""Nodes of a batch of graphs in dense form, and the plan that mixes them: own nodes with what is aligned to them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mixkit.plan import check_blendable
from mixkit.tokens import LearnedPlan


@dataclass(frozen=True, eq=False)
class NodeCells:
    """Which cells of a dense tensor (B, L, ...) the n nodes of B graphs are in.

    Attributes:
        cells: int64 (n,), node i is in cell b * L + l.
        members: float32 (B, L), how many nodes a cell holds; 0: it is padding.

    >>> nodes = NodeCells.of_graphs(torch.tensor([0, 0, 2]), 3)
    >>> nodes.mean(torch.tensor([[1.0], [2.0], [3.0]])).tolist()
    [[[1.0], [2.0]], [[0.0], [0.0]], [[3.0], [0.0]]]
    """

    cells: Tensor
    members: Tensor

    @classmethod
    def of_graphs(cls, graph: Tensor, count: int) -> "NodeCells":
        """Return a cell for each node of `count` graphs, in the batch's order; L is the size of the largest graph.

        Args:
            graph: int64 (n,), which graph a node belongs to.
            count: B.
        """
        sizes = graph.new_zeros(count).index_add_(0, graph, torch.ones_like(graph))
        longest = max(1, int(sizes.max()) if count else 0)  # the only wait for the device
        # batches are sorted by graph, but nothing breaks if one is not
        return cls.ranked(graph, graph.argsort(stable=True), sizes, longest)

    @classmethod
    def ranked(cls, graph: Tensor, order: Tensor, sizes: Tensor, most: int) -> "NodeCells":
        """Return at most `most` cells a graph, each of nodes that follow one another in `order`.

        How many nodes share a cell depends on the graph's own size only.

        Args:
            graph: int64 (n,).
            order: int64 (n,), the nodes graph by graph.
            sizes: int64 (B,), nodes of each graph.
            most: L.
        """
        own = graph[order]
        ranks = torch.arange(len(graph), device=graph.device) - (sizes.cumsum(0) - sizes)[own]
        each = (-(-sizes // most)).clamp(min=1)
        cells = torch.empty_like(graph).index_copy_(0, order, own * most + ranks // each[own])
        members = torch.zeros(len(sizes) * most, device=graph.device)
        members.index_add_(0, cells, torch.ones(len(cells), device=graph.device))
        return cls(cells, members.view(len(sizes), most))

    def __len__(self) -> int:
        """Number of nodes, n."""
        return len(self.cells)

    @property
    def real(self) -> Tensor:
        """Bool (B, L): the cells that hold nodes."""
        return self.members > 0

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean of nodes' features `x` (n, D) in each cell, (B, L, D); zeros as padding."""
        sums = x.new_zeros(self.members.numel(), x.shape[1]).index_add(0, self.cells, x)
        return sums.view(*self.members.shape, -1) / self.members.clamp(min=1)[:, :, None].to(x.dtype)

    def spread(self, dense: Tensor) -> Tensor:
        """Return each node's row of `dense` (B, L, D), (n, D), in the batch's order."""
        return dense.flatten(0, 1).index_select(0, self.cells)


def graph_of_nodes(inputs: Any) -> tuple[Tensor, int]:
    """Return which graph each node of a `Batch` belongs to, int64 (n,), and the number of graphs.

    Raises:
        ValueError: `inputs` do not say.
    """
    graph, count = getattr(inputs, "batch", None), getattr(inputs, "num_graphs", None)
    if not isinstance(graph, Tensor) or not isinstance(count, int):
        raise ValueError(
            f"inputs must be a Batch of graphs with `batch` and `num_graphs`, got {type(inputs).__name__}; "
            "make one with torch_geometric.data.Batch.from_data_list"
        )
    return graph, count


@dataclass(frozen=True, eq=False)
class AlignedPlan(LearnedPlan):
    """A plan of nodes: node p of the own graph becomes w(p) x(p) + (1 - w(p)) sum_q A(p, q) x'(q).

    q runs over the partner's nodes and A is the block's attention, each row of which sums to 1: a soft alignment of the
    graphs.  The own graph keeps its structure.  Rows that are blended by their share have w = lam at all nodes.

    Logits are (B, 2, L), L the size of the largest graph; what a graph gives or takes does not depend on its padding.

    Attributes:
        nodes: the cell of each node.
        tokens: the token that each node is, or shares with others of a large graph.
        align: the attention, (B, tokens, D) of the partners' tokens -> (B, tokens, D) for the own ones; see `Scored`.

    The others are those of `LearnedPlan`.
    """

    nodes: NodeCells = field(kw_only=True)
    tokens: NodeCells = field(kw_only=True)
    align: Callable[[Tensor], Tensor] = field(kw_only=True)

    def apply(self, x: Tensor) -> Tensor:
        """Mix the nodes' features `x` (n, D), of all graphs one after the other; half precision is mixed in float32.

        Raises:
            ValueError: `x` holds integer codes, or is no tensor with a row for each node of the batch.
        """
        check_blendable(x)
        if x.ndim != 2 or len(x) != len(self.nodes):
            raise ValueError(
                f"x must be features ({len(self.nodes)}, D) of the nodes that the plan was drawn for, got shape "
                f"{tuple(x.shape)}"
            )
        work = x if x.dtype in (torch.float32, torch.float64) else x.float()
        log_weights = self.spread(self._blend(self.logits.log_softmax(1)), x.shape).to(work.dtype)
        return self.combine([work, self.aligned(work)], log_weights).to(x.dtype)

    def aligned(self, x: Tensor) -> Tensor:
        """Return what each node sees of the partner's nodes with features `x` (n, D), (n, D)."""
        partner = self.sources.index[:, 1].to(x.device)
        with torch.autocast(x.device.type, enabled=False):
            return self.tokens.spread(self.align(self.tokens.mean(x)[partner]))

    def shares(self) -> Tensor:
        """Return (B, 2): the mean weights over the own nodes; of a graph without nodes, the shares drawn."""
        drawn = self.sources.lam.to(self.logits)
        return torch.where(self.nodes.real.any(1)[:, None], super().shares(), drawn)
