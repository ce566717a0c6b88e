"""Scores of a model's outputs: `Metric`, all of them in `METRICS`, and the difference that matters for each.

They are computed here and not by scikit-learn, whose checks take many times longer than a score, which counts when
test items are resampled thousands of times.  The tests hold each to scikit-learn's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

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
    return float(correct_items(outputs, truths).mean())


def _counts(outputs: Array, truths: Array) -> tuple[Floats, Floats, Floats]:
    """Return, by class, how often it is predicted rightly, how often it is there, and how often it is predicted."""
    probabilities, labels = probabilities_and_labels(outputs, truths)
    predicted, classes = probabilities.argmax(1), probabilities.shape[1]
    right, there, said = (
        np.bincount(codes, minlength=classes).astype(np.float64)
        for codes in (labels[predicted == labels], labels, predicted)
    )
    return right, there, said


def _balanced_accuracy(outputs: Array, truths: Array) -> float:
    right, there, _ = _counts(outputs, truths)
    return float((right[there > 0] / there[there > 0]).mean())


def _f1(outputs: Array, truths: Array) -> float:
    right, there, said = _counts(outputs, truths)
    seen = there + said > 0
    return float((2 * right[seen] / (there + said)[seen]).mean())


def _auc(outputs: Array, truths: Array) -> float:
    """Return the area under the ROC curve, one class against the rest, averaged over the classes that are there."""
    probabilities, labels = probabilities_and_labels(outputs, truths)
    there = np.bincount(labels, minlength=probabilities.shape[1])
    present = np.flatnonzero(there)
    if len(present) < 2:
        return float("nan")
    # Mann and Whitney: the rank sum of the class's own rows, ties counting half
    ranks = stats.rankdata(probabilities[:, present], axis=0)
    own, rest = there[present], len(labels) - there[present]
    sums = (ranks * (labels[:, None] == present)).sum(0)
    return float(((sums - own * (own + 1) / 2) / (own * rest)).mean())


def _log_loss(outputs: Array, truths: Array) -> float:
    return float(log_loss_items(outputs, truths).mean())


def _rmse(outputs: Array, truths: Array) -> float:
    predictions, targets = predictions_and_truths(outputs, truths)
    return float(np.sqrt(((predictions - targets) ** 2).mean(0)).mean())


def _mae(outputs: Array, truths: Array) -> float:
    return float(absolute_error_items(outputs, truths).mean())


def _r2(outputs: Array, truths: Array) -> float:
    predictions, targets = predictions_and_truths(outputs, truths)
    if len(targets) < 2:
        return float("nan")
    errors, spread = ((predictions - targets) ** 2).sum(0), ((targets - targets.mean(0)) ** 2).sum(0)
    # a constant target has nothing to explain: 1 if it is met, else 0, as in scikit-learn
    explained = np.where(spread > 0, 1 - errors / np.where(spread > 0, spread, 1), errors == 0)
    return float(explained.mean())


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
