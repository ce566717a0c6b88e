"""The decoupled loss of mixed samples: a static rival of learned mixing."""

import torch
from torch import Tensor

from mixkit.plan import PairPlan, Plan
from mixkit.tasks import positive


def decoupled_loss(logits: Tensor, targets: Tensor, plan: Plan, weights: Tensor | None = None) -> Tensor:
    """Return the decoupled mixup loss, a scalar (Liu et al. 2022, arXiv:2203.10761).

    For a sample mixed of classes a and b it is -log softmax_a without class b, minus log softmax_b without class a:
    each of the two has to stand out from all the others, and they do not compete.  Where a = b nothing is left out.
    Rows that keep everything, or nothing, have one class, counted once.

    Args:
        logits: (B, K) of the mixed samples.
        targets: float (B, K) of the own samples; the largest entry says the class; NaN rows (no label) count nothing.
        plan: which two samples each was mixed of.
        weights: (B,) or (B, K), or None.

    Raises:
        ValueError: the plan mixes more than two samples, or a sample has several labels (frames, members).

    >>> from mixkit import Pairing
    >>> from mixkit.plan import BlendPlan
    >>> plan = BlendPlan(Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 0.5])))
    >>> round(float(decoupled_loss(torch.zeros(2, 3), torch.eye(3)[:2], plan)), 4)      # twice log 2
    1.3863
    """
    if not isinstance(plan, PairPlan):
        raise ValueError(f"the decoupled loss needs a plan of two samples, got {type(plan).__name__}")
    if logits.ndim != 2:
        raise ValueError(f"the decoupled loss needs one label a sample, logits (B, K), got {tuple(logits.shape)}")
    partner, lam = plan.pairing.partner.to(logits.device), plan.pairing.lam.to(logits.device)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    missing = targets.isnan().any(1)
    own = targets.nan_to_num().argmax(1)
    other = own[partner]
    # a class that is not there, or not known, is not left out either
    gives, takes = (lam > 0) & ~missing, (lam < 1) & ~missing[partner]
    own, other = torch.where(gives, own, other), torch.where(takes, other, own)
    mass = torch.ones_like(lam) if weights is None else weights.to(lam).reshape(len(lam), -1).mean(1)
    mass = torch.where(missing, 0.0, mass)
    without_other = isolated_log_probability(logits, own, other)
    without_own = isolated_log_probability(logits, other, own)
    first, second = mass * (lam > 0), mass[partner] * (lam < 1)
    loss = -(first * without_other + second * without_own)
    return loss.sum() / positive(mass.sum())


def isolated_log_probability(logits: Tensor, wanted: Tensor, without: Tensor) -> Tensor:
    """Return log softmax (B,) at the classes `wanted` (B,), with the classes `without` (B,) left out if different."""
    left_out = torch.zeros_like(logits, dtype=torch.bool).scatter(1, without[:, None], True)
    left_out &= (wanted != without)[:, None]
    masked = logits.masked_fill(left_out, float("-inf"))
    return logits.gather(1, wanted[:, None]).squeeze(1) - masked.logsumexp(1)
