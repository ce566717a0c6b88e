"""One training step's loss: `Erm` and `Mixed`; mixup, CutMix, RegMixup and MixupE are arguments of `Mixed`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Generator, Tensor, nn

from mixkit.clean import Clean, CleanRows, Concatenated, take
from mixkit.mix import Mixing
from mixkit.penalties import Penalty, Step
from mixkit.placement import AtInputs, Passed, Placement
from mixkit.plan import Plan
from mixkit.randomness import fresh_generator
from mixkit.tasks import MultiClass, MultiLabel, Task, check_smoothing, positive


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
        return {"loss": self.task.loss(self.model(inputs), targets, weights)}

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


class Mixed(Objective):
    """The loss on mixed samples, and what goes with it: the terms "mixed", "clean", "penalty".

    Args:
        model: inputs -> logits (B, K).
        task: what the logits mean.
        mix: what is mixed with whom: `Mix`, `OneOf` or `Chain`.
        place: where the plan acts; `AtInputs()`, `AtSite(name)`, `AtOneOf(...)`.
        penalty: on the clean rows, e.g. `MixupE(1e-3)`.  The sum of all terms is rescaled to the value it has without
            the penalty (Zou et al. 2023, eqs. 8-9), by a factor without gradient.
        generator: where all draws come from, a CPU generator; None: a private one from fresh entropy.
        clean: how clean rows are had, if the penalty or `clean_weight` wants any; says what BatchNorm sees.
        clean_weight: weight of the clean rows' plain loss; 1.0 is RegMixup (Pinto et al. 2022, arXiv:2206.14502).
        total_steps: steps of the whole training; needed if mixing ends before (`until` < 1).

    Raises:
        ValueError: mixing ends early but total_steps is not given; clean_weight is negative.

    >>> from mixkit import BetaPairs, Blend, Mix, MixupE, MultiClass
    >>> task = MultiClass(3)
    >>> objective = Mixed(nn.Linear(4, 3), task, Mix(Blend(), BetaPairs(1.0)), penalty=MixupE(1e-3))
    >>> sorted(objective(torch.rand(2, 4), task.encode([0, 2])))
    ['mixed', 'penalty']
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        mix: Mixing,
        place: Placement | None = None,
        *,
        penalty: Penalty | None = None,
        generator: Generator | None = None,
        clean: Clean | None = None,
        clean_weight: float = 0.0,
        total_steps: int | None = None,
    ) -> None:
        super().__init__(model, task)
        if mix.until < 1 and not total_steps:
            raise ValueError(
                f"total_steps must be given when mixing ends early, got until={mix.until} and {total_steps=}"
            )
        if not clean_weight >= 0:
            raise ValueError(f"clean_weight must be non-negative, got {clean_weight=}")
        self.mix = mix
        self.penalty = penalty
        self.clean = Concatenated() if clean is None else clean
        self.clean_weight = clean_weight
        self.total_steps = total_steps
        self.steps = 0
        self.generator = fresh_generator() if generator is None else generator
        self._placed = (AtInputs() if place is None else place).on(model)

    @property
    def progress(self) -> float:
        """How much of the training is done, in [0, 1]; 0 where total_steps is not given."""
        return min(1.0, self.steps / self.total_steps) if self.total_steps else 0.0

    def training_terms(self, inputs: Any, targets: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """Return the rescaled terms of one step; see the class."""
        progress, size = self.progress, len(targets)
        self.steps += 1
        clean = self._clean_rows(size)

        def draw(mixable: Any) -> Plan:
            return self.mix.draw(mixable, targets, self.generator, progress=progress, keep=clean.keep)

        passed = self._placed(inputs, draw, clean.beside, size=size, generator=self.generator)
        terms = {"mixed": self.task.loss(passed.mixed, *mix_targets(passed.plan, targets, weights))}
        if clean != CleanRows():
            share = self.mix.partner_share(progress)
            terms |= self._clean_terms(inputs, targets, weights, clean, passed, partner_share=share)
        return rescaled(terms) if "penalty" in terms else terms

    def _clean_rows(self, size: int) -> CleanRows:
        """Return the rows that this step needs clean: none without a penalty or a clean loss."""
        if self.penalty is None and self.clean_weight == 0:
            return CleanRows()
        return self.clean.rows(size, self.generator)

    def _clean_terms(
        self,
        inputs: Any,
        targets: Tensor,
        weights: Tensor | None,
        clean: CleanRows,
        passed: Passed,
        *,
        partner_share: float,
    ) -> dict[str, Tensor]:
        """Return the terms that stand on clean rows."""
        rows, logits = clean.indices(), self._clean_logits(inputs, clean, passed, size=len(targets))
        own, weight = take(targets, rows), None if weights is None else take(weights.to(targets.device), rows)
        terms = {}
        if self.clean_weight:
            terms["clean"] = self.clean_weight * self.task.loss(logits, own, weight)
        if self.penalty is not None:
            step = Step(
                model=self.model,
                inputs=take(inputs, rows) if isinstance(inputs, Tensor) else None,
                logits=logits,
                targets=own,
                weights=weight,
                plan=passed.plan,
                task=self.task,
                partner_share=partner_share,
            )
            terms["penalty"] = self.penalty(step)
        return terms

    def _clean_logits(self, inputs: Any, clean: CleanRows, passed: Passed, *, size: int) -> Tensor:
        """Return the logits of the clean rows (C, K)."""
        if clean.apart is None:
            return take(passed.mixed, clean.indices()) if passed.clean is None else passed.clean
        logits: Tensor = self.model(inputs)
        if len(logits) != size:
            raise ValueError(
                f"Separate() needs a row of logits a sample, got {len(logits)} for {size} samples; "
                "with AtSite(site, rows=...) take Concatenated() or InBatch()"
            )
        return logits

    def get_extra_state(self) -> dict[str, Any]:
        """Return what a checkpoint needs beside parameters: the generator's state and the number of steps."""
        return {"generator": self.generator.get_state(), "steps": self.steps}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_extra_state` returned."""
        self.generator.set_state(state["generator"])
        self.steps = state["steps"]


def mix_targets(plan: Plan, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return mixed targets and weights such that their loss has the gradient of the blended losses.

    sum_s c_s w_s loss(f, t_s) with shares c_s and weights w_s is, up to a constant, W loss(f, sum_s c_s w_s t_s / W)
    with W = sum_s c_s w_s: a missing label (weight 0) contributes nothing, also through a partner.  Where a plan's
    label shares do not sum to 1 (the union of two), their sum stays with the target.
    """
    missing = targets.isnan()
    # on an accelerator a look at the values would wait for the device: there the general form is taken always
    if weights is None and targets.device.type == "cpu" and not bool(missing.any()):
        return plan.targets(targets), None
    weights = torch.ones(len(targets)) if weights is None else weights
    weight = weights.to(targets.device, torch.float32)
    weight = weight.view(*weight.shape, *[1] * (targets.ndim - weight.ndim)).expand(targets.shape)
    weight = torch.where(missing, 0.0, weight)
    mixed_weight = plan.targets(weight)
    mixed = plan.targets(weight * torch.where(missing, 0.0, targets))
    shares = plan.targets(torch.ones_like(weight))
    return torch.where(mixed_weight > 0, shares * mixed / mixed_weight, 0.0), mixed_weight / positive(shares)


def rescaled(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return `terms` times |sum without penalty| / |sum|, a factor without gradient (Zou et al. 2023, eqs. 8-9)."""
    without = torch.stack([term.detach() for name, term in terms.items() if name != "penalty"]).sum()
    total = without + terms["penalty"].detach()
    factor = torch.where(total == 0, 1.0, without.abs() / total.abs())
    return {name: factor * term for name, term in terms.items()}


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
