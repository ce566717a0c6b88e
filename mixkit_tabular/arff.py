"""A tolerant reader of ARFF, the format of Weka and OpenML.

Beyond the letter of the format it takes: keywords in any case, quoted and unquoted names, values with blanks, tabs or
blanks as delimiters, nominal values that were not declared, declarations over several lines, sparse rows, row weights
(ignored), comments and blank lines anywhere.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mixkit.comparison.problems import DataError
from mixkit_tabular.text import read_text

# One cell: quoted by ' or " with backslash escapes, or bare up to the next comma.
_CELL = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,]*?))\s*(?:,|$)""", re.DOTALL)
_NAME = re.compile(r"""(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s{'"][^\s{]*))\s*(.*)""", re.DOTALL)
_SPARSE = re.compile(r"(\d+)\s+(.+)", re.DOTALL)
_ROW_WEIGHT = re.compile(r",\s*\{\s*[\d.]+\s*\}$")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}

Cell = str | None  # None: missing


@dataclass(frozen=True)
class Attribute:
    """A declared column: `kind` is "numeric", "nominal", "string" or "date"; `levels` belong to nominal ones."""

    name: str
    kind: str
    levels: tuple[str, ...] = ()


def read_arff(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read an ARFF file, plain or gzipped.

    Nominal attributes become `category` columns with the declared levels, dates `datetime64`, "?" is missing.

    Returns:
        The table, and notes on what was tolerated.

    Raises:
        DataError: a declaration or a row cannot be understood; the message names the line.
    """
    text, notes = read_text(path)
    lines = enumerate(text.splitlines(), start=1)
    attributes = _attributes(lines, path)
    rows = list(_rows(lines, attributes, path))
    frame: dict[str, pd.Series] = {}
    for index, attribute in enumerate(attributes):
        if attribute.name in frame:
            raise DataError(f"column names must be unique, got {attribute.name!r} more than once in {path}; rename one")
        cells = [row[index] for _, row in rows]
        frame[attribute.name], note = _column(attribute, cells, [line for line, _ in rows], path)
        notes += note
    return pd.DataFrame(frame), notes


def _attributes(lines: Iterator[tuple[int, str]], path: Path) -> list[Attribute]:
    """Read the declarations up to and including the line @data."""
    attributes: list[Attribute] = []
    for number, line in lines:
        words = line.strip()
        if not words or words.startswith("%"):
            continue
        keyword = words.split(None, 1)[0].lower()
        if keyword == "@data":
            if not attributes:
                raise DataError(f"{path} must declare attributes before line {number}, got none")
            return attributes
        if keyword == "@attribute":
            attributes.append(_attribute(words[len(keyword) :].strip(), lines, f"{path}, line {number}"))
        elif keyword != "@relation":
            raise DataError(f"{path}, line {number}: expected @attribute or @data, got {words[:60]!r}")
    raise DataError(f"{path} must have a line @data, got none; is it an ARFF file?")


def _attribute(declaration: str, lines: Iterator[tuple[int, str]], where: str) -> Attribute:
    match = _NAME.fullmatch(declaration)
    if match is None or not match[4]:
        raise DataError(f"{where}: an attribute must have a name and a type, got {declaration[:60]!r}")
    name = _unquoted(match)
    kind = match[4].strip()
    if kind.startswith("{"):
        while not (end := _closing(kind)):
            _, more = next(lines, (0, None))
            if more is None:
                raise DataError(f"{where}: the levels of {name!r} must end with a brace")
            kind += " " + more.strip()
        levels = tuple(cell for cell, _ in _cells(kind[1 : end - 1]))
        return Attribute(name, "nominal", tuple(dict.fromkeys(levels)))
    word = kind.split(None, 1)[0].lower()
    if word in ("numeric", "real", "integer"):
        return Attribute(name, "numeric")
    if word in ("string", "date"):
        return Attribute(name, word)
    raise DataError(f"{where}: attribute {name!r} has the type {word!r}, which is not supported; leave it out")


def _closing(text: str) -> int:
    """Position behind the brace that closes a list of levels; 0 if it is still open."""
    quote = ""
    previous = ""
    for position, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and previous != "\\" else quote
        elif sign == "}":
            return position + 1
        elif sign in "'\"" and previous in "{, \t":  # not the apostrophe of a bare word
            quote = sign
        previous = sign
    return 0


def _cells(line: str) -> Iterator[tuple[str, bool]]:
    """Cut a line at its commas; yields each cell and whether it was quoted."""
    if "'" not in line and '"' not in line:
        for cell in line.split(","):
            yield cell.strip(), False
        return
    position = 0
    while position <= len(line):
        match = _CELL.match(line, position)
        assert match is not None  # what is not well quoted matches as a bare cell
        yield _unquoted(match), match[3] is None
        if match.end() == len(line) and not match[0].endswith(","):
            return
        position = match.end()


def _unquoted(match: re.Match[str]) -> str:
    quoted = match[1] if match[1] is not None else match[2]
    if quoted is None:
        return match[3].strip()
    return _ESCAPED.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted).strip()


def _rows(
    lines: Iterator[tuple[int, str]], attributes: list[Attribute], path: Path
) -> Iterator[tuple[int, list[Cell]]]:
    """Yield line number and cells of each data row."""
    width = len(attributes)
    for number, line in lines:
        words = line.strip()
        if not words or words.startswith("%"):
            continue
        try:
            row = _sparse(words, attributes) if words.startswith("{") else _dense(words, width)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}") from None
        if len(row) != width:
            raise DataError(f"{path}, line {number}: a row must have {width} values, got {len(row)}")
        yield number, row


def _dense(line: str, width: int) -> list[Cell]:
    if width > 1 and "," not in line:
        line = ",".join(line.split("\t") if line.count("\t") == width - 1 else line.split())
    elif line.endswith("}"):
        line = _ROW_WEIGHT.sub("", line)
    row = [None if cell in ("?", "") and not quoted else cell for cell, quoted in _cells(line)]
    return row[:-1] if len(row) == width + 1 and row[-1] is None else row  # a comma at the end of the line


def _sparse(line: str, attributes: list[Attribute]) -> list[Cell]:
    """A row `{index value, ...}`: what is left out is 0, or the first level, or missing text."""
    empty: dict[str, Cell] = {"numeric": "0"}
    row = [a.levels[0] if a.levels else empty.get(a.kind) for a in attributes]
    inside = line[1 : (_closing(line) or len(line) + 1) - 1]
    for part in _pairs(inside):
        match = _SPARSE.fullmatch(part)
        if match is None or int(match[1]) >= len(row):
            raise ValueError(f"a sparse row must hold 'index value' pairs below {len(row)}, got {part!r}")
        cell, quoted = next(_cells(match[2]))
        row[int(match[1])] = None if cell == "?" and not quoted else cell
    return row


def _pairs(text: str) -> Iterator[str]:
    """Cut at the commas that are not inside quotes."""
    for match in re.finditer(r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,'"])+""", text):
        if match[0].strip():
            yield match[0].strip()


def _column(attribute: Attribute, cells: list[Cell], lines: list[int], path: Path) -> tuple[pd.Series, tuple[str, ...]]:
    if attribute.kind == "numeric":
        return _numbers(attribute, cells, lines, path), ()
    if attribute.kind == "date":
        return pd.Series(pd.to_datetime(pd.Series(cells, dtype=object), errors="coerce", format="mixed")), ()
    if attribute.kind == "string":
        return pd.Series(cells, dtype=object), ()
    others = sorted({cell for cell in cells if cell is not None} - set(attribute.levels))
    column = pd.Series(pd.Categorical(cells, categories=[*attribute.levels, *others]))
    if not others:
        return column, ()
    return column, (f"column {attribute.name!r} holds levels that are not declared, e.g. {others[0]!r}; they are kept",)


def _numbers(attribute: Attribute, cells: list[Cell], lines: list[int], path: Path) -> pd.Series:
    try:
        values = np.array([np.nan if cell is None else float(cell) for cell in cells], dtype=np.float64)
    except ValueError:
        line, cell = next((n, c) for n, c in zip(lines, cells, strict=True) if c is not None and not _is_float(c))
        raise DataError(f"{path}, line {line}: {attribute.name!r} must be a number, got {cell!r}") from None
    return pd.Series(values)


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
