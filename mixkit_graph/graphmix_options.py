"""GraphMix's parts: the ramp of a weight, sharpening, where guessed labels come from, which losses a step has."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn

from mixkit.momentum import Momentum


@dataclass(frozen=True)
class Ramp:
    """A weight that rises as weight exp(-5 (1 - t)^2), t from 0 to 1 over a part of the training.

    Laine and Aila 2017, arXiv:1610.02242, section 2.  It is 0 before that part and `weight` after it.

    NOTE[DIFF] 1 by default.  GraphMix's released code has 10 for Cora, on a binary cross-entropy that is a mean over K
    classes; with the plain cross-entropy 10 lets the guesses outvote the labels, and Cora is not learned at all.

    Args:
        weight: non-negative.
        start: where the part begins, in [0, 1].
        end: where it ends, in [start, 1]; 0.25 and 0.5 are epochs 500 and 1,000 of the published 2,000.

    Raises:
        ValueError: a value is out of range.

    >>> [round(Ramp(10.0).at(p), 3) for p in (0.0, 0.25, 0.375, 0.5, 1.0)]
    [0.0, 0.067, 2.865, 10.0, 10.0]
    """

    weight: float = 1.0
    start: float = 0.25
    end: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight must be non-negative and finite, got weight={self.weight!r}")
        if not 0 <= self.start <= self.end <= 1:
            raise ValueError(f"start and end must be in order in [0, 1], got start={self.start!r}, end={self.end!r}")

    def at(self, progress: float) -> float:
        """Return the weight at `progress` in [0, 1] of the training."""
        if progress < self.start:
            return 0.0
        t = 1.0 if progress >= self.end else (progress - self.start) / (self.end - self.start)
        return self.weight * math.exp(-5 * (1 - t) ** 2)


@dataclass(frozen=True)
class Passes:
    """Guessed labels are the mean of passes of the model in training mode: dropout differs between them.

    Args:
        count: at least 1; 10 is published, and each costs a forward pass.

    Raises:
        ValueError: count is below 1.
    """

    count: int = 10

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be at least 1, got count={self.count!r}")


@dataclass(frozen=True)
class FromTeacher:
    """Guessed labels come from one pass of a moving average of the model, without dropout.

    NOTE[DIFF] In the released code the average shares the student's tensors and scales them; this is a true one.
    The objective must be attached to its optimizer, after whose steps the average follows.

    Args:
        momentum: the average's schedule.
    """

    momentum: Momentum = field(default_factory=Momentum)


@dataclass(frozen=True)
class Both:
    """Both losses in each step."""

    def draw(self, generator: Generator) -> tuple[bool, bool]:
        """Return whether the step has the loss with edges, and the one without."""
        return True, True


@dataclass(frozen=True)
class OneAtRandom:
    """One of both losses in each step.

    Args:
        probability: of the loss with edges, in (0, 1); 1/2 in the released code.

    Raises:
        ValueError: probability is out of range.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise ValueError(f"probability must be in (0, 1), got probability={self.probability!r}")

    def draw(self, generator: Generator) -> tuple[bool, bool]:
        """Return whether the step has the loss with edges, and the one without."""
        with_edges = float(torch.rand((), generator=generator, device="cpu")) < self.probability
        return with_edges, not with_edges


def sharpened(probabilities: Tensor, temperature: float) -> Tensor:
    """Return p^(1/T) over its sum, (M, K), computed in logarithms.

    >>> sharpened(torch.tensor([[0.6, 0.3, 0.1]]), 0.5)      # squares: 0.36, 0.09, 0.01, of 0.46
    tensor([[0.7826, 0.1957, 0.0217]])
    """
    return (probabilities.log() / temperature).softmax(1)


@contextmanager
def steady_norms(model: nn.Module) -> Iterator[None]:
    """Let BatchNorm and the like use their running statistics, and leave them alone; the rest keeps its mode."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
    training = [module for module in model.modules() if isinstance(module, kinds) and module.training]
    for module in training:
        module.eval()
    try:
        yield
    finally:
        for module in training:
            module.train()
