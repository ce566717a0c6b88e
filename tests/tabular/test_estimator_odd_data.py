"""Tables, targets and arguments that once went wrong in the estimators, a fact each."""

import datetime
import io
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from mixkit_tabular import MixupClassifier, MixupRegressor
from mixkit_tabular.telling import Telling

Y = np.arange(12) % 2
NUMBERS = np.arange(12.0)


def small(kind=MixupClassifier, **arguments):
    """Return an estimator that fits in a moment, with steps large enough to tell categories apart."""
    few = {"method": "mixup", "members": 1, "width": 8, "depth": 1, "epochs": 5, "learning_rate": 0.05}
    return kind(**{**few, "random_state": 0, **arguments})


def with_column(cells, dtype=object):
    """Return a table of numbers and a column `c`."""
    return pd.DataFrame({"a": NUMBERS, "c": pd.Series(cells, dtype=dtype)})


@pytest.mark.parametrize("cells", [[1, True, "u", 2.0], ["2020-01-01", "u", "v", "w"], ["1.50", "1.5", "x", "01"]])
@pytest.mark.parametrize("form", [lambda X: X, lambda X: X.to_numpy(dtype=object)])
def test_a_row_s_prediction_does_not_depend_on_the_rows_beside_it(cells, form):
    X = form(with_column(cells * 3))
    model = small().fit(X, Y)
    together = model.predict_proba(X)
    alone = np.concatenate([model.predict_proba(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(alone, together, atol=1e-12)


@pytest.mark.parametrize(
    "cells",
    [
        [Decimal("1.5"), 2.5, None],
        [Fraction(1, 2), 3, 2.5],
        [1.5, pd.NaT, 2],
        [1, pd.NA, 2.5],
        [datetime.timedelta(1), None, datetime.timedelta(2)],
    ],
)
def test_objects_that_are_numbers_make_a_column_of_numbers(cells):
    assert small().fit(with_column(cells * 4), Y).roles_.numeric == ("a", "c")


def test_arrow_durations_are_numbers_and_nested_arrow_columns_are_refused():
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    durations = with_column([datetime.timedelta(1), None, datetime.timedelta(2)] * 4, pd.ArrowDtype(pa.duration("us")))
    assert small().fit(durations, Y).roles_.numeric == ("a", "c")
    nested = with_column([[1], None] * 6, pd.ArrowDtype(pa.list_(pa.int64())))
    with pytest.raises(TypeError, match="a string or a number, got ndarray in column 'c'; make columns of numbers"):
        small().fit(nested, Y)


@pytest.mark.parametrize("gap", [None, np.nan, pd.NA, pd.NaT])
def test_every_kind_of_gap_means_the_same_in_an_array_of_objects(gap):
    holes = np.array([[1, gap], [2, 3.5], [gap, 4]] * 4, dtype=object)
    plain = np.array([[1, np.nan], [2, 3.5], [np.nan, 4]] * 4)
    np.testing.assert_array_equal(
        small().fit(holes, Y).predict_proba(holes), small().fit(plain, Y).predict_proba(plain)
    )


def test_blanks_around_a_category_mean_nothing_whatever_its_type():
    text, category = with_column([" u", "v "] * 6), with_column([" u", "v "] * 6, "category")
    model = small().fit(text, Y)
    np.testing.assert_array_equal(model.predict_proba(category), model.predict_proba(text))


@pytest.mark.parametrize(
    "X",
    [
        with_column([datetime.date(2020, 1, 1 + i) for i in range(12)]),
        np.arange(24).astype("M8[D]").reshape(12, 2),
        np.array([[datetime.date(2020, 1, 1 + i), i] for i in range(12)], dtype=object),
    ],
)
def test_dates_are_refused_with_advice_in_every_form(X):
    with pytest.raises(ValueError, match="holds dates; add what matters of it, such as year"):
        small().fit(X, Y)


def test_a_column_of_missing_dates_is_a_column_of_gaps():
    model = small().fit(with_column(NUMBERS, "float64"), Y)
    gaps = with_column([np.nan] * 12, "float64")
    nothing = gaps.assign(c=pd.NaT)
    np.testing.assert_array_equal(model.predict_proba(nothing), model.predict_proba(gaps))


@pytest.mark.parametrize("cell", [10**400, Decimal("sNaN")])
@pytest.mark.parametrize("form", [lambda X: X, lambda X: X.to_numpy(dtype=object)])
def test_numbers_that_no_float_can_hold_are_refused(cell, form):
    with pytest.raises(ValueError, match="must hold numbers below 1e308, text or gaps"):
        small().fit(form(with_column([cell, 2] * 6)), Y)


def test_a_dataframe_that_arrow_cannot_hold_is_refused():
    pl = pytest.importorskip("polars", reason="polars is not installed")
    with pytest.raises(ValueError, match=r"X must be a dataframe that Arrow can hold, got a polars.*Series"):
        small().fit(pl.Series([1, 2]), [0, 1])


@pytest.mark.parametrize(
    ("y", "dtype", "classes"),
    [
        (pd.array([3, 70] * 6, dtype="Int64"), "int64", [3, 70]),
        (pd.Series([True, False] * 6, dtype="boolean"), "bool", [False, True]),
        (pd.Series([3, 70] * 6, dtype=object), "int64", [3, 70]),
        (np.array([True, False] * 6, dtype=object), "bool", [False, True]),
        (np.array([np.str_("u"), "v"] * 6, dtype=object), "object", ["u", "v"]),
    ],
)
def test_labels_come_back_in_the_type_that_they_have(y, dtype, classes):
    model = small().fit(with_column(NUMBERS, "float64"), y)
    assert model.classes_.tolist() == classes
    assert model.predict(with_column(NUMBERS, "float64")).dtype == dtype


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["u", "v", None] * 4, "Input y contains NaN or None; drop those rows"),
        (pd.Categorical(["u", "v", None] * 4), "Input y contains NaN or None; drop those rows"),
        (np.array([[0, 1], [None, 1]] * 6, dtype=object), "Input y contains NaN or None; drop those rows"),
        (np.array(["u", 1] * 6, dtype=object), r"labels of one type, got int, str; y.astype\(str\) makes them text"),
        (np.arange(12).astype("M8[D]"), r"text, numbers or truth values, got datetime64\[D\]; y.astype\(str\)"),
    ],
)
def test_labels_that_are_no_labels_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        small().fit(with_column(NUMBERS, "float64"), y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (pd.date_range("2020", periods=12), "y must hold numbers, got datetime64.*; say it in numbers"),
        ([10**400, 1] * 6, r"y must be below 1e\+150 in magnitude, got a larger integer; rescale it"),
    ],
)
def test_values_that_are_no_values_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        small(MixupRegressor).fit(with_column(NUMBERS, "float64"), y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": None}, 'method must be "auto" or the name of a method, got None'),
        ({"mix_alpha": 0}, "mix_alpha must be a number above 0, got 0"),
        ({"mix_alpha": "0.2"}, "mix_alpha must be a number above 0, got '0.2'"),
        ({"method": "mixupe", "eta": -1}, "eta must be a number of at least 0, got -1"),
        ({"mix_until": 1.5}, "mix_until must be a number above 0 and at most 1, got 1.5"),
        ({"device": None}, 'device must be text such as "cpu" or "cuda:1", got None'),
        ({"random_state": -1}, "random_state must be a whole number of at least 0 and below 4294967296, got -1"),
        ({"early_stopping": "no"}, "early_stopping must be True or False, got 'no'"),
        ({"verbose": None}, "verbose must be 0 or 1, got None"),
        ({"categorical_features": None}, 'categorical_features must be "from_dtype" or a list of columns, got None'),
        ({"categorical_features": [True]}, "categorical_features must name columns, got True"),
    ],
)
def test_arguments_out_of_range_are_named_with_their_value(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments).fit(with_column(NUMBERS, "float64"), Y)


def test_mixing_until_the_end_can_be_asked_for():
    assert str(small(mix_until=1).fit(with_column(NUMBERS, "float64"), Y).mixing_report_).startswith("mixup (until=1)")


def test_numpy_positions_of_categories_can_be_saved(tmp_path):
    small(categorical_features=[np.int64(1)]).fit(with_column(["u", "v"] * 6), Y).save(tmp_path / "m")
    assert MixupClassifier.load(tmp_path / "m").categorical_features == [1]


def test_a_full_disk_is_an_os_error_and_leaves_nothing(tmp_path):
    resource = pytest.importorskip("resource", reason="limits on files are POSIX")
    model = small(width=256).fit(with_column(NUMBERS, "float64"), Y)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(OSError, match=r"m must be a folder that can be written to: .*File too large"):
            model.save(tmp_path / "m")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "m").iterdir())


def test_a_file_gets_lines_and_no_bar():
    file = io.StringIO()
    with Telling(1, "Net", Console(file=file)) as telling:
        telling.says("trying mixup")
        telling.epochs(1, 2, 0.5)
    assert file.getvalue() == "Net: trying mixup\n"
