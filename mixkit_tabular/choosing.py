"""Choosing how to mix on inner splits: `method="auto"` of the estimators, and the report of its choice."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixkit.comparison.problems import IntArray
from mixkit.comparison.validation import with_validation
from mixkit.randomness import derived_seed
from mixkit.tasks import MultiClass, MultiLabel, Task
from mixkit_tabular.fitting import Candidate, Options, Rows, fit_network, predict_logits

SPLITS = 3
MOST_ROWS = 2_000
"""Inner fits see at most so many rows, drawn at random: the choice may cost no more than a few fits."""
FEWEST_ROWS = 60
"""Below this an inner split says nothing, and nothing is mixed."""
SPLIT, FIT, SAMPLE = 21, 22, 23  # streams derived from a fit's seed

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
        losses: on each inner split that it was fitted on.
        difference: mean loss minus that of no mixing on the same splits; below 0 is better.
        standard_error: of the difference, corrected for overlapping training sets; None after a single split.
    """

    method: str
    losses: tuple[float, ...]
    difference: float
    standard_error: float | None


@dataclass(frozen=True)
class MixingReport:
    """How rows were mixed, and why.

    Attributes:
        method: that was used, with its parameters.
        reason: a sentence.
        metric: what trials are judged by; None where nothing was tried.
        trials: no mixing first.
    """

    method: str
    reason: str
    metric: str | None = None
    trials: tuple[Trial, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.method}: {self.reason}"]
        for trial in self.trials:
            error = "" if trial.standard_error is None else f" +- {trial.standard_error:.4f}"
            mean = sum(trial.losses) / len(trial.losses)
            splits = f"{len(trial.losses)} split" + ("s" if len(trial.losses) > 1 else "")
            lines.append(
                f"  {trial.method}: {self.metric} {mean:.4f} on {splits}, difference {trial.difference:+.4f}{error}"
            )
        return "\n".join(lines)

    def card(self) -> dict[str, Any]:
        """Return a description that JSON can hold and `from_card` reads back."""
        return asdict(self)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> "MixingReport":
        """Return the report that `card` describes."""
        trials = tuple(
            Trial(t["method"], tuple(t["losses"]), t["difference"], t["standard_error"]) for t in card["trials"]
        )
        return cls(card["method"], card["reason"], card["metric"], trials)


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
    the standard error of the mean difference is that of Nadeau and Bengio (2003), s sqrt(1/J + n_test / n_train).  One
    that is not better than no mixing on the first split is not tried further.

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
    metric = metric_of(rows.task)
    splits = inner_splits(rows, picked, seed, validation)

    def loss(candidate: Candidate, number: int) -> float:
        train, held = splits[number]
        told(f"trying {candidate} on inner split {number + 1} of {SPLITS}")
        fitted = fit_network(rows, train, candidate, options, seed=derived_seed(seed, FIT, number))
        return judged(rows, held, predict_logits(fitted, rows.frame.iloc[held], options.device))

    losses = {WITHOUT: [loss(WITHOUT, 0)]}
    candidates = FOR_CLASSES if isinstance(rows.task, MultiClass | MultiLabel) else FOR_NUMBERS
    losses |= {candidate: [loss(candidate, 0)] for candidate in candidates}
    hopeful = [one for one in candidates if losses[one][0] < losses[WITHOUT][0]]
    if hopeful:
        for number in range(1, SPLITS):
            for candidate in (WITHOUT, *hopeful):
                losses[candidate].append(loss(candidate, number))
    share = len(splits[0][1]) / len(splits[0][0])
    trials = {candidate: trial(candidate, losses, share) for candidate in losses}
    shown = [one for one in hopeful if trials[one].difference < -(trials[one].standard_error or math.inf)]
    best = min(shown, key=lambda one: trials[one].difference, default=WITHOUT)
    return best, MixingReport(str(best), _reason(best, trials, metric), metric, tuple(trials.values()))


def metric_of(task: Task) -> str:
    """Return what trials are judged by."""
    return "log loss" if isinstance(task, MultiClass | MultiLabel) else "RMSE (targets scaled to 1)"


def judged(rows: Rows, held: IntArray, logits: Any) -> float:
    """Return the log loss, or the RMSE of standardised targets, on the rows `held`."""
    targets = rows.task.encode(torch.from_numpy(rows.labels[held]))
    loss: Tensor = rows.task.loss(torch.from_numpy(logits), targets, torch.from_numpy(rows.weights[held]))
    return float(loss) if isinstance(rows.task, MultiClass | MultiLabel) else math.sqrt(float(loss))


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


def trial(candidate: Candidate, losses: Mapping[Candidate, Sequence[float]], share: float) -> Trial:
    """Return how a candidate compares with no mixing on the splits that both were fitted on."""
    own = np.asarray(losses[candidate])
    differences = own - np.asarray(losses[WITHOUT][: len(own)])
    error = None
    if len(own) > 1:
        error = float(differences.std(ddof=1) * math.sqrt(1 / len(own) + share))
    return Trial(str(candidate), tuple(own.tolist()), float(differences.mean()), error)


def _reason(best: Candidate, trials: Mapping[Candidate, Trial], metric: str) -> str:
    if best is WITHOUT:
        return f"nothing is mixed: no candidate's {metric} was smaller by more than one standard error"
    found = trials[best]
    return (
        f"its {metric} on inner splits was smaller than without by {-found.difference:.4f}, more than one standard "
        f"error ({found.standard_error:.4f})"
    )
