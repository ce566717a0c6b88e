"""Which rows train, validate and test: cells of resampled splits, or of several seeds on an official split."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from mixkit.comparison.problems import IntArray, Split
from mixkit.randomness import derived_seed

VALIDATION_SHARE = 0.15
SHUFFLE, TRAINING, VALIDATION = 1, 2, 3  # streams derived from the comparison's seed
ATTEMPTS = 20
Labels = npt.NDArray[Any]
Folds = list[tuple[IntArray, IntArray]]


@dataclass(frozen=True, eq=False)
class Cell:
    """One split and one seed, shared by all methods.

    Attributes:
        repeat: of the resampling, or number of the seed on an official split.
        fold: within the repeat; 0 on an official split.
        seed: for everything random in the training.
        train: (n,) rows, ascending, as all rows here.
        validation: (n,) rows.
        test: (n,) rows.
    """

    repeat: int
    fold: int
    seed: int
    train: IntArray
    validation: IntArray
    test: IntArray


def resampled_cells(
    labels: Labels,
    groups: npt.ArrayLike | None = None,
    folds: int = 5,
    repeats: int = 2,
    seed: int = 0,
    *,
    classes: Sequence[str] = (),
) -> list[Cell]:
    """Return the cells of repeated K-fold splits, by repeat and fold.

    Every repeat is a new shuffle.  15 % of a cell's training side become its validation part.  Classes are spread
    evenly over all parts, groups kept whole.  More repeats add cells and leave the others as they are.

    Args:
        labels: (n,) integer class codes, or float targets of a regression.
        groups: (n,) codes of rows that belong together, or None.
        folds: K.
        repeats: R.
        seed: of the comparison.
        classes: names of the classes by code, for messages.

    Raises:
        ValueError: too few rows, groups, or members of a class for so many folds; one class only; NaN targets.
    """
    labels, codes = _checked(labels, groups, classes)
    _check_counts(labels, codes, folds, repeats, classes)
    cells = []
    for repeat in range(repeats):
        for fold, (rest, test) in enumerate(_outer(labels, codes, folds, (seed, SHUFFLE, repeat))):
            train, validation = _inner(labels, codes, rest, (seed, VALIDATION, repeat, fold), classes)
            cells.append(Cell(repeat, fold, derived_seed(seed, TRAINING, repeat, fold), train, validation, test))
    return cells


def official_cells(
    split: Split,
    labels: Labels,
    groups: npt.ArrayLike | None = None,
    seeds: int = 5,
    seed: int = 0,
    *,
    classes: Sequence[str] = (),
) -> list[Cell]:
    """Return one cell for each seed on an official split.

    Where the split has no validation part, each seed takes one of its own from the training side: how it falls is part
    of what seeds stand for.

    Args:
        split: rows of the official parts; rows in none of them are left out.
        labels: (n,) integer class codes, or float targets of a regression, of all rows.
        groups: (n,) codes of rows that belong together, or None.
        seeds: number of seeds.
        seed: of the comparison.
        classes: names of the classes by code, for messages.

    Raises:
        ValueError: an empty part, rows out of range or in two parts, a group in two parts, one class only, NaN targets.
    """
    labels, codes = _checked(labels, groups, classes)
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds=}")
    parts = {name: np.sort(np.asarray(part, np.int64)) for name, part in split._asdict().items() if part is not None}
    _check_parts(parts, labels, codes)
    cells = []
    for repeat in range(seeds):
        train, validation = parts["train"], parts.get("validation")
        if validation is None:
            train, validation = _inner(labels, codes, train, (seed, VALIDATION, repeat, 0), classes)
        cells.append(Cell(repeat, 0, derived_seed(seed, TRAINING, repeat, 0), train, validation, parts["test"]))
    return cells


def _checked(labels: Labels, groups: npt.ArrayLike | None, classes: Sequence[str]) -> tuple[Labels, IntArray | None]:
    """Return labels and group codes 0..G-1, or refuse them."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels):
        raise ValueError(f"labels must be (n,) with n >= 1, got shape {labels.shape}")
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            raise ValueError(f"targets must be finite, got {labels[~np.isfinite(labels)][0]}; leave those rows out")
    elif labels.dtype.kind not in "iub":
        raise ValueError(f"labels must be integers (classes) or floats (regression), got {labels.dtype}")
    elif len(np.unique(labels)) < 2:
        raise ValueError(f"labels must have at least two classes, got only {_named(labels[0], classes)}")
    if groups is None:
        return labels, None
    codes = np.asarray(groups)
    if codes.shape != labels.shape:
        raise ValueError(f"groups must be one a row, got {codes.shape} for {len(labels)} rows")
    return labels, np.unique(codes, return_inverse=True)[1].astype(np.int64)


def _check_counts(labels: Labels, codes: IntArray | None, folds: int, repeats: int, classes: Sequence[str]) -> None:
    """Refuse what can't be split into so many folds."""
    if folds < 2 or repeats < 1:
        raise ValueError(f"folds must be at least 2 and repeats at least 1, got {folds=}, {repeats=}")
    units, what = (len(labels), "rows") if codes is None else (int(codes.max()) + 1, "groups")
    if units < 3:
        raise ValueError(f"there must be at least 3 {what}, to train, to validate and to test, got {units}")
    if units < folds:
        raise ValueError(f"there must be at least as many {what} as folds, got {units} for {folds=}; use fewer folds")
    if not _are_classes(labels):
        return
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        if codes is not None and len(np.unique(codes[labels == label])) < 2:
            raise ValueError(
                f"{_named(label, classes)} is in one group only: it can't be trained on and tested; "
                "leave the class out, or split without groups"
            )
        if codes is None and count < folds:
            way_out = f"use at most {count} folds, or leave the class out" if count > 1 else "leave the class out"
            raise ValueError(f"{_named(label, classes)} has {count} members for {folds=}; {way_out}")


def _check_parts(parts: dict[str, IntArray], labels: Labels, codes: IntArray | None) -> None:
    """Refuse official parts that are empty, out of range, or share rows or groups."""
    for name, rows in parts.items():
        if not len(rows):
            raise ValueError(f"the official {name} part must have rows, got none")
        if rows[0] < 0 or rows[-1] >= len(labels):
            raise ValueError(f"rows of the official {name} part must be in 0..{len(labels) - 1}, got {rows[[0, -1]]}")
    names = list(parts)
    for a, b in ((a, b) for i, a in enumerate(names) for b in names[i + 1 :]):
        if len(both := np.intersect1d(parts[a], parts[b])):
            raise ValueError(f"official parts must share no rows, got row {both[0]} in {a} and {b}")
        if codes is not None and len(both := np.intersect1d(codes[parts[a]], codes[parts[b]])):
            row = int(np.flatnonzero(codes == both[0])[0])
            raise ValueError(
                f"the official split must keep groups whole, got that of row {row} in {a} and {b}; "
                "use the split without groups, or the groups without the split"
            )
    if _are_classes(labels) and len(np.unique(labels[parts["train"]])) < 2:
        raise ValueError("the official train part must have at least two classes, got one")


def _outer(labels: Labels, codes: IntArray | None, folds: int, keys: tuple[int, ...]) -> Folds:
    """Return (training side, test) of each fold."""
    for attempt in range(ATTEMPTS):
        found = _shuffled_folds(labels, codes, folds, derived_seed(*keys, attempt) % 2**32)
        if all(len(test) and _holds_all_classes(labels, rest) for rest, test in found):
            return found
    raise ValueError(
        f"groups must allow {folds} folds whose training sides hold every class, and none was found in {ATTEMPTS} "
        "shuffles; use fewer folds"
    )


def _shuffled_folds(labels: Labels, codes: IntArray | None, folds: int, seed: int) -> Folds:
    rows = np.zeros(len(labels))
    with warnings.catch_warnings():
        # classes in fewer groups than folds: whether that is good enough is looked at afterwards
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        if _are_classes(labels):
            kind = StratifiedKFold if codes is None else StratifiedGroupKFold
        else:
            kind = KFold if codes is None else GroupKFold
        found = list(kind(folds, shuffle=True, random_state=seed).split(rows, labels, codes))
    return [(np.asarray(rest, np.int64), np.asarray(test, np.int64)) for rest, test in found]


def _inner(
    labels: Labels, codes: IntArray | None, rows: IntArray, keys: tuple[int, ...], classes: Sequence[str]
) -> tuple[IntArray, IntArray]:
    """Return `rows` as training and validation rows; every class keeps a training row."""
    generator = np.random.default_rng(derived_seed(*keys))
    found = np.unique(labels[rows], return_inverse=True)[1] if _are_classes(labels) else np.zeros(len(rows), np.int64)
    if codes is None:
        chosen = _stratified_share(found, generator)
    else:
        chosen = _whole_groups(found, np.unique(codes[rows], return_inverse=True)[1], generator)
    if not chosen.any():
        what = "rows" if codes is None else "groups"
        raise ValueError(
            f"{len(rows)} training rows have too few {what} to set some aside for validation; use more data"
        )
    return rows[~chosen], rows[chosen]


def _stratified_share(found: IntArray, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Choose 15 % of the rows, at least one, from each class its share, but never all of a class."""
    counts = np.bincount(found)
    quota = VALIDATION_SHARE * counts
    take = np.minimum(np.floor(quota).astype(np.int64), counts - 1)
    # largest remainders first; a tie falls at random
    order = np.lexsort((generator.random(len(counts)), -(quota - take)))
    order = order[take[order] < counts[order] - 1]
    take[order[: max(0, max(1, round(VALIDATION_SHARE * len(found))) - int(take.sum()))]] += 1
    chosen = np.zeros(len(found), np.bool_)
    for label, number in enumerate(take):
        chosen[generator.permutation(np.flatnonzero(found == label))[:number]] = True
    return chosen


def _whole_groups(found: IntArray, codes: IntArray, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Choose groups with about 15 % of the rows and the classes' shares, the best of some random choices."""
    table = np.zeros((codes.max() + 1, found.max() + 1), np.int64)
    np.add.at(table, (codes, found), 1)
    wanted = VALIDATION_SHARE * table.sum(0)
    best, least = np.zeros(len(table), np.bool_), np.inf
    for _ in range(ATTEMPTS):
        chosen = _filled(table, wanted.sum(), generator)
        distance = float(np.abs(table[chosen].sum(0) - wanted).sum())
        if chosen.any() and distance < least:
            best, least = chosen, distance
    return best[codes]


def _filled(table: IntArray, wanted: float, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Take groups in random order as long as that comes closer to `wanted` rows and every class stays in training."""
    chosen, left, size = np.zeros(len(table), np.bool_), table.sum(0), 0
    for group in generator.permutation(len(table)):
        own = int(table[group].sum())
        closer = size == 0 or abs(size + own - wanted) < abs(size - wanted)
        if closer and (left > table[group]).all():
            chosen[group], left, size = True, left - table[group], size + own
        if size >= wanted:
            break
    return chosen


def _holds_all_classes(labels: Labels, rows: IntArray) -> bool:
    return not _are_classes(labels) or len(np.unique(labels[rows])) == len(np.unique(labels))


def _are_classes(labels: Labels) -> bool:
    return labels.dtype.kind != "f"


def _named(label: Any, classes: Sequence[str]) -> str:
    return f"class {classes[int(label)]!r}" if int(label) < len(classes) else f"class {label}"
