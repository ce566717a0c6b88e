"""Mixing rows of a DataFrame or an array: which way each column mixes, and the mixed rows.

One pair serves all columns of a mixed row.  Numbers are interpolated; what can't be interpolated comes from one of the
two rows, by a coin for each cell that shows the base row with probability lam.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

FROM_DTYPE = "from_dtype"
"""The value of `categorical_features` that takes object, text, category and bool columns as categories."""

_EXACT = 2.0**53  # from here on neighbouring whole numbers share one float64

_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal", "empty")  # what pandas finds in objects

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
CategoricalFeatures = str | Sequence[str | int]


class ColumnMixing(Enum):
    """What a column does when two rows mix."""

    BLEND = "interpolated"
    PICK = "picked by the coin"
    KEEP = "copied from the base row"


@dataclass(frozen=True, eq=False)
class RowPairs:
    """Which rows mix, and how.

    Attributes:
        base: int64 (M,), the row that dominates.
        partner: int64 (M,), the row it mixes with.
        lam: float64 (M,), in [0, 1], the base row's share.
    """

    base: IntArray
    partner: IntArray
    lam: FloatArray

    def __len__(self) -> int:
        return len(self.base)


def column_mixing(table: Any, categorical_features: CategoricalFeatures) -> tuple[ColumnMixing, ...]:
    """Return how each column of a DataFrame or array (n, columns) mixes.

    Args:
        table: the rows.
        categorical_features: `FROM_DTYPE`, or the categorical columns by position (int) or name (str).  Columns of
            truth values are picked and dates are kept also when they are not in the list.

    Raises:
        ValueError: an entry names no column, a column holds what neither mixes nor is named as categorical.

    >>> frame = pd.DataFrame({"size": [1.5, 2.5], "colour": ["red", "blue"], "seen": pd.to_datetime(["2020", "2021"])})
    >>> [mixing.name for mixing in column_mixing(frame, "from_dtype")]
    ['BLEND', 'PICK', 'KEEP']
    """
    dtypes = _dtypes(table)
    if isinstance(categorical_features, str):
        if categorical_features != FROM_DTYPE:
            raise ValueError(
                f"categorical_features must be {FROM_DTYPE!r} or a list of names or positions, "
                f"got {categorical_features!r}"
            )
        return tuple(_by_dtype(dtype) for dtype in dtypes)
    listed = {_position(table, entry) for entry in categorical_features}
    return tuple(ColumnMixing.PICK if i in listed else _not_listed(table, i, dtype) for i, dtype in enumerate(dtypes))


def mix_rows(
    table: Any, pairs: RowPairs, columns: tuple[ColumnMixing, ...], generator: np.random.Generator
) -> pd.DataFrame | npt.NDArray[Any]:
    """Return the M mixed rows of a DataFrame or array (n, columns), in its type, dtypes and column order.

    A number is lam times the base row's plus 1 - lam times the partner's and lies between them; whole numbers are
    rounded to their dtype.  Where one of the two is missing or infinite, or whole and at least 2**53, and in columns
    of categories, the cell comes from one of the two rows, the base row with probability lam.

    >>> frame = pd.DataFrame({"size": [1.0, 3.0], "colour": ["red", "blue"]})
    >>> pairs = RowPairs(np.array([0, 1]), np.array([1, 0]), np.array([0.75, 1.0]))
    >>> mix_rows(frame, pairs, column_mixing(frame, "from_dtype"), np.random.default_rng(0))
       size colour
    0   1.5    red
    1   3.0   blue
    """
    coins = (generator.random(len(pairs)) < pairs.lam for _ in columns)
    if isinstance(table, pd.DataFrame):
        cells = {
            i: mix_column(column_values(table.iloc[:, i]), pairs, mixing, coin)
            for i, (mixing, coin) in enumerate(zip(columns, coins, strict=True))
        }
        mixed = pd.DataFrame(cells, index=pd.RangeIndex(len(pairs)))
        mixed.columns = table.columns  # afterwards: names may repeat
        return mixed
    rows = np.empty((len(pairs), table.shape[1]), table.dtype)
    for i, (mixing, coin) in enumerate(zip(columns, coins, strict=True)):
        rows[:, i] = mix_column(table[:, i], pairs, mixing, coin)
    return rows


def mix_column(values: Any, pairs: RowPairs, mixing: ColumnMixing, coin: npt.NDArray[np.bool_]) -> Any:
    """Return the M mixed cells of one column, an array or a pandas extension array (n,), in its type.

    Args:
        values: the column.
        pairs: M pairs of its rows.
        mixing: what the column does.
        coin: (M,), True where a cell that can't be interpolated is the base row's.
    """
    if mixing is ColumnMixing.KEEP:
        return values.take(pairs.base)
    picked = values.take(np.where(coin, pairs.base, pairs.partner))
    if mixing is ColumnMixing.PICK:
        return picked
    numbers, whole = _floats(values), pd.api.types.is_integer_dtype(values.dtype)
    usable = np.isfinite(numbers) & ((np.abs(numbers) < _EXACT) | (not whole))
    both = usable[pairs.base] & usable[pairs.partner]
    blended = interpolate(numbers[pairs.base[both]], numbers[pairs.partner[both]], pairs.lam[both])
    picked[both] = np.rint(blended).astype(np.int64) if whole else blended
    return picked


def column_values(column: pd.Series) -> Any:
    """Return a column's own array: NumPy's, or pandas' where NumPy has no such dtype."""
    return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array


def interpolate(own: FloatArray, other: FloatArray, lam: FloatArray) -> FloatArray:
    """Return lam * own + (1 - lam) * other of finite numbers, never outside the two by rounding."""
    with np.errstate(over="ignore"):  # the largest floats overflow by rounding and are clipped back
        blended = lam * own + (1 - lam) * other
    return np.clip(blended, np.minimum(own, other), np.maximum(own, other))


def _floats(values: Any) -> FloatArray:
    return np.asarray(pd.Series(values, copy=False).to_numpy(dtype="float64", na_value=np.nan))


def _dtypes(table: Any) -> list[Any]:
    return list(table.dtypes) if isinstance(table, pd.DataFrame) else [table.dtype] * table.shape[1]


def _by_dtype(dtype: Any) -> ColumnMixing:
    if pd.api.types.is_complex_dtype(dtype):
        raise ValueError(f"X must hold real numbers, got a column of {dtype}; give its parts as columns")
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype):
        return ColumnMixing.BLEND
    dated = dtype.kind in "mM" or isinstance(dtype, pd.PeriodDtype)
    return ColumnMixing.KEEP if dated else ColumnMixing.PICK


def _not_listed(table: Any, position: int, dtype: Any) -> ColumnMixing:
    mixing = _by_dtype(dtype)
    if mixing is not ColumnMixing.PICK or pd.api.types.is_bool_dtype(dtype):
        return mixing
    frame = isinstance(table, pd.DataFrame)
    column = table.iloc[:, position] if frame else table[:, position]
    if dtype != np.dtype(object) or pd.api.types.infer_dtype(column) not in _NUMBERS:
        name = table.columns[position] if frame else position
        raise ValueError(
            f"a column that categorical_features does not list must hold numbers, got column {name!r} of {dtype}; "
            f"list it, or use {FROM_DTYPE!r}"
        )
    return ColumnMixing.BLEND


def _position(table: Any, entry: str | int) -> int:
    if isinstance(entry, str):
        names = list(table.columns) if isinstance(table, pd.DataFrame) else []
        if names.count(entry) != 1:
            raise ValueError(
                f"categorical_features must name columns that occur once, got {entry!r}; the columns are {names}"
                if isinstance(table, pd.DataFrame)
                else f"categorical_features must hold positions where X is an array without names, got {entry!r}"
            )
        return names.index(entry)
    if isinstance(entry, bool | np.bool_) or not isinstance(entry, int | np.integer):
        raise ValueError(f"categorical_features must hold names or positions, got {entry!r}")
    if not 0 <= entry < table.shape[1]:
        raise ValueError(f"categorical_features must hold positions from 0 to {table.shape[1] - 1}, got {entry}")
    return int(entry)
