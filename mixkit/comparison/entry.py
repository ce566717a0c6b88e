"""One problem within a comparison: its methods, metrics, cells and jobs, as the settings ask for them."""

import contextlib
import hashlib
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from mixkit.comparison.adapters import Missing, find_adapters, load_problem
from mixkit.comparison.estimate import Estimate, estimate
from mixkit.comparison.judge import REFERENCE
from mixkit.comparison.metrics import METRICS, Metric, metric
from mixkit.comparison.problems import Adapter, DataError, Prepared, Problem
from mixkit.comparison.run import Run
from mixkit.comparison.settings import Settings
from mixkit.comparison.splits import Cell, official_cells, resampled_cells
from mixkit.comparison.workplace import Job
from mixkit.method import Method, did_you_mean, methods
from mixkit.method import method as find_method
from mixkit.tasks import MultiClass, Regression
from mixkit.training.loop import training_fabric

FOLDS, REPEATS, SEEDS = 5, 2, 5


@dataclass(eq=False)
class Entry:
    """A problem with what is compared on it.

    Attributes:
        problem: the data.
        methods: names, the reference first.
        metrics: the primary one first.
        settings: of the comparison.
        estimates: method -> measured cost, once `measure` was called.
    """

    problem: Problem
    methods: tuple[str, ...]
    metrics: tuple[Metric, ...]
    settings: Settings
    estimates: dict[str, Estimate] = field(default_factory=dict)
    _cells: dict[int, list[Cell]] = field(default_factory=dict, init=False, repr=False)

    @property
    def official(self) -> bool:
        """Whether the data set's own split is used."""
        return self.problem.official is not None

    @property
    def repeats(self) -> int:
        """Repeats of resampled splits, or seeds on the official one, that the settings ask for."""
        return (self.settings.seeds or SEEDS) if self.official else (self.settings.repeats or REPEATS)

    @property
    def folds(self) -> int:
        """Cells a repeat."""
        return 1 if self.official else (self.settings.folds or FOLDS)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the data: names and sizes of files, contents of a single file, labels."""
        digest = hashlib.sha256(np.ascontiguousarray(self.problem.labels).tobytes())
        if self.settings.data is not None:
            digest.update(files_digest(Path(self.settings.data)))
        digest.update(repr(self.settings.load_options()).encode())
        return digest.hexdigest()[:16]

    def cells(self, repeats: int | None = None) -> list[Cell]:
        """Return the cells; more repeats add cells and leave the others as they are.

        Raises:
            DataError: the data cannot be split like this.
        """
        repeats = repeats or self.repeats
        if repeats not in self._cells:
            self._cells[repeats] = self._split(repeats)
        return self._cells[repeats]

    def _split(self, repeats: int) -> list[Cell]:
        problem = self.problem
        labels, groups, classes = problem.labels, problem.groups, problem.classes
        try:
            if problem.official is not None:
                return official_cells(problem.official, labels, groups, seeds=repeats, classes=classes)
            return resampled_cells(labels, groups, folds=self.folds, repeats=repeats, classes=classes)
        except ValueError as error:
            raise DataError(f"{problem.name}: {error}") from error

    def run(self, method: str, cell: Cell) -> Run:
        """Return the run of `method` on `cell`."""
        budgeted = (self.settings.budgeted or {}).get(self.problem.name, {})
        return Run(
            method=method,
            cell=cell,
            metrics=self.metrics,
            epochs=self.settings.epochs or budgeted.get(method),
            tune=self.settings.tune or 0,
            device=self.settings.device or "cpu",
            precision=self.settings.precision or "32-true",
            fingerprint=self.fingerprint,
            parameters=find_method(method).parameters(self.problem.modality),
        )

    def jobs(self, repeats: int | None = None) -> list[Job]:
        """Return every run, those of one cell together."""
        return [
            Job(self.problem.name, self.run(method, cell)) for cell in self.cells(repeats) for method in self.methods
        ]

    def todo(self, done: Container[str], repeats: int | None = None) -> list[Job]:
        """Return the runs whose key is not in `done`."""
        return [job for job in self.jobs(repeats) if job.run.key(job.problem) not in done]

    @cached_property
    def first_prepared(self) -> Prepared:
        """The preprocessing of the first cell, for estimates and galleries."""
        return self.problem.prepare(self.cells()[0].train)

    def measure(self, methods: Iterable[str]) -> None:
        """Time a few steps of those methods that were not timed yet.

        Raises:
            ValueError: device or precision is not there.
        """
        cell, prepared = self.cells()[0], self.first_prepared
        training_fabric(self.settings.device or "cpu", self.settings.precision or "32-true")
        for name in methods:
            if name not in self.estimates:
                # a method that fails here fails in its runs too, and they are reported
                with contextlib.suppress(Exception):
                    self.estimates[name] = estimate(self.problem, prepared, self.run(name, cell))

    def seconds(self, method: str) -> float:
        """Return the estimated seconds of a run; those of the other methods where it could not be timed."""
        known = [self.estimates[method]] if method in self.estimates else list(self.estimates.values())
        trials = max(1, self.settings.tune or 0)
        return trials * sum(estimate.seconds for estimate in known) / max(1, len(known))

    @property
    def unbudgeted(self) -> list[str]:
        """The methods that have no epochs from the time budget yet."""
        budgeted = (self.settings.budgeted or {}).get(self.problem.name, {})
        return [name for name in self.methods if name not in budgeted]

    def take_budget(self, settings: Settings) -> None:
        """Go on with `settings`, whose time budget is turned into epochs."""
        self.settings = settings
        budgeted = (settings.budgeted or {})[self.problem.name]
        self.estimates = {name: replace(known, epochs=budgeted[name]) for name, known in self.estimates.items()}


def open_entries(settings: Settings) -> tuple[list[Entry], list[Missing]]:
    """Return what is compared: the user's data, or every embedded problem; and the adapters that are missing.

    Raises:
        DataError: the data cannot be used.
        ValueError: an unknown method or metric.
    """
    known = methods()
    for name in settings.named():
        if name not in known:
            names = sorted(known)
            raise ValueError(f"methods must be among {', '.join(names)}, got {name!r}{did_you_mean(name, names)}")
    if settings.data is not None:
        problem, adapter = load_problem(Path(settings.data), settings.load_options(), settings.modality)
        chosen = methods_for(problem, adapter, settings)
        refused = [name for name in settings.named() if name not in chosen]
        if refused:
            suited = ", ".join(name for name, method in methods().items() if suits(method, problem))
            raise ValueError(f"methods must suit {problem.title!r}, got {', '.join(refused)}; these do: {suited}")
        return [Entry(problem, chosen, metrics_for(problem, settings), settings)], []
    adapters, missing = find_adapters()
    wanted = [a for name, a in adapters.items() if settings.modality in (None, name)]
    if not wanted:
        raise DataError(f"no embedded problems of kind {settings.modality!r} here")
    entries = [
        Entry(problem, methods_for(problem, adapter, settings), metrics_for(problem, settings), settings)
        for adapter in wanted
        for problem in adapter.embedded()
    ]
    if settings.methods not in (None, (REFERENCE,)):
        entries = [entry for entry in entries if len(entry.methods) > 1]  # where there is something to compare
    if not entries:
        raise ValueError(f"methods must suit an embedded problem, got {', '.join(settings.named())}")
    return entries, missing


def methods_for(problem: Problem, adapter: Adapter, settings: Settings) -> tuple[str, ...]:
    """Return the names of the methods that are compared on `problem`, the reference first."""
    asked = (*(settings.methods or adapter.default_methods), *(settings.added or ()))
    found = methods()
    return tuple(dict.fromkeys([REFERENCE, *(name for name in asked if suits(found[name], problem))]))


def suits(method: Method, problem: Problem) -> bool:
    """Return whether `method` is for this kind of data and target."""
    return problem.modality in method.modalities and (MultiClass if problem.classes else Regression) in method.tasks


def metrics_for(problem: Problem, settings: Settings) -> tuple[Metric, ...]:
    """Return the metrics of `problem`, the primary one first.

    Raises:
        ValueError: the metric asked for is unknown or not for this kind of target.
    """
    kind = "classification" if problem.classes else "regression"
    primary = metric(settings.metric or ("accuracy" if problem.classes else "rmse"), kind)
    others = [other for other in METRICS.values() if kind in other.tasks and other.name != primary.name]
    return (primary, *others)


def with_budget(entries: Sequence[Entry], settings: Settings, workers: int) -> Settings:
    """Return settings whose time budget is turned into epochs: equal time for every run.

    What was turned into epochs before stays, so that resuming repeats it; methods that have joined get as much time.

    Args:
        entries: their unbudgeted methods are measured.
        settings: with `time_budget` in minutes for everything.
        workers: processes that share the work.
    """
    assert settings.time_budget is not None
    runs = sum(len(entry.jobs()) for entry in entries)
    seconds = settings.run_seconds or settings.time_budget * 60 * workers / runs
    trial_seconds = seconds / max(1, settings.tune or 0)
    before = settings.budgeted or {}
    budgeted = {
        entry.problem.name: {
            **before.get(entry.problem.name, {}),
            **{
                name: entry.estimates[name].epochs_in(trial_seconds) if name in entry.estimates else 1
                for name in entry.unbudgeted
            },
        }
        for entry in entries
    }
    return replace(settings, budgeted=budgeted, run_seconds=seconds)


def files_digest(path: Path) -> bytes:
    """Return a digest of a file's contents, or of the names and sizes of a folder's files."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    digest = hashlib.sha256()
    for file_path in sorted(path.rglob("*")):
        if file_path.is_file():
            digest.update(f"{file_path.relative_to(path).as_posix()}\t{file_path.stat().st_size}\n".encode())
    return digest.digest()
