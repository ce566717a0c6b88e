"""From the records of finished runs to a problem's summary: differences, intervals, verdicts, descriptive means."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from mixkit.comparison.calibration import reliability_curve
from mixkit.comparison.metrics import Metric
from mixkit.comparison.statistics import Verdict, judge_official, judge_official_total, judge_resampled
from mixkit.comparison.store import Record
from mixkit.report.summary import Cost, Curve, MethodSummary, Reliability

REFERENCE = "erm"
Floats = npt.NDArray[np.float64]
Outputs = Callable[[str], dict[str, npt.NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class Design:
    """What a verdict needs to know beside the scores.

    Attributes:
        official: one test set and several seeds, instead of resampled splits.
        metric: the primary metric.
        rope: half-width of the region of practical equivalence, in the metric's unit.
        reference: the method that differences are taken to.
        labels: of all rows of the problem.
        groups: of all rows, or None; items of one group count as one on an official split.
        outputs: key of a run -> its arrays ("rows", "outputs", and "items" where the metric is a mean over items).
    """

    official: bool
    metric: Metric
    rope: float
    labels: npt.NDArray[Any]
    outputs: Outputs
    groups: npt.NDArray[np.int64] | None = None
    reference: str = REFERENCE

    def test_groups(self, key: str) -> npt.NDArray[np.int64] | None:
        """Return the groups of the test rows of a run, or None."""
        return None if self.groups is None else self.groups[self.outputs(key)["rows"]]


def judge(records: Sequence[Record], methods: Sequence[str], design: Design) -> dict[str, MethodSummary]:
    """Return each method's summary, the reference's first.

    Args:
        records: finished runs of one problem.
        methods: names, the reference among them, in the order of the report.
        design: metric, split and reference.
    """
    by_method = {name: in_order(records, name) for name in methods}
    reference = by_method[design.reference]
    compared = max(1, len(methods) - 1)
    summaries: dict[str, MethodSummary] = {}
    for name in sorted(methods, key=lambda name: name != design.reference):
        runs = by_method[name]
        summary = described(runs, reference, design)
        if name == design.reference:
            summary["verdict"] = "reference"
        else:
            summary |= verdict_of(paired(runs, reference), compared, design)
        summaries[name] = summary
    return summaries


def in_order(records: Sequence[Record], name: str) -> list[Record]:
    """Return the runs of a method by repeat and fold."""
    own = [record for record in records if record["method"] == name]
    return sorted(own, key=lambda record: (record["repeat"], record["fold"]))


def paired(runs: Sequence[Record], reference: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Return the runs of one cell side by side, where both are finished."""
    by_cell = {(record["repeat"], record["fold"]): record for record in reference}
    return [(run, by_cell[cell]) for run in runs if (cell := (run["repeat"], run["fold"])) in by_cell]


def verdict_of(pairs: Sequence[tuple[Record, Record]], compared: int, design: Design) -> MethodSummary:
    """Return difference, interval and verdict of a method from its paired runs."""
    if not pairs:
        return {"difference": None, "low": None, "high": None, "verdict": "undecided", "probability": None}
    if not design.official:
        verdict = resampled(pairs, compared, design)
    elif design.metric.per_item is not None:
        verdict = official_items(pairs, compared, design)
    else:
        verdict = official_total(pairs, compared, design)
    return cast(MethodSummary, verdict.summary())


def resampled(pairs: Sequence[tuple[Record, Record]], compared: int, design: Design) -> Verdict:
    """Return the verdict over cells of resampled splits."""
    name = design.metric.name
    differences = np.array([run["scores"][name] - other["scores"][name] for run, other in pairs])
    rows = [run["rows"] for run, _ in pairs]
    return judge_resampled(
        differences,
        n_train=float(np.mean([row["train"] + row["validation"] for row in rows])),
        n_test=float(np.mean([row["test"] for row in rows])),
        compared=compared,
        rope=design.rope,
        higher_is_better=design.metric.higher_is_better,
    )


def official_items(pairs: Sequence[tuple[Record, Record]], compared: int, design: Design) -> Verdict:
    """Return the verdict over seeds and test items of an official split, for a metric that is a mean over items."""
    differences = np.stack(
        [design.outputs(run["key"])["items"] - design.outputs(other["key"])["items"] for run, other in pairs]
    )
    return judge_official(
        differences.astype(np.float64),
        compared=compared,
        rope=design.rope,
        higher_is_better=design.metric.higher_is_better,
        groups=design.test_groups(pairs[0][0]["key"]),
    )


def official_total(pairs: Sequence[tuple[Record, Record]], compared: int, design: Design) -> Verdict:
    """Return the verdict on an official split for a metric of all items together: seeds and items are resampled."""
    arrays = [(design.outputs(run["key"]), design.outputs(other["key"])) for run, other in pairs]
    return judge_official_total(
        np.stack([own["outputs"] for own, _ in arrays]),
        np.stack([other["outputs"] for _, other in arrays]),
        design.labels[arrays[0][0]["rows"]],
        score=design.metric.total,
        compared=compared,
        rope=design.rope,
        higher_is_better=design.metric.higher_is_better,
        groups=design.test_groups(pairs[0][0]["key"]),
        generator=np.random.default_rng(0),
    )


def described(runs: Sequence[Record], reference: Sequence[Record], design: Design) -> MethodSummary:
    """Return a method's scores and descriptive means."""
    scores = [float(run["scores"][design.metric.name]) for run in runs]
    return {
        "score": mean(scores),
        "score_sd": float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
        "scores": list(scores),
        "difference": 0.0,
        "descriptive": means([run.get("descriptive", {}) for run in runs]),
        "cost": cost(runs, reference),
        "configuration": runs[0].get("configuration") if runs else None,
        "curve": curve(runs),
        "reliability": reliability(runs, design),
    }


def cost(runs: Sequence[Record], reference: Sequence[Record]) -> Cost:
    """Return median cost, and its ratio to the reference's in the same cells."""
    pairs = [(run["cost"], other["cost"]) for run, other in paired(runs, reference)]

    def ratio(name: str) -> float | None:
        ratios = [own[name] / other[name] for own, other in pairs if own.get(name) and other.get(name)]
        return float(np.median(ratios)) if ratios else None

    def median(name: str) -> float | None:
        values = [run["cost"][name] for run in runs if run["cost"].get(name) is not None]
        return float(np.median(values)) if values else None

    return {
        "seconds_per_epoch": median("seconds_per_epoch"),
        "seconds_per_epoch_ratio": ratio("seconds_per_epoch"),
        "peak_memory_ratio": ratio("peak_bytes"),
        "seconds": median("seconds"),
    }


def curve(runs: Sequence[Record]) -> Curve | None:
    """Return the mean learning curve of runs of one length; None where there is none."""
    curves = [run["curve"] for run in runs if run.get("curve") and run["curve"]["epoch"] == runs[0]["curve"]["epoch"]]
    if not curves:
        return None
    return {
        "epoch": curves[0]["epoch"],
        "train_loss": np.mean([one["train_loss"] for one in curves], axis=0).tolist(),
        "validation": [
            mean([value for value in values if value is not None])
            for values in zip(*(one["validation"] for one in curves), strict=True)
        ],
    }


def reliability(runs: Sequence[Record], design: Design) -> Reliability | None:
    """Return the reliability diagram over all runs' test rows together; None for regression."""
    arrays = [design.outputs(run["key"]) for run in runs if "ece" in run.get("descriptive", {})]
    if not arrays:
        return None
    outputs = np.concatenate([one["outputs"] for one in arrays])
    truth = np.concatenate([design.labels[one["rows"]] for one in arrays])
    return reliability_curve(outputs, truth)


def means(values: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the mean of each entry over those that have it."""
    names = dict.fromkeys(name for value in values for name in value)
    return {name: mean([v for value in values if (v := value.get(name)) is not None]) for name in names}


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, or None of nothing."""
    return float(np.mean(values)) if values else None
