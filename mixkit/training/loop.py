"""The training loop: a generator of `Epoch` records.  Devices, precision and ranks are Lightning Fabric's."""

import logging
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mixkit.comparison.problems import IntArray, Prepared, Recipe
from mixkit.objectives import Objective
from mixkit.randomness import derived_generator, derived_seed
from mixkit.training.memory import StepMemory

_TURN = threading.RLock()  # torch's global generators are one per process: trainings in threads take turns at them
ORDER, AUGMENT, STEP = 1, 2, 3  # the streams that are derived from a run's seed
StepTerms = Callable[[Any, Tensor, Tensor | None], dict[str, Tensor]]
Schedule = Callable[[float], float]
"""Share of the training done, in [0, 1) -> factor on the learning rate."""


def cosine(progress: float) -> float:
    """Return the factor that falls from 1 to 0 along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983).

    >>> [round(cosine(progress), 3) for progress in (0.0, 0.5, 1.0)]
    [1.0, 0.5, 0.0]
    """
    return 0.5 * (1 + math.cos(math.pi * progress))


def constant(progress: float) -> float:
    """Return 1, for training that has no end to plan for."""
    return 1.0


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        number: from 1 on.
        loss: mean over the epoch's steps of the sum of terms.
        seconds: wall-clock time of its steps.
        peak_bytes: memory of the largest step so far, see `StepMemory`.
    """

    number: int
    loss: float
    seconds: float
    peak_bytes: int


def training_fabric(device: str = "cpu", precision: str = "32-true", devices: int | str = 1) -> Fabric:
    """Return a Fabric for one run.

    Args:
        device: "cpu", "cuda", "mps" or "auto", also "cuda:1".
        precision: as Fabric names it: "32-true", "bf16-mixed", "16-mixed", "64-true", ...
        devices: how many, or which.

    Raises:
        ValueError: the device or the precision is not there.
    """
    kind, _, index = device.partition(":")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # else every run says how it trains
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hints about other accelerators and loaders' workers
            return Fabric(accelerator=kind, devices=[int(index)] if index else devices, precision=precision)  # type: ignore[arg-type]  # its Literal of precisions is private
    except Exception as error:
        # whatever Fabric raises here (its own exceptions among them) is about these two options
        raise ValueError(f"device and precision must exist here, got {device=}, {precision=}: {error}") from error


def train(
    objective: Objective,
    prepared: Prepared,
    rows: IntArray,
    targets: Tensor,
    recipe: Recipe,
    *,
    seed: int,
    fabric: Fabric,
    weights: Tensor | None = None,
    schedule: Schedule = cosine,
) -> Iterator[Epoch]:
    """Train `objective` in place and yield a record after each epoch.

    Order of samples, augmentation, dropout and the like depend on `seed`, epoch and step only, so that all methods of a
    seed see the same batches; no global generator is left changed.

    Args:
        objective: model, task and method.
        prepared: where batches come from.
        rows: int64 indices of the training rows.
        targets: encoded targets of all rows of the problem, float (n, K).
        recipe: epochs, batch size, learning rate, weight decay.
        seed: of this run.
        fabric: from `training_fabric`.
        weights: float (n,), sample weights of all rows of the problem; None: all one.
        schedule: of the learning rate.

    Raises:
        FloatingPointError: the loss became NaN or infinite.
    """
    step_terms, optimizer = set_up(objective, recipe, fabric)
    share = rows[fabric.global_rank :: fabric.world_size]
    per_epoch = steps_per_epoch(len(share), recipe.batch_size)
    total, memory = recipe.epochs * per_epoch, StepMemory(objective, fabric.device)
    rates = [group["lr"] for group in optimizer.param_groups]  # an objective may set its own for some parameters
    for epoch in range(recipe.epochs):
        started, losses = time.perf_counter(), []
        for index, (inputs, picked) in enumerate(batches(prepared, share, recipe.batch_size, seed, epoch)):
            step = epoch * per_epoch + index
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * schedule(step / total)
            with seeded_step(derived_seed(seed, STEP, step, fabric.global_rank), fabric.device), memory.watching():
                weight = None if weights is None else weights[picked].to(fabric.device)
                terms = step_terms(inputs.to(fabric.device), targets[picked].to(fabric.device), weight)
                loss = torch.stack(list(terms.values())).sum()
                fabric.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.detach())
        mean = float(torch.stack(losses).mean())  # the only wait for the device in an epoch
        if not math.isfinite(mean):
            raise FloatingPointError(
                f"the loss became {mean} in epoch {epoch + 1}; lower the learning rate, got {recipe.learning_rate}"
            )
        yield Epoch(epoch + 1, mean, time.perf_counter() - started, memory.peak())


def set_up(objective: Objective, recipe: Recipe, fabric: Fabric) -> tuple[StepTerms, torch.optim.Optimizer]:
    """Return (inputs, targets, weights) -> terms of a training step under `fabric`, and AdamW for all parameters."""
    rate, decay = recipe.learning_rate, recipe.weight_decay
    # fused: one call for all parameters takes half the time on the CPU too
    optimizer = torch.optim.AdamW(objective.param_groups(), lr=rate, weight_decay=decay, fused=True)
    objective.attach(optimizer)
    module, wrapped = fabric.setup(Unsealing(objective), optimizer)
    module.train()

    def step_terms(inputs: Any, targets: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = module(inputs if isinstance(inputs, Tensor) else Sealed(inputs), targets, weights)
        return terms

    return step_terms, wrapped


class Sealed:
    """Inputs that are no tensor, on their way through Fabric: it takes dataclasses apart and refuses frozen ones."""

    def __init__(self, inputs: Any) -> None:
        self.inputs = inputs


class Unsealing(nn.Module):
    """An objective behind Fabric's wrapper, which converts tensors to the precision and hands on what is sealed."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, inputs: Tensor | Sealed, targets: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
        """Return the objective's terms."""
        unsealed = inputs.inputs if isinstance(inputs, Sealed) else inputs
        terms: dict[str, Tensor] = self.objective(unsealed, targets, weights)
        return terms


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Return the number of batches in an epoch."""
    return math.ceil(rows / batch_size)


def batches(prepared: Prepared, rows: IntArray, batch_size: int, seed: int, epoch: int) -> Iterator[tuple[Any, Tensor]]:
    """Yield (inputs, their row indices) in this epoch's order, augmented where the problem says how."""
    generator = derived_generator(seed, AUGMENT, epoch)
    order = np.random.default_rng(derived_seed(seed, ORDER, epoch)).permutation(rows)
    for start in range(0, len(order), batch_size):
        picked = torch.from_numpy(order[start : start + batch_size])
        inputs = prepared.batch(picked)
        yield (inputs if prepared.augment is None else prepared.augment(inputs, generator)), picked


@contextmanager
def seeded_step(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators (dropout and the like) inside, and leave them as they were."""
    devices = [device] if device.type == "cuda" else []
    with _TURN, torch.random.fork_rng(devices):
        # torch.manual_seed would seed every accelerator there is, and while they are idle keep a stack trace for each
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield


def build_model(prepared: Prepared, seed: int) -> nn.Module:
    """Return a fresh network initialised from `seed`, without a trace in torch's global generators."""
    with seeded_step(derived_seed(seed), torch.device("cpu")):
        return prepared.model()
