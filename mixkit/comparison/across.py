"""One method over several problems: random-effects mean, prediction interval, Bayesian signed-rank summary."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from mixkit.comparison.metrics import is_share
from mixkit.comparison.verdict import Floats
from mixkit.report.summary import AcrossSummary, ProblemSummary

DRAWS = 20_000


@dataclass(frozen=True)
class RandomEffects:
    """A mean over problems.

    Attributes:
        mean: of the problems' true differences.
        low: lower end of its interval.
        high: upper end of its interval.
        prediction_low: lower end of the interval for the true difference on one more problem of the kind.
        prediction_high: its upper end.
        tau: standard deviation of the true differences between problems.
    """

    mean: float
    low: float
    high: float
    prediction_low: float
    prediction_high: float
    tau: float


def random_effects(differences: npt.ArrayLike, errors: npt.ArrayLike, *, level: float = 0.05) -> RandomEffects:
    """Return the random-effects mean with Hartung and Knapp's interval.

    tau is Paule and Mandel's; the interval is never narrower than the one of known variances (Knapp and Hartung
    2003; the bound by Roever et al. 2015), and the prediction interval has k - 1 degrees of freedom, as has the mean's.

    Args:
        differences: (k,) one a problem, all in one unit.
        errors: (k,) their standard errors; zero where two methods predict the same.
        level: 1 - the intervals' level.

    Raises:
        ValueError: fewer than two problems, NaN, or a negative standard error.
    """
    values, variances = np.asarray(differences, np.float64), np.asarray(errors, np.float64) ** 2
    if values.shape != variances.shape or values.ndim != 1 or len(values) < 2:
        raise ValueError(f"differences and errors must be (k,) with k >= 2, got {values.shape} and {variances.shape}")
    if not (np.isfinite(values).all() and np.isfinite(variances).all() and (np.asarray(errors) >= 0).all()):
        raise ValueError("differences and errors must be finite, and errors not negative")
    # an error of zero (a method that changed nothing) must not take all the weight
    variances = np.maximum(variances, 1e-4 * variances.max())
    tau2 = between_variance(values, variances)
    total = variances + tau2
    weights = 1 / total if total.all() else np.ones_like(total)
    mean = float(np.average(values, weights=weights))
    spread = float(weights @ (values - mean) ** 2) / (len(values) - 1)
    variance = max(1.0, spread) / float(weights.sum()) if total.all() else 0.0
    t = stats.t.ppf(1 - level / 2, len(values) - 1)
    half, wide = float(t * np.sqrt(variance)), float(t * np.sqrt(variance + tau2))
    return RandomEffects(mean, mean - half, mean + half, mean - wide, mean + wide, float(np.sqrt(tau2)))


def between_variance(values: Floats, variances: Floats) -> float:
    """Return Paule and Mandel's variance between problems: the one at which Q equals its expectation k - 1."""
    if not variances.any():
        return float(np.var(values, ddof=1))

    def excess(tau2: float) -> float:
        weights = 1 / (variances + tau2)
        return float(weights @ (values - np.average(values, weights=weights)) ** 2) - (len(values) - 1)

    if excess(0.0) <= 0:
        return 0.0
    # all weights are at most 1 / tau2, so that Q is below k - 1 from here on
    upper = float(((values - values.mean()) ** 2).sum()) / (len(values) - 1)
    return float(optimize.brentq(excess, 0.0, upper * (1 + 1e-9), xtol=1e-12 * upper))


def signed_rank(
    improvements: npt.ArrayLike, *, rope: float, generator: np.random.Generator, draws: int = DRAWS
) -> dict[str, float]:
    """Return how probable it is that on most problems a method helps, changes nothing that matters, or hurts.

    The Bayesian signed-rank test of Benavoli et al. (2017, Time for a Change, section 4.2): a Dirichlet process over
    problems with prior strength 1/2 at "no difference"; Walsh averages of two problems count as helps above
    the rope, hurts below it; the probability is the share of draws in which that share is the largest.

    Args:
        improvements: (k,) one a problem; positive is better.
        rope: half-width of the region of practical equivalence, in the same unit.
        generator: draws the weights.
        draws: number of draws.

    Raises:
        ValueError: no improvements, or NaN among them.
    """
    values = np.asarray(improvements, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"improvements must be (k,) finite numbers with k >= 1, got {values}")
    values = np.concatenate([[0.0], values])
    sums = values[:, None] + values[None, :]
    weights = generator.dirichlet(np.concatenate([[0.5], np.ones(len(values) - 1)]), draws)
    regions = (sums > 2 * rope, np.abs(sums) <= 2 * rope, sums < -2 * rope)
    shares = np.stack([((weights @ region) * weights).sum(1) for region in regions])
    wins = np.bincount(shares.argmax(0), minlength=3) / draws
    return dict(zip(("helps", "equivalent", "hurts"), wins.tolist(), strict=True))


def across_problems(problems: Mapping[str, ProblemSummary]) -> dict[str, AcrossSummary]:
    """Return each method's summary over the problems that have a difference and a standard error for it.

    Differences are oriented so that positive is better.  Where every problem's metric is a share (accuracy, AUC, ...)
    they are taken as they are; otherwise they are divided by the reference's score, so that units cancel.  For the
    signed ranks every difference is measured in its problem's rope.

    Args:
        problems: name -> summary, as in `summary.json`.

    Returns:
        method -> summary; methods with fewer than two such problems are left out.
    """
    shares = all(is_share(problem["metric"]) for problem in problems.values())
    names = dict.fromkeys(name for problem in problems.values() for name in problem["methods"])
    found = {name: [_improvement(p, name, shares=shares) for p in problems.values()] for name in names}
    known = {name: [one for one in ones if one is not None] for name, ones in found.items()}
    return {name: _summary(np.array(ones)) for name, ones in known.items() if len(ones) > 1}


def _improvement(problem: ProblemSummary, name: str, *, shares: bool) -> tuple[float, float, float] | None:
    """Return improvement, its standard error and the rope, in a unit common to all problems; None if not known."""
    methods = cast(Mapping[str, Mapping[str, Any]], problem["methods"])
    method, score = methods.get(name, {}), methods[problem["reference"]].get("score")
    difference, error = method.get("difference"), method.get("standard_error")
    if name == problem["reference"] or difference is None or error is None or not (shares or score):
        return None
    unit = 1.0 if shares else abs(cast(float, score))
    sign = 1.0 if problem["higher_is_better"] else -1.0
    return sign * difference / unit, error / unit, problem["rope"] / unit


def _summary(found: Floats) -> AcrossSummary:
    """Return a method's summary from (k, 3) improvements, standard errors and ropes."""
    gains, errors, ropes = found.T
    effects = random_effects(gains, errors)
    in_ropes, rope = (gains / ropes, 1.0) if ropes.all() else (gains, 0.0)
    ranks = signed_rank(in_ropes, rope=rope, generator=np.random.default_rng(0))
    return {
        "problems": len(gains),
        "mean": effects.mean,
        "low": effects.low,
        "high": effects.high,
        "prediction_low": effects.prediction_low,
        "prediction_high": effects.prediction_high,
        "signed_rank": {"helps": ranks["helps"], "equivalent": ranks["equivalent"], "hurts": ranks["hurts"]},
    }
