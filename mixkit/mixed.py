"""The loss on mixed samples: `Mixed`, and what it shares with other objectives that mix."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn

from mixkit.clean import Clean, CleanRows, Concatenated, InBatch, take
from mixkit.decoupled import decoupled_loss
from mixkit.mix import Mixing
from mixkit.objectives import Objective
from mixkit.penalties import Penalty, Step
from mixkit.placement import AtInputs, Passed, Placement
from mixkit.plan import Plan
from mixkit.randomness import fresh_generator
from mixkit.tasks import MultiClass, Task, positive

KeepDraw = Callable[[Any, Tensor | None], Plan]
"""(what is mixed, rows that stay clean as bool (B,) or None) -> plan."""


class MixingObjective(Objective):
    """An objective whose model sees mixed samples, and clean ones where a term needs them; abstract.

    Args:
        model: inputs -> logits (B, K).
        task: what the logits mean.
        place: where the plan acts; None: `AtInputs()`.
        penalty: on the clean rows, e.g. `MixupE(1e-3)`.
        generator: where all draws come from, a CPU generator; None: a private one from fresh entropy.
        clean: how clean rows are had, if a term needs any; says what BatchNorm sees.  `InBatch` holds without, too.
        clean_weight: weight of the clean rows' plain loss.
        total_steps: steps of the whole training, where known.

    Raises:
        ValueError: clean_weight is negative.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        place: Placement | None,
        *,
        penalty: Penalty | None,
        generator: Generator | None,
        clean: Clean,
        clean_weight: float,
        total_steps: int | None,
    ) -> None:
        super().__init__(model, task)
        if not clean_weight >= 0:
            raise ValueError(f"clean_weight must be non-negative, got {clean_weight=}")
        self.penalty = penalty
        self.clean = clean
        self.clean_weight = clean_weight
        self.total_steps = total_steps
        self.steps = 0
        self.generator = fresh_generator() if generator is None else generator
        self.place: Placement = AtInputs() if place is None else place
        self._placed = self.place.on(model)

    @property
    def progress(self) -> float:
        """How much of the training is done, in [0, 1]; 0 where total_steps is not given."""
        return min(1.0, self.steps / self.total_steps) if self.total_steps else 0.0

    def mixed_terms(
        self, inputs: Any, targets: Tensor, weights: Tensor | None, draw: KeepDraw, partner_share: float
    ) -> tuple[dict[str, Tensor], Passed]:
        """Return the model's terms on a batch mixed by `draw`, rescaled if there is a penalty, and what came out.

        Args:
            inputs: the batch.
            targets: float (B, K).
            weights: (B,), (B, K) or None.
            draw: see `KeepDraw`.
            partner_share: E[a] of what is drawn, for the penalty.
        """
        size = len(targets)
        clean = self._clean_rows(size)
        passed = self._placed(
            inputs, lambda mixable: draw(mixable, clean.keep), clean.beside, size=size, generator=self.generator
        )
        terms = {"mixed": self.task.loss(passed.mixed, *mix_targets(passed.plan, targets, weights))}
        if self.penalty is not None or self.clean_weight:
            terms |= self._clean_terms(inputs, targets, weights, clean, passed, partner_share=partner_share)
        return (rescaled(terms) if "penalty" in terms else terms), passed

    def _clean_rows(self, size: int) -> CleanRows:
        """Return the rows that this step needs clean: without a penalty or a clean loss only those that stay so."""
        if self.penalty is None and self.clean_weight == 0 and not isinstance(self.clean, InBatch):
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


class Mixed(MixingObjective):
    """The loss on mixed samples, and what goes with it: the terms "mixed", "clean", "penalty", "decoupled".

    Args:
        model: inputs -> logits (B, K).
        task: what the logits mean.
        mix: what is mixed with whom: `Mix`, `OneOf` or `Chain`.
        place: where the plan acts; `AtInputs()`, `AtSite(name)`, `AtOneOf(...)`.
        penalty: on the clean rows, e.g. `MixupE(1e-3)`.  The sum of all terms is rescaled to the value it has without
            the penalty (Zou et al. 2023, eqs. 8-9), by a factor without gradient.
        generator: where all draws come from, a CPU generator; None: a private one from fresh entropy.
        clean: how clean rows are had, if the penalty or `clean_weight` wants any; says what BatchNorm sees.  `InBatch`
            keeps its share of the batch clean in any case.
        clean_weight: weight of the clean rows' plain loss; 1.0 is RegMixup (Pinto et al. 2022, arXiv:2206.14502).
        decoupled_weight: weight of the decoupled loss of the mixed samples (Liu et al. 2022, arXiv:2203.10761), 0.1
            there; for `MultiClass` and mixes of two samples.
        total_steps: steps of the whole training; needed if mixing ends before (`until` < 1).

    Raises:
        ValueError: mixing ends early but total_steps is not given; a weight is negative; the decoupled loss is asked
            for without classes.

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
        decoupled_weight: float = 0.0,
        total_steps: int | None = None,
    ) -> None:
        if mix.until < 1 and not total_steps:
            raise ValueError(
                f"total_steps must be given when mixing ends early, got until={mix.until} and {total_steps=}"
            )
        if not decoupled_weight >= 0:
            raise ValueError(f"decoupled_weight must be non-negative, got {decoupled_weight=}")
        if decoupled_weight and not isinstance(task, MultiClass):
            raise ValueError(f"decoupled_weight needs a task with exclusive classes, got {task}")
        super().__init__(
            model,
            task,
            place,
            penalty=penalty,
            generator=generator,
            clean=Concatenated() if clean is None else clean,
            clean_weight=clean_weight,
            total_steps=total_steps,
        )
        self.mix = mix
        self.decoupled_weight = decoupled_weight

    def training_terms(self, inputs: Any, targets: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """Return the rescaled terms of one step; see the class."""
        progress = self.progress
        self.steps += 1

        def draw(mixable: Any, keep: Tensor | None) -> Plan:
            return self.mix.draw(mixable, targets, self.generator, progress=progress, keep=keep)

        terms, passed = self.mixed_terms(inputs, targets, weights, draw, self.mix.partner_share(progress))
        if self.decoupled_weight:
            loss = decoupled_loss(passed.mixed, targets, passed.plan, weights)
            terms["decoupled"] = self.decoupled_weight * loss
        return terms


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
