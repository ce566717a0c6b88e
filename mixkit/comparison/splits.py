"""Which rows train, validate and test: cells of resampled splits, or of several seeds on an official split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold, StratifiedKFold

from mixkit.comparison.groups import are_classes, group_folds
from mixkit.comparison.problems import IntArray, Split
from mixkit.comparison.validation import with_validation
from mixkit.randomness import derived_seed

SHUFFLE, TRAINING, VALIDATION = 1, 2, 3  # streams derived from the comparison's seed
ATTEMPTS = 20
Labels = npt.NDArray[Any]


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
        for fold, test in enumerate(_outer(labels, codes, folds, (seed, SHUFFLE, repeat))):
            rest = np.setdiff1d(np.arange(len(labels)), test)
            generator = np.random.default_rng(derived_seed(seed, VALIDATION, repeat, fold))
            train, validation = with_validation(rest, labels, codes, generator)
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
            generator = np.random.default_rng(derived_seed(seed, VALIDATION, repeat, 0))
            train, validation = with_validation(train, labels, codes, generator)
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
        raise ValueError(
            f"there must be at least as many {what} as folds, got {units} for {folds=}; use at most {units} folds"
        )
    if not are_classes(labels):
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
    if are_classes(labels) and len(np.unique(labels[parts["train"]])) < 2:
        raise ValueError("the official train part must have at least two classes, got one")


def _outer(labels: Labels, codes: IntArray | None, folds: int, keys: tuple[int, ...]) -> list[IntArray]:
    """Return the test rows of each fold."""
    rows = np.zeros(len(labels))
    for attempt in range(ATTEMPTS):
        seed = derived_seed(*keys, attempt) % 2**32
        if codes is None:
            kind = StratifiedKFold if are_classes(labels) else KFold
            split = kind(folds, shuffle=True, random_state=seed).split(rows, labels)
            return [np.asarray(test, np.int64) for _, test in split]
        fold = group_folds(labels, codes, folds, np.random.default_rng(seed))
        if all(_holds_all_classes(labels, fold != one) for one in range(folds)):
            return [np.flatnonzero(fold == one) for one in range(folds)]
    raise ValueError(
        f"groups must allow {folds} folds whose training sides hold every class, and none was found in {ATTEMPTS} "
        "shuffles; use fewer folds"
    )


def _holds_all_classes(labels: Labels, rows: npt.NDArray[np.bool_]) -> bool:
    return not are_classes(labels) or len(np.unique(labels[rows])) == len(np.unique(labels))


def _named(label: Any, classes: Sequence[str]) -> str:
    return f"class {classes[int(label)]!r}" if int(label) < len(classes) else f"class {label}"
