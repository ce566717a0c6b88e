"""The estimators keep scikit-learn's contract: its own checks, and the tools that users put around estimators."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_dataframe_column_names_consistency, parametrize_with_checks

from mixkit_tabular import MixupClassifier, MixupRegressor

MINI_BATCHES = {
    "check_sample_weight_equivalence_on_dense_data": "mini-batches: two copies of a row fall into different batches, "
    "a row of weight 2 into one"
}


def small(kind=MixupClassifier, **arguments):
    """Return an estimator that fits in well under a second."""
    return kind(**{"method": "mixup", "members": 1, "epochs": 10, "random_state": 0, **arguments})


@parametrize_with_checks(
    [
        MixupClassifier(method="mixup", members=1, epochs=15, learning_rate=0.01, random_state=0),
        MixupRegressor(method="erm", members=1, epochs=60, random_state=0),
    ],
    expected_failed_checks=lambda estimator: MINI_BATCHES,
)
def test_scikit_learn_s_checks_pass(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        MixupClassifier(epochs=15, learning_rate=0.01),
        MixupRegressor(epochs=40),
    ],  # as shipped, but for the time it takes
    expected_failed_checks=lambda estimator: MINI_BATCHES,
)
def test_scikit_learn_s_checks_pass_with_a_chosen_method(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [small(), small(MixupRegressor)])
def test_column_names_are_remembered_and_checked(estimator):
    check_dataframe_column_names_consistency(type(estimator).__name__, estimator)


@pytest.fixture(scope="module")
def blobs():
    """Return 120 rows of two overlapping classes with text labels."""
    draw = np.random.default_rng(0)
    y = np.where(np.arange(120) % 2 == 0, "no", "yes")
    return draw.normal(size=(120, 4)) + 1.5 * (y == "yes")[:, None], y


def test_it_works_in_pipelines_searches_and_cross_validation(blobs):
    X, y = blobs
    pipeline = make_pipeline(StandardScaler(), small())
    assert cross_val_score(pipeline, X, y, cv=2, scoring="roc_auc").min() > 0.75
    grid = {"mixupclassifier__mix_alpha": [0.1, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
    assert search.best_score_ > 0.7


def test_it_can_be_calibrated_stacked_bagged_and_explained(blobs):
    X, y = blobs
    for around in (
        CalibratedClassifierCV(small(), cv=2),
        StackingClassifier([("net", small()), ("line", LogisticRegression())], cv=2),
        BaggingClassifier(small(), n_estimators=2, random_state=0),
    ):
        assert around.fit(X, y).score(X, y) > 0.75
    importance = permutation_importance(small().fit(X, y), X, y, n_repeats=2, random_state=0)
    assert importance.importances_mean.shape == (4,)


def test_sample_weights_are_routed(blobs):
    X, y = blobs
    weights = np.where(y == "yes", 1.0, 0.1)
    with sklearn.config_context(enable_metadata_routing=True):
        model = small().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scores = cross_validate(model, X, y, params={"sample_weight": weights}, cv=2, error_score="raise")
    assert (scores["test_score"] > 0.7).all()


@pytest.mark.parametrize("keep", [lambda m: pickle.loads(pickle.dumps(m)), "joblib", "skops", "save"])
@pytest.mark.parametrize("members", [1, 3])
def test_predictions_survive_every_way_of_keeping_an_estimator(blobs, tmp_path, keep, members):
    X, y = blobs
    model = small(members=members, class_weight={"yes": 2.0, "no": 1.0}, epochs=3).fit(
        pd.DataFrame(X).add_prefix("c"), y
    )
    if keep == "joblib":
        joblib.dump(model, tmp_path / "m")
        again = joblib.load(tmp_path / "m", mmap_mode="r")
    elif keep == "skops":
        skops = pytest.importorskip("skops.io", reason="skops is not installed")
        stored = skops.dumps(model)
        assert skops.get_untrusted_types(data=stored) == ["mixkit_tabular.classifier.MixupClassifier"]
        again = skops.loads(stored, trusted=["mixkit_tabular.classifier.MixupClassifier"])
    elif keep == "save":
        model.save(tmp_path / "m")
        again = MixupClassifier.load(tmp_path / "m")
    else:
        again = keep(model)
    rows = pd.DataFrame(X).add_prefix("c")
    assert np.array_equal(again.predict_proba(rows), model.predict_proba(rows))
    assert again.classes_.tolist() == ["no", "yes"]
    assert again.get_params() == model.get_params()
    assert str(again.mixing_report_) == str(model.mixing_report_)
    assert again.feature_names_in_.tolist() == ["c0", "c1", "c2", "c3"]
    assert np.array_equal(clone(again).fit(rows, y).predict_proba(rows), model.predict_proba(rows))


@pytest.mark.parametrize("y", [np.arange(40.0), np.stack([np.arange(40.0), -np.arange(40.0)], 1)])
def test_a_regressor_survives_saving(tmp_path, y):
    X = np.arange(80.0).reshape(40, 2)
    model = small(MixupRegressor).fit(X, y)
    model.save(tmp_path / "m")
    assert np.array_equal(MixupRegressor.load(tmp_path / "m").predict(X), model.predict(X))


def test_what_is_not_an_estimator_s_folder_is_refused(blobs, tmp_path):
    X, y = blobs
    with pytest.raises(ValueError, match="must be a folder written by `save` of an estimator"):
        MixupClassifier.load(tmp_path)
    small().fit(X, y).save(tmp_path / "m")
    with pytest.raises(ValueError, match="must hold a MixupRegressor, got a MixupClassifier"):
        MixupRegressor.load(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="must be a folder written by `save` of an estimator"):
        MixupClassifier.load(tmp_path / "m")


def test_an_estimator_that_is_not_fitted_has_nothing_to_save_and_no_report(tmp_path):
    with pytest.raises(sklearn.exceptions.NotFittedError, match="is not fitted yet"):
        small().save(tmp_path / "m")
    assert not hasattr(small(), "mixing_report_")
    assert not (tmp_path / "m").exists()
