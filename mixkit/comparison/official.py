"""Verdicts on an official split: several seeds, one test set; "for this training set"."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mixkit.comparison.verdict import Floats, Rule, Spread, Verdict, check_finite, decide, unknown

FEWEST_SEEDS = 5
DRAWS = 200  # the bootstrap's variance then has a standard deviation of 10 %, a standard error one of 5 %
Array = npt.NDArray[Any]


class Components(NamedTuple):
    """Variance of the mean difference as each part alone would give it: mean squares / (seeds * items)."""

    seed: float
    item: float
    residual: float


def judge_official(
    differences: npt.ArrayLike,
    *,
    compared: int,
    rope: float,
    higher_is_better: bool = True,
    level: float = 0.05,
    groups: npt.ArrayLike | None = None,
) -> Verdict:
    """Return the verdict from per-item differences on one test set, for a score that is a mean over items.

    Seeds and items are crossed random effects: the variance of the mean is (MS_seed + MS_item - MS_residual) /
    (S n), floored at max(MS_seed, MS_item) / (S n).  More seeds can't reduce the items' part.

    NOTE[DIFF] The interval is not normal but Student's t with the degrees of freedom of `Spread`: five seeds leave
    four degrees, and where seeds matter a normal interval gave false verdicts in up to 23 % of comparisons.

    Args:
        differences: (S, n) score of the method - score of the reference, for each seed and test item.
        compared: number of methods that are compared with the reference.
        rope: half-width of the region of practical equivalence, in the score's unit.
        higher_is_better: whether a higher score is the better one.
        level: chance of a false verdict that is accepted for the whole comparison.
        groups: (n,) codes of items that belong together (one speaker's clips); groups are then the random effect.

    Raises:
        ValueError: an empty array, a NaN or infinite difference (named), or a bad rule.
    """
    rule = Rule(compared, rope, higher_is_better, level)
    values = np.asarray(differences, np.float64)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"differences must be (seeds, items), both at least 1, got shape {values.shape}")
    check_finite(values, ("seed", "item"))
    if groups is not None:
        values = by_group(values, np.asarray(groups))
    seeds, items = values.shape
    if seeds < 2 or items < 2:
        return unknown(float(values.mean()), seeds, FEWEST_SEEDS)
    spread = crossed_spread(anova(values), seeds, items - 1)
    return decide(float(values.mean()), spread, seeds, rule, fewest=FEWEST_SEEDS)


def judge_official_total(
    outputs: npt.ArrayLike,
    reference: npt.ArrayLike,
    truths: npt.ArrayLike,
    *,
    score: Callable[[Array, Array], float],
    compared: int,
    rope: float,
    generator: np.random.Generator,
    higher_is_better: bool = True,
    level: float = 0.05,
    groups: npt.ArrayLike | None = None,
    draws: int = DRAWS,
) -> Verdict:
    """Return the verdict on one test set for a score of all items together (AUC, F1, RMSE, ...).

    Items are resampled with replacement, all seeds of both methods scored on each draw, and the variance of the mean
    over seeds is put together as in `judge_official`, to which this comes down for a mean over items.

    NOTE[DIFF] Seeds are not drawn themselves: a bootstrap over S = 5 seeds understates their variance by a fifth and
    has no Student quantile.  Their variance is taken over the seeds' scores directly.

    Args:
        outputs: (S, n, K) probabilities or predictions of the method, for each seed and test item.
        reference: (S, n, K) the same of the reference.
        truths: (n,) labels or (n, K) truths.
        score: (outputs (n, K), truths) -> score; NaN where a draw leaves it undefined (one class only).
        compared: number of methods that are compared with the reference.
        rope: half-width of the region of practical equivalence, in the score's unit.
        generator: draws the items.
        higher_is_better: whether a higher score is the better one.
        level: chance of a false verdict that is accepted for the whole comparison.
        groups: (n,) codes of items that belong together; whole groups are then drawn.
        draws: number of resamples.

    Raises:
        ValueError: shapes that don't fit, a NaN or infinite score, a score that most draws leave undefined, or a
            bad rule.
    """
    rule = Rule(compared, rope, higher_is_better, level)
    both, truths = [np.asarray(outputs), np.asarray(reference)], np.asarray(truths)
    shape = both[0].shape
    if len(shape) < 3 or shape[1] != len(truths) or shape != both[1].shape or 0 in shape:
        raise ValueError(
            f"outputs and reference must be (seeds, items, K) for {len(truths)} truths, got {shape} and {both[1].shape}"
        )

    def differences(rows: Array | slice) -> Floats:
        own, other = ([score(outputs[rows], truths[rows]) for outputs in method] for method in both)
        return np.subtract(own, other, dtype=np.float64)

    observed = differences(slice(None))
    check_finite(observed, ("seed",))
    codes = group_codes(np.arange(len(truths)) if groups is None else np.asarray(groups), len(truths))
    units, seeds = int(codes.max()) + 1, len(observed)
    if seeds < 2 or units < 2:
        return unknown(float(observed.mean()), seeds, FEWEST_SEEDS)
    drawn = np.stack([differences(rows) for rows in resampled_rows(codes, units, draws, generator)])
    spread = crossed_spread(resampled_components(observed, drawn), seeds, units - 1)
    return decide(float(observed.mean()), spread, seeds, rule, fewest=FEWEST_SEEDS)


def by_group(differences: Floats, groups: Array) -> Floats:
    """Return (S, groups): each group's share of the mean, so scaled that their mean is the mean over items."""
    codes = group_codes(groups, differences.shape[1])
    mean = differences.mean()
    # centred first: else groups would differ by their sizes alone
    sums = np.stack([np.bincount(codes, row - mean) for row in differences])
    scaled: Floats = mean + sums * (sums.shape[1] / differences.shape[1])
    return scaled


def group_codes(groups: Array, items: int) -> Array:
    """Return (items,) groups as codes 0..G-1."""
    if groups.shape != (items,):
        raise ValueError(f"groups must be ({items},), one an item, got shape {groups.shape}")
    codes: Array = np.unique(groups, return_inverse=True)[1]
    return codes


def anova(values: Floats) -> Components:
    """Return the components of (S, n) values, by two-way analysis of variance without replication."""
    seeds, items = values.shape
    centred = values - values.mean()
    by_seed, by_item = centred.mean(1, keepdims=True), centred.mean(0, keepdims=True)
    residual = centred - by_seed - by_item
    return Components(
        seed=float((by_seed**2).sum()) / ((seeds - 1) * seeds),
        item=float((by_item**2).sum()) / ((items - 1) * items),
        residual=float((residual**2).sum()) / ((seeds - 1) * (items - 1) * seeds * items),
    )


def resampled_components(observed: Floats, drawn: Floats) -> Components:
    """Return the components from scores of S seeds (S,) and of their resamples (draws, S)."""
    seeds = len(observed)
    drawn = drawn[np.isfinite(drawn).all(1)]
    if len(drawn) < 50:
        raise ValueError(f"the score must be defined on most resamples of the test items, got {len(drawn)} of them")
    over_seeds = drawn.mean(1, keepdims=True)
    return Components(
        seed=float(np.var(observed, ddof=1)) / seeds,
        item=float(np.var(over_seeds, ddof=1)),
        residual=float(np.var(drawn - over_seeds, axis=0, ddof=1).sum()) / ((seeds - 1) * seeds),
    )


def crossed_spread(parts: Components, seeds: int, item_degrees: int) -> Spread:
    """Return the floored variance, split into what more seeds leave and what they reduce."""
    variance = max(parts.seed + parts.item - parts.residual, parts.seed, parts.item)
    fixed = max(0.0, parts.item - parts.residual)
    return Spread(fixed=fixed, shrinking=(variance - fixed) * seeds, fixed_degrees=item_degrees)


def resampled_rows(codes: Array, units: int, draws: int, generator: np.random.Generator) -> list[Array]:
    """Return the rows of each draw; whole units are drawn."""
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes, minlength=units))[:-1])
    picks = generator.integers(0, units, (draws, units))
    if units == len(codes):
        return [order[pick] for pick in picks]
    return [np.concatenate([members[unit] for unit in pick]) for pick in picks]
