"""Files of one kind below a folder: finding, recognising and reading them, however nested, odd or broken."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mixkit.comparison.problems import DataError

_PEEK = 500


class Row(NamedTuple):
    """One file: its path, its name relative to the folder, class, part of the official split, and group."""

    path: Path
    name: str
    label: str = ""
    split: str | None = None
    group: str | None = None


def walk(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """All visible files below a folder, in order of names; a link back to a folder above is not followed.

    Raises:
        DataError: a folder that may not be opened.
    """
    try:
        real, entries = folder.resolve(), sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"folder {str(folder)!r} could not be opened: {error}") from error
    for entry in entries:
        # Names with a dot are hidden; macOS puts `._name` beside files, and `__MACOSX` into archives.
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        if not entry.is_dir():
            yield entry
        elif entry.resolve() not in above | {real}:
            yield from walk(entry, above | {real})


def holds(path: Path, suffixes: Collection[str]) -> bool:
    """Whether `path` is such a file, or a folder where at least half of the first files have such names."""
    if path.is_file():
        return path.suffix.lower() in suffixes
    if not path.is_dir():
        return False
    peek = list(islice(walk(path), _PEEK))
    return bool(peek) and 2 * sum(file.suffix.lower() in suffixes for file in peek) >= len(peek)


def list_unlabelled(path: Path, suffixes: Collection[str]) -> list[Row]:
    """A single file, or all files with these endings below a folder by relative name; no row has a class.

    Raises:
        DataError: there is no such file.
    """
    if path.is_file():
        return [Row(path, path.name)]
    files = [file for file in walk(path) if file.suffix.lower() in suffixes] if path.is_dir() else []
    if not files:
        endings = ", ".join(sorted(suffixes))
        raise DataError(f"data must be a file or a folder of files ending in {endings}, got {str(path)!r}")
    return sorted((Row(file, file.relative_to(path).as_posix()) for file in files), key=lambda row: row.name)


def read_rows(rows: Sequence[Row], read: Callable[[int, Path], object], kind: str) -> tuple[list[int], list[str]]:
    """Call `read(i, path)` for every row; return the rows it could read and the names of the others.

    On a terminal a progress bar shows where there are many.

    Args:
        rows: the files.
        read: stores what it reads; raises what it likes on a corrupt file.
        kind: "image" or the like, for messages.

    Raises:
        DataError: it failed for all.
    """
    kept: list[int] = []
    failed: list[str] = []
    reason: Exception | None = None
    from mixkit.comparison.screen import counted  # noqa: PLC0415 - screen imports what imports this

    for i, row in enumerate(counted(rows, f"reading {kind} files")):
        try:
            read(i, row.path)
            kept.append(i)
        except Exception as error:  # decoders raise nearly anything on corrupt data
            reason = reason or error
            failed.append(row.name)
    if not kept:
        raise DataError(f"none of the {plural(len(rows), f'{kind} file')} could be read; {failed[0]!r}: {reason}")
    return kept, failed


def unreadable_note(failed: Sequence[str], kind: str) -> str:
    """The note on files that were left out, empty when there are none.

    >>> unreadable_note(["b.png"], "image")
    'left out 1 image file that could not be read: b.png'
    """
    return listed(f"left out {plural(len(failed), f'{kind} file')} that could not be read", sorted(failed))


def problem_name(folder: Path) -> str:
    """A name for reports and file names, made of the folder's.

    >>> problem_name(Path("/data/my clips (v2)"))
    'my-clips-v2'
    """
    return re.sub(r"[^\w.]+", "-", folder.resolve().name).strip("-.") or "folder"


def plural(count: int, noun: str) -> str:
    """The count with its noun.

    >>> plural(1, "file"), plural(1200, "class"), plural(0, "file")
    ('1 file', '1,200 classes', '0 files')
    """
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"


def listed(sentence: str, names: Sequence[str]) -> str:
    """The sentence with the first three names; empty when there are none.

    >>> listed("left out 4 files", ["a", "b", "c", "d"]), listed("left out 0 files", [])
    ('left out 4 files: a, b, c, ...', '')
    """
    return f"{sentence}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}" if names else ""
