"""How lam enters a Mix Block: not at all, as a channel, as a factor, or as the prior of the mask."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LamEmbedding:
    """What a sample's share does to its tokens and to the scores; this one: nothing."""

    @property
    def extra(self) -> int:
        """Number of channels that are added to the tokens."""
        return 0

    def embed(self, tokens: Tensor, lam: Tensor) -> Tensor:
        """Return tokens (B, L, C + extra) of samples with shares `lam` (B,), in the tokens' dtype."""
        return tokens

    def prior(self, lam: Tensor) -> Tensor:
        """Return (B,): what is added to the log weight of a sample with share `lam` (B,)."""
        return torch.zeros_like(lam)


@dataclass(frozen=True)
class LamIgnored(LamEmbedding):
    """The block does not see lam, which enters by the losses only (AutoMix on CIFAR and Tiny ImageNet)."""


@dataclass(frozen=True)
class LamConcatenated(LamEmbedding):
    """A constant channel of the sample's share (AutoMix on ImageNet, fine-grained data and transformers)."""

    @property
    def extra(self) -> int:
        """One channel."""
        return 1

    def embed(self, tokens: Tensor, lam: Tensor) -> Tensor:
        """Return tokens with a channel more."""
        return torch.cat([tokens, lam.to(tokens.dtype).view(-1, 1, 1).expand(*tokens.shape[:2], 1)], 2)


@dataclass(frozen=True)
class LamMultiplied(LamEmbedding):
    """Tokens times 1 + r(lam), r(lam) = (4/3 lam^3 - 2 lam^2 + (k + 1) lam) / (k + 1/3) (SAMix, arXiv:2111.15454).

    r keeps 0, 1/2 and 1 and is flat in between for small k.

    Args:
        k: non-negative, 0.25 on CIFAR and 1 on fine-grained data; None: r(lam) = lam, as on ImageNet.

    Raises:
        ValueError: k is negative.

    >>> LamMultiplied(0.25).rescaled(torch.tensor([0.0, 0.1, 0.5, 1.0]))
    tensor([0.0000, 0.1823, 0.5000, 1.0000])
    """

    k: float | None = 0.25

    def __post_init__(self) -> None:
        if self.k is not None and not self.k >= 0:
            raise ValueError(f"k must be non-negative or None, got k={self.k!r}")

    def rescaled(self, lam: Tensor) -> Tensor:
        """Return r(lam)."""
        if self.k is None:
            return lam
        return (4 / 3 * lam**3 - 2 * lam**2 + (self.k + 1) * lam) / (self.k + 1 / 3)

    def embed(self, tokens: Tensor, lam: Tensor) -> Tensor:
        """Return tokens times 1 + r(lam)."""
        return tokens * (1 + self.rescaled(lam).to(tokens.dtype).view(-1, 1, 1))


@dataclass(frozen=True)
class LamPrior(LamEmbedding):
    """The log of the share is added to the log weights: a block that has learned nothing blends by lam.

    NOTE[DIFF] Not in the papers, whose masks are 1/2 everywhere at the start, whatever lam and so the label is.
    """

    def prior(self, lam: Tensor) -> Tensor:
        """Return log lam, of at least 1e-4, so that gradients stay finite."""
        return lam.clamp(min=1e-4).log()
