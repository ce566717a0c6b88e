"""The column to predict and the column that groups rows: found by name or position, turned into labels and codes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mixkit.comparison.problems import DataError, IntArray
from mixkit.method import did_you_mean
from mixkit_tabular.columns import is_date, is_numeric, is_scalar, listed
from mixkit_tabular.readers import level_name

MOST_CLASSES = 20
"""Whole numbers with more distinct values than this are a quantity, not class labels."""


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be predicted.

    Attributes:
        labels: int64 class codes, or float64 values, of the rows that are kept.
        classes: names of the classes by code; empty for regression.
        kept: bool over all rows, False where the target is missing.
        notes: how the kind was decided, and how many rows were dropped.
    """

    labels: npt.NDArray[Any]
    classes: tuple[str, ...]
    kept: npt.NDArray[np.bool_]
    notes: tuple[str, ...]


def resolve_column(names: list[str], wanted: str, option: str) -> str:
    """Return the column called `wanted`; if there is none, `wanted` may be a position, from 0, or from -1 backwards.

    Raises:
        DataError: there is no such column; the message suggests one.

    >>> resolve_column(["a", "0", "c"], "-1", "--target"), resolve_column(["a", "0", "c"], "0", "--target")
    ('c', '0')
    """
    if wanted in names:
        return wanted
    try:
        return names[int(wanted)]
    except IndexError:
        raise DataError(f"{option} must be a column or a position below {len(names)}, got {wanted}") from None
    except ValueError:
        pass
    same = [name for name in names if name.casefold() == wanted.strip().casefold()]
    hint = did_you_mean(same[0] if same else wanted, names) or "."
    raise DataError(f"{option} must name a column, got {wanted!r}{hint} The columns are {listed(names)}")


def make_target(column: pd.Series) -> Target:
    """Decide between classes and regression, and code the labels.

    Text, bool and `category` columns are class labels.  So are whole numbers with at most 20 distinct values, each
    five times or more on average, or with only two.  Other numbers are regression targets.

    Raises:
        DataError: nothing can be learned from this column.

    >>> make_target(pd.Series(["no", "yes", None, "no"], name="churn")).labels.tolist()
    [0, 1, 0]
    """
    kept = column.notna().to_numpy()
    values = column[kept]
    if not len(values):
        raise DataError(f"target {column.name!r} must have values, got none; choose another --target")
    if not is_scalar(values):
        raise DataError(
            f"target {column.name!r} must be a label or a number, got {type(values.iloc[0]).__name__} values"
        )
    if is_date(values):
        raise DataError(f"target {column.name!r} must be a label or a number, got dates; add a column of numbers")
    labels, classes, note = _numbers(values) if is_numeric(values) else _classes(values)
    missing = len(column) - len(values)
    notes = (note, f"{missing} rows without a target were dropped") if missing else (note,)
    return Target(labels, classes, kept, notes)


def _numbers(values: pd.Series) -> tuple[npt.NDArray[Any], tuple[str, ...], str]:
    numbers = values.to_numpy(dtype=np.float64, copy=True)  # pandas lends read-only memory
    distinct = len(np.unique(numbers))
    if not np.isfinite(numbers).all():
        count = int((~np.isfinite(numbers)).sum())
        raise DataError(f"target {values.name!r} must be finite, got {count} infinite values; remove those rows")
    if distinct == 1:
        raise DataError(f"target {values.name!r} must have different values, got {numbers[0]:g} in all rows")
    whole = bool((numbers % 1 == 0).all())
    if whole and (distinct == 2 or distinct <= min(MOST_CLASSES, len(numbers) / 5)):
        labels, classes, note = _classes(values)
        return labels, classes, f"{note}; whole numbers with few values are taken for labels"
    kind = "whole numbers" if whole else "numbers"
    return numbers, (), f"target {values.name!r}: regression ({kind} with {distinct} distinct values)"


def _classes(values: pd.Series) -> tuple[npt.NDArray[Any], tuple[str, ...], str]:
    names, notes = _ordered_levels(values)
    if len(names) == 1:
        raise DataError(f"target {values.name!r} must have two classes or more, got only {names[0]!r}")
    if len(names) > max(len(values) / 2, 2):
        raise DataError(
            f"target {values.name!r} must repeat its classes, got {len(names)} in {len(values)} rows; "
            "is it an id or free text? choose another --target"
        )
    codes = {name: code for code, name in enumerate(names)}
    labels = np.array([codes[level_name(value)] for value in values], dtype=np.int64)
    rare = [name for name, count in zip(names, np.bincount(labels), strict=True) if count < 5]
    if rare:
        notes += f"; fewer than 5 rows in {listed(rare)}"
    return labels, tuple(names), f"target {values.name!r}: {len(names)} classes{notes}"


def _ordered_levels(values: pd.Series) -> tuple[list[str], str]:
    """Levels that have rows: in declared order if there is one, else sorted; and a note on those without rows."""
    if not isinstance(values.dtype, pd.CategoricalDtype):
        levels = values.drop_duplicates()
        ordered = levels.map(level_name) if levels.map(type).nunique() > 1 else levels
        return list(dict.fromkeys(map(level_name, ordered.sort_values()))), ""
    present = set(values.unique())
    names = [level_name(level) for level in values.cat.categories if level in present]
    empty = [level_name(level) for level in values.cat.categories if level not in present]
    return names, f"; declared but without rows: {listed(empty)}" if empty else ""


def make_groups(column: pd.Series) -> tuple[IntArray, tuple[str, ...]]:
    """Return codes (n,) of a column's values; each row without a value is a group of its own.

    >>> make_groups(pd.Series(["x", None, "x", None], name="who"))[0].tolist()
    [0, 1, 0, 2]
    """
    if not is_scalar(column):
        raise DataError(f"--group-by {column.name!r} must hold numbers or text, got something else")
    codes = pd.factorize(column)[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max() + 1 + np.arange(alone.sum())
    groups = len(np.unique(codes))
    if groups < 2:
        raise DataError(f"--group-by {column.name!r} must make two groups or more, got {groups}")
    notes = [f"{groups} groups by column {column.name!r}, never torn apart by a split"]
    if alone.any():
        notes.append(f"{int(alone.sum())} rows without a value of {column.name!r} are groups of their own")
    # renumbered in order of appearance, so that codes don't depend on where values are missing
    return pd.factorize(codes)[0].astype(np.int64), tuple(notes)
