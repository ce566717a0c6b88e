"""Columns -> numbers and codes, fitted on training rows only; written to JSON and read back without loss.

Numbers are centred at the median, divided by the interquartile range and smoothly clipped to (-3, 3), as in RealMLP
(Holzmueller et al., 2024, arXiv:2407.04491, section 3); gaps become the median, with a further column that marks them
where training rows had gaps.  Categories become codes from 1; 0 is for what is missing or was not seen.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from mixkit.comparison.problems import DataError
from mixkit_tabular.batch import TableBatch
from mixkit_tabular.columns import Roles, is_numeric, listed
from mixkit_tabular.readers import level_name

CLIP = 3.0
"""Scaled numbers stay within (-CLIP, CLIP)."""

_LARGEST = 1e300  # larger numbers overflow in differences
_FARTHEST = 1e15  # scaled numbers beyond this are all the same, and their squares would overflow float32

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NumericColumn:
    """How one column of numbers is scaled; `marks_gaps` if a further column tells where it was missing."""

    name: str
    median: float
    scale: float
    marks_gaps: bool


@dataclass(frozen=True)
class CategoricalColumn:
    """The levels of one column of categories; level `levels[i]` has code i + 1."""

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class TablePreprocessor:
    """Turns rows of a `DataFrame` into a `TableBatch`; make one with `fit` or `from_card`.

    >>> table = pd.DataFrame({"size": [1.0, 2.0, 3.0, None], "colour": ["red", "blue", "red", None]})
    >>> fitted = TablePreprocessor.fit(table, Roles(("size",), ("colour",), ()))
    >>> fitted.transform(table).codes.flatten().tolist()  # blue is 1, red is 2
    [2, 1, 2, 0]
    >>> fitted.transform(table).numeric[:, 1].tolist()  # where a size is missing
    [0.0, 0.0, 0.0, 1.0]
    """

    numeric: tuple[NumericColumn, ...]
    categorical: tuple[CategoricalColumn, ...]

    @classmethod
    def fit(cls, training: pd.DataFrame, roles: Roles) -> "TablePreprocessor":
        """Fit on training rows; columns that don't vary there are dropped.

        Raises:
            DataError: no column varies.
        """
        numeric = (_fit_numeric(name, numbers(training, name)) for name in roles.numeric)
        categorical = (_fit_categorical(name, training[name]) for name in roles.categorical)
        fitted = cls(
            tuple(column for column in numeric if column is not None),
            tuple(column for column in categorical if column is not None),
        )
        if not fitted.numeric and not fitted.categorical:
            raise DataError(f"a feature must vary over the {len(training)} training rows, got none that does")
        return fitted

    @property
    def values(self) -> int:
        """Number of scaled numbers a row; they come first in `TableBatch.numeric`, marks of gaps follow."""
        return len(self.numeric)

    @property
    def marked(self) -> tuple[int, ...]:
        """For each of these columns the position of the number whose gaps it marks."""
        return tuple(i for i, column in enumerate(self.numeric) if column.marks_gaps)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of codes of each categorical column, code 0 included."""
        return tuple(len(column.levels) + 1 for column in self.categorical)

    def transform(self, frame: pd.DataFrame) -> TableBatch:
        """Preprocess rows; columns are found by name, others are not looked at.

        Raises:
            DataError: columns are missing, or a column of numbers holds something else.
        """
        needed = [column.name for column in self.numeric] + [category.name for category in self.categorical]
        missing = [name for name in needed if name not in frame.columns]
        if missing:
            raise DataError(f"the table must have the columns of training, missing are {listed(missing)}")
        raw = torch.from_numpy(_matrix(frame, [column.name for column in self.numeric]))
        medians = torch.tensor([column.median for column in self.numeric], dtype=torch.float64)
        scales = torch.tensor([column.scale for column in self.numeric], dtype=torch.float64)
        marks = raw[:, list(self.marked)].isnan().float()
        scaled = _squash(raw.sub_(medians).div_(scales))
        numeric = torch.cat([scaled, marks], dim=1) if self.marked else scaled
        codes = [_codes(frame[column.name], column.levels) for column in self.categorical]
        stacked = np.stack(codes, axis=1) if codes else np.zeros((len(frame), 0), np.int64)
        return TableBatch(numeric, torch.from_numpy(stacked))

    def original(self, rows: TableBatch, i: int) -> dict[str, float | str | None]:
        """Return row i in the units of the table, None where it is missing; far outliers come back rounded."""
        squashed = rows.numeric[i].double().cpu().numpy()
        marks = iter(squashed[self.values :])
        row: dict[str, float | str | None] = {}
        for column, value in zip(self.numeric, squashed, strict=False):
            gap = column.marks_gaps and next(marks) > 0.5
            row[column.name] = None if gap else float(_unsquash(value) * column.scale + column.median)
        for category, code in zip(self.categorical, rows.codes[i].tolist(), strict=True):
            row[category.name] = category.levels[code - 1] if code else None
        return row

    def card(self) -> dict[str, Any]:
        """Return a description that JSON can hold and `from_card` reads back exactly."""
        return {
            "numeric": [asdict(column) for column in self.numeric],
            "categorical": [{"name": column.name, "levels": list(column.levels)} for column in self.categorical],
        }

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> "TablePreprocessor":
        """Rebuild from `card()`."""
        return cls(
            tuple(NumericColumn(c["name"], c["median"], c["scale"], c["marks_gaps"]) for c in card["numeric"]),
            tuple(CategoricalColumn(c["name"], tuple(c["levels"])) for c in card["categorical"]),
        )


def numbers(frame: pd.DataFrame, name: str) -> FloatArray:
    """Return a column as float64 (n,), NaN where it is missing or infinite.

    Raises:
        DataError: a value is not a number.
    """
    column = frame[name]
    if not is_numeric(column):
        converted = pd.to_numeric(column.astype(object), errors="coerce")
        wrong = column.notna() & converted.isna()
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise DataError(f"column {name!r} must hold numbers as in training, got {column.iloc[row]!r} in row {row}")
        column = converted
    values: FloatArray = column.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    values[np.isinf(values)] = np.nan
    return np.clip(values, -_LARGEST, _LARGEST)


def _fit_numeric(name: str, values: FloatArray) -> NumericColumn | None:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, lower, median, upper, high = (float(q) for q in np.quantile(known, (0.0, 0.25, 0.5, 0.75, 1.0)))
    gaps = len(known) < len(values)
    # where more than half of the values agree, the range takes the place of the interquartile range
    scale = (upper - lower) or (high - low) / 2
    if scale == 0 and not gaps:
        return None
    return NumericColumn(name, median, scale or 1.0, gaps)


def _fit_categorical(name: str, column: pd.Series) -> CategoricalColumn | None:
    present = _by_name(column).dropna()
    levels = sorted({level_name(value) for value in present.unique()})
    if not levels or (len(levels) == 1 and len(present) == len(column)):
        return None
    return CategoricalColumn(name, tuple(levels))


def _matrix(frame: pd.DataFrame, names: list[str]) -> FloatArray:
    """Return columns of numbers as float64 (n, columns), NaN where they are missing or infinite."""
    picked = frame[names]
    if (picked.dtypes == np.float64).all():  # one copy of one block instead of many
        values: FloatArray = picked.to_numpy(np.float64, copy=True)
        values[np.isinf(values)] = np.nan
        return np.clip(values, -_LARGEST, _LARGEST, out=values)
    return np.stack([numbers(frame, name) for name in names], axis=1)


def _squash(z: Tensor) -> Tensor:
    """Return z / sqrt(1 + (z / 3)^2) in float32, 0 for NaN; `z` is overwritten."""
    z = z.clamp_(-_FARTHEST, _FARTHEST).float()
    return (z / CLIP).square_().add_(1.0).sqrt_().reciprocal_().mul_(z).nan_to_num_(0.0)


def _unsquash(squashed: float) -> float:
    share = min(max(squashed / CLIP, -1 + 1e-7), 1 - 1e-7)
    return CLIP * share / float(np.sqrt((1 - share) * (1 + share)))


def _by_name(column: pd.Series) -> pd.Series:
    """Return categories as text if they are of several types: 1 and True are equal, yet not the same category."""
    if pd.api.types.infer_dtype(column, skipna=True).startswith("mixed"):
        return column.map(level_name, na_action="ignore")
    return column


def _codes(column: pd.Series, levels: tuple[str, ...]) -> npt.NDArray[np.int64]:
    codes = {level: code for code, level in enumerate(levels, start=1)}
    position, distinct = pd.factorize(_by_name(column), use_na_sentinel=True)
    found: npt.NDArray[np.int64] = np.array(
        [*(codes.get(level_name(value), 0) for value in distinct), 0], dtype=np.int64
    )
    coded: npt.NDArray[np.int64] = found[position]  # position -1, a gap, takes the last: 0
    return coded
