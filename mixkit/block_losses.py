"""What a Mix Block minimises: the teacher's loss on its mixed samples and a tie to lam, or two aims in turn."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mixkit.mixed import mix_targets
from mixkit.tasks import Task, positive
from mixkit.tokens import LearnedPlan


@dataclass(frozen=True, eq=False)
class BlockStep:
    """What a block's loss may look at.

    Attributes:
        mixed: the frozen teacher's logits (B, K) of the mixed samples; differentiable in the block's weights.
        clean: its logits of the clean samples (B, K), or None where nobody asked.
        plan: what mixed them.
        targets: of the clean samples, float (B, K).
        weights: (B,), (B, K) or None.
        task: what logits mean.
        steps: steps that the block has taken so far.
        progress: share of the training done, in [0, 1].
    """

    mixed: Tensor
    clean: Tensor | None
    plan: LearnedPlan
    targets: Tensor
    weights: Tensor | None
    task: Task
    steps: int
    progress: float

    def loss(self) -> Tensor:
        """Return the teacher's loss on the mixed samples, a scalar."""
        return self.task.loss(self.mixed, *mix_targets(self.plan, self.targets, self.weights))

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of `values` (B,) by the weights of the mixed samples; missing labels have none."""
        _, weights = mix_targets(self.plan, self.targets, self.weights)
        mass = torch.ones_like(values) if weights is None else weights.to(values).flatten(1).mean(1)
        return (mass * values).sum() / positive(mass.sum())


class BlockLoss(Protocol):
    """The terms that train a block; a frozen dataclass."""

    @property
    def needs_clean_logits(self) -> bool:
        """Whether the teacher's logits of clean samples are needed."""
        ...

    def __call__(self, step: BlockStep) -> dict[str, Tensor]:
        """Return named terms whose sum is minimised."""
        ...


@dataclass(frozen=True)
class LamPenalty:
    """Ties weights to lam: weight * mean_b [ relu(|mean weight - lam| - margin) - variance * Var ].

    The inner mean and variance are over a sample's cells (AutoMix: variance 0; SAMix: 2, which pushes weights away from
    grey).

    NOTE[DIFF] Taken sample by sample, because lam is drawn per sample; over the batch, as released, samples would
    cancel each other.

    Args:
        weight: non-negative; 0.1 published.
        margin: how far the mean may be off, non-negative; 0.1 published.
        variance: weight of the variance, non-negative.
        decay: the weight goes to 0 by half a cosine over the training, as on ImageNet; else it is constant.

    Raises:
        ValueError: a number is negative.
    """

    weight: float = 0.1
    margin: float = 0.1
    variance: float = 0.0
    decay: bool = False

    def __post_init__(self) -> None:
        for name, value in (("weight", self.weight), ("margin", self.margin), ("variance", self.variance)):
            if not value >= 0:
                raise ValueError(f"{name} must be non-negative, got {name}={value!r}")

    def __call__(self, step: BlockStep) -> Tensor:
        """Return the penalty, a scalar."""
        plan = step.plan
        off = (plan.shares()[:, 0] - plan.sources.lam[:, 0].to(plan.logits)).abs()
        penalty = (off - self.margin).relu()
        if self.variance:
            penalty = penalty - self.variance * plan.variance()
        factor = 0.5 * (1 + math.cos(math.pi * step.progress)) if self.decay else 1.0
        return self.weight * factor * step.mean(penalty)


@dataclass(frozen=True)
class MixedLoss:
    """The terms "block", the teacher's loss on the mixed samples, and "lam", the tie to lam (AutoMix, SAMix).

    Args:
        lam: the tie.
    """

    lam: LamPenalty = LamPenalty()

    @property
    def needs_clean_logits(self) -> bool:
        """No."""
        return False

    def __call__(self, step: BlockStep) -> dict[str, Tensor]:
        """Return both terms."""
        return {"block": step.loss(), "lam": self.lam(step)}


@dataclass(frozen=True)
class Alternating:
    """Two aims in turn (AdAutoMix, Qin et al. 2024, arXiv:2312.11954): hard samples, then easy ones.

    Adversarial steps minimise -beta loss - (1 - beta) similarity, under "block"; the others, one in `every`, the loss
    itself.  Similarity is the mean over samples of sum_k lam_k cos(f(mixed), f(x_k)), f the teacher's logits.

    NOTE[DIFF] The released code minimises similarity in adversarial steps (`released()`).  Its purpose, says the paper,
    is to keep a hard sample's meaning, and a minimised similarity would drive it away as the first term does: here
    it is maximised.

    Args:
        beta: in [0, 1]; 0.3 on CIFAR and fine-grained data, 0.4 on Tiny ImageNet, 0.1 on ImageNet.
        every: one step in so many is cooperative, at least 2.
        similarity: the sign of similarity in what adversarial steps maximise.

    Raises:
        ValueError: beta or every is out of range, or similarity is no sign.
    """

    beta: float = 0.3
    every: int = 2
    similarity: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= 1:
            raise ValueError(f"beta must be in [0, 1], got beta={self.beta!r}")
        if self.every < 2:
            raise ValueError(f"every must be at least 2, got every={self.every!r}")
        if self.similarity not in (-1.0, 1.0):
            raise ValueError(f"similarity must be 1.0 or -1.0, got similarity={self.similarity!r}")

    @property
    def needs_clean_logits(self) -> bool:
        """Yes."""
        return True

    def __call__(self, step: BlockStep) -> dict[str, Tensor]:
        """Return the term "block"."""
        if step.steps % self.every == self.every - 1:
            return {"block": step.loss()}
        kept = self.similarity * (1 - self.beta) * self.similarity_of(step)
        return {"block": -self.beta * step.loss() - kept}

    def similarity_of(self, step: BlockStep) -> Tensor:
        """Return the mean similarity of mixed samples to their sources by share, a scalar in [-1, 1]."""
        assert step.clean is not None
        lam, index = (x.to(step.mixed.device) for x in (step.plan.sources.lam, step.plan.sources.index))
        mixed, clean = step.mixed.float().flatten(1), step.clean.float().flatten(1)
        cosines = torch.stack([F.cosine_similarity(mixed, clean[index[:, k]]) for k in range(index.shape[1])], 1)
        return step.mean((lam * cosines).sum(1))

    @classmethod
    def released(cls, beta: float = 0.3) -> "Alternating":
        """Return the alternation with the released code's sign."""
        return cls(beta, similarity=-1.0)
