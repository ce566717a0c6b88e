"""Splitting rows by whole groups: into folds, or into a share and the rest; sizes and classes as even as they go."""

from typing import Any

import numpy as np
import numpy.typing as npt

from mixkit.comparison.problems import IntArray

ATTEMPTS = 20
Chosen = npt.NDArray[np.bool_]


def are_classes(labels: npt.NDArray[Any]) -> bool:
    """Return whether labels are class codes, and not targets of a regression."""
    return labels.dtype.kind != "f"


def strata(labels: npt.NDArray[Any]) -> IntArray:
    """Return each row's class as a code 0..C-1; all 0 for a regression."""
    if not are_classes(labels):
        return np.zeros(len(labels), np.int64)
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def group_folds(labels: npt.NDArray[Any], codes: IntArray, folds: int, generator: np.random.Generator) -> IntArray:
    """Return each row's fold; a group's rows have the same.

    Groups go, large ones first, to the fold that they leave least uneven.  scikit-learn's StratifiedGroupKFold does
    much the same, but its shuffle only orders groups with equal counts: its repeats are near copies of one another.
    Here groups whose sizes differ by less than a factor of two come in random order.

    Args:
        labels: (n,) classes or targets.
        codes: (n,) groups 0..G-1, each of them there.
        folds: number of folds, at most G.
        generator: draws the order.
    """
    counts = _table(codes, strata(labels))
    # classes count alike however rare, and the number of rows like a class
    parts = np.column_stack([counts / counts.sum(0), counts.sum(1) / len(codes)])
    order = generator.permutation(len(counts))
    order = order[np.argsort(-np.floor(np.log2(counts[order].sum(1))), kind="stable")]
    loads, fold = np.zeros((folds, parts.shape[1])), np.zeros(len(counts), np.int64)
    for group in order:
        # what the sum of squared loads grows by, up to a constant
        uneven = loads @ parts[group]
        fold[group] = generator.choice(np.flatnonzero(uneven == uneven.min()))
        loads[fold[group]] += parts[group]
    return fold[codes]


def whole_groups(found: IntArray, share: float, codes: IntArray, generator: np.random.Generator) -> Chosen:
    """Choose groups with about that share of each class's rows, the best of some random choices.

    Args:
        found: (m,) classes 0..C-1, each of them there.
        share: of the rows.
        codes: (m,) groups 0..G-1, each of them there.
        generator: draws the choices.

    Returns:
        (m,) whether a row is chosen; none is if every group is needed to keep all classes among the rest.
    """
    table = _table(codes, found)
    wanted = share * table.sum(0)
    best, least = np.zeros(len(table), np.bool_), np.inf
    for _ in range(ATTEMPTS):
        chosen = _filled(table, wanted.sum(), generator)
        distance = float(np.abs(table[chosen].sum(0) - wanted).sum())
        if chosen.any() and distance < least:
            best, least = chosen, distance
    return best[codes]


def _filled(table: IntArray, wanted: float, generator: np.random.Generator) -> Chosen:
    """Take groups in random order as long as that comes closer to `wanted` rows and every class stays in the rest."""
    chosen, left, size = np.zeros(len(table), np.bool_), table.sum(0), 0
    for group in generator.permutation(len(table)):
        own = int(table[group].sum())
        closer = size == 0 or abs(size + own - wanted) < abs(size - wanted)
        if closer and (left > table[group]).all():
            chosen[group], left, size = True, left - table[group], size + own
        if size >= wanted:
            break
    return chosen


def _table(codes: IntArray, found: IntArray) -> IntArray:
    """Return the number of rows by group and class."""
    table = np.zeros((codes.max() + 1, found.max() + 1), np.int64)
    np.add.at(table, (codes, found), 1)
    return table
