"""Pairs of clips where some are silence or background: those stay themselves, and hide no word."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from mixkit.pairing import Pairing, PairSampler


@dataclass(frozen=True)
class ForegroundPairs:
    """The pairs of another sampler, for data with classes that are the absence of the others.

    A clip of such a class keeps all of itself: mixed with a word it would be labelled as the word (see `Absorbing`),
    and silence would never be heard as what it is.  A word with such a partner keeps at least half, so that it is not
    labelled where noise hides it.

    Args:
        pairs: draws partners and shares.
        classes: positions of those classes.

    Raises:
        ValueError: no classes, or negative ones.

    >>> from mixkit import BetaPairs
    >>> targets = torch.eye(2)[[0, 1, 0, 1]]  # class 0 is silence
    >>> pairing = ForegroundPairs(BetaPairs(1.0), (0,))(targets, torch.Generator().manual_seed(0))
    >>> pairing.lam[[0, 2]]
    tensor([1., 1.])
    """

    pairs: PairSampler
    classes: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.classes or min(self.classes) < 0:
            raise ValueError(f"classes must name at least one position, got classes={self.classes}")

    @property
    def expected_partner_share(self) -> float:
        """That of `pairs`, as it is among words."""
        return self.pairs.expected_partner_share

    def __call__(self, targets: Tensor, generator: Generator) -> Pairing:
        """Draw partners and shares for `targets` float (B, K).

        Raises:
            ValueError: there is no such class.
        """
        if max(self.classes) >= targets.shape[1]:
            raise ValueError(f"classes must be below the {targets.shape[1]} labels, got classes={self.classes}")
        drawn = self.pairs(targets, generator)
        labels = targets.detach().cpu()
        labels = labels.amax(2) if labels.ndim == 3 else labels  # anywhere in its frames
        words = torch.ones(labels.shape[1], dtype=torch.bool, device="cpu")
        words[list(self.classes)] = False
        absent = (labels[:, ~words] > 0.5).any(1) & ~(labels[:, words] > 0.5).any(1)
        louder = torch.maximum(drawn.lam, 1 - drawn.lam)
        return Pairing(drawn.partner, torch.where(absent[drawn.partner], louder, drawn.lam)).keep(absent)
