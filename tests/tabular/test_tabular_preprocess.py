"""Preprocessing: fitted on training rows, exact through JSON, never a gap or an overflow in what comes out."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixkit.comparison.problems import DataError
from mixkit_tabular.columns import Roles
from mixkit_tabular.preprocess import TablePreprocessor

TABLE = pd.DataFrame(
    {
        "x": [0.0, 1.0, 2.0, 3.0, 4.0],
        "gap": [1.0, np.nan, 3.0, 5.0, 7.0],
        "kind": ["b", "a", None, "b", "c"],
        "flag": [True, False, True, True, False],
    }
)
ROLES = Roles(("x", "gap"), ("kind", "flag"), ())


def test_numbers_are_centred_scaled_and_clipped_by_hand():
    # x: median 2, interquartile range 3 - 1 = 2; 4 becomes z = 1 and 1 / sqrt(1 + 1 / 9)
    rows = TablePreprocessor.fit(TABLE, ROLES).transform(TABLE)
    expected = [-1 / math.sqrt(10 / 9), -0.5 / math.sqrt(37 / 36), 0.0, 0.5 / math.sqrt(37 / 36), 1 / math.sqrt(10 / 9)]
    torch.testing.assert_close(rows.numeric[:, 0], torch.tensor(expected))


def test_gaps_become_the_median_and_are_marked():
    rows = TablePreprocessor.fit(TABLE, ROLES).transform(TABLE)
    assert rows.numeric[1, 1] == 0.0  # the centre
    assert rows.numeric[:, 2].tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]
    assert rows.numeric.shape == (5, 3)  # x had no gaps, so nothing marks them


def test_codes_start_at_one_and_zero_is_missing_or_unseen():
    fitted = TablePreprocessor.fit(TABLE, ROLES)
    assert fitted.transform(TABLE).codes.tolist() == [[2, 2], [1, 1], [0, 2], [2, 2], [3, 1]]
    assert fitted.cardinalities == (4, 3)
    assert fitted.transform(TABLE.assign(kind="never seen")).codes[:, 0].tolist() == [0] * 5


def test_only_training_rows_are_looked_at():
    shifted = TABLE.copy()
    shifted.loc[3:, ["x", "gap"]] = 1e9
    shifted.loc[3:, "kind"] = "elsewhere"
    assert TablePreprocessor.fit(TABLE[:3], ROLES) == TablePreprocessor.fit(shifted[:3], ROLES)
    roles = Roles(("x",), ("kind",), ())
    assert TablePreprocessor.fit(shifted[:3], roles).categorical[0].levels == ("a", "b")


def test_the_callers_table_is_left_as_it_was():
    table = TABLE.copy()
    TablePreprocessor.fit(table, ROLES).transform(table)
    pd.testing.assert_frame_equal(table, TABLE)


def test_columns_that_do_not_vary_in_training_are_dropped():
    table = TABLE.assign(x=1.0, kind="a")
    fitted = TablePreprocessor.fit(table, ROLES)
    assert [column.name for column in fitted.numeric] == ["gap"]
    assert [column.name for column in fitted.categorical] == ["flag"]
    with pytest.raises(DataError, match="a feature must vary over the 5 training rows"):
        TablePreprocessor.fit(table, Roles(("x",), ("kind",), ()))


def test_a_column_that_is_only_sometimes_there_still_tells_by_its_gaps():
    table = pd.DataFrame({"x": [5.0, np.nan, 5.0, np.nan]})
    rows = TablePreprocessor.fit(table, Roles(("x",), (), ())).transform(table)
    assert rows.numeric.tolist() == [[0.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 1.0]]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(allow_nan=True, allow_infinity=True), st.one_of(st.none(), st.text(max_size=3))),
        min_size=3,
        max_size=12,
    )
)
def test_whatever_the_cells_the_outcome_is_finite_and_json_keeps_it(cells):
    table = pd.DataFrame({"x": [x for x, _ in cells], "k": pd.Series([k for _, k in cells], dtype=object)})
    table["always"] = np.arange(len(cells)) * 1.5
    fitted = TablePreprocessor.fit(table, Roles(("x", "always"), ("k",), ()))
    rows = fitted.transform(table)
    assert bool(rows.numeric.isfinite().all())
    assert float(rows.numeric.abs().max()) <= 3.0
    again = TablePreprocessor.from_card(json.loads(json.dumps(fitted.card())))
    assert again == fitted
    assert torch.equal(again.transform(table).numeric, rows.numeric)
    assert torch.equal(again.transform(table).codes, rows.codes)


def test_levels_are_the_same_whatever_type_a_file_gave_them():
    fitted = TablePreprocessor.fit(pd.DataFrame({"k": pd.Categorical(["1", "2", "3"])}), Roles((), ("k",), ()))
    for values in ([3, 1], [3.0, 1.0], ["3", "1"], pd.Categorical(["3", "1"]), pd.array([3, 1], dtype="Int64")):
        assert fitted.transform(pd.DataFrame({"k": values})).codes.flatten().tolist() == [3, 1]


def test_missing_columns_are_listed():
    with pytest.raises(DataError, match="missing are 'gap', 'flag'"):
        TablePreprocessor.fit(TABLE, ROLES).transform(TABLE[["x", "kind"]])


def test_words_in_a_column_of_numbers_are_refused_with_their_row():
    with pytest.raises(DataError, match="column 'x' must hold numbers as in training, got 'tall' in row 1"):
        TablePreprocessor.fit(TABLE, ROLES).transform(TABLE.assign(x=["1", "tall", "2", "3", "4"]))


def test_original_values_come_back():
    fitted = TablePreprocessor.fit(TABLE, ROLES)
    row = fitted.original(fitted.transform(TABLE), 1)
    assert row.pop("x") == pytest.approx(1.0)
    assert row == {"gap": None, "kind": "a", "flag": "False"}
    outlier = fitted.original(fitted.transform(TABLE.assign(x=[1000.0, 1, 2, 3, 4])), 0)
    assert outlier["x"] == pytest.approx(1000.0, rel=0.05)
