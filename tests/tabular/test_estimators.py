"""What the estimators promise beyond scikit-learn's contract: data as they come, weights, reproducibility, training."""

import threading

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss

import mixkit
from mixkit_tabular import MixupClassifier, MixupRegressor
from mixkit_tabular.fitting import PRECISE_ROWS


def small(kind=MixupClassifier, **arguments):
    """Return an estimator that fits in well under a second."""
    return kind(**{"method": "mixup", "members": 1, "epochs": 10, "random_state": 0, **arguments})


def people(rows=200, seed=0):
    """Return a frame of many kinds of columns with gaps, and text labels that follow from two of them."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": draw.normal(40, 10, rows),
            "children": pd.array(draw.integers(0, 5, rows), dtype="Int64"),
            "town": draw.choice(["A", "B", "C"], rows),
            "plan": pd.Categorical(draw.choice(["x", "y"], rows)),
            "member": draw.random(rows) > 0.5,
            "same": 1.0,
        }
    )
    labels = np.where((frame.age > 40) ^ (frame.town == "A"), "stays", "leaves")
    frame.loc[::9, "age"] = np.nan
    frame.loc[::10, "children"] = pd.NA
    frame.loc[::11, "town"] = None
    return frame, labels


def test_mixed_columns_with_gaps_are_learned_from_and_their_roles_can_be_read():
    frame, labels = people(400)
    model = small(epochs=60).fit(frame, labels)
    assert model.score(*people(400, seed=1)) > 0.8
    assert model.roles_.numeric == ("age", "children")
    assert model.roles_.categorical == ("town", "plan", "member")
    assert model.roles_.notes == ("left out, the same value in each row: 'same'",)


def test_a_category_that_training_did_not_see_counts_as_missing():
    frame, labels = people()
    model = small().fit(frame, labels)
    unseen, missing = frame.assign(town="nowhere"), frame.assign(town=None)
    assert np.array_equal(model.predict_proba(unseen), model.predict_proba(missing))


def test_number_codes_are_categories_where_the_user_says_so():
    draw = np.random.default_rng(0)
    codes = draw.integers(0, 12, 300)
    labels = np.isin(codes, [1, 4, 5, 9])
    frame = pd.DataFrame({"code": codes, "noise": draw.normal(size=300)})
    by_name = small(categorical_features=["code"], epochs=30).fit(frame, labels)
    by_position = small(categorical_features=[0], epochs=30).fit(frame.to_numpy(), labels)
    assert by_name.roles_.categorical == ("code",)
    assert by_name.score(frame, labels) > 0.95
    assert by_position.score(frame.to_numpy(), labels) > 0.95


def test_frames_of_other_libraries_give_the_same_network():
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame, labels = people()
    mine = small().fit(frame, labels)
    theirs = small().fit(polars.from_pandas(frame), labels)
    assert np.array_equal(mine.predict_proba(frame), theirs.predict_proba(polars.from_pandas(frame)))
    assert theirs.feature_names_in_.tolist() == list(frame.columns)


def test_the_same_seed_gives_the_same_network_and_no_global_generator_moves():
    frame, labels = people()
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - what must not move
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - as above
    one, two = (small(method="auto", epochs=3).fit(frame, labels).predict_proba(frame) for _ in range(2))
    other = small(method="auto", epochs=3, random_state=1).fit(frame, labels).predict_proba(frame)
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    small(random_state=None).fit(frame, labels)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002 - as above


def test_fits_in_threads_give_what_fits_one_by_one_give():
    frame, labels = people()
    models = [small(epochs=4, random_state=seed) for seed in range(3)]
    expected = [model.fit(frame, labels).predict_proba(frame) for model in models]
    threads = [threading.Thread(target=model.fit, args=(frame, labels)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model, found in zip(models, expected, strict=True):
        assert np.array_equal(model.predict_proba(frame), found)


def test_a_row_s_prediction_does_not_depend_on_the_rows_beside_it():
    frame, labels = people()
    model = small(members=3, epochs=2).fit(frame, labels)
    together = model.predict_proba(frame)
    alone = np.concatenate([model.predict_proba(frame[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(alone, together[:5], rtol=1e-12)


def test_many_rows_are_predicted_as_few_are_up_to_single_precision():
    frame, labels = people()
    model = small(epochs=2).fit(frame, labels)
    many = pd.concat([frame] * (PRECISE_ROWS // len(frame) + 1), ignore_index=True)
    np.testing.assert_allclose(model.predict_proba(many)[: len(frame)], model.predict_proba(frame), atol=1e-5)


@pytest.mark.parametrize("weight", [1.0, 7.0])
def test_equal_weights_are_no_weights_bit_for_bit(weight):
    frame, labels = people()
    plain = small().fit(frame, labels).predict_proba(frame)
    weighted = small().fit(frame, labels, sample_weight=np.full(len(frame), weight)).predict_proba(frame)
    assert np.array_equal(plain, weighted)


def test_rows_of_weight_zero_are_left_out_bit_for_bit():
    frame, labels = people()
    weights = (np.arange(len(frame)) % 3 > 0).astype(float)
    without = small().fit(frame[weights > 0], labels[weights > 0]).predict_proba(frame)
    assert np.array_equal(small().fit(frame, labels, sample_weight=weights).predict_proba(frame), without)


def test_class_weights_move_predictions_and_equal_sample_weights():
    frame, labels = people()
    plain = small().fit(frame, labels).predict_proba(frame)[:, 1].mean()
    weighted = small(class_weight={"stays": 5.0, "leaves": 1.0}).fit(frame, labels)
    assert weighted.predict_proba(frame)[:, 1].mean() > plain + 0.1
    by_hand = small().fit(frame, labels, sample_weight=np.where(labels == "stays", 5.0, 1.0))
    assert np.array_equal(weighted.predict_proba(frame), by_hand.predict_proba(frame))


def test_several_labels_are_learned_and_have_their_own_probabilities():
    draw = np.random.default_rng(0)
    X = draw.normal(size=(300, 3))
    y = (X[:, :2] + 0.1 * draw.normal(size=(300, 2)) > 0).astype(int)
    model = small(epochs=40).fit(X, y)
    assert model.classes_.tolist() == [0, 1]
    assert model.predict(X).dtype == np.int64
    assert (model.predict(X) == y).mean() > 0.9
    assert np.allclose(model.decision_function(X) > 0, model.predict(X))
    with pytest.raises(ValueError, match="class_weight must be None for multi-label targets"):
        small(class_weight="balanced").fit(X, y)


@pytest.mark.parametrize("shape", [(200,), (200, 2)])
def test_values_come_back_in_their_units_and_shape(shape):
    X = np.random.default_rng(0).normal(size=(200, 2))
    y = (1e6 + 1e3 * X[:, : (1 if len(shape) == 1 else 2)]).reshape(shape)
    model = small(MixupRegressor, method="erm", epochs=80).fit(X, y)
    predicted = model.predict(X)
    assert predicted.shape == shape
    assert predicted.dtype == np.float64
    assert np.abs(predicted - y).max() < 1500
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("name", [n for n, m in mixkit.methods().items() if "table" in m.modalities])
def test_every_method_for_tables_fits(name, members):
    frame, labels = people(120)
    kind, target = (MixupRegressor, np.nan_to_num(frame.age)) if name == "c-mixup" else (MixupClassifier, labels)
    model = small(kind, method=name, members=members, epochs=2, width=16)
    if name == "decoupled" and members > 1:
        with pytest.raises(ValueError, match="the decoupled loss needs one label a sample"):
            model.fit(frame, target)
        return
    assert np.isfinite(model.fit(frame, target).score(frame, target))
    assert model.mixing_report_.method == name


def test_members_of_an_ensemble_differ_and_their_mean_predicts():
    frame, labels = people()
    model = small(members=4, epochs=30).fit(frame, labels)
    rows = model.preprocessor_.transform(frame)
    each = model.network_(rows)
    assert each.shape == (len(frame), 2, 4)
    assert float(each.std(2).mean()) > 1e-3
    np.testing.assert_allclose(model.decision_function(frame), (each.mean(2)[:, 1] - each.mean(2)[:, 0]), atol=1e-4)


def test_partial_fit_goes_on_and_knows_all_classes_from_the_start():
    frame, labels = people(400)
    model = small(learning_rate=5e-3)
    for _ in range(15):
        for half in (slice(0, 200), slice(200, 400)):
            model.partial_fit(frame[half], labels[half], classes=["leaves", "never", "stays"])
    assert model.classes_.tolist() == ["leaves", "never", "stays"]
    assert model.score(frame, labels) > 0.75
    assert model.predict_proba(frame)[:, 1].max() < 0.2
    with pytest.raises(ValueError, match="y must hold classes of the first fit, got 'new'"):
        model.partial_fit(frame[:2], ["new", "stays"])


def test_a_warm_start_goes_on_from_the_network_and_a_cold_one_does_not():
    frame, labels = people()
    warm = small(warm_start=True, epochs=15).fit(frame, labels)
    first = log_loss(labels, warm.predict_proba(frame))
    for _ in range(4):
        warm.fit(frame, labels)
    cold = small(epochs=15).fit(frame, labels).fit(frame, labels)
    assert log_loss(labels, warm.predict_proba(frame)) < first - 0.05
    assert log_loss(labels, cold.predict_proba(frame)) == pytest.approx(first, abs=1e-9)


def test_early_stopping_keeps_the_best_epoch_on_rows_it_did_not_train_on():
    draw = np.random.default_rng(0)
    X, y = draw.normal(size=(200, 20)), draw.integers(0, 2, 200)  # nothing to learn: any fit is overfitting
    model = small(method="erm", early_stopping=True, patience=5, epochs=200, learning_rate=3e-3).fit(X, y)
    losses = [epoch["validation_loss"] for epoch in model.history_]
    assert model.best_epoch_ == int(np.argmin(losses)) + 1
    assert len(losses) == model.best_epoch_ + 5 < 200


def test_an_explicit_validation_set_decides_on_the_epoch():
    frame, labels = people()
    others, theirs = people(seed=1)
    model = small(method="erm", epochs=30).fit(frame, labels, validation=(others, theirs))
    best = min(epoch["validation_loss"] for epoch in model.history_)
    assert log_loss(theirs, model.predict_proba(others)) == pytest.approx(best, abs=1e-5)


def test_a_failed_fit_loses_nothing():
    frame, labels = people()
    model = small().fit(frame, labels)
    before = model.predict_proba(frame)
    with pytest.raises(ValueError, match="holds dates"):
        model.fit(frame[["age"]].assign(when=pd.Timestamp("2020-01-01")), labels)
    assert np.array_equal(model.predict_proba(frame), before)
    assert model.n_features_in_ == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "mixpu"}, "method must be one of .*did you mean 'mixup'"),
        ({"method": "cutmix"}, "method must be for tables, got 'cutmix'"),
        ({"method": "c-mixup"}, "method 'c-mixup' is for Regression, got a target for MultiClass"),
        ({"method": "erm", "mix_alpha": 0.2}, "mix_alpha must be None, method 'erm' has no such parameter, got 0.2"),
        ({"method": "mixup", "eta": 0.1}, "eta must be None, method 'mixup' has no such parameter"),
        ({"method": "auto", "mix_alpha": 0.2}, 'mix_alpha must be None with method="auto", which chooses it'),
        ({"mix_alpha": -1.0}, "mix_alpha must be a number above 0, got -1.0"),
        ({"mix_until": 0.0}, "mix_until must be a number above 0 and at most 1, got 0.0"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"members": 2.5}, "members must be a whole number of at least 1, got 2.5"),
        ({"dropout": 1.0}, "dropout must be a number of at least 0 and below 1, got 1.0"),
        ({"learning_rate": 0}, "learning_rate must be a number above 0, got 0"),
        ({"class_weight": "ballanced"}, 'class_weight must be a dict, "balanced" or None'),
        ({"categorical_features": ["nosuch"]}, "categorical_features must name columns, got 'nosuch'"),
        ({"categorical_features": ["plan"]}, "must name all columns that are no numbers, but not 'town', 'member'"),
        ({"categorical_features": "auto"}, 'categorical_features must be "from_dtype" or a list of columns'),
        ({"device": "warp"}, "device and precision must exist here, got device='warp'"),
    ],
)
def test_arguments_that_cannot_be_are_refused_by_name_and_value(arguments, message):
    frame, labels = people(30)
    with pytest.raises(ValueError, match=message):
        small(**arguments).fit(frame, labels)


def test_progress_is_told_on_stderr_only_when_asked_for(capsys):
    frame, labels = people(60)
    small(verbose=0).fit(frame, labels)
    assert capsys.readouterr() == ("", "")
    small(verbose=1).fit(frame, labels)
    out, err = capsys.readouterr()
    assert out == ""
    assert "MixupClassifier: training with mixup" in err


@pytest.mark.parametrize("change", [{"width": 32}, {"members": 2}, {"depth": 1}, {"dropout": 0.5}])
def test_training_goes_on_with_the_network_it_began_with_or_not_at_all(change):
    frame, labels = people(60)
    model = small(warm_start=True, epochs=2, width=16).fit(frame, labels).set_params(**change)
    (name, value), *_ = change.items()
    for again in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=f"{name} must be .* as in the first fit, got {value}; clone"):
            again(frame, labels)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([None, *range(29)], "groups must have no gaps"),
        (np.zeros((30, 2)), "y should be a 1d array|1d array"),
        ([1, 2], "inconsistent numbers of samples"),
    ],
)
def test_groups_that_cannot_be_are_refused(groups, message):
    frame, labels = people(30)
    with pytest.raises(ValueError, match=message):
        small().fit(frame, labels, groups=groups)


def test_huge_weights_do_not_overflow():
    frame, labels = people(60)
    weights = np.where(np.arange(60) % 2, 1e308, 5e307)
    assert np.isfinite(small(epochs=2).fit(frame, labels, sample_weight=weights).predict_proba(frame)).all()
