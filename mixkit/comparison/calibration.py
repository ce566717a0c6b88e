"""Whether predicted probabilities mean what they say: calibration error, reliability curve, temperature scaling."""

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from mixkit.comparison.metrics import METRICS, Array, Floats, probabilities_and_labels
from mixkit.report.summary import Reliability

BINS = 15
LOG_TEMPERATURES = (-3.0, 3.0)  # T from 0.05 to 20: on few, all correct rows the optimum would be 0


def reliability_curve(probabilities: Array, labels: Array, bins: int = BINS) -> Reliability:
    """Return mean confidence, accuracy and number of rows by bin of confidence.

    Confidence is the largest probability of a row; bins have equal width and include their upper edge.

    Args:
        probabilities: (n, K) after the softmax.
        labels: (n,) in 0..K-1.
        bins: number of bins.

    Returns:
        Three lists of `bins` entries; an empty bin has a count of 0, and None for the others.

    >>> curve = reliability_curve(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0]), bins=2)
    >>> curve["count"], curve["accuracy"]
    ([0, 2], [None, 0.5])
    """
    count, confidence, correct = _binned(probabilities, labels, bins)
    return {
        "confidence": [float(s / n) if n else None for s, n in zip(confidence, count, strict=True)],
        "accuracy": [float(s / n) if n else None for s, n in zip(correct, count, strict=True)],
        "count": count.tolist(),
    }


def expected_calibration_error(probabilities: Array, labels: Array, bins: int = BINS) -> float:
    """Return |accuracy - confidence|, averaged over rows by bins of confidence (Guo et al., 2017, arXiv:1706.04599).

    >>> round(expected_calibration_error(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0])), 3)
    0.45
    """
    count, confidence, correct = _binned(probabilities, labels, bins)
    return float(np.abs(correct - confidence).sum() / count.sum())


def _binned(probabilities: Array, labels: Array, bins: int) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """Return, by bin, the number of rows and the sums of confidence and of correctness."""
    if bins < 1:
        raise ValueError(f"bins must be positive, got {bins=}")
    probabilities, labels = probabilities_and_labels(probabilities, labels)
    confidence = probabilities.max(1)
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    correct = probabilities.argmax(1) == labels
    count: npt.NDArray[np.int64] = np.bincount(index, minlength=bins).astype(np.int64)
    confidences: Floats = np.bincount(index, confidence, bins).astype(np.float64)
    corrects: Floats = np.bincount(index, correct, bins).astype(np.float64)
    return count, confidences, corrects


def log_loss(probabilities: Array, labels: Array) -> float:
    """Return the mean of -log of the label's probability; the metric `log_loss`."""
    return METRICS["log_loss"].total(probabilities, labels)


def fit_temperature(logits: Array, labels: Array) -> float:
    """Return the temperature T with which softmax(logits / T) has the smallest log loss.

    To be fitted on validation rows.  Networks trained with mixing often look calibrated before this and compare worse
    after it (Wang et al., CVPR 2023, On the Pitfall of Mixup for Uncertainty Calibration): look at both.

    Args:
        logits: (n, K) before the softmax.
        labels: (n,) in 0..K-1.

    Raises:
        ValueError: shapes that don't fit, labels out of range, or logits that are not finite.
    """
    logits = np.asarray(logits, np.float64)
    labels = probabilities_and_labels(special.softmax(logits, axis=-1), labels)[1]
    logits = logits - logits[np.arange(len(labels)), labels][:, None]

    def loss(log_temperature: float) -> float:
        return float(special.logsumexp(logits * np.exp(-log_temperature), axis=1).mean())

    found = optimize.minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded", options={"xatol": 1e-6})
    # where the loss doesn't depend on T (all logits equal), leave them as they are
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0
