"""A path -> `Table`: recognises the format and tidies what comes out, so that later steps meet few kinds of columns."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mixkit.comparison.problems import DataError
from mixkit_tabular.arff import read_arff
from mixkit_tabular.text import read_delimited

_SUFFIXES = re.compile(r"\.(csv|tsv|arff)(\.gz)?$|\.(parquet|pq)$", re.IGNORECASE)
_EXCEL = re.compile(r"\.xls[xmb]?$", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Table:
    """A table as read, its columns named by unique strings.

    Attributes:
        name: the file's name without suffixes.
        frame: columns are numeric, bool, `category`, `datetime64` or text (object or str); gaps are missing values.
        default_target: the target by convention of the format (the last attribute of an ARFF file), or None.
        notes: what was decided or tolerated while reading.
    """

    name: str
    frame: pd.DataFrame
    default_target: str | None
    notes: tuple[str, ...]


def recognises(path: Path) -> bool:
    """Whether a file is named like a table.

    >>> [recognises(Path(name)) for name in ("a.csv", "a.CSV.gz", "a.tsv", "a.pq", "a.arff.gz", "a.png", "csv")]
    [True, True, True, True, True, False, False]
    """
    return _SUFFIXES.search(path.name) is not None


def read_table(path: Path, *, header: bool = True) -> Table:
    """Read CSV, TSV or ARFF (each also gzipped) or Parquet; other names are tried as delimited text.

    Args:
        path: the file.
        header: whether the first row of delimited text names the columns; other formats have names of their own.

    Raises:
        DataError: there is no usable table; the message names the reason and the way out.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if _EXCEL.search(path.name):
        raise DataError(f"Excel files can't be read, got {path}; save the sheet as CSV")
    arff, parquet = ".arff" in suffixes[-2:], suffixes[-1:] in ([".parquet"], [".pq"])
    if parquet:
        frame, notes = _read_parquet(path)
    else:
        frame, notes = read_arff(path) if arff else read_delimited(path, header=header)
    if not header and (arff or parquet):
        notes = (*notes, "--no-header was ignored: this format names its columns")
    if frame.empty:
        raise DataError(f"{path} must hold rows and columns, got {frame.shape[0]} rows of {frame.shape[1]} columns")
    tidied = pd.DataFrame({name: tidy(frame[name]) for name in frame.columns})
    return Table(_SUFFIXES.sub("", path.name), tidied, frame.columns[-1] if arff else None, notes)


def _read_parquet(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    if not path.is_file():
        raise DataError(
            f"there is no file {path}" if not path.exists() else f"a table must be a file, got folder {path}"
        )
    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise DataError(f"reading {path} needs pyarrow: pip install 'mixkit[tabular]' ({error})") from None
    except (OSError, ValueError, NotImplementedError) as error:  # pyarrow's errors are of these kinds
        raise DataError(f"{path} can't be read as Parquet: {error}") from None
    named = [level for level in frame.index.names if level is not None and level not in frame.columns]
    if named:
        frame = frame.reset_index(level=named)
    frame = frame.reset_index(drop=True)
    frame.columns = [str(name) for name in frame.columns]
    if not frame.columns.is_unique:
        raise DataError(f"column names must be unique, got {list(frame.columns[frame.columns.duplicated()])} twice")
    return frame, ()


def tidy(column: pd.Series) -> pd.Series:
    """Return the column as numbers, bool, categories, dates or text without blanks around it.

    Columns of objects become numbers if all of them are (`Decimal`, `int`); durations become seconds; empty text is
    missing.
    """
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return column.dt.total_seconds()
    if isinstance(column.dtype, pd.CategoricalDtype):  # categories of text count as text for pandas
        return column
    if pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype):
        return _tidy_objects(column)
    return column


def _tidy_objects(column: pd.Series) -> pd.Series:
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("decimal", "integer", "floating", "mixed-integer-float"):
        return pd.to_numeric(column.map(float, na_action="ignore"))
    if kind in ("datetime", "date", "datetime64"):
        return pd.to_datetime(column.astype(object), errors="coerce", utc=True)
    if kind != "string":
        return column
    text = column.astype(object).where(column.notna(), None).map(str.strip, na_action="ignore")
    return text.where(text != "", None)


def level_name(value: object) -> str:
    """Name of a category or class, the same whatever a file format makes of it.

    >>> level_name(3), level_name(3.0), level_name(np.True_), level_name("a")
    ('3', '3', 'True', 'a')
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
