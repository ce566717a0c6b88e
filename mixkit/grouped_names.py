"""Regular expressions that users pass about file names, and the look for groups in file names.

Clips of one speaker or pictures of one patient often share a part of their names (`0132a06d_nohash_2.flac`).
A split that puts one of them into training and the next into the test measures memory, so names are looked at
even when the user says nothing.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from mixkit.comparison.problems import DataError

_SEPARATORS = "_. -"  # the hyphen last: it means itself there in a set of characters
_POSITIONS = 4


def compile_label_pattern(pattern: str) -> re.Pattern[str]:
    r"""Compile `--label-from`, which must have a group named `label`.

    Raises:
        DataError: the expression does not compile or has no such group.

    >>> compile_label_pattern(r"^(?P<label>\d)_").search("7_george_13.wav")["label"]
    '7'
    """
    compiled = _compiled(pattern, "--label-from")
    if "label" not in compiled.groupindex:
        raise DataError(
            f"--label-from must contain a group named label, got {pattern!r}; "
            r"for names like 7_george_13.wav write '^(?P<label>\d+)_'"
        )
    return compiled


def compile_group_pattern(pattern: str) -> re.Pattern[str]:
    """Compile `--group-by`, which must have a group: the one named `group` counts, else the first.

    Raises:
        DataError: the expression does not compile or has no group.
    """
    compiled = _compiled(pattern, "--group-by")
    if compiled.groups == 0:
        raise DataError(
            f"--group-by must be a regular expression with a group in parentheses, got {pattern!r}; "
            "for names like 0132a06d_nohash_2.flac write '([^_]+)_nohash_'"
        )
    return compiled


def _compiled(pattern: str, option: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise DataError(f"{option} must be a regular expression, got {pattern!r}: {error}") from error


def captured(pattern: re.Pattern[str], name: str) -> str | None:
    """What the group `label` or `group`, else the first group, takes from `name`; None if nothing."""
    match = pattern.search(name)
    if match is None:
        return None
    wanted = next((group for group in ("label", "group") if group in pattern.groupindex), 1)
    return match[wanted] or None


def grouped_look(names: Sequence[str], classes: Sequence[str]) -> str | None:
    """Say that file names look grouped, and which `--group-by` keeps the groups whole; None if they do not.

    Args:
        names: file names without folders.
        classes: the class of each file: a part that just repeats the class is no group.

    >>> names = [f"{speaker}_{take}.wav" for speaker in ("ann", "bob", "eve") for take in range(4)]
    >>> grouped_look(names, ["yes", "no"] * 6).split(";")[0]
    "file names look grouped by parts like 'ann' in 'ann_0.wav': 3 groups of 4.0 files"
    """
    best: tuple[tuple[int, bool, int], str, dict[int, str]] | None = None
    for pattern in _candidate_patterns(names):
        compiled = re.compile(pattern)
        found = {i: part for i, name in enumerate(names) if (part := captured(compiled, name)) is not None}
        if not _are_groups(found, classes, len(names), opens_name=pattern.startswith("^([")):
            continue
        # A constant part beside it pins a part down better than its place does: see `cat_87070229_nohash_2`.
        score = (len(found), pattern[0] == "(" and pattern[-1] != "$", len(set(found.values())))
        if best is None or score > best[0]:
            best = (score, pattern, found)
    if best is None:
        return None
    (matched, _, count), pattern, found = best
    first, part = next(iter(found.items()))
    return (
        f"file names look grouped by parts like {part!r} in {names[first]!r}: {count:,} groups of "
        f"{matched / count:.1f} files; pass --group-by '{pattern}' to keep each group on one side of a split"
    )


def _candidate_patterns(names: Sequence[str]) -> list[str]:
    """Expressions for one part of a name: before a constant part, counted from the start, or from the end."""
    stems = [name.rsplit(".", 1)[0] for name in names]
    used = [mark for mark in _SEPARATORS if sum(mark in stem for stem in stems) * 2 >= len(stems)]
    if not used:
        return []
    marks = "".join(used)
    gap = f"[{marks}]" if len(used) > 1 or marks == "." else marks
    part = f"[^{marks}]+"
    words = Counter(word for stem in stems for word in set(re.split(f"[{marks}]", stem)))
    constant = sorted(word for word, count in words.items() if count * 10 >= len(stems) * 9 and word)
    return [
        *(f"({part}){gap}{re.escape(word)}{gap}" for word in constant),
        *("^" + f"{part}{gap}" * before + f"({part}){gap}" for before in range(_POSITIONS)),
        *(f"({part})" + f"{gap}{part}" * after + r"\.[^.]+$" for after in range(_POSITIONS)),
    ]


def _are_groups(found: dict[int, str], classes: Sequence[str], total: int, *, opens_name: bool) -> bool:
    """Whether the parts look like speakers or patients, not like the class, a running number or an id."""
    sizes = Counter(found.values())
    shared = sum(size for size in sizes.values() if size > 1)
    if len(found) * 2 < total or len(sizes) < 2 or shared * 2 < len(found) or len(found) < 1.5 * len(sizes):
        return False
    parts_of_class: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row, part in found.items():
        parts_of_class[classes[row]][part] += 1
    single = sum(len(parts) == 1 for parts in parts_of_class.values())
    if single * 5 >= len(parts_of_class) * 4:
        return False
    if not _is_counter(sizes):
        return sorted(map(len, sizes))[len(sizes) // 2] >= 2
    # A running number restarts in every class folder, so it recurs across classes but not inside one.
    cells = [count for parts in parts_of_class.values() for count in parts.values()]
    return opens_name and sum(count > 1 for count in cells) * 2 >= len(cells)


def _is_counter(parts: Counter[str]) -> bool:
    """Whether all parts are one common prefix of letters and a number: 7, 8, 9 or img7, img8, img9."""
    matches = [re.fullmatch(r"([A-Za-z]*)\d+", part) for part in parts]
    return all(matches) and len({match[1] for match in matches if match}) == 1
