"""Who mixes with whom where own and partner's share follow different laws: `AsymmetricBetaPairs`."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from mixkit.pairing import Pairing, check_positive, random_cycle, random_order
from mixkit.randomness import numpy_generator


@dataclass(frozen=True)
class AsymmetricBetaPairs:
    """Partners by a random permutation, the own share lam ~ Beta(a, b), one a sample.

    ifMixup takes Beta(20, 1), which keeps 20/21 of a graph on average (Guo and Mao 2023).

    Args:
        a: first parameter, positive: the larger, the more is kept.
        b: second parameter, positive.
        derange: nobody is its own partner (in a batch of two or more).

    Raises:
        ValueError: a or b is not a positive finite number.

    >>> pairs = AsymmetricBetaPairs(20.0, 1.0)
    >>> round(pairs.expected_partner_share, 4)      # 40 / (21 * 22)
    0.0866
    >>> pairs(torch.zeros(3, 2), torch.Generator().manual_seed(0)).lam
    tensor([0.9901, 0.9993, 0.9994])
    """

    a: float
    b: float
    derange: bool = False

    def __post_init__(self) -> None:
        check_positive("a", self.a)
        check_positive("b", self.b)

    @property
    def expected_partner_share(self) -> float:
        """2 E[lam (1 - lam)] = 2 a b / ((a + b) (a + b + 1))."""
        total = self.a + self.b
        return 2 * self.a * self.b / (total * (total + 1))

    def __call__(self, targets: Tensor, generator: Generator) -> Pairing:
        """Draw partners and shares for `targets` (B, K); only B matters."""
        size = len(targets)
        partner = random_cycle(size, generator) if self.derange else random_order(size, generator)
        lam = numpy_generator(generator).beta(self.a, self.b, size).astype(np.float32)
        return Pairing(partner, torch.from_numpy(lam))
