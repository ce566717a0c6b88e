"""Mixing log spectrograms as sounds add up: in the power domain, with amplitude weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Generator, Tensor, nn

from mixkit.pairing import Pairing
from mixkit.plan import BlendPlan, check_blendable, check_length
from mixkit_audio.clips import Clips


class LogPower(nn.Module):
    """Combines features (log(power + floor) - mean) / std to those of the mixed sound; for `MapTokens(combine=...)`.

    Sounds that are mixed with weights w_k, of sum 1, have on average the power sum_k w_k^2 p_k: cross terms cancel.
    A weighted mean of the logarithms instead is quiet wherever one of the sounds is.

    With e_k = p_k + floor the features of that power are log(sum_k w_k^2 e_k + sum_{j != k} w_j w_k floor), because the
    products of all weights sum to 1.  Nothing leaves log space: values and gradients are finite for weights down to 0,
    and a weight of 1 gives back its sample.

    Args:
        mean: what was subtracted, broadcastable to what is mixed: (1, 1, F, 1) for maps (B, 1, F, frames).
        std: what it was divided by, likewise.
        floor: power that was added before the logarithm; 0 if none was.

    Raises:
        ValueError: floor is negative, or a deviation is not positive.

    >>> equal = torch.full((1, 2, 1), 0.5).log()
    >>> silence, loud = torch.full((1, 3), 1e-4).log(), torch.full((1, 3), 4.0).log()
    >>> LogPower(torch.zeros(1), torch.ones(1), floor=1e-4)([silence, loud], equal).exp()
    tensor([[1.0001, 1.0001, 1.0001]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor, floor: float) -> None:
        super().__init__()
        if not 0 <= floor < math.inf:
            raise ValueError(f"floor must be a non-negative number, got {floor=}")
        if not bool((std > 0).all()):
            raise ValueError(f"std must be positive, got a smallest value of {float(std.min())}")
        self.floor = floor
        # they belong to the features, whose network keeps them in checkpoints
        self.register_buffer("mean", mean.detach().clone(), persistent=False)
        self.register_buffer("std", std.detach().clone(), persistent=False)

    def forward(self, parts: Sequence[Tensor], log_weights: Tensor) -> Tensor:
        """Return (B, ...) of K `parts` (B, ...) with `log_weights` (B, K, ...); see `mixkit.tokens.Combine`."""
        mean, std = self.mean.to(parts[0]), self.std.to(parts[0])
        weights = log_weights.unbind(1)
        terms = [part * std + mean + 2 * weight for part, weight in zip(parts, weights, strict=True)]
        if self.floor:
            crossed = [one + other for one, other in combinations(weights, 2)]
            terms += [(cross + math.log(2 * self.floor)).expand_as(terms[0]) for cross in crossed]
        return (torch.stack(terms).logsumexp(0) - mean) / std


@dataclass(frozen=True, eq=False, kw_only=True)
class PowerPlan(BlendPlan):
    """A `BlendPlan` whose features are combined as sounds add up.

    Attributes:
        combine: of the features.
    """

    combine: LogPower

    def apply(self, x: Tensor) -> Tensor:
        """Mix features (B, ...) by power; a sample of lam 1 stays as it is, bit for bit.

        Raises:
            ValueError: `x` is no floating-point tensor, or has another length than the plan.
        """
        check_blendable(x)
        check_length(x, len(self))
        work = x.to(torch.promote_types(x.dtype, torch.float32))
        lam = self.pairing.lam.to(work).view(-1, *[1] * (x.ndim - 1))
        weights = torch.stack([lam, 1 - lam], 1).clamp_min(1e-12).log()
        mixed = self.combine([work, work[self.pairing.partner.to(x.device)]], weights)
        return torch.where(lam == 1, work, mixed).to(x.dtype)


@dataclass(frozen=True)
class PowerMix:
    """Mixes normalised log features as sounds add up; the policy for `Mix` where `SpectrogramMix` would come too late.

    Args:
        combine: knows how the features were normalised.

    >>> combine = LogPower(torch.zeros(1), torch.ones(1), floor=0.0)
    >>> pairing = Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 1.0]))
    >>> PowerMix(combine).draw(torch.zeros(2, 1), pairing, torch.Generator()).apply(torch.zeros(2, 1)).exp().flatten()
    tensor([0.5000, 1.0000])
    """

    combine: LogPower

    def draw(self, inputs: Any, pairing: Pairing, generator: Generator) -> PowerPlan:
        """Return the plan.

        Raises:
            ValueError: `inputs` is no floating-point tensor; lengths differ.
        """
        if isinstance(inputs, Clips):
            raise ValueError(
                "PowerMix mixes tensors without lengths, got Clips; mix before features are normalised, with "
                'SpectrogramMix("log", pad=...)'
            )
        check_blendable(inputs)
        check_length(inputs, len(pairing))
        return PowerPlan(pairing, combine=self.combine)
