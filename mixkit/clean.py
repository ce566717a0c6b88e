"""How a step comes by clean rows beside the mixed ones, and what each way does to BatchNorm."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from mixkit.pairing import random_order


class CleanRows(NamedTuple):
    """Which rows of a batch are clean, and how their logits are had.

    Attributes:
        keep: bool (B,), rows that the mix must leave alone, or None.
        beside: int64 (C,), rows to run beside the mixed ones in the same pass, or None.
        apart: int64 (C,), rows to run in a forward pass of their own, or None.
    """

    keep: Tensor | None = None
    beside: Tensor | None = None
    apart: Tensor | None = None

    def indices(self) -> Tensor:
        """Return int64 (C,), the clean rows."""
        for rows in (self.beside, self.apart):
            if rows is not None:
                return rows
        assert self.keep is not None
        return self.keep.nonzero().flatten()


@dataclass(frozen=True)
class Concatenated:
    """Clean rows run beside the mixed ones in one forward pass: the paper's way.

    At a hidden site they join there: what is before it runs once.  BatchNorm takes its statistics from mixed and clean
    rows together and updates its running averages once.

    Args:
        fraction: share of the batch that is run clean as well, a new random choice each step; 1: all of it.

    Raises:
        ValueError: fraction is not in (0, 1].
    """

    fraction: float = 1.0

    def __post_init__(self) -> None:
        check_fraction(self.fraction)

    def rows(self, size: int, generator: Generator) -> CleanRows:
        """Choose the rows of a batch of `size`."""
        return CleanRows(beside=choose(size, self.fraction, generator))


@dataclass(frozen=True)
class InBatch:
    """A share of the batch stays clean and carries the penalty: no extra samples at all.

    The mixed loss is over all rows, the clean ones with their plain loss.  BatchNorm sees as many rows as without
    mixing, a share of them clean.  A batch of one row is clean.

    Args:
        fraction: share of the batch that stays clean, at least one row, a new random choice each step.

    Raises:
        ValueError: fraction is not in (0, 1].
    """

    fraction: float = 0.25

    def __post_init__(self) -> None:
        check_fraction(self.fraction)

    def rows(self, size: int, generator: Generator) -> CleanRows:
        """Choose the rows of a batch of `size`."""
        keep = torch.zeros(size, dtype=torch.bool, device="cpu")
        keep[choose(size, self.fraction, generator)] = True
        return CleanRows(keep=keep)


@dataclass(frozen=True)
class Separate:
    """All rows run clean in a forward pass of their own, as in the authors' code.

    BatchNorm normalises mixed and clean rows each by their own statistics and updates its running averages twice a
    step.  The way for inputs that do not concatenate.
    """

    def rows(self, size: int, generator: Generator) -> CleanRows:
        """Choose all rows of a batch of `size`."""
        return CleanRows(apart=torch.arange(size, device="cpu"))


Clean = Concatenated | InBatch | Separate


def choose(size: int, fraction: float, generator: Generator) -> Tensor:
    """Return the indices of a random share of `size` rows, at least one, in order; all of them draw nothing."""
    count = min(size, max(1, math.ceil(size * fraction)))
    if count == size:
        return torch.arange(size, device="cpu")
    return random_order(size, generator)[:count].sort().values


def take(x: Tensor, rows: Tensor) -> Tensor:
    """Return the rows `rows` of `x`, distinct and in order; `x` itself, uncopied, if they are all."""
    return x if len(rows) == len(x) else x[rows.to(x.device)]


def check_fraction(fraction: float) -> None:
    """Raise ValueError unless `fraction` is in (0, 1]."""
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], got fraction={fraction!r}")
