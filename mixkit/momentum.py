"""The momentum pipeline's teacher: an exponential moving average of a network, and the schedule of its momentum."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mixkit.sites import unwrapped


@dataclass(frozen=True)
class Momentum:
    """How much of itself a teacher keeps at each step: m in teacher <- m teacher + (1 - m) student.

    m is `start` for the first share `constant` of the training, then goes to `end` as end - (end - start)
    (1 + cos(pi t / T)) / 2 with t and T counted from the beginning (AutoMix, Liu et al. 2022, arXiv:2103.13027).

    NOTE[DIFF] In the first steps m is at most (1 + t) / (warmup + t), so that a teacher forgets the initial weights
    also in a training of a few hundred steps, where 0.999 would keep them; `warmup=1` is the published schedule.

    Args:
        start: in [0, 1).
        end: in [start, 1].
        constant: share of the training in [0, 1]; 0.1 for convolutional networks, 0.25 for transformers.
        warmup: at least 1.

    Raises:
        ValueError: a value is out of range.

    >>> published = Momentum(warmup=1)
    >>> [round(published.at(t, 100), 6) for t in (0, 10, 25, 50, 100)]
    [0.999, 0.999024, 0.999146, 0.999499, 0.999999]
    """

    start: float = 0.999
    end: float = 0.999999
    constant: float = 0.1
    warmup: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.start < 1:
            raise ValueError(f"start must be in [0, 1), got start={self.start!r}")
        if not self.start <= self.end <= 1:
            raise ValueError(f"end must be in [start, 1], got start={self.start!r}, end={self.end!r}")
        if not 0 <= self.constant <= 1:
            raise ValueError(f"constant must be in [0, 1], got constant={self.constant!r}")
        if self.warmup < 1:
            raise ValueError(f"warmup must be at least 1, got warmup={self.warmup!r}")

    def at(self, step: int, total_steps: int | None) -> float:
        """Return m after step `step` (from 0 on) of `total_steps`; steps beyond the last keep the last's.

        Without a total there is no schedule: m stays at `start`.
        """
        m = self.start
        progress = min(1.0, step / total_steps) if total_steps else 0.0
        if total_steps and progress >= self.constant:
            m = self.end - (self.end - self.start) * (1 + math.cos(math.pi * progress)) / 2
        return min(m, (1 + step) / (self.warmup + step))


class Teacher(nn.Module):
    """A moving average of a network: parameters and buffers, without gradients, always in evaluation mode.

    Hooks that other objectives installed on the network are copied with it, but act on the original only.

    NOTE[DIFF] In the released code of AutoMix the teacher stays in training mode and BatchNorm keeps statistics of its
    own; here buffers are averaged like parameters, so that a sample's mask does not depend on the rest of the batch and
    the teacher can be shipped as it is.

    Args:
        model: the network to follow; torch.compile's and DDP's wrappers are left out.

    >>> teacher = Teacher(nn.Linear(2, 1))
    >>> any(p.requires_grad for p in teacher.parameters()), teacher.train().training
    (False, False)
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = copy.deepcopy(unwrapped(model)).requires_grad_(False)
        self.train(False)

    def forward(self, inputs: Any) -> Tensor:
        """Return the averaged network's logits."""
        logits: Tensor = self.model(inputs)
        return logits

    def train(self, mode: bool = True) -> "Teacher":
        """Stay in evaluation mode, whatever `mode` says."""
        return super().train(False)

    def equals(self, model: nn.Module) -> bool:
        """Return whether all parameters are those of `model`."""
        pairs = zip(self.model.parameters(), unwrapped(model).parameters(), strict=True)
        return all(torch.equal(own, other) for own, other in pairs)

    @torch.no_grad()
    def follow(self, model: nn.Module, momentum: float) -> None:
        """Move towards `model`: momentum times itself plus the rest of it; what cannot be averaged is copied.

        Counters (BatchNorm's number of batches) and flags are copied.

        Raises:
            ValueError: trainable parameters are in half precision, where small moves are lost in rounding.
        """
        student = unwrapped(model)
        for parameter in student.parameters():
            if parameter.requires_grad and parameter.dtype in (torch.float16, torch.bfloat16):
                raise ValueError(
                    f"a moving average needs parameters in float32 or better, got {parameter.dtype}: it would never "
                    'move; train in mixed precision instead, with torch.autocast or precision="bf16-mixed"'
                )
        pairs = [
            *zip(self.model.parameters(), student.parameters(), strict=True),
            *zip(self.model.buffers(), student.buffers(), strict=True),
        ]
        averaged = [(own, other) for own, other in pairs if own.is_floating_point() or own.is_complex()]
        torch._foreach_lerp_([own.detach() for own, _ in averaged], [other for _, other in averaged], 1 - momentum)
        for own, other in pairs:
            if not (own.is_floating_point() or own.is_complex()):
                own.copy_(other)


class AfterSteps:
    """Something that happens after each step of one optimizer; a copy is attached to none."""

    def __init__(self) -> None:
        self._handle: Any = None

    @property
    def attached(self) -> bool:
        """Whether there is an optimizer."""
        return self._handle is not None

    def attach(self, optimizer: torch.optim.Optimizer, act: Callable[[], None]) -> None:
        """Let `act` happen after the steps of `optimizer`, and no more after those of an earlier one."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = optimizer.register_step_post_hook(lambda *_: act())

    def __getstate__(self) -> dict[str, Any]:
        return {"_handle": None}


def check_followed(teacher: Teacher, model: nn.Module, after_steps: AfterSteps) -> None:
    """Raise RuntimeError if `model` has moved away from a `teacher` that no optimizer lets follow."""
    # values, not version counters, which fused optimizers leave alone
    if not after_steps.attached and not teacher.equals(model):
        raise RuntimeError(
            "the objective must be attached to the optimizer, but its model has changed without and the moving average "
            "did not follow; call objective.attach(optimizer) before the first step"
        )
