"""Target, groups and the roles of columns."""

import numpy as np
import pandas as pd
import pytest

from mixkit.comparison.problems import DataError
from mixkit_tabular.columns import infer_roles, looks_grouped
from mixkit_tabular.target import make_groups, make_target, resolve_column


def column(values, name="y", **options):
    return pd.Series(values, name=name, **options)


def test_a_name_wins_over_a_position():
    assert resolve_column(["2", "b", "1"], "1", "--target") == "1"
    assert resolve_column(["2", "b", "1"], "-2", "--target") == "b"


def test_an_unknown_column_is_answered_with_the_nearest_and_all_names():
    with pytest.raises(DataError, match=r"got 'strenght'; did you mean 'strength'\? The columns are 'age', 'strength'"):
        resolve_column(["age", "strength"], "strenght", "--target")
    with pytest.raises(DataError, match=r"did you mean 'Age'\?"):
        resolve_column(["Age"], "AGE ", "--target")
    with pytest.raises(DataError, match="position below 2, got 2"):
        resolve_column(["a", "b"], "2", "--target")


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["b", "a", "b", "a"], ("a", "b")),
        ([True, False, True, False], ("False", "True")),
        ([3, 1, 2] * 5, ("1", "2", "3")),
        ([10.0, 9.0] * 3, ("9", "10")),
        ([-1, 1], ("-1", "1")),
    ],
)
def test_words_truth_values_and_few_whole_numbers_are_classes(values, classes):
    target = make_target(column(values))
    assert target.classes == classes
    assert target.labels.dtype == np.int64
    assert [target.classes[code] for code in target.labels] == [
        str(int(v)) if type(v) in (int, float) else str(v) for v in values
    ]


@pytest.mark.parametrize("values", [[0.5, 1.0] * 20, list(range(21)) * 9, [1, 2, 3] * 4])
def test_fractions_and_many_whole_numbers_are_regression(values):
    target = make_target(column(values))
    assert target.classes == ()
    assert target.labels.dtype == np.float64
    assert target.labels.tolist() == values
    assert "regression" in target.notes[0]


def test_declared_order_of_classes_is_kept_and_empty_ones_are_noted():
    target = make_target(column(pd.Categorical(["hi", "lo", "hi", "lo"], categories=["lo", "mid", "hi"])))
    assert target.classes == ("lo", "hi")
    assert target.labels.tolist() == [1, 0, 1, 0]
    assert "declared but without rows: 'mid'" in target.notes[0]


def test_rows_without_a_target_are_dropped_and_counted():
    target = make_target(column([1.0, np.nan, 0.0, np.nan, 1.0]))
    assert target.kept.tolist() == [True, False, True, False, True]
    assert target.labels.tolist() == [1, 0, 1]
    assert target.notes[1] == "2 rows without a target were dropped"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "a", None], "must have two classes or more, got only 'a'"),
        ([2.5, 2.5], "must have different values, got 2.5 in all rows"),
        ([None, None], "must have values, got none"),
        ([1.5, np.inf, 2.0], "must be finite, got 1 infinite values"),
        ([f"name {i}" for i in range(9)], "must repeat its classes, got 9 in 9 rows"),
        (["2024-01-01", "2024-01-02"], "must be a label or a number, got dates"),
        ([[1], [2]], "must be a label or a number, got list values"),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused(values, message):
    with pytest.raises(DataError, match=message):
        make_target(column(values))


def test_each_row_without_a_group_is_a_group_of_its_own():
    codes, notes = make_groups(column(["b", None, "a", None, "b"], name="who"))
    assert codes.tolist() == [0, 1, 2, 3, 0]
    assert notes[0].startswith("4 groups by column 'who'")
    assert "2 rows without a value" in notes[1]


def test_one_group_only_is_refused():
    with pytest.raises(DataError, match="must make two groups or more, got 1"):
        make_groups(column(["a", "a"], name="who"))


def test_columns_that_say_nothing_are_left_out_by_name():
    count = 40
    table = pd.DataFrame(
        {
            "rownames": range(1, count + 1),
            "order_id": np.arange(count) * 7 + 3,
            "empty": [None] * count,
            "same": ["x"] * count,
            "when": [f"2024-03-{i % 28 + 1:02d} 10:00" for i in range(count)],
            "name": [f"person {i}" for i in range(count)],
            "size": np.arange(count) * 0.5,
            "kind": ["a", "b"] * (count // 2),
        }
    )
    roles = infer_roles(table)
    assert (roles.numeric, roles.categorical) == (("size",), ("kind",))
    text = "\n".join(roles.notes)
    assert "unique in each row like an id: 'rownames', 'order_id', 'name'" in text
    assert "without a value: 'empty'" in text
    assert "the same value in each row: 'same'" in text
    assert "a date (" in text
    assert "'when'" in text


def test_unique_measurements_are_no_ids():
    table = pd.DataFrame({"weight": [71, 64, 80, 93], "paid": [1.25, 2.5, 3.75, 5.0]})
    assert infer_roles(table).numeric == ("weight", "paid")


def test_infinite_values_and_stray_words_are_named():
    table = pd.DataFrame({"a": [1.0, np.inf, -np.inf, 2.0], "b": [1, 2, 2, 4]})
    assert infer_roles(table).notes == ("column 'a' has 2 infinite values; they are treated as missing",)
    words = pd.DataFrame({"a": [*map(str, [1, 2] * 10), "none"]})
    assert infer_roles(words).notes == ("column 'a' is read as categories: 1 values are not numbers, e.g. 'none'",)


def test_truth_values_are_categories():
    table = pd.DataFrame({"a": [True, False], "b": pd.array([True, None], dtype="boolean"), "c": [0, 1.5]})
    assert infer_roles(table).categorical == ("a", "b")


def test_repeated_subjects_look_grouped():
    repeated = pd.DataFrame({"patient_id": np.arange(40) // 4, "x": range(40)})
    assert "--group-by patient_id" in looks_grouped(repeated)
    assert looks_grouped(repeated.assign(patient_id=range(40))) is None
    assert looks_grouped(repeated.rename(columns={"patient_id": "dose"})) is None
