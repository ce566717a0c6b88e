"""The network for tables: column embeddings, then a multilayer perceptron without batch statistics.

What `embed` gives out is one float tensor, so every mixing method of the engine applies there; categories never mix
as codes.  One-hot columns make mixing there the same as mixing one-hot inputs.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
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
        waves = torch.cos(2 * math.pi * values.unsqueeze(2) * self.frequencies + self.phases)
        return (torch.einsum("bnw,nwd->bnd", waves, self.weight) + self.bias).flatten(1)


class ColumnEmbedding(nn.Module):
    """Rows of a table -> float (B, width): numbers, their waves, one-hot or learned vectors of categories.

    Code 0 (missing or unknown) is the zero vector in both, so that it means the same whether training had it or not.

    Args:
        values: columns of `TableBatch.numeric` that are scaled numbers; they come first.
        marks: further columns of it, which mark gaps.
        cardinalities: number of codes of each categorical column, code 0 included.
    """

    def __init__(self, values: int, marks: int, cardinalities: Sequence[int]) -> None:
        super().__init__()
        self.values = values
        self.marks = marks
        self.cardinalities = tuple(cardinalities)
        small = [i for i, count in enumerate(cardinalities) if count - 1 <= MOST_ONE_HOT]
        large = [i for i, count in enumerate(cardinalities) if count - 1 > MOST_ONE_HOT]
        self.one_hot_width = sum(cardinalities[i] - 1 for i in small)
        self.width = values * (1 + WAVE_WIDTH) + marks + self.one_hot_width + EMBEDDING_WIDTH * len(large)
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

    def span_of(self, marked: Sequence[int] | None = None) -> tuple[int, ...]:
        """Return for each channel of the output the column it belongs to, numbered 0, 1, ...

        Numbers come first, each with its waves, then categories, each with its one-hot block or its vector.  A column
        without channels (the only code is 0) has no number.

        Args:
            marked: for each mark the number whose gaps it marks; None: a mark is a column of its own, behind the rest.

        Raises:
            ValueError: `marked` does not name a number for each mark.

        >>> ColumnEmbedding(2, 1, (3,)).span_of(marked=[1])  # two numbers, a mark, their waves, two one-hot channels
        (0, 1, 1, 0, 0, 0, 1, 1, 1, 2, 2)
        """
        if marked is not None and (len(marked) != self.marks or not set(marked) <= set(range(self.values))):
            raise ValueError(
                f"marked must name one of the {self.values} numbers for each of {self.marks} marks, got {list(marked)}"
            )
        numbers = list(range(self.values))
        wide = [i for i, count in enumerate(self.cardinalities) if count > 1]
        category = dict(zip(wide, range(self.values, self.values + len(wide)), strict=True))
        first_mark = self.values + len(wide)
        marks = list(range(first_mark, first_mark + self.marks)) if marked is None else list(marked)
        waves = [i for i in numbers for _ in range(WAVE_WIDTH)]
        one_hot = [category[i] for i in self.small.tolist() for _ in range(self.cardinalities[i] - 1)]
        vectors = [category[i] for i in self.large.tolist() for _ in range(EMBEDDING_WIDTH)]
        return (*numbers, *marks, *waves, *one_hot, *vectors)


class TableNet(nn.Module):
    """`embed` -> `body.0`, `body.1`, ... -> `head`; each runs once in a forward pass.

    Args:
        values: columns of `TableBatch.numeric` that are scaled numbers; they come first.
        marks: further columns of it, which mark gaps.
        cardinalities: number of codes of each categorical column, code 0 included.
        outputs: number of logits, at least 1.
        width: units of each block.
        depth: number of blocks.
        dropout: share of units dropped in training.

    >>> net = TableNet(2, 1, (3, 12), outputs=4)
    >>> net(TableBatch(torch.zeros(5, 3), torch.zeros(5, 2, dtype=torch.int64))).shape
    torch.Size([5, 4])
    """

    def __init__(
        self,
        values: int,
        marks: int,
        cardinalities: Sequence[int],
        *,
        outputs: int,
        width: int = 256,
        depth: int = 3,
        dropout: float = 0.15,
    ) -> None:
        super().__init__()
        if outputs < 1 or depth < 1 or width < 1:
            raise ValueError(f"outputs, width and depth must be positive, got {outputs=}, {width=}, {depth=}")
        self.embed = ColumnEmbedding(values, marks, cardinalities)
        if self.embed.width == 0:
            raise ValueError(f"a table must have columns, got {values=}, {marks=}, {cardinalities=}")
        widths = [self.embed.width, *[width] * depth]
        self.body = nn.Sequential(*(_block(widths[i], width, dropout) for i in range(depth)))
        self.head = nn.Linear(width, outputs)

    def forward(self, inputs: TableBatch) -> Tensor:
        """Return logits (B, outputs)."""
        logits: Tensor = self.head(self.body(self.embed(inputs)))
        return logits


def network_from_card(card: Mapping[str, Any]) -> TableNet:
    """Build a fresh network from its JSON description."""
    return TableNet(
        card["values"],
        card["marks"],
        card["cardinalities"],
        outputs=card["outputs"],
        width=card["width"],
        depth=card["depth"],
        dropout=card["dropout"],
    )


def _block(inputs: int, outputs: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.SiLU(), nn.Dropout(dropout))


def _offsets(cardinalities: Sequence[int]) -> Tensor:
    """Where each column's code 1 stands, less one, when all columns share one range that starts at 1."""
    starts = accumulate((count - 1 for count in cardinalities), initial=0)
    return torch.tensor(list(starts)[:-1], dtype=torch.int64)


def _positions(codes: Tensor, offsets: Tensor) -> Tensor:
    return torch.where(codes > 0, codes + offsets, torch.zeros_like(codes))
