"""Folders of files as labelled rows: class folders, official splits, labels and groups from file names.

Shared by the adapters that read one file per sample.  What is not usable is left out and said in `notes`;
what leaves nothing usable raises `DataError` with the way out.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mixkit.comparison.problems import DataError, IntArray, LoadOptions, Split
from mixkit.files import Row, listed, plural, walk
from mixkit.grouped_names import captured, compile_group_pattern, compile_label_pattern, grouped_look

_SPLITS = {
    **{"train": "train", "training": "train"},
    **{"val": "validation", "valid": "validation", "validation": "validation"},
    **{"test": "test", "testing": "test"},
}


@dataclass(frozen=True)
class Listing:
    """The labelled files of a folder, sorted by relative name.

    Attributes:
        rows: one per file.
        notes: what was left out or changed, for the reader of a report.
        grouped_look: see `Problem.grouped_look`.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    grouped_look: str | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Sorted names of the classes; numbers come first, in the order of their values."""
        return tuple(sorted({row.label for row in self.rows}, key=_numbers_first))

    @property
    def labels(self) -> IntArray:
        """Class codes, int64 (n,)."""
        return _codes([row.label for row in self.rows], self.classes)

    @property
    def groups(self) -> IntArray | None:
        """Group codes, int64 (n,), or None when no groups were asked for."""
        keys = [row.group for row in self.rows if row.group is not None]
        return _codes(keys, sorted(set(keys))) if keys else None

    @property
    def official(self) -> Split | None:
        """The folder's own split; a validation part stands in for a missing test part."""
        train, validation, test = (self._part(part) for part in ("train", "validation", "test"))
        if not len(train) or not len(validation) + len(test):
            return None
        if not len(test):
            return Split(train, None, validation)
        return Split(train, validation if len(validation) else None, test)

    def _part(self, part: str) -> IntArray:
        return np.flatnonzero([row.split == part for row in self.rows]).astype(np.int64)

    def keep(self, rows: Sequence[int], *notes: str) -> "Listing":
        """Only these rows, with more notes (empty ones are dropped).

        Raises:
            DataError: fewer than two classes are left.
        """
        kept = replace(self, rows=tuple(self.rows[i] for i in rows), notes=(*self.notes, *filter(None, notes)))
        if len(kept.classes) < 2:
            found = f"only {kept.classes[0]!r}" if kept.classes else "none"
            raise DataError(f"the data must hold at least two classes, found {found}; add a folder for each class")
        return kept


def list_labelled(root: Path, suffixes: Collection[str], options: LoadOptions) -> Listing:
    """Find the files below `root` that end in one of `suffixes`, with labels, groups and official split.

    The class is the first folder below `root`, or what the group `label` of `options.label_from` takes from
    the file name.  Folders named train, val, valid, validation, test, training or testing (in any case) above
    class folders are the official split.  Files may stand deeper in a class folder, folders may be links, and
    one folder around everything is looked through; hidden files and folders are no data.

    Args:
        root: the folder.
        suffixes: lower-case endings with their dot; the files may have them in any case.
        options: `label_from` and `group_by` are used.

    Raises:
        DataError: not a folder, no such files, no labels, fewer than two classes, an unusable expression.
    """
    # The expressions are compiled first: a typing mistake should not wait for a walk over a slow drive.
    label = None if options.label_from is None else compile_label_pattern(options.label_from)
    group = None if options.group_by is None else compile_group_pattern(options.group_by)
    if not root.is_dir():
        raise DataError(f"data must be a folder with a folder for each class, got {str(root)!r}")
    paths = [path for path in walk(root) if path.suffix.lower() in suffixes]
    if not paths:
        raise DataError(f"no files ending in {', '.join(sorted(suffixes))} below {str(root)!r}")
    rows, notes = _labelled_by_name(root, paths, label) if label else _labelled_by_folder(root, paths)
    if group:
        rows, note = _with_groups(rows, group)
        notes.append(note)
    rows.sort(key=lambda row: row.name)
    look = None if group else grouped_look([row.path.name for row in rows], [row.label for row in rows])
    return Listing(tuple(rows), (), look).keep(range(len(rows)), *notes, _split_note(rows))


def _labelled_by_folder(root: Path, paths: Sequence[Path]) -> tuple[list[Row], list[str]]:
    top = _descend(root, paths)
    parts = [path.relative_to(top).parts for path in paths]
    split = _has_splits(parts)
    rows, outside = [], []
    for path, part in zip(paths, parts, strict=True):
        name = path.relative_to(root).as_posix()
        if split and len(part) > 2 and part[0].lower() in _SPLITS:
            rows.append(Row(path, name, part[1], _SPLITS[part[0].lower()]))
        elif not split and len(part) > 1:
            rows.append(Row(path, name, part[0]))
        else:
            outside.append(name)
    if not rows:
        examples = " and ".join(repr(path.name) for path in paths[:2])
        raise DataError(
            f"no class folders in {str(root)!r}, only files like {examples}; put the files of each class "
            "into a folder named after it, or pass --label-from with a group named label, "
            "e.g. '^(?P<label>[^_]+)_'"
        )
    beside = listed(f"left out {plural(len(outside), 'file')} in no class folder", outside)
    return rows, [beside, _empty_note(top, rows, split)]


def _descend(root: Path, paths: Sequence[Path]) -> Path:
    """The folder that holds the class folders: below `root` if one folder stands around everything."""
    top = root
    while True:
        firsts = {path.relative_to(top).parts[0] for path in paths}
        only = top / min(firsts)
        if len(firsts) > 1 or only in paths or all(path.parent == only for path in paths):
            return top
        top = only


def _has_splits(parts: Sequence[tuple[str, ...]]) -> bool:
    """Whether the first folders are an official split.

    With files right below it, `test` is a class named test; so it is beside folders of other names, if there
    is no `train`.
    """
    above = {part[0].lower() for part in parts if len(part) > 2 and part[0].lower() in _SPLITS}
    others = {part[0].lower() for part in parts if len(part) > 1} - above
    return bool(above) and (not others or any(_SPLITS[name] == "train" for name in above))


def _empty_note(top: Path, rows: Sequence[Row], split: bool) -> str:
    """Say which class folders hold no usable file."""
    places = [entry for entry in top.iterdir() if entry.name.lower() in _SPLITS] if split else [top]
    folders = [entry for place in places if place.is_dir() for entry in place.iterdir() if entry.is_dir()]
    empty = {entry.name for entry in folders if not entry.name.startswith(".")} - {row.label for row in rows}
    names = sorted(empty - {"__MACOSX"})
    return listed(f"left out {plural(len(names), 'class folder')} without usable files", names)


def _labelled_by_name(root: Path, paths: Sequence[Path], pattern: re.Pattern[str]) -> tuple[list[Row], list[str]]:
    rows, unmatched = [], []
    for path in paths:
        label, name = captured(pattern, path.name), path.relative_to(root)
        if label is None:
            unmatched.append(name.as_posix())
        else:
            rows.append(Row(path, name.as_posix(), label, _SPLITS.get(name.parent.as_posix().split("/")[0].lower())))
    if not rows:
        raise DataError(
            f"--label-from must match file names, got {pattern.pattern!r}; names look like {paths[0].name!r}"
        )
    return rows, [listed(f"left out {plural(len(unmatched), 'file')} that --label-from does not match", unmatched)]


def _with_groups(rows: Sequence[Row], pattern: re.Pattern[str]) -> tuple[list[Row], str]:
    """Give each row its group; a file that the expression does not match is a group of its own.

    Leaving such files out would lose whole classes, as that of silence, which has no speaker.
    """
    keys = [captured(pattern, row.path.name) for row in rows]
    alone = [row.name for row, key in zip(rows, keys, strict=True) if key is None]
    if len(alone) == len(rows):
        raise DataError(
            f"--group-by must match file names, got {pattern.pattern!r}; names look like {rows[0].path.name!r}"
        )
    # A slash is in no file name, so a path is never taken for a captured part.
    grouped = [row._replace(group=f"/{row.path}" if key is None else key) for row, key in zip(rows, keys, strict=True)]
    return grouped, listed(
        f"--group-by does not match {plural(len(alone), 'file')}, each taken as a group of its own", alone
    )


def _split_note(rows: Sequence[Row]) -> str:
    parts = {row.split for row in rows} - {None}
    if parts == {"train", "validation"}:
        return "there is no test folder: the validation folder is used as the test"
    if parts and ("train" not in parts or len(parts) == 1):
        return f"only folders for {' and '.join(sorted(map(str, parts)))} were found: no official split"
    return ""


def _numbers_first(name: str) -> tuple[bool, int, str]:
    return (False, int(name), name) if name.isdecimal() else (True, 0, name)


def _codes(keys: Sequence[str], names: Sequence[str]) -> IntArray:
    code = {name: i for i, name in enumerate(names)}
    return np.array([code[key] for key in keys], dtype=np.int64)
