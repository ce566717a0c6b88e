"""One training step's loss: the base class `Objective`, and `Erm`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mixkit.tasks import MultiClass, MultiLabel, Task, check_smoothing


class Objective(nn.Module, ABC):
    """One training step's loss; abstract.

    Calling it with (inputs, targets, weights) returns a dict of named scalar terms; their sum is what is minimised.  In
    `eval()` it is the plain loss.  The model is used as it is and stays the caller's.
    """

    def __init__(self, model: nn.Module, task: Task) -> None:
        super().__init__()
        self.model = model
        self.task = task
        self._looked = False

    @abstractmethod
    def training_terms(self, inputs: Any, targets: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """Return the named terms of one training step."""

    def forward(self, inputs: Any, targets: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
        """Return named scalar terms whose sum is minimised.

        Args:
            inputs: a batch as the model takes it.
            targets: float (B, K), from `task.encode`; NaN where a label is missing.
            weights: sample weights (B,), or weights of single labels (B, K); None: all one.

        Raises:
            ValueError: targets are not float (B, K), weights are negative, lengths differ, or values are NaN or
                infinite (on an accelerator the first batch is looked at, later ones are not, so as not to wait for the
                device).
        """
        check_targets(targets, weights)
        check_lengths(inputs, targets)
        if not (self._looked and targets.device.type != "cpu"):
            self._looked = True
            check_values(inputs, targets, weights)
        if self.training:
            return self.training_terms(inputs, targets, weights)
        return {"loss": self.task.loss(self.deploy()(inputs), targets, weights)}

    def param_groups(self) -> list[dict[str, Any]]:
        """Return the parameter groups for an optimizer."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Check that `optimizer` holds all trainable parameters, and register what has to happen after its steps.

        Raises:
            ValueError: a parameter of the objective is missing from the optimizer.
        """
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        missing = [name for name, p in self.named_parameters() if p.requires_grad and id(p) not in held]
        if missing:
            some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise ValueError(
                f"optimizer must hold all parameters of the objective, but {len(missing)} are missing ({some}); "
                "build it from objective.param_groups()"
            )

    def deploy(self) -> nn.Module:
        """Return the network to ship."""
        return self.model


class Erm(Objective):
    """Empirical risk minimisation: the plain loss, under the term "loss".

    Args:
        model: inputs -> logits (B, K).
        task: what the logits mean.
        label_smoothing: e in [0, 1), how much the targets of a training step are smoothed, however they were encoded.

    Raises:
        ValueError: label_smoothing is out of range, or the task has no labels to smooth.

    >>> from mixkit.tasks import MultiClass
    >>> task = MultiClass(3)
    >>> objective = Erm(nn.Linear(4, 3), task)
    >>> sorted(objective(torch.rand(2, 4), task.encode([0, 2])))
    ['loss']
    """

    def __init__(self, model: nn.Module, task: Task, *, label_smoothing: float = 0.0) -> None:
        super().__init__(model, task)
        check_smoothing(label_smoothing)
        if label_smoothing and not isinstance(task, MultiClass | MultiLabel):
            raise ValueError(f"label_smoothing must have a task with classes or labels, got {task}")
        self.label_smoothing = label_smoothing

    def training_terms(self, inputs: Any, targets: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """Return the plain loss."""
        if isinstance(self.task, MultiClass | MultiLabel):
            targets = self.task.smooth(targets, self.label_smoothing)
        return {"loss": self.task.loss(self.model(inputs), targets, weights)}


def check_targets(targets: Tensor, weights: Tensor | None) -> None:
    """Raise ValueError unless targets are float (B, K) or (B, K, frames) and weights fit them."""
    if not (isinstance(targets, Tensor) and targets.is_floating_point() and targets.ndim >= 2):
        what = f"{targets.dtype} {tuple(targets.shape)}" if isinstance(targets, Tensor) else type(targets).__name__
        raise ValueError(f"targets must be float of shape (B, K), got {what}; encode labels with task.encode")
    if weights is None:
        return
    if not (isinstance(weights, Tensor) and weights.ndim > 0 and weights.shape == targets.shape[: weights.ndim]):
        what = str(tuple(weights.shape)) if isinstance(weights, Tensor) else type(weights).__name__
        raise ValueError(f"weights must be a tensor ({len(targets)},) or {tuple(targets.shape)}, got {what}")


def check_lengths(inputs: Any, targets: Tensor) -> None:
    """Raise ValueError if tensor inputs have another length than targets."""
    if isinstance(inputs, Tensor) and len(inputs) != len(targets):
        raise ValueError(f"inputs and targets must have one length, got {len(inputs)} and {len(targets)}")


def check_values(inputs: Any, targets: Tensor, weights: Tensor | None) -> None:
    """Raise ValueError if inputs hold NaN or infinite values, targets infinite ones, or weights negative ones."""
    # one pass over the inputs; only a sum that is not finite is worth a closer look
    if isinstance(inputs, Tensor) and inputs.is_floating_point() and not finite_sum(inputs):
        bad = ~inputs.detach().isfinite().flatten(1).all(1) if inputs.ndim > 1 else ~inputs.isfinite()
        if bool(bad.any()):
            raise ValueError(
                f"inputs must be finite, got NaN or infinite values in rows {bad.nonzero().flatten().tolist()[:5]}; "
                "impute or drop them"
            )
    if bool(targets.isinf().any()):
        raise ValueError("targets must be finite, or NaN where a label is missing, got infinite values")
    if weights is not None and not bool(((weights >= 0) & weights.isfinite()).all()):
        raise ValueError(f"weights must be non-negative and finite, got a smallest one of {float(weights.min())}")


def finite_sum(inputs: Tensor) -> bool:
    """Return whether the sum of `inputs` in float32 is finite."""
    return bool(inputs.detach().sum(dtype=torch.float32).isfinite())


@contextmanager
def evaluating(objective: nn.Module) -> Iterator[None]:
    """Put `objective` into evaluation mode, and back into the mode it was in."""
    training = objective.training
    objective.eval()
    try:
        yield
    finally:
        objective.train(training)
