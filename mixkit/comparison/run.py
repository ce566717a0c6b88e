"""One run of a comparison: train one method on one cell, score it, and describe what came out."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor

from mixkit.comparison.calibration import expected_calibration_error, fit_temperature, log_loss
from mixkit.comparison.learned_gallery import learned_gallery, packed
from mixkit.comparison.metrics import Metric
from mixkit.comparison.problems import Prepared, Problem, Recipe
from mixkit.comparison.splits import Cell
from mixkit.comparison.store import Record
from mixkit.comparison.tuning import Trial, is_better, trials
from mixkit.files import plural
from mixkit.method import method
from mixkit.objectives import Objective
from mixkit.randomness import derived_generator, derived_seed
from mixkit.report.summary import GalleryItem
from mixkit.tasks import MultiClass
from mixkit.training.evaluation import network_logits, predict_logits, robustness
from mixkit.training.loop import Epoch, build_model, steps_per_epoch, train, training_fabric
from mixkit.training.threads import one_thread

MODEL, DRAWS, TUNING, TOKENS, FURTHER = 11, 12, 13, 14, 15  # streams derived from a cell's seed
CURVE_POINTS = 12
Arrays = dict[str, npt.NDArray[Any]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Run:
    """What is trained: a method on a cell.

    Attributes:
        method: its name.
        cell: rows and seed.
        metrics: the primary metric first.
        epochs: of the training; None: the problem's own recipe.
        tune: number of tuning trials nested in the cell; 0: the documented defaults.
        device: as `training_fabric` takes it.
        precision: as `training_fabric` takes it.
        fingerprint: of the problem's data.
        parameters: defaults of the method for this kind of data.
    """

    method: str
    cell: Cell
    metrics: tuple[Metric, ...]
    epochs: int | None
    tune: int
    device: str
    precision: str
    fingerprint: str
    parameters: Mapping[str, float] = field(default_factory=dict)

    def key(self, problem: str) -> str:
        """Return a name for this run that changes whenever its numbers could."""
        what = [
            problem,
            self.fingerprint,
            self.method,
            self.metrics[0].name,
            sorted(self.parameters.items()),
            self.epochs,
            self.tune,
            self.device.partition(":")[0],
            self.precision,
            [self.cell.repeat, self.cell.fold, self.cell.seed],
            rows_digest(self.cell),
        ]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]


def rows_digest(cell: Cell) -> str:
    """Return a digest of a cell's rows."""
    digest = hashlib.sha256()
    for rows in (cell.train, cell.validation, cell.test):
        digest.update(np.ascontiguousarray(rows, dtype=np.int64).tobytes() + b"|")
    return digest.hexdigest()[:16]


def execute(problem: Problem, prepared: Prepared, run: Run, progress: Progress | None = None) -> tuple[Record, Arrays]:
    """Train and score `run`; return its record and arrays for the store.

    Args:
        problem: the data set.
        prepared: its preprocessing, fitted on the cell's training rows.
        run: what to train.
        progress: called with (epochs done, epochs in all) after every epoch.

    Raises:
        FloatingPointError: the training diverged.
        ValueError: the method cannot be built on this problem.
    """
    started = time.perf_counter()
    fabric = training_fabric(run.device, run.precision)
    with one_thread(fabric.device):
        trained = best_trial(problem, prepared, run, fabric, progress)
        scored, arrays = score(problem, prepared, run, trained, fabric)
        if (run.cell.repeat, run.cell.fold) == (0, 0) and (items := learned_items(problem, prepared, run, trained)):
            arrays["gallery"] = packed(items)
    recipe = trained.recipe
    record: Record = {
        "key": run.key(problem.name),
        "problem": problem.name,
        "method": run.method,
        "seed": run.cell.seed,
        "repeat": run.cell.repeat,
        "fold": run.cell.fold,
        "rows": {"train": len(run.cell.train), "validation": len(run.cell.validation), "test": len(run.cell.test)},
        **scored,
        "configuration": {**trained.trial.parameters, **asdict(recipe)},
        "tuning_trials": run.tune,
        "curve": trained.curve,
        "cost": {
            "seconds": time.perf_counter() - started,
            "seconds_per_epoch": float(np.median([epoch.seconds for epoch in trained.epochs])),
            "peak_bytes": trained.epochs[-1].peak_bytes,
        },
    }
    return record, arrays


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained objective and how it went."""

    objective: Objective
    trial: Trial
    recipe: Recipe
    epochs: list[Epoch]
    curve: dict[str, list[Any]]
    validation_score: float | None


def best_trial(problem: Problem, prepared: Prepared, run: Run, fabric: Fabric, progress: Progress | None) -> Trained:
    """Train every trial and return the one with the best primary metric on the validation rows; ties: the first."""
    candidates = trials(method(run.method), run.parameters, run.tune, derived_generator(run.cell.seed, TUNING))
    best: Trained | None = None
    for index, trial in enumerate(candidates):
        report = None if progress is None else offset(progress, index, len(candidates))
        trained = train_trial(problem, prepared, run, trial, fabric=fabric, progress=report)
        score = trained.validation_score
        if best is None or is_better(score, best.validation_score, higher=run.metrics[0].higher_is_better):
            best = trained
    assert best is not None
    return best


def offset(progress: Progress, index: int, count: int) -> Progress:
    """Return a progress function for trial `index` of `count`."""
    return lambda done, total: progress(index * total + done, count * total)


def build(prepared: Prepared, run: Run, trial: Trial) -> tuple[Objective, Recipe]:
    """Return the objective of a trial on a fresh network, and its recipe."""
    recipe = replace(
        prepared.recipe,
        epochs=run.epochs or prepared.recipe.epochs,
        learning_rate=prepared.recipe.learning_rate * trial.rate_factor,
        weight_decay=prepared.recipe.weight_decay * trial.decay_factor,
    )
    model = build_model(prepared, derived_seed(run.cell.seed, MODEL))
    setting = prepared.setting(
        model,
        run.cell.train,
        draws=derived_generator(run.cell.seed, DRAWS),
        tokens=derived_generator(run.cell.seed, TOKENS),
        total_steps=recipe.epochs * steps_per_epoch(len(run.cell.train), recipe.batch_size),
    )
    return method(run.method).build(setting, trial.parameters), recipe


def train_trial(
    problem: Problem, prepared: Prepared, run: Run, trial: Trial, *, fabric: Fabric, progress: Progress | None
) -> Trained:
    """Train one trial and follow the primary metric on the validation rows."""
    objective, recipe = build(prepared, run, trial)
    # the objective's own task encodes: label smoothing is part of a method
    targets = objective.task.encode(torch.from_numpy(problem.labels))
    every = max(1, recipe.epochs // CURVE_POINTS)
    epochs: list[Epoch] = []
    curve: dict[str, list[Any]] = {"epoch": [], "train_loss": [], "validation": []}
    for epoch in train(objective, prepared, run.cell.train, targets, recipe, seed=run.cell.seed, fabric=fabric):
        epochs.append(epoch)
        if epoch.number % every == 0 or epoch.number == recipe.epochs:
            logits = predict(objective, prepared, run.cell.validation, recipe, fabric)
            curve["epoch"].append(epoch.number)
            curve["train_loss"].append(epoch.loss)
            curve["validation"].append(finite(primary(run, prepared, problem, logits, run.cell.validation)))
        if progress is not None:
            progress(epoch.number, recipe.epochs)
    return Trained(objective, trial, recipe, epochs, curve, curve["validation"][-1])


def learned_items(
    problem: Problem, prepared: Prepared, run: Run, trained: Trained, pairs: int = 3
) -> list[GalleryItem]:
    """Return `pairs` samples as a trained objective mixes them; none unless it learned how to.

    The objective ends on the CPU, in float32.
    """
    metric, rows = run.metrics[0].name, run.cell
    epochs = plural(trained.recipe.epochs, "epoch")
    score = "not defined" if trained.validation_score is None else f"{trained.validation_score:.4g}"
    how = (
        f"Mixing learned in {epochs} on {plural(len(rows.train), 'row')}; "
        f"{metric} on {plural(len(rows.validation), 'row')} of validation: {score}"
    )
    objective = trained.objective.to("cpu", torch.float32)
    return learned_gallery(problem, prepared, run.method, objective, rows.train, trained=how, pairs=pairs)


def predict(
    objective: Objective, prepared: Prepared, rows: npt.NDArray[np.int64], recipe: Recipe, fabric: Fabric
) -> Tensor:
    """Return logits of `rows` on the CPU."""
    return predict_logits(objective.deploy(), prepared, rows, 2 * recipe.batch_size, fabric)


def primary(run: Run, prepared: Prepared, problem: Problem, logits: Tensor, rows: npt.NDArray[np.int64]) -> float:
    """Return the primary metric of `logits` on `rows`."""
    return float(run.metrics[0].total(prepared.task.probabilities(logits).numpy(), problem.labels[rows]))


def score(problem: Problem, prepared: Prepared, run: Run, trained: Trained, fabric: Fabric) -> tuple[Record, Arrays]:
    """Return scores, descriptive numbers and arrays of a trained network on the test rows."""
    cell, task, recipe = run.cell, prepared.task, trained.recipe
    logits = predict(trained.objective, prepared, cell.test, recipe, fabric)
    outputs, truth = task.probabilities(logits).numpy(), problem.labels[cell.test]
    scores = {metric.name: finite(metric.total(outputs, truth)) for metric in run.metrics}
    if scores[run.metrics[0].name] is None:
        raise ValueError(
            f"{run.metrics[0].name} must be defined on the test rows; choose another --metric, fewer --folds"
        )
    arrays: Arrays = {"rows": cell.test, "outputs": outputs.astype(np.float32)}
    if run.metrics[0].per_item is not None:
        arrays["items"] = np.asarray(run.metrics[0].per_item(outputs, truth), dtype=np.float32)
    descriptive: dict[str, float] = {}
    if isinstance(task, MultiClass):
        held_out = predict(trained.objective, prepared, cell.validation, recipe, fabric).double().numpy()
        temperature = fit_temperature(held_out, problem.labels[cell.validation])
        scaled = task.probabilities(logits.double() / temperature).numpy()
        descriptive = {
            "temperature": temperature,
            "log_loss": log_loss(outputs, truth),
            "log_loss_scaled": log_loss(scaled, truth),
            "ece": expected_calibration_error(outputs, truth),
            "ece_scaled": expected_calibration_error(scaled, truth),
        } | robustness(
            trained.objective.deploy(), prepared, cell.test, 2 * recipe.batch_size, seed=cell.seed, fabric=fabric
        )
    if prepared.further is not None:
        network = partial(network_logits, trained.objective.deploy(), batch_size=2 * recipe.batch_size, fabric=fabric)
        descriptive |= prepared.further.scores(network, cell.test, derived_generator(cell.seed, FURTHER))
    return {"scores": scores, "descriptive": {k: finite(v) for k, v in descriptive.items()}}, arrays


def finite(value: float) -> float | None:
    """Return `value`, or None where it is NaN or infinite, which JSON has no word for."""
    return float(value) if np.isfinite(value) else None
