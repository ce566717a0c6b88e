"""`mixkit.compare`: the judge alone, for people with a training of their own."""

import datetime
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from rich.console import Console

import mixkit
from mixkit.comparison.judge import Design, judge
from mixkit.comparison.metrics import METRICS, Metric, default_rope
from mixkit.comparison.problems import DataError, IntArray, Split
from mixkit.comparison.run import Arrays, rows_digest
from mixkit.comparison.splits import Cell, official_cells, resampled_cells
from mixkit.comparison.store import Record, Store
from mixkit.report.summary import MethodSummary, Summary
from mixkit.report.summary import Split as SplitSummary

Scores = Mapping[str, float | npt.ArrayLike]
Fit = Callable[[str, IntArray, IntArray, IntArray, int], Scores]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Data as far as a judge has to know them; `mixkit.compare` also takes bare labels.

    Attributes:
        labels: (n,) integer class codes or strings, or floats for regression.
        groups: (n,) anything; rows of one group never stand on two sides of a split.
        official: the data's own split, or None: splits are resampled.
        name: for the report.
    """

    labels: npt.ArrayLike
    groups: npt.ArrayLike | None = None
    official: Split | None = None
    name: str = "data"


@dataclass(frozen=True)
class Comparison:
    """The result of `mixkit.compare`.

    Attributes:
        summary: what `summary.json` of the command holds.
    """

    summary: Summary

    def show(self) -> None:
        """Print the table with verdicts."""
        from mixkit.report.table import show  # noqa: PLC0415 - loaded when it is wanted

        show(self.summary, Console())

    def write_report(self, path: str | Path) -> None:
        """Write the standalone HTML report."""
        from mixkit.report.html import write  # noqa: PLC0415 - matplotlib and jinja2 are loaded when they are wanted

        write(self.summary, {}, Path(path))


def compare(
    fit: Fit,
    variants: Sequence[str],
    data: Any,
    *,
    metric: str | None = None,
    higher_is_better: bool | None = None,
    folds: int = 5,
    repeats: int = 2,
    seeds: int = 5,
    out: str | Path | None = None,
) -> Comparison:
    """Compare variants of an own training with the splits, statistics and report of `mixkit compare`.

    Args:
        fit: (variant, train, validation, test, seed) -> scores.  The three are int64 row indices.  Scores map a
            metric's name to a number, or to an array with one score a test row in the order of `test`; an official
            split needs the array.
        variants: names that `fit` understands; the first is the reference.
        data: labels (n,), or `Labelled` with groups or an official split.
        metric: the primary one; None: the first that `fit` returns.
        higher_is_better: for metrics that mixkit does not know.
        folds: K of resampled splits.
        repeats: R of resampled splits.
        seeds: S of an official split.
        out: folder for `runs.jsonl`, from which a stopped comparison continues, `summary.json` and `report.html`;
            None: nothing is written.

    Raises:
        ValueError: fewer than two variants, data that cannot be split like this, scores that miss the metric or are not
            finite, a metric of unknown direction.

    >>> def fit(variant, train, validation, test, seed):
    ...     rng = np.random.default_rng([seed, len(variant)])
    ...     return {"accuracy": 0.8 + 0.1 * (variant == "better") + 0.01 * rng.normal()}
    >>> result = compare(fit, ["plain", "better"], np.arange(100) % 2)
    >>> result.summary["problems"]["data"]["methods"]["better"]["verdict"]
    'helps'
    """
    started, labelled = time.monotonic(), data if isinstance(data, Labelled) else Labelled(data)
    names = tuple(dict.fromkeys(variants))
    if len(names) < 2:
        raise ValueError(f"variants must name at least two, the reference first, got {list(variants)}")
    labels, groups = codes(labelled.labels), None if labelled.groups is None else codes(labelled.groups)
    try:
        cells = (
            resampled_cells(labels, groups, folds=folds, repeats=repeats)
            if labelled.official is None
            else official_cells(labelled.official, labels, groups, seeds=seeds)
        )
    except DataError as error:
        raise ValueError(str(error)) from error
    primary = None if metric is None else direction(metric, higher_is_better)

    def check(record: Record, scores: Arrays) -> None:
        # at once: what is wrong must not come out after the last run, nor be stored
        nonlocal primary
        primary = primary or direction(next(iter(record["scores"])), higher_is_better)
        check_scores(record, scores, primary.name, official=labelled.official is not None)

    store = None if out is None else Store(Path(out))
    records, arrays = run_cells(fit, names, cells, labelled.name, store=store, check=check)
    assert primary is not None
    reference = [record["scores"][primary.name] for record in records if record["method"] == names[0]]
    design = Design(
        official=labelled.official is not None,
        metric=primary,
        rope=default_rope(primary, float(np.mean(reference))),
        labels=labels,
        outputs=lambda key: {"rows": arrays[key]["rows"], "items": arrays[key][primary.name]},
        groups=groups,
        reference=names[0],
    )
    summary = summarised(labelled, cells, judge(records, names, design), design, time.monotonic() - started)
    if out is not None:
        Store(Path(out)).save_json("summary.json", summary)
        Comparison(summary).write_report(Path(out) / "report.html")
    return Comparison(summary)


def run_cells(
    fit: Fit,
    names: Sequence[str],
    cells: Sequence[Cell],
    problem: str,
    *,
    store: Store | None,
    check: Callable[[Record, Arrays], None],
) -> tuple[list[Record], dict[str, Arrays]]:
    """Call `fit` for every variant on every cell that the store does not hold yet; `check` refuses what is wrong."""
    done = {} if store is None else store.records()
    records: list[Record] = []
    arrays: dict[str, Arrays] = {}
    for cell in cells:
        for name in names:
            what = f"{problem}|{name}|{cell.seed}|{rows_digest(cell)}"
            key = hashlib.sha256(what.encode()).hexdigest()[:16]
            if store is not None and key in done:
                record, arrays[key] = done[key], store.outputs(key)
            else:
                record, arrays[key] = run_cell(fit, name, cell, key)
            check(record, arrays[key])
            records.append({**record, "problem": problem})
            if store is not None and key not in done:
                store.append(records[-1], arrays[key])
    return records, arrays


def run_cell(fit: Fit, name: str, cell: Cell, key: str) -> tuple[Record, Arrays]:
    """Call `fit` once and return its record and its scores a test row."""
    started = time.perf_counter()
    returned = fit(name, cell.train.copy(), cell.validation.copy(), cell.test.copy(), cell.seed)
    if not isinstance(returned, Mapping) or not returned:
        raise ValueError(f'fit must return scores like {{"accuracy": 0.9}}, got {returned!r} for {name!r}')
    values = {metric: np.asarray(value, dtype=np.float64) for metric, value in returned.items()}
    for metric, value in values.items():
        if not np.isfinite(value).all() or value.shape not in ((), (len(cell.test),)):
            raise ValueError(
                f"fit must return finite scores, a number or one a test row ({len(cell.test)}), got shape "
                f"{value.shape} for {metric!r} of {name!r} in repeat {cell.repeat}, fold {cell.fold}"
            )
    record: Record = {
        "key": key,
        "method": name,
        "seed": cell.seed,
        "repeat": cell.repeat,
        "fold": cell.fold,
        "rows": {"train": len(cell.train), "validation": len(cell.validation), "test": len(cell.test)},
        "scores": {metric: float(value.mean()) for metric, value in values.items()},
        "cost": {"seconds": time.perf_counter() - started},
    }
    return record, {"rows": cell.test, **{metric: value for metric, value in values.items() if value.ndim}}


def direction(name: str, higher_is_better: bool | None) -> Metric:
    """Return the metric called `name`, a mean over items as far as a judge of finished scores is concerned.

    Raises:
        ValueError: mixkit does not know whether higher is better.
    """
    if higher_is_better is None and name not in METRICS:
        raise ValueError(f"higher_is_better must be given for metric {name!r}; known are {', '.join(METRICS)}")
    better = METRICS[name].higher_is_better if higher_is_better is None else higher_is_better
    return Metric(name, better, total=unused, per_item=unused, tasks=())


def unused(outputs: npt.NDArray[Any], truth: npt.NDArray[Any]) -> Any:
    """Stand where a metric would score: here `fit` has scored."""
    raise AssertionError("scores come from fit")


def check_scores(record: Record, scores: Arrays, name: str, *, official: bool) -> None:
    """Raise ValueError if a run lacks the primary metric, or its score a test row where that is needed."""
    if name not in record["scores"]:
        raise ValueError(f"fit must return {name!r} always, got {sorted(record['scores'])} for {record['method']!r}")
    if official and name not in scores:
        raise ValueError(f"fit must return {name!r} as an array, one score a test row: the split is official")


def summarised(
    data: Labelled, cells: Sequence[Cell], judged: dict[str, MethodSummary], design: Design, seconds: float
) -> Summary:
    """Return the summary of the one problem."""
    cell, repeats = cells[0], 1 + max(cell.repeat for cell in cells)
    split: dict[str, Any] = {"train": len(cell.train), "validation": len(cell.validation), "test": len(cell.test)}
    if design.official:
        split |= {"kind": "official", "seeds": len(cells)}
    else:
        split |= {"kind": "resampled", "repeats": repeats, "folds": len(cells) // repeats}
    helping = [name for name, summary in judged.items() if summary.get("verdict") == "helps"]
    sign = 1 if design.metric.higher_is_better else -1
    return {
        "mixkit": mixkit.__version__,
        "command": "mixkit.compare(...)",
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "settings": {},
        "seconds": seconds,
        "problems": {
            data.name: {
                "modality": "own",
                "title": f"{data.name}: {len(design.labels)} rows",
                "notes": [],
                "rows": len(design.labels),
                "classes": [],
                "metric": design.metric.name,
                "higher_is_better": design.metric.higher_is_better,
                "rope": design.rope,
                "reference": design.reference,
                "split": cast(SplitSummary, split),
                "methods": judged,
                "winner": max(helping, key=lambda name: sign * (judged[name]["difference"] or 0.0), default=None),
                "snippet": None,
            }
        },
        "across": None,
        "missing": [],
        "failures": [],
    }


def codes(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return (n,) values as float64 if they are floats, else as int64 codes of their sorted distinct values."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"labels and groups must have shape (n,), got {array.shape}")
    if np.issubdtype(array.dtype, np.floating):
        return array.astype(np.float64)
    return np.unique(array, return_inverse=True)[1].astype(np.int64)
