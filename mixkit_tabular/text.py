"""Delimited text -> DataFrame: encodings, delimiters, header rows and decimal commas are found out, not asked for."""

import csv
import gzip
import io
import itertools
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from mixkit.comparison.problems import DataError

# "None" is not among them: it is often a level ("no garage"), and a label must not vanish silently.
MISSING = ("", "?", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "NULL", "null", "Null")

# Tried from left to right: a comma is the most likely of them to stand inside a value (decimal commas, prose).
_DELIMITERS = ("\t", ";", "|", ",")
_SNIFFED_ROWS = 100
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*(,\d+)?([eE][+-]?\d+)?")


def read_text(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the text of a file, plain or gzipped, and notes on its encoding.

    Raises:
        DataError: the file cannot be read, is damaged, binary or empty.
    """
    data = read_bytes(path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings: tuple[str, ...] = ("utf-16",)
    elif b"\0" in data[:65536]:
        raise DataError(f"{path} must be text, got a binary file; save the table as CSV, Parquet or ARFF")
    else:
        encodings = ("utf-8-sig", "cp1252", "latin-1")
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not text.strip():
            raise DataError(f"{path} must hold a table, got an empty file")
        return text, (() if encoding.startswith("utf") else (f"the text is not UTF-8; it was read as {encoding}",))
    raise DataError(f"{path} must be text, got bytes that are not {encodings[0]}; save the table as UTF-8")


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file, unpacked if they are gzipped.

    Raises:
        DataError: the file cannot be read or its compression is damaged.
    """
    if path.is_dir():
        raise DataError(f"a table must be a file, got the folder {path}; name the CSV, Parquet or ARFF file in it")
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} can't be read: {error}") from None


def is_number(text: str) -> bool:
    """Whether a cell of text is a number.

    >>> [is_number(cell) for cell in ("1", " -2.5e3", "", "1,5", "x1")]
    [True, True, False, False, False]
    """
    return _NUMBER.fullmatch(text.strip()) is not None


def read_delimited(path: Path, *, header: bool) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read comma-, semicolon-, tab- or bar-separated text, plain or gzipped.

    Args:
        path: the file.
        header: whether its first row names the columns; otherwise they are named "0", "1", ... by position.

    Returns:
        The table, and notes on what was decided while reading it.

    Raises:
        DataError: there is no table in the file, or its rows don't fit together.
    """
    text, notes = read_text(path)
    delimiter = sniff_delimiter(text)
    first, second, consumed = _first_rows(text, delimiter, path)
    if header and second is None:
        raise DataError(
            f"{path} must have rows below its header, got only {first}; use --no-header if that row is data"
        )
    names = _column_names(first, second or first, path) if header else [str(i) for i in range(len(first))]
    frame = _parse(text, delimiter, names, consumed if header else 0, path)
    frame, comma_notes = _second_look(frame, delimiter)
    return frame, notes + comma_notes + _header_notes(first, frame, header)


def sniff_delimiter(text: str) -> str:
    r"""Return the delimiter that cuts the first rows into equally many cells, at least two.

    >>> sniff_delimiter("a;b\n1,5;2,5\n"), sniff_delimiter('name,note\nx,"1;2"\n'), sniff_delimiter("a\tb\n")
    (';', ',', '\t')
    """
    best, best_share = ",", 0.5
    for delimiter in _DELIMITERS:
        share = _agreement(text, delimiter)
        if share > best_share:
            best, best_share = delimiter, share
    return best


def _agreement(text: str, delimiter: str) -> float:
    """Share of the first rows that have the most common number of cells; 0 if that number is one."""
    try:
        rows = list(itertools.islice(_rows(text, delimiter), _SNIFFED_ROWS))
    except csv.Error:
        return 0.0
    width, count = Counter(map(len, rows)).most_common(1)[0]
    return count / len(rows) if width > 1 else 0.0


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    return (row for row in reader if any(cell.strip() for cell in row))


def _first_rows(text: str, delimiter: str, path: Path) -> tuple[list[str], list[str] | None, int]:
    """The first two rows that are not blank, and the number of lines up to the end of the first."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        first = next(row for row in reader if any(cell.strip() for cell in row))
        consumed = reader.line_num
        second = next((row for row in reader if any(cell.strip() for cell in row)), None)
    except (csv.Error, StopIteration) as error:
        raise DataError(f"{path} must hold rows of cells: {error or 'all its rows are blank'}") from None
    return [cell.strip() for cell in first], second, consumed


def _column_names(header: list[str], row: list[str], path: Path) -> list[str]:
    """Names for all cells of a row, also where the header is one short (row names first, or a delimiter last)."""
    names = [name or f"column {i}" for i, name in enumerate(header)]
    if len(row) == len(names) + 1:
        return [*names, f"column {len(names)}"] if not row[-1].strip() else ["row names", *names]
    if len(row) > len(names):
        raise DataError(f"rows of {path} must have {len(names)} cells as its header has, got {len(row)} in the first")
    return names


def _parse(text: str, delimiter: str, names: list[str], skip: int, path: Path) -> pd.DataFrame:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        way_out = "use --no-header if the first row is data" if is_number(twice[0]) else "rename one"
        raise DataError(f"column names must be unique, got {twice[0]!r} more than once in {path}; {way_out}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # pandas drops cells that have no name
            return pd.read_csv(
                io.StringIO(text), sep=delimiter, header=None, names=names, skiprows=skip, index_col=False,
                na_values=list(MISSING), keep_default_na=False, skipinitialspace=True, low_memory=False,
            )  # fmt: skip
    except (ValueError, pd.errors.ParserWarning) as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise DataError(f"{path} can't be read as a table of {len(names)} columns: {reason}") from None


def _second_look(frame: pd.DataFrame, delimiter: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read words again without blanks around them, and "3,14" as a number where a comma can't be the delimiter."""
    changed: dict[str, pd.Series] = {}
    commas: list[str] = []
    for name in frame.columns:
        if pd.api.types.infer_dtype(frame[name], skipna=True) != "string":
            continue
        text = frame[name].astype(object).map(str.strip, na_action="ignore")
        text = text.where(~text.isin(MISSING) & text.notna(), None)
        known = text.dropna().astype(str)
        if (
            delimiter != ","
            and len(known)
            and known.str.fullmatch(_DECIMAL_COMMA.pattern).all()
            and known.str.contains(r"\d").all()
        ):
            known = known.str.replace(",", ".")
            commas.append(name)
        numeric = known.map(is_number).all()
        changed[name] = known.astype(float).reindex(frame.index) if numeric else text
    note = (f"decimal commas were read in {', '.join(map(repr, commas))}",) if commas else ()
    return frame.assign(**changed), note


def _header_notes(first: list[str], frame: pd.DataFrame, header: bool) -> tuple[str, ...]:
    """Say when the first row looks like what it was not taken for."""
    if header:
        if any(map(is_number, first)):
            return ("the first row, taken for column names, looks like data; if it is, use --no-header",)
        return ()
    below = frame.iloc[1:_SNIFFED_ROWS]
    numbers = [name for name in below.columns if below[name].dropna().astype(str).map(is_number).all()]
    if below.empty or not numbers or any(map(is_number, first)):
        return ()
    return ("the first row, taken for data, looks like column names; if it is, leave out --no-header",)
