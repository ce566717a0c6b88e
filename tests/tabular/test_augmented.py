"""`MixupAugmented`: what the inner estimator is fitted on, and that the outside is that estimator's."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from sklearn.utils.validation import NotFittedError

from mixkit_tabular.augmented import MixupAugmented

POINTS = np.arange(30.0)[:, None]
LABELS = np.where(POINTS[:, 0] < 12, "low", "high")


class Keeps(ClassifierMixin, BaseEstimator):
    """Keeps what it is fitted on."""

    def fit(self, X, y, sample_weight=None):
        self.X_, self.y_, self.weight_ = X, y, sample_weight
        return self


class KeepsUnweighted(ClassifierMixin, BaseEstimator):
    """Keeps what it is fitted on and takes no weights."""

    def fit(self, X, y):
        self.X_, self.y_ = X, y
        return self


class KeepsNumbers(RegressorMixin, Keeps):
    """Keeps what it is fitted on, as a regressor."""


def seen(estimator=None, **options):
    """Return what the inner estimator was fitted on."""
    options = {"alpha": 1.0, "random_state": 0} | options
    return MixupAugmented(Keeps() if estimator is None else estimator, **options).fit(POINTS, LABELS).estimator_


def test_with_weights_each_mixed_row_stands_twice_with_both_labels():
    inner = seen(factor=2.0)
    assert len(inner.X_) == 30 + 2 * 60
    np.testing.assert_array_equal(inner.X_[:30], POINTS)
    np.testing.assert_array_equal(inner.X_[30:90], inner.X_[90:])
    own, other = inner.weight_[30:90], inner.weight_[90:]
    np.testing.assert_allclose(own + other, 1.0)
    assert (own >= 0.5).all()
    assert (inner.weight_[:30] == 1).all()
    assert inner.y_[:30].tolist() == LABELS.tolist()
    assert np.bincount(inner.y_[30:90] == "low").tolist() == [36, 24]  # every row is base twice
    mixed_labels = inner.y_[30:90] != inner.y_[90:]
    assert mixed_labels.sum() > 10


def test_the_weights_are_the_shares_of_the_rows():
    # a point is its own coordinate, and the labels are their points: x = own * label + other * label
    X, y = POINTS, np.arange(30)
    inner = MixupAugmented(Keeps(), factor=3, alpha=1.0, random_state=0).fit(X, y).estimator_
    own, other = slice(30, 120), slice(120, 210)
    expected = inner.weight_[own] * inner.y_[own] + inner.weight_[other] * inner.y_[other]
    np.testing.assert_allclose(inner.X_[own, 0], expected)
    assert (inner.y_[own] != inner.y_[other]).all()


def test_with_draw_each_mixed_row_stands_once_and_labels_follow_the_shares():
    X, y = POINTS, np.arange(30)
    options = {"factor": 200, "alpha": 1.0, "random_state": 0}
    drawn = MixupAugmented(KeepsUnweighted(), **options).fit(X, y).estimator_
    weighted = MixupAugmented(Keeps(), **options).fit(X, y).estimator_
    assert len(drawn.X_) == 30 + 6000
    np.testing.assert_array_equal(drawn.X_, weighted.X_[:6030])  # the same pairs
    own, other, lam = weighted.y_[30:6030], weighted.y_[6030:], weighted.weight_[30:6030]
    first = drawn.y_[30:] == own
    assert (first | (drawn.y_[30:] == other)).all()
    for low, high in ((0.5, 0.6), (0.7, 0.8), (0.9, 1.0)):
        inside = (lam >= low) & (lam < high)
        assert first[inside].mean() == pytest.approx(lam[inside].mean(), abs=0.06)  # four standard errors


def test_weights_fit_the_loss_of_soft_labels():
    X, y = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 3
    X[:, 0] += y
    keeps = MixupAugmented(Keeps(), alpha=1.0, random_state=0).fit(X, y).estimator_
    rows, one_hot = keeps.X_[:120], np.eye(3)
    lam = keeps.weight_[60:120, None]
    soft = np.concatenate([one_hot[y], lam * one_hot[keeps.y_[60:120]] + (1 - lam) * one_hot[keeps.y_[120:]]])

    def loss(flat):  # cross-entropy of the soft labels, and scikit-learn's penalty with C = 1
        weights, bias = flat[:6].reshape(2, 3), flat[6:]
        return -(soft * log_softmax(rows @ weights + bias, axis=1)).sum() + (weights**2).sum() / 2

    by_hand = minimize(loss, np.zeros(9), method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-15}).x
    fitted = MixupAugmented(LogisticRegression(tol=1e-9, max_iter=1000), alpha=1.0, random_state=0).fit(X, y)
    np.testing.assert_allclose(fitted.estimator_.coef_.T.ravel(), by_hand[:6], atol=1e-4)
    intercept = fitted.estimator_.intercept_
    np.testing.assert_allclose(intercept - intercept.mean(), by_hand[6:] - by_hand[6:].mean(), atol=1e-4)
    assert not np.allclose(LogisticRegression().fit(X, y).coef_.T.ravel(), by_hand[:6], atol=1e-2)


def test_regression_targets_are_interpolated_once_and_as_floats():
    inner = MixupAugmented(KeepsNumbers(), random_state=0).fit(POINTS, np.arange(30) * 2).estimator_
    np.testing.assert_allclose(inner.y_, 2 * inner.X_[:, 0])
    assert inner.y_.shape == (60,)
    assert inner.weight_ is None
    assert len(set(inner.y_[30:]) - set(range(60))) > 20


def test_similar_partners_keep_the_rows_near_where_targets_jump():
    X = np.repeat([0.0, 10.0], 20)[:, None]
    y = X[:, 0] + np.arange(40) / 1e3
    for bandwidth, most in ((0.1, 0), (None, 30)):
        inner = MixupAugmented(KeepsNumbers(), bandwidth=bandwidth, alpha=1.0, random_state=0).fit(X, y).estimator_
        between = ((inner.X_ > 1e-9) & (inner.X_ < 10 - 1e-9)).sum()
        assert between <= most
        assert (between > 0) == (most > 0)


def test_sample_weights_multiply_the_shares_and_draw_the_partners():
    weights = np.where(np.arange(30) == 7, 1000.0, 1.0)
    inner = MixupAugmented(Keeps(), random_state=0).fit(POINTS, np.arange(30), sample_weight=weights).estimator_
    base, partner = inner.y_[30:60], inner.y_[60:]
    np.testing.assert_allclose(inner.weight_[30:60] + inner.weight_[60:], weights[base])
    assert (partner[base != 7] == 7).mean() > 0.9
    np.testing.assert_array_equal(inner.weight_[:30], weights)


def test_rows_of_weight_zero_are_as_if_they_were_not_there():
    X, y = POINTS + 0.25, POINTS[:, 0] ** 2
    noisy_X, noisy_y = np.insert(X, 5, 1e6, axis=0), np.insert(y, 5, -1e9)
    weights = np.insert(np.ones(30), 5, 0.0)
    plain = MixupAugmented(Ridge(), random_state=0).fit(X, y, sample_weight=np.ones(30))
    zeroed = MixupAugmented(Ridge(), random_state=0).fit(noisy_X, noisy_y, sample_weight=weights)
    np.testing.assert_allclose(zeroed.predict(X), plain.predict(X), rtol=1e-6)


def test_factor_zero_is_the_estimator_alone():
    plain = LogisticRegression().fit(POINTS, LABELS)
    augmented = MixupAugmented(LogisticRegression(), factor=0).fit(POINTS, LABELS)
    np.testing.assert_array_equal(augmented.predict_proba(POINTS), plain.predict_proba(POINTS))
    assert not np.array_equal(
        MixupAugmented(LogisticRegression(), random_state=0).fit(POINTS, LABELS).predict_proba(POINTS),
        plain.predict_proba(POINTS),
    )


def test_the_label_kind_says_what_was_done():
    assert MixupAugmented(LogisticRegression()).fit(POINTS, LABELS).label_ == "weights"
    assert MixupAugmented(LogisticRegression(), label="draw").fit(POINTS, LABELS).label_ == "draw"
    assert MixupAugmented(KNeighborsClassifier()).fit(POINTS, LABELS).label_ == "draw"
    assert MixupAugmented(Ridge()).fit(POINTS, POINTS[:, 0]).label_ == "blend"


def test_results_are_the_inner_estimators():
    augmented = MixupAugmented(LogisticRegression(C=3.0), random_state=0).fit(POINTS, LABELS)
    inner = augmented.estimator_
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(augmented, method)(POINTS), getattr(inner, method)(POINTS))
    assert augmented.score(POINTS, LABELS) == inner.score(POINTS, LABELS)
    weights = np.arange(30.0)
    assert augmented.score(POINTS, LABELS, weights) == inner.score(POINTS, LABELS, weights)
    assert augmented.classes_.tolist() == ["high", "low"]


def test_only_what_the_estimator_offers_is_offered():
    assert not hasattr(MixupAugmented(LinearSVC()), "predict_proba")
    assert hasattr(MixupAugmented(LinearSVC()), "decision_function")
    assert not hasattr(MixupAugmented(Ridge()).fit(POINTS, POINTS[:, 0]), "classes_")
    with pytest.raises(NotFittedError, match="not fitted"):
        MixupAugmented(Ridge()).predict(POINTS)


def test_the_estimator_given_is_cloned_and_the_data_are_left_alone(global_state):
    inner, X, before = LogisticRegression(), POINTS.copy(), global_state()
    X.setflags(write=False)
    augmented = MixupAugmented(inner).fit(X, LABELS)
    assert augmented.estimator is inner
    assert not hasattr(inner, "coef_")
    assert clone(augmented).get_params()["estimator__C"] == 1.0
    assert global_state() == before


def test_the_same_int_fits_the_same_and_another_int_does_not():
    fit = lambda seed: MixupAugmented(Ridge(), random_state=seed).fit(POINTS, LABELS == "low").estimator_.coef_  # noqa: E731 - short
    assert fit(1) == fit(1)
    assert fit(1) != fit(2)


def test_frames_reach_the_estimator_as_frames_with_their_types():
    frame = pd.DataFrame({"x": POINTS[:, 0], "kind": pd.Categorical(["a", "b", None] * 10)})
    inner = MixupAugmented(Keeps(), random_state=0).fit(frame, pd.Series(LABELS, name="size")).estimator_
    assert inner.X_.dtypes.equals(frame.dtypes)
    assert len(inner.X_) == 90
    assert (type(inner.y_), inner.y_.name) == (pd.Series, "size")


@pytest.mark.parametrize(
    ("estimator", "options", "message"),
    [
        (LogisticRegression(), {"label": "soft"}, "label must be one of .* got 'soft'"),
        (LogisticRegression(), {"factor": -1}, "factor must be a number from 0, got factor=-1"),
        (LogisticRegression(), {"alpha": -1}, "alpha must be positive, got alpha=-1"),
        (KNeighborsClassifier(), {"label": "weights"}, "the fit of KNeighborsClassifier takes no sample_weight"),
        (BaseEstimator(), {}, "estimator must be a classifier or a regressor"),
    ],
)
def test_wrong_parameters_are_refused_when_fitting(estimator, options, message):
    with pytest.raises(ValueError, match=message):
        MixupAugmented(estimator, **options).fit(POINTS, LABELS)


def test_wrong_weights_are_refused():
    augmented = MixupAugmented(LogisticRegression())
    with pytest.raises(ValueError, match="sample_weight must not be negative, got -1"):
        augmented.fit(POINTS, LABELS, sample_weight=np.where(np.arange(30) == 2, -1.0, 1.0))
    with pytest.raises(ValueError, match="zero"):
        augmented.fit(POINTS, LABELS, sample_weight=np.zeros(30))
    with pytest.raises(ValueError, match="KNeighborsClassifier takes no sample_weight; leave sample_weight out"):
        MixupAugmented(KNeighborsClassifier()).fit(POINTS, LABELS, sample_weight=np.ones(30))
