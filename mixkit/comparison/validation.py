"""The inner validation part that is taken out of a cell's training side."""

from typing import Any

import numpy as np
import numpy.typing as npt

from mixkit.comparison.groups import Chosen, strata, whole_groups
from mixkit.comparison.problems import IntArray

VALIDATION_SHARE = 0.15
Labels = npt.NDArray[Any]


def with_validation(
    rows: IntArray, labels: Labels, codes: IntArray | None, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Return `rows` as training and validation rows, about 85 : 15.

    Classes are spread evenly, every class keeps a training row, and groups stay whole.

    Args:
        rows: (m,) of a training side.
        labels: (n,) of all rows.
        codes: (n,) group codes of all rows, or None.
        generator: draws the choice.

    Raises:
        ValueError: nothing can be set aside.
    """
    found = strata(labels[rows])
    if codes is None:
        chosen = _stratified_share(found, generator)
    else:
        chosen = whole_groups(found, VALIDATION_SHARE, np.unique(codes[rows], return_inverse=True)[1], generator)
    if not chosen.any():
        what = "rows" if codes is None else "groups"
        raise ValueError(
            f"{len(rows)} training rows have too few {what} to set some aside for validation; use more data"
        )
    return rows[~chosen], rows[chosen]


def _stratified_share(found: IntArray, generator: np.random.Generator) -> Chosen:
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
