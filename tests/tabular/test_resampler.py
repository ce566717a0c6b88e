"""`MixupResampler`: how many rows, of which classes, from which parents, and everything given back in its own type."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.preprocessing import StandardScaler

from mixkit_tabular.resampler import MixupResampler

SIZE = 12
FRAME = pd.DataFrame(
    {
        "x": np.arange(SIZE) * 1.5,
        "n": np.arange(SIZE, dtype="int32"),
        "kind": pd.Categorical(list("abc") * 4, categories=list("dcba"), ordered=True),
        "text": pd.array(["u", "v", None] * 4, dtype="str"),
        "when": pd.date_range("2020-01-01", periods=SIZE),
    },
    index=[f"row {i}" for i in range(SIZE)],
)
CLASSES = np.array(["many"] * 7 + ["some"] * 4 + ["one"])


def counts(classes):
    return pd.Series(classes).value_counts().to_dict()


def test_every_class_is_filled_up_to_the_largest():
    rows, classes = MixupResampler(random_state=0).fit_resample(FRAME, CLASSES)
    assert counts(classes) == {"many": 7, "some": 7, "one": 7}
    assert len(rows) == 21


def test_new_rows_of_a_class_lie_inside_it():
    rows, classes = MixupResampler(random_state=0).fit_resample(FRAME, CLASSES)
    some = rows["x"][(classes == "some")][4:]
    assert some.between(7 * 1.5, 10 * 1.5).all()
    assert not some.isin(FRAME["x"]).any()


def test_new_rows_of_a_class_of_one_row_are_copies():
    rows, classes = MixupResampler(random_state=0).fit_resample(FRAME, CLASSES)
    copies = rows[classes == "one"].reset_index(drop=True)
    expected = pd.concat([FRAME.iloc[[11]]] * 7, ignore_index=True)
    pd.testing.assert_frame_equal(copies, expected)


def test_a_class_of_one_row_mixes_with_other_classes_and_dominates():
    resampler = MixupResampler(partners="any_class", random_state=0, sampling_strategy={"one": 200})
    rows, classes = resampler.fit_resample(FRAME[["x"]], CLASSES)
    new = rows["x"][12:]
    assert (classes[12:] == "one").all()
    # half way at most from 16.5 towards the others, which lie between 0 and 15
    assert new.between(16.5 / 2, 16.5).all()
    assert (new < 16.5).all()


def test_a_number_adds_rows_of_all_classes_alike():
    rows, classes = MixupResampler(sampling_strategy=2.0, random_state=0).fit_resample(FRAME, CLASSES)
    assert counts(classes) == {"many": 21, "some": 12, "one": 3}  # every row is base twice
    assert len(MixupResampler(sampling_strategy=0.3).fit_resample(FRAME, CLASSES)[0]) == 12 + 4
    assert len(MixupResampler(sampling_strategy=0).fit_resample(FRAME, CLASSES)[0]) == 12
    assert len(rows) == 36


def test_a_dict_fills_the_classes_it_names():
    _, classes = MixupResampler(sampling_strategy={"some": 6, "one": 1}).fit_resample(FRAME, CLASSES)
    assert counts(classes) == {"many": 7, "some": 6, "one": 1}
    _, numbers = MixupResampler(sampling_strategy={1: 5}).fit_resample(np.arange(6.0)[:, None], [1.0, 1, 2, 2, 2, 2])
    assert counts(numbers) == {1.0: 5, 2.0: 4}


@pytest.mark.parametrize("sampling_strategy", ["auto", 0.0, 1.5])
def test_original_rows_come_first_and_unchanged_and_the_callers_are_left_alone(sampling_strategy, global_state):
    frame, classes, before = FRAME.copy(), CLASSES.copy(), global_state()
    rows, labels = MixupResampler(sampling_strategy=sampling_strategy).fit_resample(frame, classes)
    pd.testing.assert_frame_equal(rows[:SIZE], FRAME.reset_index(drop=True), check_exact=True)
    assert rows.dtypes.equals(FRAME.dtypes)
    assert labels[:SIZE].tolist() == CLASSES.tolist()
    rows.iloc[0, 0] = -1.0
    labels[0] = "changed"
    pd.testing.assert_frame_equal(frame, FRAME, check_exact=True)
    assert classes.tolist() == CLASSES.tolist()
    assert global_state() == before


@given(data=st.data())
def test_array_rows_are_kept_bit_for_bit_and_counts_are_as_promised(data):
    size = data.draw(st.integers(1, 12))
    numbers = st.floats(width=32) | st.just(np.nan)
    table = np.array(data.draw(st.lists(st.tuples(numbers, numbers), min_size=size, max_size=size)), dtype=np.float32)
    classes = np.array(data.draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=size, max_size=size)))
    partners = data.draw(st.sampled_from(["same_class", "any_class"]))
    rows, labels = MixupResampler(partners=partners, random_state=1).fit_resample(table, classes)
    assert rows.dtype == np.float32
    assert rows[:size].tobytes() == table.tobytes()
    assert labels[:size].tolist() == classes.tolist()
    present = set(classes)
    assert counts(labels) == dict.fromkeys(present, max(counts(classes).values()))


def test_the_same_int_gives_the_same_rows_and_another_int_others():
    draw = lambda seed: MixupResampler(random_state=seed).fit_resample(FRAME, CLASSES)[0]  # noqa: E731 - short
    pd.testing.assert_frame_equal(draw(3), draw(3), check_exact=True)
    assert not draw(3).equals(draw(4))
    assert not draw(None).equals(draw(None))


@pytest.mark.parametrize(
    "targets",
    [
        pd.Series(CLASSES, name="class", dtype="str"),
        pd.Series(CLASSES, name="class", dtype="category"),
        pd.Series(CLASSES == "one", name="class"),
        pd.Series([1, 2, 2] * 4, dtype="Int64", index=range(5, 17)),
    ],
    ids=lambda series: str(series.dtype),
)
def test_a_series_of_classes_keeps_its_name_and_dtype(targets):
    _, classes = MixupResampler(random_state=0).fit_resample(FRAME, targets)
    assert (classes.name, classes.dtype) == (targets.name, targets.dtype)
    pd.testing.assert_series_equal(classes[:SIZE], targets.reset_index(drop=True))
    assert classes.index.tolist() == list(range(len(classes)))


def test_a_categorical_stays_one_and_absent_categories_are_not_filled():
    targets = pd.Categorical(CLASSES, categories=["one", "none", "some", "many"], ordered=True)
    _, classes = MixupResampler(random_state=0).fit_resample(FRAME, targets)
    assert isinstance(classes, pd.Categorical)
    assert classes.dtype == targets.dtype
    assert counts(classes) == {"one": 7, "some": 7, "many": 7, "none": 0}


def test_one_column_of_classes_stays_one_column():
    _, frame = MixupResampler(random_state=0).fit_resample(FRAME, pd.DataFrame({"class": CLASSES}))
    assert frame.columns.tolist() == ["class"]
    assert counts(frame["class"]) == {"many": 7, "some": 7, "one": 7}
    _, column = MixupResampler(random_state=0).fit_resample(FRAME, CLASSES[:, None])
    assert column.shape == (21, 1)


def test_numbers_as_targets_are_interpolated_with_the_rows():
    table = np.arange(20.0)[:, None]
    rows, targets = MixupResampler(random_state=0).fit_resample(table, 0.5 + 3 * table[:, 0])
    assert len(rows) == 40
    np.testing.assert_allclose(targets, 0.5 + 3 * rows[:, 0])  # a line is kept by interpolation
    assert len(set(rows[20:, 0]) - set(table[:, 0])) == 20


@pytest.mark.parametrize(
    "wrap",
    [
        np.asarray,
        lambda y: pd.Series(y, name="target", dtype="float32"),
        lambda y: pd.Series(y, name="target", dtype="Float64"),
        lambda y: np.stack([y, -y], 1),
        lambda y: pd.DataFrame({"up": y, "down": -y}),
    ],
    ids=["array", "float32", "Float64", "two outputs", "frame"],
)
def test_numbers_as_targets_keep_their_type(wrap):
    targets = wrap(np.linspace(0.05, 1, SIZE))
    _, more = MixupResampler(random_state=0).fit_resample(FRAME, targets)
    assert type(more) is type(targets)
    assert len(more) == 2 * SIZE
    if isinstance(targets, pd.Series):
        assert (more.name, more.dtype) == ("target", targets.dtype)
    frame, first = pd.DataFrame(more), pd.DataFrame(targets)
    pd.testing.assert_frame_equal(frame[:SIZE], first, check_exact=True)
    assert frame.dtypes.equals(first.dtypes)
    assert frame[SIZE:].notna().all(axis=None)


def test_whole_numbers_are_classes_unless_said_otherwise():
    table, amounts = np.arange(8.0)[:, None], np.array([1, 2, 2, 2, 1, 1, 2, 2])
    rows, _ = MixupResampler().fit_resample(table, amounts)
    assert len(rows) == 10
    rows, targets = MixupResampler(task="regression", random_state=0).fit_resample(table, amounts * 100)
    assert len(rows) == 16
    assert targets.dtype == amounts.dtype
    assert set(targets[8:]) - {100, 200}


def test_a_bandwidth_draws_partners_with_similar_targets():
    table = np.repeat([0.0, 1.0], 50)[:, None] + np.arange(100)[:, None] / 1e6
    targets = table[:, 0] * 7.5
    near, _ = MixupResampler(bandwidth=0.1, random_state=0).fit_resample(table, targets)
    far, _ = MixupResampler(random_state=0).fit_resample(table, targets)
    between = lambda rows: ((rows > 0.01) & (rows < 0.99)).sum()  # noqa: E731 - short
    assert between(near) == 0
    assert between(far) > 25


def test_a_table_of_one_row_gives_a_copy():
    rows, targets = MixupResampler(bandwidth=1.0).fit_resample([[1.5, 2.5]], [0.5])
    assert rows.tolist() == [[1.5, 2.5]] * 2
    assert targets.tolist() == [0.5, 0.5]


def test_parameters_are_stored_as_given_and_cloned():
    strategy = {"one": 5}
    resampler = MixupResampler(sampling_strategy=strategy, categorical_features=["kind", "text"], alpha=0.5)
    assert resampler.get_params()["sampling_strategy"] is strategy
    assert clone(resampler).get_params() == resampler.get_params()
    before = dict(vars(resampler))
    resampler.fit_resample(FRAME, CLASSES)
    assert vars(resampler) == before


def test_it_works_in_the_pipeline_of_imbalanced_learn_with_classes_and_numbers():
    pipeline = pytest.importorskip("imblearn.pipeline")
    generator = np.random.default_rng(0)
    table = generator.normal(size=(120, 3))
    classes = np.where(table[:, 0] > 1, "high", "low")
    model = pipeline.make_pipeline(StandardScaler(), MixupResampler(random_state=0), LogisticRegression())
    assert cross_val_score(model, table, classes, scoring="balanced_accuracy").mean() > 0.9
    search = GridSearchCV(model, {"mixupresampler__partners": ["same_class", "any_class"]}).fit(table, classes)
    assert search.predict(table).shape == (120,)
    line = pipeline.make_pipeline(MixupResampler(random_state=0, bandwidth=0.5), LinearRegression())
    targets = table @ [1.0, 2.0, 3.0]
    assert line.fit(table, targets).score(table, targets) == pytest.approx(1.0)
