"""`MixupAugmented` among scikit-learn's own: its checks, searches, pipelines, forests and boosting."""

import pickle

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.base import is_classifier, is_regressor
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.estimator_checks import check_dataframe_column_names_consistency, parametrize_with_checks

from mixkit_tabular.augmented import MixupAugmented

X, Y = make_classification(300, 6, n_informative=4, random_state=0)

EQUIVALENCE = {
    "check_sample_weight_equivalence_on_dense_data": "k copies of a row are bases of k pairs, one row of weight k is "
    "base of one pair: equal in expectation, not draw by draw",
}


@parametrize_with_checks(
    [
        MixupAugmented(LogisticRegression()),
        MixupAugmented(Ridge()),
        MixupAugmented(DecisionTreeRegressor(random_state=0)),
        MixupAugmented(DecisionTreeClassifier(random_state=0)),
    ],
    expected_failed_checks=lambda _: EQUIVALENCE,
)
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


def test_names_of_columns_are_checked_when_predicting():
    check_dataframe_column_names_consistency("MixupAugmented", MixupAugmented(Ridge()))


def test_it_is_what_its_estimator_is():
    assert is_classifier(MixupAugmented(LogisticRegression()))
    assert is_regressor(MixupAugmented(Ridge()))
    assert not MixupAugmented(Ridge()).__sklearn_tags__().input_tags.sparse
    assert MixupAugmented(HistGradientBoostingClassifier()).__sklearn_tags__().input_tags.allow_nan


def test_a_search_sets_parameters_inside_and_outside():
    grid = {"estimator__C": [0.1, 1.0], "factor": [0.0, 1.0]}
    search = GridSearchCV(MixupAugmented(LogisticRegression(), random_state=0), grid, cv=3).fit(X, Y)
    assert set(search.best_params_) == set(grid)
    assert search.best_params_["estimator__C"] == search.best_estimator_.estimator_.C
    assert search.score(X, Y) > 0.7


def test_it_works_as_the_last_step_of_a_pipeline_and_around_one():
    inside = make_pipeline(StandardScaler(), MixupAugmented(LogisticRegression(), random_state=0))
    around = MixupAugmented(make_pipeline(StandardScaler(), LogisticRegression()), random_state=0)
    assert cross_val_score(inside, X, Y).mean() > 0.7
    assert cross_val_score(around, X, Y).mean() > 0.7
    assert inside.fit(X, Y)[-1].label_ == "weights"
    assert around.fit(X, Y).label_ == "draw"


def test_it_stacks_and_pickles():
    stack = StackingClassifier([("mixed", MixupAugmented(LogisticRegression(), random_state=0))], cv=3).fit(X, Y)
    assert stack.score(X, Y) > 0.7
    augmented = MixupAugmented(LogisticRegression(), random_state=0).fit(X, Y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(augmented)).predict(X), augmented.predict(X))


def test_weights_are_routed_to_it():
    with config_context(enable_metadata_routing=True):
        augmented = MixupAugmented(Ridge(), random_state=0).set_fit_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), augmented)
        weights = np.where(Y == 1, 100.0, 1.0)
        assert pipeline.fit(X, Y, sample_weight=weights).predict(X).mean() > pipeline.fit(X, Y).predict(X).mean() + 0.2


def mixed_frame(size=200):
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": generator.normal(size=size),
            "n": pd.array(generator.integers(0, 50, size), dtype="Int64"),
            "kind": pd.Categorical(generator.choice(["a", "b", "c"], size), categories=["c", "b", "a"]),
            "flag": generator.random(size) < 0.5,
        }
    )
    answer = frame["x"] + 2 * (frame["kind"] == "a")
    frame.loc[::7, "x"] = np.nan
    frame.loc[::11, "kind"] = np.nan
    frame.loc[::13, "n"] = pd.NA
    return frame, answer.astype(float)


def test_boosting_with_categories_and_gaps_learns_from_mixed_rows():
    frame, answer = mixed_frame()
    boosting = HistGradientBoostingRegressor(max_iter=60, random_state=0)
    augmented = MixupAugmented(boosting, bandwidth=0.2, random_state=0).fit(frame, answer)
    assert augmented.estimator_.is_categorical_.tolist() == [False, False, True, False]
    assert augmented.score(frame, answer) > 0.7
    assert augmented.feature_names_in_.tolist() == ["x", "n", "kind", "flag"]
    classifier = MixupAugmented(HistGradientBoostingClassifier(max_iter=30, random_state=0), random_state=0)
    assert classifier.fit(frame, (answer > 1).map({True: "up", False: "down"})).label_ == "weights"
    assert set(classifier.predict(frame)) == {"up", "down"}


def test_a_forest_takes_several_outputs_of_classes():
    forest = MixupAugmented(RandomForestClassifier(10, random_state=0), random_state=0)
    targets = np.stack([Y, X[:, 0] > 0], 1).astype(int)
    assert forest.fit(X, targets).predict(X).shape == (300, 2)
    assert (forest.predict(X) == targets).mean() > 0.9


def test_text_columns_go_through_an_encoder_inside():
    frame, answer = mixed_frame()
    frame["word"] = frame["kind"].astype("str")
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["word", "kind"]), remainder="drop")
    augmented = MixupAugmented(make_pipeline(encoder, LogisticRegression()), random_state=0).fit(frame, answer > 1)
    assert augmented.score(frame, answer > 1) > 0.7
