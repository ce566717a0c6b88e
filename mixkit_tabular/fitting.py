"""Training one network on rows of a table: what the estimators do in `fit`, without their bookkeeping."""

import copy
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mixkit.comparison.problems import IntArray, Prepared, Recipe
from mixkit.method import method
from mixkit.objectives import Objective, evaluating
from mixkit.randomness import derived_generator, derived_seed
from mixkit.tasks import Task
from mixkit.training.evaluation import chunks
from mixkit.training.loop import (
    Schedule,
    build_model,
    cosine,
    seeded_step,
    steps_per_epoch,
    train,
    training_fabric,
)
from mixkit.training.threads import one_thread
from mixkit_tabular.batch import TableBatch
from mixkit_tabular.columns import Roles
from mixkit_tabular.network import for_members, network_from_card, over_members
from mixkit_tabular.preprocess import TablePreprocessor
from mixkit_tabular.problem import assemble, network_card

MODEL, DRAWS, TOKENS = 1, 2, 3  # streams derived from a fit's seed
ROWS_AT_ONCE = 4096
PRECISE_ROWS = 4096
Told = Callable[[int, int, float], None]
"""(epochs done, epochs in all, loss of the last one)."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows to learn from.

    Attributes:
        frame: features.
        roles: of its columns.
        labels: what the task encodes: class codes (n,), multi-hot (n, K) or values (n, K).
        task: what they mean.
        weights: float64 (n,), positive.
        groups: int64 (n,) codes of rows that belong together, or None.
    """

    frame: pd.DataFrame
    roles: Roles
    labels: npt.NDArray[Any]
    task: Task
    weights: npt.NDArray[np.float64]
    groups: IntArray | None

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A method, and values of its parameters that differ from the defaults for tables."""

    method: str
    parameters: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        values = ", ".join(f"{name}={value:g}" for name, value in self.parameters.items())
        return f"{self.method} ({values})" if values else self.method


@dataclass(frozen=True)
class Options:
    """How a network is built and trained; None: chosen by the number of rows and the task.

    Attributes:
        network: what differs from `network_card`: width, depth, dropout, members.
        recipe: what differs from `recipe`: epochs, batch_size, learning_rate, weight_decay.
        patience: epochs without a better validation loss after which training stops.
        device: as `training_fabric` takes it.
        schedule: of the learning rate.
    """

    network: Mapping[str, Any]
    recipe: Mapping[str, Any]
    patience: int | None
    device: str
    schedule: Schedule = cosine


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained network and what it needs to see a table.

    Attributes:
        network: on the CPU, in float32, in evaluation mode.
        preprocessor: of the features.
        card: of the network.
        epochs: a record an epoch: loss, and the validation loss where there are validation rows.
        best_epoch: the epoch whose weights these are, from 1 on.
    """

    network: nn.Module
    preprocessor: TablePreprocessor
    card: dict[str, Any]
    epochs: tuple[dict[str, float], ...]
    best_epoch: int


def fit_network(
    rows: Rows,
    picked: IntArray,
    candidate: Candidate,
    options: Options,
    *,
    seed: int,
    validation: IntArray | None = None,
    start: Fitted | None = None,
    stop: float = 1.0,
    told: Told | None = None,
) -> Fitted:
    """Train a network on the rows `picked`, and return it as of its best epoch on the rows `validation`.

    Args:
        rows: all rows.
        picked: int64, those to train on.
        candidate: how they are mixed.
        options: of network and training.
        seed: decides on everything random.
        validation: int64; the epoch with the smallest loss on them is kept.  None: the last epoch is.
        start: where training goes on from, with its preprocessing; None: a fresh network.
        stop: share of the epochs after which training stops, whatever the schedule was made for.
        told: hears of every epoch.

    Raises:
        ValueError: the method is not for tables, for this task, or takes no such parameter.
        FloatingPointError: the loss became NaN or infinite.
    """
    fabric = training_fabric(options.device)
    with one_thread(fabric.device):
        return _fit(
            rows,
            picked,
            candidate,
            options,
            fabric,
            seed=seed,
            validation=validation,
            start=start,
            stop=stop,
            told=told,
        )


def _fit(
    rows: Rows,
    picked: IntArray,
    candidate: Candidate,
    options: Options,
    fabric: Fabric,
    *,
    seed: int,
    validation: IntArray | None,
    start: Fitted | None,
    stop: float,
    told: Told | None,
) -> Fitted:
    preprocessor, prepared = prepare(rows, picked, options, start)
    recipe_ = replace(prepared.recipe, **options.recipe)
    objective = build_objective(prepared, picked, candidate, recipe_, seed)
    if start is not None:
        objective.model.load_state_dict(start.network.state_dict())
    targets = for_members(prepared.targets, prepared.card["network"]["members"])
    weights = None  # weights that are all alike are none, bit for bit
    if (rows.weights != rows.weights[0]).any():
        scaled = rows.weights / rows.weights.max()  # the sum of huge weights would overflow
        weights = torch.from_numpy(scaled / scaled.mean()).float()
    history: list[dict[str, float]] = []
    best: tuple[float, int, dict[str, Tensor]] | None = None
    for epoch in train(
        objective, prepared, picked, targets, recipe_, seed=seed, fabric=fabric, weights=weights,
        schedule=options.schedule,
    ):  # fmt: skip
        history.append({"epoch": epoch.number, "loss": epoch.loss})
        if told is not None:
            told(epoch.number, recipe_.epochs, epoch.loss)
        if validation is not None:
            loss = validation_loss(objective.deploy(), rows, prepared, validation)
            history[-1]["validation_loss"] = loss
            if best is None or loss < best[0]:
                best = (loss, epoch.number, copy.deepcopy(objective.deploy().state_dict()))
            elif options.patience is not None and epoch.number - best[1] >= options.patience:
                break
        if epoch.number >= round(stop * recipe_.epochs):
            break
    network = copy.deepcopy(objective.deploy()).cpu()
    if best is not None:
        network.load_state_dict(best[2])
    return Fitted(
        clean_network(network, prepared.card["network"]),
        preprocessor,
        dict(prepared.card["network"]),
        tuple(history),
        len(history) if best is None else best[1],
    )


def prepare(rows: Rows, picked: IntArray, options: Options, start: Fitted | None) -> tuple[TablePreprocessor, Prepared]:
    """Return preprocessing fitted on the rows `picked` or taken from `start`, and what a training needs."""
    targets = rows.task.encode(torch.from_numpy(rows.labels))
    if start is None:
        preprocessor = TablePreprocessor.fit(rows.frame.iloc[picked], rows.roles)
        card = {**network_card(preprocessor, targets.shape[1], len(picked)), **options.network}
    else:
        preprocessor, card = start.preprocessor, start.card
    whole = {"network": card, "training_rows": len(picked)}
    return preprocessor, assemble(whole, preprocessor, preprocessor.transform(rows.frame), targets, rows.task)


def build_objective(
    prepared: Prepared, picked: IntArray, candidate: Candidate, recipe_: Recipe, seed: int
) -> Objective:
    """Return the objective of a candidate on a fresh network.

    Raises:
        ValueError: the method is not for tables or for this task, or takes no such parameter.
    """
    chosen = method(candidate.method)
    if "table" not in chosen.modalities:
        raise ValueError(f"method must be for tables, got {chosen.name!r}, which is for {', '.join(chosen.modalities)}")
    if not isinstance(prepared.task, chosen.tasks):
        kinds = " or ".join(kind.__name__ for kind in chosen.tasks)
        raise ValueError(f"method {chosen.name!r} is for {kinds}, got a target for {type(prepared.task).__name__}")
    parameters = chosen.parameters("table")
    unknown = sorted(candidate.parameters.keys() - parameters.keys())
    if unknown:
        raise ValueError(f"method {chosen.name!r} takes {sorted(parameters) or 'no parameters'}, got {unknown[0]!r}")
    model = build_model(prepared, derived_seed(seed, MODEL))
    setting = prepared.setting(
        model,
        picked,
        draws=derived_generator(seed, DRAWS),
        tokens=derived_generator(seed, TOKENS),
        total_steps=recipe_.epochs * steps_per_epoch(len(picked), recipe_.batch_size),
    )
    return chosen.build(setting, {**parameters, **candidate.parameters})


def validation_loss(network: nn.Module, rows: Rows, prepared: Prepared, validation: IntArray) -> float:
    """Return the plain loss on the rows `validation`, by their weights."""
    device = next(network.parameters()).device
    with evaluating(network), torch.no_grad():
        parts = [over_members(network(prepared.batch(some).to(device))) for some in chunks(validation, ROWS_AT_ONCE)]
    weights = torch.from_numpy(rows.weights[validation])
    return float(rows.task.loss(torch.cat(parts).cpu().double(), prepared.targets[validation], weights))


def clean_network(network: nn.Module, card: Mapping[str, Any]) -> nn.Module:
    """Return a network with these weights and nothing else: no hooks, no gradients, no buffers of a training."""
    fresh = build_from_card(card)
    fresh.load_state_dict(network.state_dict())
    return fresh.eval().requires_grad_(False)


def build_from_card(card: Mapping[str, Any]) -> nn.Module:
    """Return a network whose weights mean nothing yet; no global generator is touched."""
    with seeded_step(0, torch.device("cpu")):
        return network_from_card(card)


def predict_logits(fitted: Fitted, frame: pd.DataFrame, device: str) -> npt.NDArray[np.float64]:
    """Return logits (n, K) as float64.

    On the CPU up to 4,096 rows run in double precision, so that a row's prediction does not depend on the rows beside
    it; more run in single precision, which is faster.
    """
    where = training_fabric(device).device
    precise = where.type == "cpu" and len(frame) <= PRECISE_ROWS
    network = copy.deepcopy(fitted.network).to(where, torch.float64 if precise else torch.float32)
    logits = []
    with torch.no_grad(), one_thread(where) if precise else nullcontext():
        for start in range(0, len(frame), ROWS_AT_ONCE):  # few enough to stay in the processor's cache
            rows = fitted.preprocessor.transform(frame.iloc[start : start + ROWS_AT_ONCE])
            inputs = TableBatch(rows.numeric.double(), rows.codes) if precise else rows
            logits.append(over_members(network(inputs.to(where))).double().cpu())
    return torch.cat(logits).numpy()
