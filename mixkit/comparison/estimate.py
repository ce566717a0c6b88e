"""What a comparison will cost, measured on a few steps, and what it can detect, before it runs."""

import time
from dataclasses import dataclass

import numpy as np
import torch

from mixkit.comparison.problems import Prepared, Problem
from mixkit.comparison.run import Run, build
from mixkit.comparison.tuning import Trial
from mixkit.randomness import derived_seed
from mixkit.training.loop import batches, seeded_step, set_up, steps_per_epoch, training_fabric
from mixkit.training.threads import one_thread

STEPS = 8  # some methods do more in every fourth step
ON_TOP, FIXED = 1.25, 0.2  # evaluation, and seconds of set-up, of a run


@dataclass(frozen=True)
class Estimate:
    """Measured cost of a method on a problem.

    Attributes:
        epochs: of one run.
        seconds_per_epoch: training only.
    """

    epochs: int
    seconds_per_epoch: float

    @property
    def seconds(self) -> float:
        """Seconds of one run: evaluation and set-up add about a quarter and a fixed part."""
        return ON_TOP * self.epochs * self.seconds_per_epoch + FIXED

    def epochs_in(self, seconds: float) -> int:
        """Return how many epochs make a run of so many seconds, at least one."""
        return max(1, int((seconds - FIXED) / (ON_TOP * self.seconds_per_epoch)))


def estimate(problem: Problem, prepared: Prepared, run: Run) -> Estimate:
    """Time a few training steps of `run`, the first one left out."""
    fabric = training_fabric(run.device, run.precision)
    objective, recipe = build(prepared, run, Trial(run.parameters))
    targets = objective.task.encode(torch.from_numpy(problem.labels))
    step_terms, optimizer = set_up(objective, recipe, fabric)
    rows = run.cell.train[: (STEPS + 1) * recipe.batch_size]
    times = []
    # rows may be fewer than a few batches: go round as often as it takes
    epochs = range(1 + (STEPS + 1) // steps_per_epoch(len(rows), recipe.batch_size))
    with one_thread(fabric.device), seeded_step(derived_seed(run.cell.seed), fabric.device):
        for epoch in epochs:
            started = time.perf_counter()
            for inputs, picked in batches(prepared, rows, recipe.batch_size, run.cell.seed, epoch):
                terms = step_terms(inputs.to(fabric.device), targets[picked].to(fabric.device), None)
                fabric.backward(torch.stack(list(terms.values())).sum())
                optimizer.step()
                optimizer.zero_grad()
                if fabric.device.type == "cuda":
                    torch.cuda.synchronize(fabric.device)
                times.append(time.perf_counter() - started)
                started = time.perf_counter()
    steps = steps_per_epoch(len(run.cell.train), recipe.batch_size)
    return Estimate(recipe.epochs, steps * float(np.mean(times[1:] or times)))
