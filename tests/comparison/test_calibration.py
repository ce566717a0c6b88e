"""Calibration error by loops, temperatures that are known, and curves that JSON can hold."""

import json

import numpy as np
import pytest
from scipy import special

from mixkit.comparison.calibration import expected_calibration_error, fit_temperature, log_loss, reliability_curve


def drawn(n=20_000, classes=5, seed=0):
    """Logits and labels that were drawn from their softmax."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)) * 2
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(1)


def error_by_loop(probabilities, labels, bins=15):
    """Guo et al.'s ECE, bin by bin."""
    total = 0.0
    for b in range(bins):
        rows = [i for i, p in enumerate(probabilities) if b / bins < max(p) <= (b + 1) / bins]
        if rows:
            accuracy = np.mean([np.argmax(probabilities[i]) == labels[i] for i in rows])
            total += len(rows) / len(labels) * abs(accuracy - np.mean([max(probabilities[i]) for i in rows]))
    return total


def test_calibration_error_is_that_of_a_loop():
    logits, labels = drawn(500)
    probabilities = special.softmax(3 * logits, axis=1)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(error_by_loop(probabilities, labels))


def test_probabilities_that_labels_were_drawn_from_are_calibrated():
    logits, labels = drawn()
    assert expected_calibration_error(special.softmax(logits, axis=1), labels) < 0.01  # its own noise is 0.007
    assert expected_calibration_error(special.softmax(3 * logits, axis=1), labels) > 0.1


def test_certain_and_always_wrong_has_the_largest_error():
    assert expected_calibration_error(np.array([[1.0, 0.0]] * 4), np.ones(4, int)) == 1.0


def test_curve_holds_mean_confidence_accuracy_and_count_by_bin():
    probabilities = np.array([[0.95, 0.05], [0.91, 0.09], [0.45, 0.55], [0.5, 0.5]])
    curve = reliability_curve(probabilities, np.array([0, 1, 1, 1]), bins=10)
    assert curve["count"] == [0, 0, 0, 0, 1, 1, 0, 0, 0, 2]  # 0.5 is the upper edge of its bin
    assert curve["accuracy"] == [None] * 4 + [0.0, 1.0] + [None] * 3 + [0.5]
    assert curve["confidence"][4:6] == pytest.approx([0.5, 0.55])
    assert curve["confidence"][9] == pytest.approx(0.93)


def test_curve_has_fifteen_bins_that_json_can_hold():
    logits, labels = drawn(50)
    curve = json.loads(json.dumps(reliability_curve(special.softmax(logits, axis=1), labels), allow_nan=False))
    assert [len(values) for values in curve.values()] == [15, 15, 15]
    assert sum(curve["count"]) == 50


def test_no_bins_are_refused():
    with pytest.raises(ValueError, match="bins must be positive, got bins=0"):
        expected_calibration_error(np.array([[0.5, 0.5]]), np.array([0]), bins=0)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_temperature_undoes_a_factor_on_the_logits(temperature):
    logits, labels = drawn()
    assert fit_temperature(temperature * logits, labels) == pytest.approx(temperature, rel=0.03)


def test_temperature_is_where_the_loss_is_smallest():
    logits, labels = drawn(200)
    logits = 2.5 * logits
    best = fit_temperature(logits, labels)
    losses = [log_loss(special.softmax(logits / t, axis=1), labels) for t in (best, 0.97 * best, 1.03 * best, 1.0)]
    assert min(losses) == losses[0]
    assert losses[3] > losses[0] + 0.05


def test_all_correct_rows_do_not_drive_the_temperature_to_zero():
    logits = 5 * np.eye(3)
    assert fit_temperature(logits, np.arange(3)) == pytest.approx(np.exp(-3), rel=0.01)


def test_logits_that_say_nothing_are_left_as_they_are():
    assert fit_temperature(np.zeros((4, 3)), np.array([0, 1, 2, 0])) == 1.0


def test_huge_logits_do_not_overflow():
    logits, labels = drawn(500)
    assert fit_temperature(1e4 * logits, labels) == pytest.approx(np.exp(3), rel=0.01)


def test_logits_that_are_nan_are_refused():
    with pytest.raises(ValueError, match="outputs must be finite"):
        fit_temperature(np.full((3, 2), np.nan), np.zeros(3, int))
