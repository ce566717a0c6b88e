"""The network for tables: column embeddings, then a multilayer perceptron without batch statistics.

What `embed` gives out is one float tensor, so every mixing method of the engine applies there; categories never mix
as codes.  One-hot columns make mixing there the same as mixing one-hot inputs.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from tabm import EnsembleView, LinearBatchEnsemble, LinearEnsemble
from torch import Tensor, nn

from mixkit_tabular.batch import TableBatch

MOST_ONE_HOT = 9
"""Columns with more levels than this get a learned embedding."""
EMBEDDING_WIDTH = 8
WAVES = 16
WAVE_WIDTH = 3
FREQUENCY = 0.25


class PeriodicEmbedding(nn.Module):
    """Numbers (B, n) -> (B, 3 n): learned waves of each number, so that a small network can follow sharp bends.

    Each number has waves cos(2 pi (f x) + b) of its own and a linear map of them, as in RealMLP's PBLD (Holzmueller et
    al., 2024, arXiv:2407.04491, section 3).

    # NOTE[DIFF] frequencies start at a standard deviation of 0.25 instead of 0.1: better on tables of 300 to 1,500
    # rows with half of the paper's steps; the map has no learning rate of its own.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(torch.randn(count, WAVES) * FREQUENCY)
        self.phases = nn.Parameter((2 * torch.rand(count, WAVES) - 1) * math.pi)
        self.weight = nn.Parameter((2 * torch.rand(count, WAVES, WAVE_WIDTH) - 1) / math.sqrt(WAVES))
        self.bias = nn.Parameter((2 * torch.rand(count, WAVE_WIDTH) - 1) / math.sqrt(WAVES))

    def forward(self, values: Tensor) -> Tensor:
        """Return float (B, 3 n)."""
        # numbers first, so that the linear maps are one batched product without copies
        turns = torch.addcmul(self.phases[:, None], values.T[:, :, None], 2 * math.pi * self.frequencies[:, None])
        mapped = torch.baddbmm(self.bias[:, None], turns.cos(), self.weight)
        return mapped.transpose(0, 1).flatten(1)


class ColumnEmbedding(nn.Module):
    """Rows of a table -> float (B, width): numbers, their waves, one-hot or learned vectors of categories.

    Code 0 (missing or unknown) is the zero vector in both, so that it means the same whether training had it or not.

    Args:
        values: columns of `TableBatch.numeric` that are scaled numbers; they come first.
        marked: for each further column of it the number whose gaps it marks.
        cardinalities: number of codes of each categorical column, code 0 included.

    Raises:
        ValueError: `marked` names a number that is not there.
    """

    def __init__(self, values: int, marked: Sequence[int], cardinalities: Sequence[int]) -> None:
        super().__init__()
        if not set(marked) <= set(range(values)):
            raise ValueError(f"marked must name one of the {values} numbers for each mark, got {list(marked)}")
        self.values = values
        self.marked = tuple(marked)
        self.cardinalities = tuple(cardinalities)
        small = [i for i, count in enumerate(cardinalities) if count - 1 <= MOST_ONE_HOT]
        large = [i for i, count in enumerate(cardinalities) if count - 1 > MOST_ONE_HOT]
        self.one_hot_width = sum(cardinalities[i] - 1 for i in small)
        self.width = values * (1 + WAVE_WIDTH) + len(marked) + self.one_hot_width + EMBEDDING_WIDTH * len(large)
        self.waves = PeriodicEmbedding(values) if values else None
        self.register_buffer("small", torch.tensor(small, dtype=torch.int64), persistent=False)
        self.register_buffer("large", torch.tensor(large, dtype=torch.int64), persistent=False)
        self.register_buffer("small_offsets", _offsets([cardinalities[i] for i in small]), persistent=False)
        self.register_buffer("large_offsets", _offsets([cardinalities[i] for i in large]), persistent=False)
        rows = 1 + sum(cardinalities[i] - 1 for i in large)
        self.vectors = nn.Embedding(rows, EMBEDDING_WIDTH, padding_idx=0) if large else None

    small: Tensor
    large: Tensor
    small_offsets: Tensor
    large_offsets: Tensor

    def forward(self, inputs: TableBatch) -> Tensor:
        """Return float (B, width)."""
        parts = [inputs.numeric]
        if self.waves is not None:
            parts.append(self.waves(inputs.numeric[:, : self.values]))
        if self.one_hot_width:
            index = _positions(inputs.codes[:, self.small], self.small_offsets)
            marks = inputs.numeric.new_zeros(len(inputs), self.one_hot_width + 1)
            parts.append(marks.scatter(1, index, 1.0)[:, 1:])  # column 0 collects the codes 0
        if self.vectors is not None:
            index = _positions(inputs.codes[:, self.large], self.large_offsets)
            parts.append(self.vectors(index).flatten(1).to(inputs.numeric.dtype))
        return torch.cat(parts, dim=1)

    def span_of(self) -> tuple[int, ...]:
        """Return for each channel of the output the column it belongs to, numbered 0, 1, ...

        Numbers come first, each with its waves and the mark of its gaps, then categories, each with its one-hot block
        or its vector.  A column without channels (the only code is 0) has no number.

        >>> ColumnEmbedding(2, [1], (3,)).span_of()  # two numbers, a mark, their waves, two one-hot channels
        (0, 1, 1, 0, 0, 0, 1, 1, 1, 2, 2)
        """
        numbers = list(range(self.values))
        wide = [i for i, count in enumerate(self.cardinalities) if count > 1]
        category = dict(zip(wide, range(self.values, self.values + len(wide)), strict=True))
        waves = [i for i in numbers for _ in range(WAVE_WIDTH)]
        one_hot = [category[i] for i in self.small.tolist() for _ in range(self.cardinalities[i] - 1)]
        vectors = [category[i] for i in self.large.tolist() for _ in range(EMBEDDING_WIDTH)]
        return (*numbers, *self.marked, *waves, *one_hot, *vectors)


class TableNet(nn.Module):
    """`embed` -> `body.0`, `body.1`, ... -> `head`; each runs once in a forward pass.

    Args:
        values: columns of `TableBatch.numeric` that are scaled numbers; they come first.
        marked: for each further column of it the number whose gaps it marks.
        cardinalities: number of codes of each categorical column, code 0 included.
        outputs: number of logits, at least 1.
        width: units of each block.
        depth: number of blocks.
        dropout: share of units dropped in training.
        members: size of a parameter-efficient ensemble (TabM, Gorishniy et al. 2025, arXiv:2410.24210): all members
            share their weights but for a scale of each unit, and train on the same batches, each by its own loss.  With
            more than one the logits are (B, outputs, members): targets take a third axis in training
            (`for_members`), predictions the mean over it (`over_members`).

    >>> net = TableNet(2, [1], (3, 12), outputs=4)
    >>> net(TableBatch(torch.zeros(5, 3), torch.zeros(5, 2, dtype=torch.int64))).shape
    torch.Size([5, 4])
    """

    def __init__(
        self,
        values: int,
        marked: Sequence[int],
        cardinalities: Sequence[int],
        *,
        outputs: int,
        width: int = 256,
        depth: int = 3,
        dropout: float = 0.15,
        members: int = 1,
    ) -> None:
        super().__init__()
        if outputs < 1 or depth < 1 or width < 1 or members < 1:
            raise ValueError(
                f"outputs, width, depth and members must be positive, got {outputs=}, {width=}, {depth=}, {members=}"
            )
        self.embed = ColumnEmbedding(values, marked, cardinalities)
        if self.embed.width == 0:
            raise ValueError(f"a table must have columns, got {values=}, {cardinalities=}")
        widths = [self.embed.width, *[width] * depth]
        self.members = members
        if members == 1:
            self.body = nn.Sequential(*(_block(nn.Linear(widths[i], width), dropout) for i in range(depth)))
            self.head: nn.Module = nn.Linear(width, outputs)
        else:
            linear = [_shared(widths[i], width, members, self.embed if i == 0 else None) for i in range(depth)]
            first, *others = (_block(layer, dropout) for layer in linear)
            self.body = nn.Sequential(nn.Sequential(EnsembleView(k=members), first), *others)
            self.head = LinearEnsemble(width, outputs, k=members)

    def forward(self, inputs: TableBatch) -> Tensor:
        """Return logits (B, outputs), or (B, outputs, members) of an ensemble."""
        logits: Tensor = self.head(self.body(self.embed(inputs)))
        return logits if self.members == 1 else logits.transpose(1, 2)


def for_members(targets: Tensor, members: int) -> Tensor:
    """Return targets (B, K) for each member of an ensemble, (B, K, members), or as they are for a single network."""
    return targets if members == 1 else targets.unsqueeze(2).expand(-1, -1, members)


def over_members(logits: Tensor) -> Tensor:
    """Return the mean (B, K) of logits (B, K, members), or the logits (B, K) of a single network.

    NOTE[DIFF] TabM averages probabilities; the mean of logits means the same for every task.
    """
    return logits if logits.ndim == 2 else logits.mean(2)


def network_from_card(card: Mapping[str, Any]) -> TableNet:
    """Build a fresh network from its JSON description."""
    return TableNet(
        card["values"],
        card["marked"],
        card["cardinalities"],
        outputs=card["outputs"],
        width=card["width"],
        depth=card["depth"],
        dropout=card["dropout"],
        members=card["members"],
    )


def _block(linear: nn.Module, dropout: float) -> nn.Module:
    return nn.Sequential(linear, nn.SiLU(), nn.Dropout(dropout))


def _shared(inputs: int, outputs: int, members: int, embed: ColumnEmbedding | None) -> nn.Module:
    """One layer of an ensemble; in the first one members start apart, with one scale a column."""
    layer = LinearBatchEnsemble(inputs, outputs, k=members, scaling_init="ones")
    if embed is not None:
        column = torch.tensor(embed.span_of())
        with torch.no_grad():
            layer.r.copy_(torch.randn(members, int(column.max()) + 1)[:, column])
    assert isinstance(layer, nn.Module)
    return layer


def _offsets(cardinalities: Sequence[int]) -> Tensor:
    """Where each column's code 1 stands, less one, when all columns share one range that starts at 1."""
    starts = accumulate((count - 1 for count in cardinalities), initial=0)
    return torch.tensor(list(starts)[:-1], dtype=torch.int64)


def _positions(codes: Tensor, offsets: Tensor) -> Tensor:
    return torch.where(codes > 0, codes + offsets, torch.zeros_like(codes))
