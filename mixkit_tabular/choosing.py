"""Choosing on inner splits how to mix and when to stop: `method="auto"` of the estimators, and the report of it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkit.comparison.problems import IntArray
from mixkit.comparison.validation import with_validation
from mixkit.randomness import derived_seed
from mixkit.tasks import MultiClass, MultiLabel
from mixkit_tabular.fitting import Candidate, Options, Rows, fit_network

SPLITS = 3
MOST_ROWS = 2_000
"""Inner fits see at most so many rows, drawn at random: the choice may cost no more than a few fits."""
FEWEST_ROWS = 60
"""Below this an inner split says nothing, and nothing is mixed."""
SPLIT, FIT, SAMPLE = 21, 22, 23  # streams derived from a fit's seed

Curve = npt.NDArray[np.float64]

WITHOUT = Candidate("erm")
FOR_CLASSES = (
    Candidate("label-smoothing", {"smoothing": 0.1}),
    Candidate("mixup", {"alpha": 0.2}),
    Candidate("regmixup", {"alpha": 0.2}),
)
FOR_NUMBERS = (Candidate("c-mixup"), Candidate("mixup", {"alpha": 0.2, "until": 0.5}))


@dataclass(frozen=True)
class Trial:
    """A candidate on the inner splits.

    Attributes:
        method: with its parameters.
        losses: on each inner split that it was fitted on, after the share `stop` of the epochs.
        difference: mean loss minus that of no mixing on the same splits; below 0 is better.
        standard_error: of the difference, corrected for overlapping training sets; None after a single split.
        stop: share of the epochs after which training stops, in (0, 1].
    """

    method: str
    losses: tuple[float, ...]
    difference: float
    standard_error: float | None
    stop: float = 1.0


@dataclass(frozen=True)
class MixingReport:
    """How rows were mixed, and why.

    Attributes:
        method: that was used, with its parameters.
        reason: a sentence.
        metric: what trials are judged by; None where nothing was tried.
        trials: no mixing first.
        stop: share of the epochs after which training stopped, in (0, 1].
    """

    method: str
    reason: str
    metric: str | None = None
    trials: tuple[Trial, ...] = ()
    stop: float = 1.0

    def __str__(self) -> str:
        early = "" if self.stop == 1 else f"; training stopped after {self.stop:.0%} of the epochs"
        lines = [f"{self.method}: {self.reason}{early}"]
        for trial in self.trials:
            error = "" if trial.standard_error is None else f" +- {trial.standard_error:.4f}"
            mean = sum(trial.losses) / len(trial.losses)
            splits = f"{len(trial.losses)} split" + ("s" if len(trial.losses) > 1 else "")
            stop = "" if trial.stop == 1 else f", stopped at {trial.stop:.0%} of the epochs"
            lines.append(
                f"  {trial.method}: {self.metric} {mean:.4f} on {splits}, "
                f"difference {trial.difference:+.4f}{error}{stop}"
            )
        return "\n".join(lines)

    def card(self) -> dict[str, Any]:
        """Return a description that JSON can hold and `from_card` reads back."""
        return asdict(self)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> "MixingReport":
        """Return the report that `card` describes."""
        trials = tuple(
            Trial(t["method"], tuple(t["losses"]), t["difference"], t["standard_error"], t["stop"])
            for t in card["trials"]
        )
        return cls(card["method"], card["reason"], card["metric"], trials, card["stop"])


def choose(
    rows: Rows,
    picked: IntArray,
    options: Options,
    *,
    seed: int,
    validation: IntArray | None,
    told: Callable[[str], None],
) -> tuple[Candidate, MixingReport]:
    """Return what to mix with: nothing, unless a candidate is better by more than one corrected standard error.

    Candidates are fitted on three inner splits of the rows `picked` (85 : 15, groups kept whole), or on the rows as
    they are and judged on `validation` where that is given, three times with other seeds.  Judged by log loss or RMSE;
    the standard error of the mean difference is that of Nadeau and Bengio (2003), s sqrt(1/J + n_test / n_train).  By
    the same rule training stops early where an earlier epoch was better than the last.  A candidate whose best epoch
    is no better than that of no mixing on the first split is not tried further.

    Args:
        rows: all rows.
        picked: int64, those to train on.
        options: of network and training.
        seed: decides on everything random.
        validation: int64, an explicit validation set.
        told: hears what is tried.
    """
    if len(picked) < FEWEST_ROWS:
        reason = f"nothing is mixed, {len(picked)} rows are too few to choose on (at least {FEWEST_ROWS})"
        return WITHOUT, MixingReport(str(WITHOUT), reason)
    classes = isinstance(rows.task, MultiClass | MultiLabel)
    metric = "log loss" if classes else "RMSE (targets scaled to 1)"
    splits = inner_splits(rows, picked, seed, validation)
    to_the_end = replace(options, patience=None)

    def curve(candidate: Candidate, number: int) -> Curve:
        train, held = splits[number]
        told(f"trying {candidate} on inner split {number + 1} of {SPLITS}")
        key = derived_seed(seed, FIT, number)
        fitted = fit_network(rows, train, candidate, to_the_end, seed=key, validation=held)
        losses = np.array([epoch["validation_loss"] for epoch in fitted.epochs])
        return losses if classes else np.sqrt(losses)

    candidates = FOR_CLASSES if classes else FOR_NUMBERS
    curves = {WITHOUT: [curve(WITHOUT, number) for number in range(SPLITS)]}
    curves |= {candidate: [curve(candidate, 0)] for candidate in candidates}
    hopeful = [one for one in candidates if curves[one][0].min() < curves[WITHOUT][0].min()]
    for number in range(1, SPLITS):
        for candidate in hopeful:
            curves[candidate].append(curve(candidate, number))
    share = len(splits[0][1]) / len(splits[0][0])
    stopped = {candidate: stop_early(np.stack(found), share) for candidate, found in curves.items()}
    reference = stopped[WITHOUT][0]
    trials = {one: trial(one, losses, reference, share, stop) for one, (losses, stop) in stopped.items()}
    shown = [one for one in hopeful if trials[one].difference < -(trials[one].standard_error or math.inf)]
    best = min(shown, key=lambda one: trials[one].difference, default=WITHOUT)
    stop = 1.0 if validation is not None else trials[best].stop  # there the best epoch is kept anyway
    return best, MixingReport(str(best), _reason(best, trials, metric), metric, tuple(trials.values()), stop)


def stop_early(curves: Curve, share: float) -> tuple[Curve, float]:
    """Return the losses (J,) after the epoch to stop at, and its share of all epochs.

    That is the last epoch, unless the one of the smallest mean loss is better by more than one standard error.

    Args:
        curves: (J, epochs), losses after each epoch.
        share: held-out rows over training rows.

    >>> stop_early(np.array([[3.0, 1.0, 2.0, 2.0], [3.0, 1.1, 2.1, 2.0]]), share=0.2)
    (array([1. , 1.1]), 0.5)
    """
    best = int(curves.mean(0).argmin())
    gain = curves[:, -1] - curves[:, best]
    if len(gain) < 2 or not gain.mean() > standard_error(gain, share):
        best = curves.shape[1] - 1
    return curves[:, best], (best + 1) / curves.shape[1]


def standard_error(differences: Curve, share: float) -> float:
    """Return s sqrt(1/J + share) for differences (J,) on splits with overlapping training sets."""
    return float(differences.std(ddof=1) * math.sqrt(1 / len(differences) + share))


def inner_splits(
    rows: Rows, picked: IntArray, seed: int, validation: IntArray | None
) -> list[tuple[IntArray, IntArray]]:
    """Return rows to fit and to judge on, for each inner split."""
    splits = []
    for number in range(SPLITS):
        generator = np.random.default_rng(derived_seed(seed, SPLIT, number))
        some = picked
        if len(picked) > MOST_ROWS:
            some = np.sort(np.random.default_rng(derived_seed(seed, SAMPLE, number)).permutation(picked)[:MOST_ROWS])
        if validation is not None:
            splits.append((some, validation))
        else:
            splits.append(with_validation(some, strata(rows), rows.groups, generator))
    return splits


def strata(rows: Rows) -> Any:
    """Return (n,) what splits spread evenly: class codes, or the first of several targets."""
    if isinstance(rows.task, MultiClass):
        return rows.labels
    return np.asarray(rows.labels, np.float64).reshape(len(rows), -1)[:, 0]


def trial(candidate: Candidate, losses: Curve, reference: Curve, share: float, stop: float) -> Trial:
    """Return how a candidate compares with no mixing on the splits that both were fitted on."""
    differences = losses - reference[: len(losses)]
    error = standard_error(differences, share) if len(losses) > 1 else None
    return Trial(str(candidate), tuple(losses.tolist()), float(differences.mean()), error, stop)


def _reason(best: Candidate, trials: Mapping[Candidate, Trial], metric: str) -> str:
    if best is WITHOUT:
        return f"nothing is mixed: no candidate's {metric} was smaller by more than one standard error"
    found = trials[best]
    return (
        f"its {metric} on inner splits was smaller than without by {-found.difference:.4f}, more than one standard "
        f"error ({found.standard_error:.4f})"
    )
