"""Any objective with a moving average of its model beside it: the control for what AutoMix's teacher brings."""

from typing import Any

import torch
from torch import Tensor, nn

from mixkit.momentum import AfterSteps, Momentum, Teacher, check_followed
from mixkit.objectives import Objective


class Averaged(Objective):
    """Trains as another objective does and ships a moving average of its model.

    Args:
        objective: what trains, e.g. `Erm(model, task)`.
        momentum: the average's schedule.
        total_steps: steps of the optimizer in the whole training; without it the momentum stays at its start.

    >>> from mixkit import Erm, MultiClass
    >>> model = nn.Linear(4, 3)
    >>> objective = Averaged(Erm(model, MultiClass(3)), total_steps=100)
    >>> optimizer = torch.optim.SGD(objective.param_groups(), lr=0.1)
    >>> objective.attach(optimizer)
    >>> objective.deploy() is model
    False
    """

    def __init__(
        self, objective: Objective, *, momentum: Momentum | None = None, total_steps: int | None = None
    ) -> None:
        super().__init__(objective.model, objective.task)
        self.objective = objective
        self.teacher = Teacher(objective.model)
        self.momentum = Momentum() if momentum is None else momentum
        self.total_steps = total_steps
        self.steps = 0
        self._after_steps = AfterSteps()

    def training_terms(self, inputs: Any, targets: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """Return the terms of the objective inside."""
        check_followed(self.teacher, self.model, self._after_steps)
        return self.objective.training_terms(inputs, targets, weights)

    def param_groups(self) -> list[dict[str, Any]]:
        """Return the parameter groups of the objective inside."""
        return self.objective.param_groups()

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Check that `optimizer` holds everything, and let the average follow after each of its steps."""
        super().attach(optimizer)
        self.objective.attach(optimizer)
        self._after_steps.attach(optimizer, self._after_step)

    def deploy(self) -> nn.Module:
        """Return the average."""
        return self.teacher.model

    def _after_step(self) -> None:
        """Let the average follow, and count the step."""
        self.teacher.follow(self.model, self.momentum.at(self.steps, self.total_steps))
        self.steps += 1

    def get_extra_state(self) -> dict[str, Any]:
        """Return the number of steps."""
        return {"steps": self.steps}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_extra_state` returned."""
        self.steps = state["steps"]
