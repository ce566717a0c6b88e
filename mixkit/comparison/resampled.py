"""Verdicts from resampled splits (repeated K-fold), and what a design can detect before it runs."""

import numpy as np
import numpy.typing as npt

from mixkit.comparison.verdict import Rule, Spread, Verdict, check_finite, decide, unknown

FEWEST_CELLS = 6


def judge_resampled(
    differences: npt.ArrayLike,
    *,
    n_train: float,
    n_test: float,
    compared: int,
    rope: float,
    higher_is_better: bool = True,
    level: float = 0.05,
) -> Verdict:
    """Return the verdict over cells of resampled splits, with the corrected resampled t-test.

    The cells share data, so that their differences are correlated.  Nadeau and Bengio (2003, Inference for the
    Generalization Error, section 5) put the correlation at n_test / (n_train + n_test); the standard error becomes
    s * sqrt(1 / n + n_test / n_train) with n - 1 degrees of freedom.  It does not go to zero with more cells.

    Args:
        differences: (n,) score of the method - score of the reference, one a cell.
        n_train: rows of a cell's training side, the inner validation part included.
        n_test: rows of a cell's test side.
        compared: number of methods that are compared with the reference.
        rope: half-width of the region of practical equivalence, in the score's unit.
        higher_is_better: whether a higher score is the better one.
        level: chance of a false verdict that is accepted for the whole comparison.

    Raises:
        ValueError: no differences, a NaN or infinite one (named), sizes that are not positive, or a bad rule.

    >>> cells = [0.031, 0.035, 0.028, 0.033, 0.036, 0.027, 0.034, 0.030, 0.029, 0.037]
    >>> verdict = judge_resampled(cells, n_train=800, n_test=200, compared=3, rope=0.005)
    >>> verdict.verdict, round(verdict.low, 4), round(verdict.high, 4)
    ('helps', 0.0259, 0.0381)
    """
    rule = Rule(compared, rope, higher_is_better, level)
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"differences must be (n,) with n >= 1, got shape {values.shape}")
    if not (n_train > 0 and n_test > 0):
        raise ValueError(f"n_train and n_test must be positive, got {n_train=}, {n_test=}")
    check_finite(values, ("cell",))
    if len(values) < 2:
        return unknown(float(values[0]), len(values), FEWEST_CELLS)
    # no pass through the mean: equal differences have no spread, also where their mean is rounded
    variance = float(np.var(values, ddof=1)) if np.ptp(values) > 0 else 0.0
    spread = Spread(fixed=variance * n_test / n_train, shrinking=variance)
    return decide(float(np.mean(values)), spread, len(values), rule, fewest=FEWEST_CELLS)


def detectable_before(
    *,
    n_test: int,
    cells: int,
    n_train: int,
    compared: int = 1,
    official: bool = False,
    disagreement: float = 0.1,
    rope: float = 0.005,
    level: float = 0.05,
) -> float:
    """Return which difference in accuracy a design will detect with 80 % power, before any run.

    Assumes that two methods disagree on a share `disagreement` of the test items (one is right, the other wrong):
    one item's difference then has a variance of `disagreement`, and one cell's a variance of
    `disagreement / n_test`.  On an official split the same items are tested with every seed, and seeds are taken
    not to help: `disagreement / n_test` is the variance of the mean difference.

    Args:
        n_test: rows of a cell's test side.
        cells: cells a method, or seeds on an official split.
        n_train: rows of a cell's training side, the inner validation part included.
        compared: number of methods that are compared with the reference.
        official: one test set for all cells instead of resampled splits.
        disagreement: share of test items on which one method is right and the other wrong.
        rope: half-width of the region of practical equivalence.
        level: chance of a false verdict that is accepted for the whole comparison.

    Raises:
        ValueError: fewer than two cells, sizes that are not positive, or a share outside (0, 1].

    >>> round(detectable_before(n_test=200, cells=10, n_train=800), 3)
    0.042
    """
    if cells < 2 or n_test < 2 or n_train < 1:
        raise ValueError(f"cells and n_test must be at least 2, n_train positive, got {cells=}, {n_test=}, {n_train=}")
    if not 0 < disagreement <= 1:
        raise ValueError(f"disagreement must be in (0, 1], got {disagreement=}")
    per_item = disagreement / n_test
    if official:
        spread = Spread(fixed=per_item, shrinking=0.0, fixed_degrees=n_test - 1)
    else:
        spread = Spread(fixed=per_item * n_test / n_train, shrinking=per_item)
    return Rule(compared, rope, level=level).smallest_detectable(spread.error(cells), spread.degrees(cells))
