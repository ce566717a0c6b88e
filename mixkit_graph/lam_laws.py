"""Laws of lam for methods that mix whole classes: how much of a new sample is of its own class."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from mixkit.pairing import BetaPairs, beta_shares, check_positive


class LamLaw(Protocol):
    """Draws the own shares of new samples; a frozen dataclass."""

    @property
    def expected_partner_share(self) -> float:
        """E[a] = 2 E[lam (1 - lam)], as of a pair sampler."""
        ...

    def draw(self, size: int, generator: Generator) -> Tensor:
        """Return lam float32 (size,) in [0, 1]."""
        ...


@dataclass(frozen=True)
class UniformLam:
    """lam uniform between two bounds.

    Args:
        low: in [0, 1].
        high: in [low, 1].

    Raises:
        ValueError: a bound is out of range.

    >>> round(UniformLam(0.0, 1.0).expected_partner_share, 4)      # 2 (1/2 - 1/3)
    0.3333
    """

    low: float = 0.8
    high: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"low and high must be in order in [0, 1], got low={self.low!r}, high={self.high!r}")

    @property
    def expected_partner_share(self) -> float:
        """2 (E[lam] - E[lam^2])."""
        square = (self.low**2 + self.low * self.high + self.high**2) / 3
        return 2 * ((self.low + self.high) / 2 - square)

    def draw(self, size: int, generator: Generator) -> Tensor:
        """Return lam float32 (size,)."""
        uniform = torch.rand(size, dtype=torch.float32, generator=generator, device="cpu")
        return self.low + (self.high - self.low) * uniform


@dataclass(frozen=True)
class BetaLam:
    """lam ~ Beta(alpha, alpha), as in mixup.

    Args:
        alpha: positive.

    Raises:
        ValueError: alpha is not a positive finite number.
    """

    alpha: float

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha)

    @property
    def expected_partner_share(self) -> float:
        """Equal to alpha / (2 alpha + 1)."""
        return BetaPairs(self.alpha).expected_partner_share

    def draw(self, size: int, generator: Generator) -> Tensor:
        """Return lam float32 (size,)."""
        return beta_shares(self.alpha, size, True, generator)
