"""Any table and any target give predictions, or an error that the package or scikit-learn words; nothing is changed."""

import copy
import datetime
import traceback
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mixkit
import mixkit_tabular
from mixkit_tabular import MixupClassifier, MixupRegressor

OURS = tuple(str(Path(package.__file__).parent) for package in (mixkit, mixkit_tabular, sklearn))
SMALL = {"method": "mixup", "members": 1, "width": 8, "depth": 1, "epochs": 1, "random_state": 0}
EXAMPLES = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])

GAPS = (None, np.nan, pd.NA, pd.NaT)
CELLS = {
    "float": st.floats(-1e6, 1e6),
    "wide": st.sampled_from([0.0, 1e308, -1e308, 1e-308, 5.0]),
    "infinite": st.sampled_from([1.0, 2.0, np.inf]),
    "int": st.integers(-5, 5),
    "huge": st.sampled_from([10**30, -(10**30), 3]),
    "too huge": st.sampled_from([10**400, 3]),
    "bool": st.booleans(),
    "text": st.sampled_from(["u", "v", " u", "", "1", "2.50", "nan", "inf", "2020-01-31"]),
    "names": st.text(max_size=6),
    "decimal": st.sampled_from([Decimal("1.5"), Decimal(2), Decimal("NaN")]),
    "mixed": st.sampled_from(["u", 1, True, 2.5, 1.0, Decimal(3), "1"]),
    "constant": st.just(7),
    "missing": st.sampled_from(GAPS),
    "bytes": st.sampled_from([b"u", b"v"]),
    "lists": st.sampled_from([[1], [1, 2]]),
    "date": st.sampled_from([datetime.date(2020, 1, 1), pd.Timestamp("2021-03-04")]),
    "duration": st.sampled_from([pd.Timedelta(1, "D"), pd.Timedelta(5, "s")]),
    "complex": st.sampled_from([1j, 2.0]),
}
REFUSED = ("infinite", "too huge", "bytes", "lists", "date", "complex")
KINDS = [kind for kind in CELLS if kind not in REFUSED] * 8 + list(REFUSED)
TYPES = {
    "float": ("float64", "float32", "Float64", "object"),
    "int": ("int64", "int8", "Int64", "category", "object"),
    "bool": ("bool", "boolean", "category", "object"),
    "text": ("object", "str", "string", "category"),
    "names": ("object", "str", "category"),
    "complex": ("complex128", "object"),
}
NAMES = ["a", "b", "c", "a b", "", "row_id", 0, 1, ("x", 1), None, np.nan]


@st.composite
def columns(draw, rows):
    """Return a column, and one of new cells for the same rows."""
    kind = draw(st.sampled_from(KINDS))
    dtype = draw(st.sampled_from(TYPES.get(kind, ("object",))))
    gaps = draw(st.sampled_from((0.0, 0.3))) if dtype not in {"int64", "int8", "bool"} else 0.0

    def column(cells):
        values = [draw(st.sampled_from(GAPS)) if draw(st.floats(0, 1)) < gaps else draw(cells) for _ in range(rows)]
        missing = np.nan if dtype in {"float64", "float32", "complex128"} else None
        if dtype != "object":
            values = [missing if any(value is gap for gap in GAPS) else value for value in values]
        return pd.Series(values, dtype=dtype)

    first = column(CELLS[kind])
    return first, column(CELLS[draw(st.sampled_from([kind, kind, "names", "float"]))]) if dtype == "object" else first


@st.composite
def tables(draw, rows):
    """Return a table, and one with the same columns and other cells."""
    pairs = [draw(columns(rows)) for _ in range(draw(st.integers(0, 4)))]
    if draw(st.sampled_from([True, True, False])):  # a good column, so that the others meet the network
        pairs.append((pd.Series(np.arange(rows) ** 2 / 7), pd.Series(np.arange(rows) - 0.5)))
    unique = draw(st.sampled_from([True, True, True, False]))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=len(pairs), max_size=len(pairs)))
    names = [f"c{i}" for i in range(len(pairs))] if unique else names
    index = draw(st.sampled_from([range(rows), [0] * rows, [f"i{i}" for i in range(rows)], [None] * rows]))

    def table(which):
        frame = pd.concat([pair[which] for pair in pairs], axis=1) if pairs else pd.DataFrame(index=range(rows))
        frame.columns = pd.Index(names, dtype=object, tupleize_cols=False)
        return frame.set_axis(pd.Index(index, dtype=object))

    return table(0), table(1)


def labels(rows):
    """Return targets of classification: labels of many types, at times missing or mixed."""
    known = (["no", "yes"], [3, 70, -1], [True, False], [1.0, 2.0])
    several = [st.lists(st.sampled_from(some), min_size=rows, max_size=rows) for some in known]
    wrong = st.lists(st.sampled_from(["u", 1, None, 2.5, True, 10**30]), min_size=rows, max_size=rows)
    return st.one_of(
        *several,
        *(some.map(np.array) for some in several),
        *(some.map(lambda y: pd.Series(y, dtype=object)) for some in several),
        *(some.map(pd.Categorical) for some in several),
        several[1].map(lambda y: pd.array(y, dtype="Int64")),
        several[2].map(lambda y: pd.Series(y, dtype="boolean")),
        several[0].map(lambda y: pd.Series(y, dtype="str")),
        st.just(list(range(rows))),
        wrong.map(lambda y: np.array(y, dtype=object)),
    )


def targets(rows):
    """Return targets of regression: moderate, huge, constant, missing."""
    cells = (
        st.floats(-1e3, 1e3),
        st.floats(-1e140, 1e140),
        st.just(0.1),
        st.sampled_from([1.0, None]),
        st.sampled_from([1e200, np.inf]),
        st.sampled_from([10**400, 2]),
    )
    flat = st.one_of(*(st.lists(cell, min_size=rows, max_size=rows) for cell in cells))
    return st.one_of(flat, flat.map(pd.Series), flat.map(lambda y: np.stack([np.array(y)] * 2, axis=1)))


def outcome(step):
    """Return what a step returns, or None if it is refused in words of the package or of scikit-learn."""
    try:
        return step()
    except (ValueError, TypeError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1].filename
        if not last.startswith(OURS) or not str(error):
            raise
        return None


def same(a, b):
    """Whether two inputs are equal in type, values and labels."""
    if isinstance(a, pd.DataFrame | pd.Series):
        return a.equals(b) and a.index.equals(b.index)
    return str(a) == str(b) and type(a) is type(b)


def check_predictions(model, X, fitted_y):
    """Assert shapes, types and ranges; return whether the rows were taken."""
    found = outcome(lambda: model.predict(X))
    if found is None:
        return False
    if isinstance(model, MixupRegressor):
        assert found.dtype == np.float64
        assert np.isfinite(found).all()
        assert found.shape == np.shape(fitted_y)
        return True
    shares = model.predict_proba(X)
    assert found.shape == (len(X),)
    assert found.dtype == model.classes_.dtype
    assert set(found.tolist()) <= set(model.classes_.tolist()) <= set(fitted_y)
    assert shares.shape == (len(X), len(model.classes_))
    assert shares.dtype == np.float64
    assert np.isfinite(shares).all()
    assert (shares >= 0).all()
    assert np.allclose(shares.sum(1), 1)
    one = outcome(lambda: model.predict_proba(X[:1]))
    assert one is not None
    assert np.allclose(one[0], shares[0], atol=1e-9)  # whatever rows are beside it
    return True


def check(model, X, new, y, weights):
    """Fit and predict; assert that inputs are as before."""
    before = copy.deepcopy((X, new, y, weights))
    fitted = outcome(lambda: model.fit(X, y, sample_weight=weights))
    if fitted is None:
        assert not model.__sklearn_is_fitted__()
    else:
        assert check_predictions(model, X, y)
        check_predictions(model, new, y)
    assert all(same(now, then) for now, then in zip((X, new, y, weights), before, strict=True))
    return fitted is not None


ROWS = st.sampled_from([12, 12, 6, 3, 2, 1, 0])


@EXAMPLES
@given(st.data())
def test_any_table_is_classified_or_refused(data):
    rows = data.draw(ROWS)
    X, new = data.draw(tables(rows))
    weights = data.draw(st.sampled_from([None, [0.0] * (rows // 2) + [1.0] * (rows - rows // 2), np.zeros(rows)]))
    check(MixupClassifier(**SMALL), X, new, data.draw(labels(rows)), weights)


@EXAMPLES
@given(st.data())
def test_any_table_is_regressed_or_refused(data):
    rows = data.draw(ROWS)
    X, new = data.draw(tables(rows))
    check(MixupRegressor(**SMALL), X, new, data.draw(targets(rows)), data.draw(st.sampled_from([None, [2.0] * rows])))


@st.composite
def arrays(draw, rows):
    """Return rows as an array, nested lists, or another library's table."""
    kind = draw(st.sampled_from(["float32", "int8", "bool", "U", "object", "lists", "polars", "pyarrow"]))
    count = draw(st.integers(1, 3))
    if kind in {"float32", "int8", "bool", "U"}:
        cells = {"float32": CELLS["float"], "int8": CELLS["int"], "bool": CELLS["bool"], "U": CELLS["text"]}[kind]
        return np.array([[draw(cells) for _ in range(count)] for _ in range(rows)], dtype=kind).reshape(rows, count)
    if kind in {"object", "lists"}:
        cells = [st.one_of(CELLS[draw(st.sampled_from(KINDS))], CELLS["missing"]) for _ in range(count)]
        table = [[draw(cell) for cell in cells] for _ in range(rows)]
        if kind == "lists":
            return table
        array = np.empty((rows, count), dtype=object)
        for i, row in enumerate(table):
            array[i] = row
        return array
    kinds = [kind for kind in KINDS if kind in {"float", "int", "bool", "text", "duration", *REFUSED[2:5]}]
    plain = {"date": st.just(datetime.date(2020, 1, 1)), "duration": st.just(datetime.timedelta(1))}
    chosen = [draw(st.sampled_from(kinds)) for _ in range(count)]
    cells = [st.one_of(plain.get(one, CELLS[one]), st.none()) for one in chosen]
    table = {f"c{i}": [draw(cell) for _ in range(rows)] for i, cell in enumerate(cells)}
    library = pytest.importorskip(kind, reason=f"{kind} is not installed")
    return library.DataFrame(table) if kind == "polars" else library.table(table)


@EXAMPLES
@given(st.data())
def test_arrays_lists_and_tables_of_other_libraries_are_used_or_refused(data):
    rows = data.draw(st.sampled_from([12, 6, 2]))
    X = data.draw(arrays(rows))
    check(MixupClassifier(**SMALL), X, X[:1], ["no", "yes"] * (rows // 2), None)


def test_the_fuzz_reaches_good_tables_and_bad_ones():
    """Count what the strategies lead to, so that a refusal of everything would be seen."""
    fitted = []

    @settings(EXAMPLES, max_examples=40)
    @given(tables(12))
    def counted(pair):
        fitted.append(check(MixupClassifier(**SMALL), *pair, ["no", "yes"] * 6, None))

    counted()
    assert 15 <= sum(fitted) < len(fitted)
