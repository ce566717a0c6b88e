"""Mixed rows: cells lie between or come from their two parents, whatever the type of column or table."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixkit_tabular.row_pairs import draw_bases, draw_lam, draw_partners
from mixkit_tabular.rows import ColumnMixing, RowPairs, column_mixing, mix_rows

EVERY_NUMBER = st.floats(allow_subnormal=True) | st.none()
WHOLE = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.sampled_from(["a", "b", "c"]) | st.none()


@st.composite
def tables(draw):
    size = draw(st.integers(1, 6))
    column = lambda values: draw(st.lists(values, min_size=size, max_size=size))  # noqa: E731 - one line, used below
    return pd.DataFrame(
        {
            "number": pd.array(column(EVERY_NUMBER), dtype=np.float64),
            "narrow": np.array(column(st.floats(width=32, allow_nan=False)), dtype=np.float32),
            "whole": np.array(column(WHOLE), dtype=np.int64),
            "positive": np.array(column(st.integers(0, 2**64 - 1)), dtype=np.uint64),
            "tiny": np.array(column(st.integers(-128, 127)), dtype=np.int8),
            "gaps": pd.array(column(st.integers(-128, 127) | st.none()), dtype="Int8"),
            "text": pd.Series(column(TEXTS), dtype="str"),
            "kind": pd.Categorical(column(TEXTS), categories=["c", "unused", "b", "a"], ordered=True),
            "flag": np.array(column(st.booleans())),
            "maybe": pd.array(column(st.booleans() | st.none()), dtype="boolean"),
            "when": pd.to_datetime(column(st.integers(0, 10**9)), unit="s", utc=True),
        }
    )


@st.composite
def pairs_of(draw, size):
    count = draw(st.integers(0, 8))
    rows = st.lists(st.integers(0, size - 1), min_size=count, max_size=count)
    shares = st.lists(st.floats(0, 1), min_size=count, max_size=count)
    return RowPairs(
        np.array(draw(rows), dtype=np.int64), np.array(draw(rows), dtype=np.int64), np.array(draw(shares), dtype=float)
    )


def mixed(table, pairs, categorical_features="from_dtype", seed=0):
    return mix_rows(table, pairs, column_mixing(table, categorical_features), np.random.default_rng(seed))


def same(one, other):
    if pd.isna(one) or pd.isna(other):
        return pd.isna(one) and pd.isna(other)
    return bool(one == other)


@given(data=st.data())
def test_every_number_lies_between_its_parents_and_every_category_is_one_of_theirs(data):
    table = data.draw(tables())
    pairs = data.draw(pairs_of(len(table)))
    rows = mixed(table, pairs)
    assert rows.dtypes.equals(table.dtypes)
    assert len(rows) == len(pairs)
    for name in table.columns:
        for value, own, other in zip(
            rows[name], table[name].iloc[pairs.base], table[name].iloc[pairs.partner], strict=True
        ):
            between = name in ("number", "narrow", "whole", "positive", "tiny", "gaps") and not (
                pd.isna(own) or pd.isna(other)
            )
            if between:
                assert min(own, other) <= value <= max(own, other), name
            else:
                assert same(value, own) or (name != "when" and same(value, other)), name


@given(data=st.data())
def test_a_share_of_one_gives_the_base_row_in_every_type(data):
    table = data.draw(tables())
    pairs = data.draw(pairs_of(len(table)))
    alone = RowPairs(pairs.base, pairs.partner, np.ones(len(pairs)))
    expected = table.iloc[pairs.base].reset_index(drop=True)
    pd.testing.assert_frame_equal(mixed(table, alone), expected, check_exact=True)


def test_numbers_are_interpolated_and_whole_ones_rounded_by_hand():
    table = pd.DataFrame({"x": [0.0, 10.0], "n": [0, 10]})
    rows = mixed(table, RowPairs(np.array([0, 1, 1]), np.array([1, 0, 0]), np.array([0.75, 0.75, 0.53])))
    assert rows["x"].tolist() == pytest.approx([2.5, 7.5, 5.3])
    assert rows["n"].tolist() == [2, 8, 5]  # halves to even
    assert rows["n"].dtype == np.int64


def test_all_columns_of_a_row_have_the_same_partner():
    # each row is its own number in all columns, also as a category
    number = np.arange(40)
    table = pd.DataFrame({"a": number * 1.0, "b": number * 100.0, "kind": pd.Categorical(number.astype(str))})
    generator = np.random.default_rng(1)
    base, lam = draw_bases(number, 400, generator), draw_lam(1.0, 400, generator)
    partner = draw_partners(base, number, np.ones(40), generator)
    rows = mixed(table, RowPairs(base, partner, lam))
    np.testing.assert_allclose(rows["a"] * 100, rows["b"])
    picked = rows["kind"].astype(int).to_numpy()
    assert ((picked == base) | (picked == partner)).all()
    assert (picked == partner).sum() > 50


def test_a_category_is_the_base_rows_with_probability_lam():
    table = pd.DataFrame({"kind": ["own", "other"], "gap": [1.0, None], "flag": [True, False]})
    count = 20_000
    pairs = RowPairs(np.zeros(count, np.int64), np.ones(count, np.int64), np.full(count, 0.7))
    rows = mixed(table, pairs)
    shares = [(rows["kind"] == "own").mean(), (rows["gap"] == 1).mean(), rows["flag"].mean()]
    np.testing.assert_allclose(shares, 0.7, atol=0.013)  # four standard errors
    assert set(rows["gap"].dropna()) == {1.0}
    both = ((rows["kind"] == "own") & rows["flag"]).mean()
    assert both == pytest.approx(0.49, abs=0.015)  # each cell has a coin of its own


def test_infinite_and_huge_whole_numbers_are_picked_instead_of_computed():
    table = pd.DataFrame({"x": [np.inf, -np.inf], "n": [2**63 - 1, -(2**63)]})
    rows = mixed(table, RowPairs(np.zeros(50, np.int64), np.ones(50, np.int64), np.full(50, 0.5)))
    assert set(rows["x"]) == {np.inf, -np.inf}
    assert set(rows["n"]) == {2**63 - 1, -(2**63)}


def test_columns_may_share_a_name_and_keep_their_order():
    table = pd.DataFrame([[0.0, "a", 1], [2.0, "b", 3]], columns=["x", "x", 7])
    table[7] = table[7].astype("int32")
    rows = mixed(table, RowPairs(np.array([0]), np.array([1]), np.array([0.5])))
    assert rows.columns.tolist() == ["x", "x", 7]
    assert rows.iloc[0, 0] == 1.0
    assert rows.iloc[0, 1] in ("a", "b")
    assert rows.iloc[0, 2] == 2


def test_arrays_stay_arrays_of_their_dtype():
    pairs = RowPairs(np.array([0]), np.array([1]), np.array([0.5]))
    for dtype, expected in ((np.float32, [1.0, 3.0]), (np.int16, [1, 3])):
        table = np.array([[0, 2], [2, 4]], dtype=dtype)
        rows = mixed(table, pairs)
        assert (rows.dtype, rows.tolist()) == (dtype, [expected])
    codes = np.array([[0.0, 10.0], [2.0, 20.0]])
    assert mixed(codes, pairs, categorical_features=[0])[0, 0] in (0.0, 2.0)


def test_objects_that_are_not_listed_as_categories_are_numbers():
    table = np.array([[1.0, "a"], [2, "b"]], dtype=object)
    rows = mixed(table, RowPairs(np.array([0]), np.array([1]), np.array([0.5])), categorical_features=[1])
    assert rows[0, 0] == 1.5


def test_listing_columns_by_name_and_by_position_is_the_same():
    table = pd.DataFrame({"x": [0.0], "code": [3], "when": pd.to_datetime(["2020"]), "flag": [True]})
    expected = (ColumnMixing.BLEND, ColumnMixing.PICK, ColumnMixing.KEEP, ColumnMixing.PICK)
    assert column_mixing(table, ["code"]) == column_mixing(table, [1]) == expected
    assert column_mixing(table, "from_dtype")[1] is ColumnMixing.BLEND


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("all", "categorical_features must be 'from_dtype' or a list .* got 'all'"),
        (["colour"], "must name columns that occur once, got 'colour'; the columns are"),
        ([5], "must hold positions from 0 to 1, got 5"),
        ([-1], "must hold positions from 0 to 1, got -1"),
        ([True], "must hold names or positions, got True"),
        ([], "must hold numbers, got column 'kind' of (str|object)"),
    ],
)
def test_wrong_lists_of_categories_are_refused(listed, message):
    table = pd.DataFrame({"x": [0.0, 1.0], "kind": pd.Series(["1", "2"], dtype="str")})
    with pytest.raises(ValueError, match=message):
        column_mixing(table, listed)


def test_names_are_refused_where_columns_have_none():
    with pytest.raises(ValueError, match="must hold positions where X is an array without names, got 'x'"):
        column_mixing(np.zeros((2, 2)), ["x"])


def test_complex_numbers_are_refused():
    with pytest.raises(ValueError, match="X must hold real numbers, got a column of complex128"):
        column_mixing(pd.DataFrame({"z": [1j, 2.0]}), "from_dtype")
