"""Mixing by swapping: columns of a table (`ColumnSwap`, Feat-Mix) and hidden units (`UnitSwap`, Hid-Mix)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from mixkit.pairing import Pairing
from mixkit.plan import MaskPlan, check_length


@dataclass(frozen=True, init=False)
class ColumnSwap:
    """Each column of a row is its own with probability lam, or else the partner's; the label follows what was kept.

    With one share for all columns this is CutMix for tables (Kadra et al. 2021, arXiv:2106.11189, section 3); with the
    columns' mutual information with the target it is Feat-Mix (Chen et al. 2023, arXiv:2301.02819, section 3.3).

    NOTE[DIFF] Kadra et al. swap the same columns in the whole batch; here each row draws its own, as in Feat-Mix.

    Args:
        span_of: for each channel of what is mixed the column that it belongs to, numbered 0, 1, ...; see
            `ColumnEmbedding.span_of`.  All channels of a column move together.
        importance: for each column how much of the label it carries, non-negative; None: all the same.

    Raises:
        ValueError: no channels, columns that are not numbered 0, 1, ..., or importances that do not fit.

    >>> swap = ColumnSwap((0, 1, 1), importance=(3.0, 1.0))
    >>> pairing = Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 1.0]))
    >>> plan = swap.draw(torch.zeros(2, 3), pairing, torch.Generator().manual_seed(4))
    >>> plan.mask[0].tolist(), plan.shares()[0].tolist()  # row 0 keeps column 0, which carries 3/4 of the label
    ([True, False, False], [0.75, 1.0])
    """

    span_of: tuple[int, ...]
    importance: tuple[float, ...]

    def __init__(self, span_of: Sequence[int], importance: Sequence[float] | None = None) -> None:
        columns = len(set(span_of))
        if not columns or set(span_of) != set(range(columns)):
            raise ValueError(f"span_of must number columns 0, 1, ..., got {list(span_of)[:20]}")
        weights = torch.ones(columns, dtype=torch.float64) if importance is None else torch.tensor(tuple(importance))
        weights = weights.double()
        if len(weights) != columns or not bool(((weights >= 0) & weights.isfinite()).all()):
            raise ValueError(f"importance must be {columns} non-negative numbers, one a column, got {importance}")
        if not bool(weights.any()):  # no column tells anything: none tells more than another
            weights = torch.ones_like(weights)
        object.__setattr__(self, "span_of", tuple(span_of))
        object.__setattr__(self, "importance", tuple((weights / weights.sum()).tolist()))

    def draw(self, inputs: Any, pairing: Pairing, generator: Generator) -> MaskPlan:
        """Return the plan for `inputs` (B, C): one draw a row and column.

        Its `pairing.lam` is the share of columns that were kept, its label weights are the kept importance.

        Raises:
            ValueError: `inputs` is no tensor (B, C) with the channels of `span_of`, or lengths differ.
        """
        check_length(inputs, len(pairing))
        if inputs.ndim != 2 or inputs.shape[1] != len(self.span_of):
            raise ValueError(
                f"ColumnSwap mixes (B, {len(self.span_of)}), the channels of its columns, got shape "
                f'{tuple(inputs.shape)}; place it where columns are embedded, with AtSite("embed")'
            )
        kept = keep(pairing, len(self.importance), generator)
        own = (kept * torch.tensor(self.importance, dtype=torch.float64)).sum(1).clamp(0, 1)
        own = torch.where(kept.all(1), 1.0, own).float()
        columns = Pairing(pairing.partner, kept.double().mean(1).float())
        mask = kept[:, torch.tensor(self.span_of)]
        return MaskPlan(columns, torch.stack([own, 1 - own], 1), mask=mask)


@dataclass(frozen=True)
class UnitSwap:
    """Each hidden unit of a row is its own with probability lam, or else the partner's; labels mix by lam: Hid-Mix.

    NOTE[DIFF] Chen et al. (2023, arXiv:2301.02819, section 3.3) swap dimensions of tokens of equal width, the same ones
    in every token; this is the form for a network whose hidden features are one vector.  As there, the label's weight
    is lam itself, not the share of units that happened to stay.

    >>> pairing = Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 1.0]))
    >>> plan = UnitSwap().draw(torch.zeros(2, 8), pairing, torch.Generator().manual_seed(0))
    >>> plan.mask[1].all().item(), plan.targets(torch.eye(2))[0].tolist()
    (True, [0.5, 0.5])
    """

    def draw(self, inputs: Any, pairing: Pairing, generator: Generator) -> MaskPlan:
        """Return the plan for `inputs` (B, ..., C): one draw a row and unit, the same along axes between.

        Raises:
            ValueError: `inputs` is no tensor of two axes or more, or lengths differ.
        """
        check_length(inputs, len(pairing))
        if inputs.ndim < 2:
            raise ValueError(f"UnitSwap mixes hidden features (B, ..., C), got shape {tuple(inputs.shape)}")
        return MaskPlan(pairing, mask=keep(pairing, inputs.shape[-1], generator))


def keep(pairing: Pairing, columns: int, generator: Generator) -> Tensor:
    """Return bool (B, columns): True with probability lam."""
    uniform = torch.rand(len(pairing), columns, generator=generator, dtype=torch.float64, device="cpu")
    return uniform < pairing.lam[:, None].double()
