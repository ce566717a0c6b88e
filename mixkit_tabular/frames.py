"""Features as users bring them -> a checked `DataFrame` with columns named by unique strings."""

import numbers
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from mixkit_tabular.columns import Roles, infer_roles, is_date, is_numeric, is_scalar, listed, named_like_id
from mixkit_tabular.readers import tidy

_NUMBERS = "numbers below 1e308, text or gaps, got a larger integer or a signalling NaN"


def as_frame(estimator: BaseEstimator, X: Any, *, reset: bool) -> pd.DataFrame:
    """Return features as a `DataFrame` whose columns are numbers, truth values, categories or text.

    Takes a pandas frame, any other dataframe (polars, Arrow tables, the interchange protocol), an array or nested
    lists.  Sets or checks `n_features_in_` and `feature_names_in_` of the estimator as scikit-learn does.

    Args:
        estimator: whose features these are.
        X: (n, columns).
        reset: whether this is `fit`, which decides on names and number of columns.

    Raises:
        ValueError: no rows or columns, duplicated names, infinite values, dates, complex numbers, other columns than in
            `fit`.
        TypeError: a sparse matrix, or cells that are neither numbers nor text.
    """
    X = to_pandas(X)
    if not isinstance(X, pd.DataFrame):
        return _array_frame(estimator, X, reset=reset)
    if not X.columns.is_unique:
        twice = list(dict.fromkeys(map(str, X.columns[X.columns.duplicated()])))
        raise ValueError(f"X must have unique column names, got {listed(twice)} more than once; rename or drop them")
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    if 0 in X.shape:
        what = "sample" if X.shape[0] == 0 else "feature"
        raise ValueError(f"Found array with 0 {what}(s) (shape={X.shape}) while a minimum of 1 is required.")
    named = all(isinstance(name, str) for name in X.columns)
    return _checked(X.set_axis(X.columns if named else _positions(X.shape[1]), axis="columns"), learning=reset)


def to_pandas(X: Any) -> Any:
    """Return a dataframe of another library as a pandas one; anything else as it is.

    Raises:
        ValueError: a dataframe has columns of a type that Arrow lacks, or is a single column.
    """
    if isinstance(X, pd.DataFrame | np.ndarray) or scipy.sparse.issparse(X):
        return X
    if isinstance(X, pd.Series):
        return X.to_numpy()  # one axis: refused below with scikit-learn's advice
    if hasattr(X, "__arrow_c_stream__") or hasattr(X, "__dataframe__"):
        import pyarrow as pa  # noqa: PLC0415 - only frames of other libraries need it
        import pyarrow.interchange  # noqa: PLC0415 - as above

        try:
            table = pa.table(X) if hasattr(X, "__arrow_c_stream__") else pa.interchange.from_dataframe(X)
            return table.to_pandas()
        except pa.ArrowException as error:
            name = f"{type(X).__module__}.{type(X).__name__}"
            raise ValueError(f"X must be a dataframe that Arrow can hold, got a {name}: {error}") from None
    return X


def choose_roles(frame: pd.DataFrame, categorical: Sequence[str | int] | str, *, named: bool) -> Roles:
    """Return which columns are numbers and which are categories.

    As `mixkit compare` decides (`infer_roles`), except that numbers are left out only if they don't vary or are named
    like an id.

    Args:
        frame: from `as_frame`.
        categorical: "from_dtype", or names or positions of the columns that are categories; all others must be numbers.
        named: whether the columns have names of their own.

    Raises:
        ValueError: no such column, a column that is no number is not named, no usable column.
    """
    names = list(frame.columns)
    if isinstance(categorical, str):
        if categorical != "from_dtype":
            raise ValueError(f'categorical_features must be "from_dtype" or a list of columns, got {categorical!r}')
        return _inferred(frame, named=named)
    if not isinstance(categorical, Iterable):
        raise ValueError(f'categorical_features must be "from_dtype" or a list of columns, got {categorical!r}')
    chosen = [_column(names, wanted) for wanted in categorical]
    wrong = [name for name in names if name not in chosen and not is_numeric(frame[name])]
    if wrong:
        raise ValueError(f"categorical_features must name all columns that are no numbers, but not {listed(wrong)}")
    constant = [name for name in names if frame[name].nunique(dropna=False) == 1]
    notes = (f"left out, the same value in each row: {listed(constant)}",) if constant else ()
    used = [name for name in names if name not in constant]
    return Roles(
        tuple(name for name in used if name not in chosen), tuple(name for name in used if name in chosen), notes
    )


def _inferred(frame: pd.DataFrame, *, named: bool) -> Roles:
    counted = [
        name
        for name in frame.columns
        if is_numeric(frame[name]) and frame[name].nunique() > 1 and not (named and named_like_id(name))
    ]
    roles = infer_roles(frame.drop(columns=counted))
    numeric = tuple(name for name in frame.columns if name in counted or name in roles.numeric)
    return Roles(numeric, roles.categorical, roles.notes)


def _column(names: list[str], wanted: str | int) -> str:
    if isinstance(wanted, str) and wanted in names:
        return wanted
    if isinstance(wanted, int | np.integer) and not isinstance(wanted, bool) and -len(names) <= wanted < len(names):
        return names[int(wanted)]
    raise ValueError(f"categorical_features must name columns, got {wanted!r}; the columns are {listed(names)}")


def _array_frame(estimator: BaseEstimator, X: Any, *, reset: bool) -> pd.DataFrame:
    """Return an array or nested lists as a frame: of numbers if all cells are, else column by column."""
    cells = X if isinstance(X, np.ndarray) else np.asarray(X, dtype=object) if isinstance(X, list | tuple) else None
    try:
        if cells is None or not _by_columns(cells, learning=reset):
            known = X if cells is None or cells.dtype != object or cells.ndim != 2 else _gaps_as_nan(cells)
            array = validate_data(estimator, known, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
            return pd.DataFrame(array, columns=_positions(array.shape[1]))
        array = validate_data(estimator, cells, reset=reset, dtype=None, ensure_all_finite=False)
        frame = pd.DataFrame(array, columns=_positions(array.shape[1])).infer_objects()
        if reset:  # later on the roles are known, and one row of a category may look like a number
            frame = pd.DataFrame({name: _numbers_if_all(frame[name]) for name in frame.columns})
    except ArithmeticError:
        raise ValueError(f"X must hold {_NUMBERS}") from None
    return _checked(frame, learning=reset)


def _by_columns(cells: npt.NDArray[Any], *, learning: bool) -> bool:
    """Whether an array holds text or anything else that is no number; after `fit` also truth values."""
    if cells.dtype.kind in "USmM":
        return True
    if cells.dtype.kind != "O":
        return False
    words = str | bytes if learning else str | bytes | bool  # in `fit` text elsewhere made True a category
    if any(isinstance(cell, words) for cell in cells.ravel()):
        return True
    odd = (cell for cell in cells.ravel() if not isinstance(cell, numbers.Real))
    return cells.ndim == 2 and not all(cell is None or cell is pd.NA or cell is pd.NaT for cell in odd)


def _gaps_as_nan(cells: npt.NDArray[Any]) -> npt.NDArray[Any]:
    gaps = pd.isna(cells)
    return np.where(gaps, np.nan, cells) if gaps.any() else cells


def _numbers_if_all(column: pd.Series) -> pd.Series:
    """Return text as numbers if all of it is: an array of text can't say which of its columns were."""
    if is_numeric(column) or column.dtype.kind in "mM" or not is_scalar(column):
        return column
    converted = pd.to_numeric(column.where(column.notna(), None), errors="coerce")
    return converted if bool((converted.notna() | column.isna()).all()) else column


def _checked(frame: pd.DataFrame, *, learning: bool) -> pd.DataFrame:
    columns = {name: _checked_column(name, frame[name], learning=learning) for name in frame.columns}
    return pd.DataFrame(columns, index=frame.index)


def _checked_column(name: str, column: pd.Series, *, learning: bool) -> pd.Series:
    """Return a column that can be used, tidied.

    Raises:
        ValueError: infinite values, dates, complex numbers.
        TypeError: cells that are neither numbers nor text.
    """
    if pd.api.types.is_complex_dtype(column.dtype):
        raise ValueError(f"Complex data not supported, got it in column {name!r}; use its parts as columns of numbers")
    try:
        tidied = tidy(_unwrapped(column))
        dates = _holds_dates(tidied, learning=learning)
    except ArithmeticError:
        raise ValueError(f"column {name!r} must hold {_NUMBERS}") from None
    if dates and tidied.notna().any():
        raise ValueError(
            f"column {name!r} holds dates; add what matters of it, such as year, month or age in days, as columns of "
            "numbers, and drop it"
        )
    if dates:
        return pd.Series(np.nan, index=tidied.index, name=name)
    if not is_scalar(tidied):
        kinds = str | numbers.Real | np.bool_
        kind = next((type(cell).__name__ for cell in tidied.dropna() if not isinstance(cell, kinds)), tidied.dtype)
        raise TypeError(
            f"an argument must be a string or a number, got {kind} in column {name!r}; "
            "make columns of numbers or text of it, or drop it"
        )
    if is_numeric(tidied):
        values: npt.NDArray[np.float64] = tidied.to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isinf(values).any():
            row = int(np.isinf(values).argmax())
            raise ValueError(
                f"Input X contains infinity or a value too large for float64: column {name!r}, row {row}; "
                "X.replace([inf, -inf], nan) treats it as missing"
            )
        return pd.Series(values, index=tidied.index, name=name)
    return tidied


def _unwrapped(column: pd.Series) -> pd.Series:
    """Return a column as `tidy` knows it: dense, with one kind of gap, fractions as floats, no Arrow objects."""
    dtype = column.dtype
    if isinstance(dtype, pd.SparseDtype):
        return column.sparse.to_dense()
    if isinstance(dtype, pd.ArrowDtype) and dtype.kind == "m":
        return column.astype("timedelta64[us]")
    if isinstance(dtype, pd.CategoricalDtype) and not any(map(_has_blanks, dtype.categories)):
        return column
    if isinstance(dtype, pd.CategoricalDtype) or (isinstance(dtype, pd.ArrowDtype) and dtype.kind in "OSV"):
        column = column.astype(object)
    if not pd.api.types.is_object_dtype(column.dtype):
        return column
    column = column.where(column.notna(), None)
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind.startswith("timedelta"):
        return pd.to_timedelta(column)
    return column.map(_float_if_fraction) if kind.startswith("mixed") else column


def _has_blanks(level: object) -> bool:
    return isinstance(level, str) and (level != level.strip() or not level)


def _float_if_fraction(cell: object) -> object:
    return float(cell) if isinstance(cell, Decimal | Fraction) else cell


def _holds_dates(column: pd.Series, *, learning: bool) -> bool:
    """Whether a column holds dates; text only in `fit`, as later on one row of a category may look like a date."""
    typed = pd.api.types.is_datetime64_any_dtype(column.dtype) or isinstance(column.dtype, pd.PeriodDtype)
    return typed or (learning and is_date(column))


def _positions(count: int) -> list[str]:
    return [f"x{i}" for i in range(count)]
