"""Which columns of a table are features, and of which kind: numbers, categories, or left out with a reason."""

import numbers
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

_DATE = re.compile(r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})([T ]\d{1,2}:\d{2}.*)?")
_ID = re.compile(r"(^|_|\b)(id|ids|uid|uuid|guid|index|idx|key|row ?names?|row ?nr|row ?number|row)$", re.IGNORECASE)
_GROUP = re.compile(
    r"(patient|subject|speaker|participant|person|user|customer|client|animal|donor|family|household|session|group"
    r"|site|hospital|batch)[ _.-]?(id|nr|no|num|number|code|key)?",
    re.IGNORECASE,
)
_DISTINCT_TEXT = 0.9  # a text that differs in more than this share of the rows names rows, it does not describe them


@dataclass(frozen=True)
class Roles:
    """Feature columns by kind, in the table's order, and notes on what is left out or looks odd."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    notes: tuple[str, ...]


def infer_roles(features: pd.DataFrame) -> Roles:
    """Decide by type: numbers are numeric; text, bool and `category` are categorical.

    Left out, each named in the notes: columns without a value or with only one, dates, values that are no scalars,
    row numbers and ids (unique whole numbers that count the rows or are named like an id; text that differs in more
    than nine rows of ten).

    >>> roles = infer_roles(pd.DataFrame({"row_id": [7, 5, 9], "age": [30, 41, 41], "sex": ["f", "m", "f"]}))
    >>> roles.numeric, roles.categorical, roles.notes
    (('age',), ('sex',), ("left out, unique in each row like an id: 'row_id'",))
    """
    numeric, categorical = [], []
    left_out: dict[str, list[str]] = {}
    for name in features.columns:
        reason = _why_not(name, features[name])
        if reason:
            left_out.setdefault(reason, []).append(name)
        elif is_numeric(features[name]):
            numeric.append(name)
        else:
            categorical.append(name)
    notes = [f"left out, {reason}: {listed(names)}" for reason, names in left_out.items()]
    notes += [note for name in numeric if (note := _infinite(features[name]))]
    notes += [note for name in categorical if (note := _nearly_numbers(features[name]))]
    return Roles(tuple(numeric), tuple(categorical), tuple(notes))


def is_numeric(column: pd.Series) -> bool:
    """Whether a column holds numbers; truth values are categories."""
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def looks_grouped(features: pd.DataFrame) -> str | None:
    """A sentence if a column is named like the subject of several rows and has repeated values, else None."""
    for name in features.columns:
        distinct = features[name].nunique() if _GROUP.fullmatch(name) and is_scalar(features[name]) else 0
        if 5 <= distinct <= len(features) / 2:
            return (
                f"rows look grouped by column {name!r} ({distinct} values in {len(features)} rows); "
                f"--group-by {name} keeps the rows of each on one side of a split"
            )
    return None


def is_date(column: pd.Series) -> bool:
    """Whether a column holds dates, also as text (ISO, or day, month and year in any order)."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype) or isinstance(column.dtype, pd.PeriodDtype):
        return True
    if is_numeric(column) or not is_scalar(column):
        return False
    levels = column.dropna().astype(str).unique()
    return len(levels) > 0 and all(_DATE.fullmatch(level) for level in levels)


def listed(names: list[str], most: int = 12) -> str:
    """Names for a message, quoted; a long list is cut with a count.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _why_not(name: str, column: pd.Series) -> str | None:
    if not column.notna().any():
        return "without a value"
    if not is_scalar(column):
        return "values that are neither numbers nor text"
    if is_date(column):
        return "a date (add what matters of it, such as year, month or age, as columns of numbers)"
    if column.nunique() == 1 and column.notna().all():
        return "the same value in each row"
    if _names_rows(name, column):
        return "unique in each row like an id"
    return None


def is_scalar(column: pd.Series) -> bool:
    """Whether every value is one number, truth value, text or date, rather than a list, bytes or the like."""
    if not pd.api.types.is_object_dtype(column.dtype):
        return not pd.api.types.is_complex_dtype(column.dtype)
    return all(isinstance(value, str | np.bool_ | numbers.Real) for value in column.dropna())


def _names_rows(name: str, column: pd.Series) -> bool:
    values = column.dropna()
    if not is_numeric(column):
        return len(values) > 2 and values.nunique() > _DISTINCT_TEXT * len(values)
    whole = values.dtype.kind in "iu" or bool((values % 1 == 0).all())
    if not whole or len(values) < len(column) or not values.is_unique:
        return False
    counts = bool((values.diff().dropna() == 1).all()) and values.iloc[0] in (0, 1)
    return counts or named_like_id(name)


def named_like_id(name: str) -> bool:
    """Whether a column is named like an id or a row number.

    >>> [named_like_id(name) for name in ("id", "row_id", "customer key", "idea")]
    [True, True, True, False]
    """
    return _ID.search(name) is not None


def _infinite(column: pd.Series) -> str | None:
    values = column.to_numpy(dtype="float64", na_value=float("nan"))
    count = int((abs(values) == float("inf")).sum())
    return f"column {column.name!r} has {count} infinite values; they are treated as missing" if count else None


def _nearly_numbers(column: pd.Series) -> str | None:
    """Point at columns of numbers that a few other words turn into categories."""
    if not (pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype)):
        return None
    text = column.dropna().astype(str)
    words = text[pd.to_numeric(text, errors="coerce").isna()]
    if isinstance(column.dtype, pd.CategoricalDtype) or not 0 < len(words) <= 0.1 * len(text):
        return None
    example = words.iloc[0]
    return f"column {column.name!r} is read as categories: {len(words)} values are not numbers, e.g. {example!r}"
