"""Scores of a model's outputs: `Metric`, all of them in `METRICS`, and the difference that matters for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics as scores

from mixkit.method import did_you_mean
from mixkit.report.formats import SHARES

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

CLASSIFICATION, REGRESSION = "classification", "regression"
ROPE_SHARE = 0.005  # half a point
ROPE_RELATIVE = 0.01


@dataclass(frozen=True)
class Metric:
    """A score.

    For classification, outputs are probabilities (n, K) and truths labels (n,) in 0..K-1; for regression, predictions
    (n, K) or (n,) and truths of the same shape, in the target's own unit.

    Attributes:
        name: as users write it.
        higher_is_better: whether a higher score is the better one.
        total: (outputs, truths) -> score; NaN where these truths leave it undefined (one class only).
        per_item: (outputs, truths) -> (n,) whose mean is `total`; None: the score is no mean over items.
        tasks: "classification" or "regression".
    """

    name: str
    higher_is_better: bool
    total: Callable[[Array, Array], float]
    per_item: Callable[[Array, Array], Floats] | None
    tasks: tuple[str, ...]


def is_share(name: str) -> bool:
    """Return whether the score `name` is a share of something, so that its differences are points.

    R2 is one too: a share of variance, and its zero is no natural unit for relative differences.
    """
    return name in SHARES or name == "r2"


def metric(name: str, task_kind: str) -> Metric:
    """Return the metric `name` for "classification" or "regression".

    Raises:
        ValueError: no such metric for this kind of task.

    >>> metric("accuracy", "classification").higher_is_better
    True
    """
    if task_kind not in (CLASSIFICATION, REGRESSION):
        raise ValueError(f"task_kind must be {CLASSIFICATION!r} or {REGRESSION!r}, got {task_kind!r}")
    known = {found.name: found for found in METRICS.values() if task_kind in found.tasks}
    if name not in known:
        raise ValueError(
            f"metric must be one of {', '.join(known)} for {task_kind}, got {name!r}{did_you_mean(name, known)}"
        )
    return known[name]


def default_rope(of: Metric, reference_score: float) -> float:
    """Return the half-width of the region of practical equivalence: 0.5 points, or 1 % of the reference's score.

    Args:
        of: half a point for a metric that is a share, see `is_share`.
        reference_score: mean score of the reference method.

    >>> default_rope(METRICS["accuracy"], 0.9), default_rope(METRICS["rmse"], 40.0)
    (0.005, 0.4)
    """
    return ROPE_SHARE if is_share(of.name) else ROPE_RELATIVE * abs(reference_score)


def probabilities_and_labels(outputs: Array, truths: Array) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return float64 probabilities (n, K) whose rows sum to 1, and int64 labels (n,).

    Raises:
        ValueError: shapes that don't fit, labels out of range, or outputs that are not finite.
    """
    probabilities, labels = np.asarray(outputs, np.float64), np.asarray(truths)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise ValueError(f"probabilities must be (n, K) and labels (n,), got {probabilities.shape} and {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integers, got {labels.dtype}")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(f"labels must be in 0..{probabilities.shape[1] - 1}, got {labels.min()}..{labels.max()}")
    _check_finite(probabilities)
    sums = probabilities.sum(1, keepdims=True)
    if probabilities.min() < 0 or np.abs(sums - 1).max() > 0.02:  # half-precision rows are off by less
        raise ValueError("probabilities must be non-negative with rows that sum to 1; pass them after the softmax")
    return probabilities / sums, labels.astype(np.int64)


def predictions_and_truths(outputs: Array, truths: Array) -> tuple[Floats, Floats]:
    """Return predictions and truths as float64 (n, K).

    Raises:
        ValueError: shapes that don't fit, or outputs that are not finite.
    """
    predictions, targets = np.asarray(outputs, np.float64), np.asarray(truths, np.float64)
    predictions, targets = (a[:, None] if a.ndim == 1 else a for a in (predictions, targets))
    if predictions.shape != targets.shape or predictions.ndim != 2 or not predictions.size:
        raise ValueError(f"predictions and truths must both be (n, K), got {predictions.shape} and {targets.shape}")
    _check_finite(predictions)
    return predictions, targets


def _check_finite(outputs: Floats) -> None:
    bad = np.flatnonzero(~np.isfinite(outputs).all(1))
    if len(bad):
        raise ValueError(f"outputs must be finite, got {outputs[bad[0]]} in row {bad[0]} ({len(bad)} such rows)")


def correct_items(outputs: Array, truths: Array) -> Floats:
    """Return (n,) 1.0 where the most probable class is the label, else 0.0."""
    probabilities, labels = probabilities_and_labels(outputs, truths)
    return np.asarray(probabilities.argmax(1) == labels, np.float64)


def log_loss_items(outputs: Array, truths: Array) -> Floats:
    """Return (n,) -log of the label's probability, which is bounded away from 0 as in scikit-learn's log_loss."""
    probabilities, labels = probabilities_and_labels(outputs, truths)
    smallest = np.finfo(np.float64).eps
    return -np.log(np.clip(probabilities[np.arange(len(labels)), labels], smallest, 1 - smallest))


def absolute_error_items(outputs: Array, truths: Array) -> Floats:
    """Return (n,) absolute errors, averaged over the K targets."""
    predictions, targets = predictions_and_truths(outputs, truths)
    return np.asarray(np.abs(predictions - targets).mean(1), np.float64)


def _accuracy(outputs: Array, truths: Array) -> float:
    probabilities, labels = probabilities_and_labels(outputs, truths)
    return float(scores.accuracy_score(labels, probabilities.argmax(1)))


def _balanced_accuracy(outputs: Array, truths: Array) -> float:
    probabilities, labels = probabilities_and_labels(outputs, truths)
    # the mean recall of the classes that are there; balanced_accuracy_score warns when others are predicted
    present = np.unique(labels)
    return float(scores.recall_score(labels, probabilities.argmax(1), labels=present, average="macro"))


def _f1(outputs: Array, truths: Array) -> float:
    probabilities, labels = probabilities_and_labels(outputs, truths)
    return float(scores.f1_score(labels, probabilities.argmax(1), average="macro", zero_division=0.0))


def _auc(outputs: Array, truths: Array) -> float:
    probabilities, labels = probabilities_and_labels(outputs, truths)
    present = np.unique(labels)
    if len(present) < 2:
        return float("nan")
    # one against the rest, over the classes that are there; roc_auc_score refuses when one is missing
    return float(np.mean([scores.roc_auc_score(labels == k, probabilities[:, k]) for k in present]))


def _log_loss(outputs: Array, truths: Array) -> float:
    probabilities, labels = probabilities_and_labels(outputs, truths)
    return float(scores.log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1])))


def _rmse(outputs: Array, truths: Array) -> float:
    predictions, targets = predictions_and_truths(outputs, truths)
    return float(scores.root_mean_squared_error(targets, predictions))


def _mae(outputs: Array, truths: Array) -> float:
    predictions, targets = predictions_and_truths(outputs, truths)
    return float(scores.mean_absolute_error(targets, predictions))


def _r2(outputs: Array, truths: Array) -> float:
    predictions, targets = predictions_and_truths(outputs, truths)
    return float(scores.r2_score(targets, predictions)) if len(targets) > 1 else float("nan")


_CLASSES, _VALUES = (CLASSIFICATION,), (REGRESSION,)
_ALL = (
    Metric("accuracy", True, _accuracy, correct_items, _CLASSES),
    Metric("balanced_accuracy", True, _balanced_accuracy, None, _CLASSES),
    Metric("f1", True, _f1, None, _CLASSES),
    Metric("auc", True, _auc, None, _CLASSES),
    Metric("log_loss", False, _log_loss, log_loss_items, _CLASSES),
    Metric("rmse", False, _rmse, None, _VALUES),
    Metric("mae", False, _mae, absolute_error_items, _VALUES),
    Metric("r2", True, _r2, None, _VALUES),
)
METRICS: Mapping[str, Metric] = {one.name: one for one in _ALL}
