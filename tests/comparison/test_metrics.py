"""Scores against scikit-learn's, and what is refused."""

import pickle

import numpy as np
import pytest
from sklearn import metrics as reference

from mixkit.comparison.metrics import METRICS, Metric, default_rope, metric


@pytest.fixture
def classified():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 120)
    probabilities = rng.dirichlet(np.ones(4), 120) * 0.7 + 0.3 * np.eye(4)[labels]
    return probabilities, labels


@pytest.fixture
def predicted():
    rng = np.random.default_rng(0)
    truths = rng.normal(size=(50, 2)) * [1, 10]
    return truths + rng.normal(size=(50, 2)), truths


def test_classification_scores_are_scikit_learns(classified):
    probabilities, labels = classified
    said = probabilities.argmax(1)
    expected = {
        "accuracy": reference.accuracy_score(labels, said),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, said),
        "f1": reference.f1_score(labels, said, average="macro"),
        "auc": reference.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"),
        "log_loss": reference.log_loss(labels, probabilities),
    }
    found = {name: one.total(probabilities, labels) for name, one in METRICS.items() if "classification" in one.tasks}
    assert found == pytest.approx(expected, rel=1e-12)


def test_binary_auc_with_ties_is_scikit_learns():
    rng = np.random.default_rng(0)
    positive, labels = rng.integers(0, 5, 80) / 5, rng.integers(0, 2, 80)
    found = METRICS["auc"].total(np.stack([1 - positive, positive], 1), labels)
    assert found == pytest.approx(reference.roc_auc_score(labels, positive), rel=1e-12)


def test_regression_scores_are_scikit_learns(predicted):
    predictions, truths = predicted
    expected = {
        "rmse": reference.root_mean_squared_error(truths, predictions),
        "mae": reference.mean_absolute_error(truths, predictions),
        "r2": reference.r2_score(truths, predictions),
    }
    found = {name: one.total(predictions, truths) for name, one in METRICS.items() if "regression" in one.tasks}
    assert found == pytest.approx(expected, rel=1e-12)


def test_regression_takes_one_column_as_one_axis_or_two(predicted):
    predictions, truths = predicted
    flat = METRICS["rmse"].total(predictions[:, 0], truths[:, 0])
    assert flat == METRICS["rmse"].total(predictions[:, :1], truths[:, 0])


@pytest.mark.parametrize("name", [name for name, one in METRICS.items() if one.per_item is not None])
def test_mean_of_the_items_is_the_score(name, classified, predicted):
    data = classified if "classification" in METRICS[name].tasks else predicted
    assert METRICS[name].per_item(*data).shape == (len(data[0]),)
    assert METRICS[name].per_item(*data).mean() == pytest.approx(METRICS[name].total(*data), rel=1e-12)


def test_only_means_over_items_have_items():
    assert {name for name, one in METRICS.items() if one.per_item is None} == {
        "balanced_accuracy",
        "f1",
        "auc",
        "rmse",
        "r2",
    }


def test_classes_that_the_test_rows_lack_are_left_out(classified):
    probabilities, labels = classified
    rows = labels < 3
    said = probabilities[rows].argmax(1)
    assert 3 in said
    recalls = [np.mean(said[labels[rows] == k] == k) for k in range(3)]
    assert METRICS["balanced_accuracy"].total(probabilities[rows], labels[rows]) == pytest.approx(np.mean(recalls))
    areas = [reference.roc_auc_score(labels[rows] == k, probabilities[rows][:, k]) for k in range(3)]
    assert METRICS["auc"].total(probabilities[rows], labels[rows]) == pytest.approx(np.mean(areas))


def test_auc_of_one_class_is_undefined():
    assert np.isnan(METRICS["auc"].total(np.full((4, 2), 0.5), np.ones(4, int)))


def test_r2_of_a_constant_target_is_scikit_learns():
    assert METRICS["r2"].total(np.ones(3), np.ones(3)) == 1.0
    assert METRICS["r2"].total(np.zeros(3), np.ones(3)) == 0.0


def test_log_loss_of_a_certain_mistake_is_finite():
    assert METRICS["log_loss"].total(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(2.0**-52))


def test_rows_of_half_precision_are_scored(classified):
    probabilities, labels = classified
    half = METRICS["log_loss"].total(probabilities.astype(np.float16), labels)
    assert half == pytest.approx(METRICS["log_loss"].total(probabilities, labels), rel=1e-3)


def test_lower_is_better_for_errors_and_losses():
    assert {name for name, one in METRICS.items() if not one.higher_is_better} == {"log_loss", "rmse", "mae"}


def test_metrics_travel_to_worker_processes():
    assert pickle.loads(pickle.dumps(METRICS["auc"])) == METRICS["auc"]


def test_outputs_that_are_nan_are_refused_and_not_scored_as_class_zero():
    outputs = np.full((3, 2), 0.5)
    outputs[1] = np.nan
    with pytest.raises(ValueError, match=r"outputs must be finite, got \[nan nan\] in row 1 \(1 such rows\)"):
        METRICS["accuracy"].total(outputs, np.zeros(3, int))


@pytest.mark.parametrize(
    ("outputs", "truths", "message"),
    [
        (np.full((3, 2), 0.5), np.array([0, 1, 2]), r"labels must be in 0..1, got 0..2"),
        (np.full((3, 2), 0.5), np.array([0.0, 1.0, 1.0]), r"labels must be integers, got float64"),
        (np.full((3, 2), 0.5), np.array([0, 1]), r"probabilities must be \(n, K\) and labels \(n,\), got \(3, 2\)"),
        (np.array([[3.0, -2.0]]), np.array([0]), r"pass them after the softmax"),
    ],
)
def test_outputs_that_do_not_fit_the_labels_are_refused(outputs, truths, message):
    with pytest.raises(ValueError, match=message):
        METRICS["accuracy"].total(outputs, truths)


def test_predictions_of_another_shape_are_refused_and_not_broadcast():
    with pytest.raises(ValueError, match=r"predictions and truths must both be \(n, K\), got \(5, 2\) and \(5, 1\)"):
        METRICS["rmse"].total(np.zeros((5, 2)), np.zeros(5))


def test_unknown_metric_names_the_closest():
    with pytest.raises(ValueError, match=r"metric must be one of accuracy, .*got 'acuracy'; did you mean 'accuracy'\?"):
        metric("acuracy", "classification")


def test_metric_of_the_other_kind_of_task_is_refused():
    with pytest.raises(ValueError, match=r"metric must be one of rmse, mae, r2 for regression, got 'accuracy'"):
        metric("accuracy", "regression")


def test_unknown_kind_of_task_is_refused():
    with pytest.raises(ValueError, match="task_kind must be 'classification' or 'regression', got 'ranking'"):
        metric("accuracy", "ranking")


@pytest.mark.parametrize(
    ("name", "score", "expected"),
    [("accuracy", 0.6, 0.005), ("auc", 0.6, 0.005), ("r2", -0.2, 0.005), ("rmse", 40.0, 0.4), ("log_loss", 0.5, 0.005)],
)
def test_what_matters_is_half_a_point_or_one_percent(name, score, expected):
    assert default_rope(METRICS[name], score) == pytest.approx(expected)


def test_what_matters_for_a_metric_of_the_users_own_is_one_percent():
    own = Metric("watts", False, total=lambda a, b: 0.0, per_item=None, tasks=())
    assert default_rope(own, -200.0) == pytest.approx(2.0)
