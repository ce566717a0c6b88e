"""Executing many runs: in worker processes by joblib, each stored as soon as it is finished."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import BrokenProcessPool

from mixkit.comparison.problems import Prepared, Problem, WorkerDied
from mixkit.comparison.run import Arrays, Run, execute
from mixkit.comparison.store import Record, Store


class Job(NamedTuple):
    """A run on the problem of that name."""

    problem: str
    run: Run


@dataclass(frozen=True)
class Failure:
    """A run that could not be finished, and why."""

    problem: str
    method: str
    repeat: int
    fold: int
    message: str


@dataclass(frozen=True)
class Running:
    """How far a run under way is."""

    problem: str
    method: str
    done: int
    total: int


class Workplace(NamedTuple):
    """The temporary folder that carries problems to worker processes and their progress back."""

    folder: Path

    def problem_file(self, name: str) -> Path:
        """Return where the problem `name` lies pickled."""
        return self.folder / f"{joblib.hash(name)}.problem"

    def running(self) -> list[Running]:
        """Return the runs under way, as last written."""
        found = []
        for path in sorted(self.folder.glob("*.progress")):
            parts = path.read_text("utf-8").split("\t") if path.exists() else []
            if len(parts) == 4:  # else it is being written at this moment
                found.append(Running(parts[0], parts[1], int(parts[2]), int(parts[3])))
        return found


@contextlib.contextmanager
def workplace(problems: Mapping[str, Problem]) -> Iterator[Workplace]:
    """Lay out the problems for worker processes; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="mixkit-", ignore_cleanup_errors=True) as folder:
        place = Workplace(Path(folder))
        for name, problem in problems.items():
            joblib.dump(problem, place.problem_file(name))
        yield place


def execute_grid(
    place: Workplace,
    jobs: Sequence[Job],
    store: Store,
    *,
    workers: int,
    finished: Callable[[Record | Failure], None],
) -> None:
    """Execute `jobs`; each finished run is stored, then reported.

    Args:
        place: holds the problems.
        jobs: in the order in which they start; those of one cell together share its preprocessing.
        store: takes the records.
        workers: number of processes; 1: this one.
        finished: called with each run's record or failure.

    Raises:
        WorkerDied: a worker process was killed, most likely for its memory; what was stored stays.
        OSError: the store cannot be written to; what was stored stays.
        KeyboardInterrupt: the user stopped it; what was stored stays.
    """
    tasks = (joblib.delayed(work)(place, job) for job in jobs)
    if workers == 1:
        for function, arguments, _ in tasks:
            keep(function(*arguments), store, finished)
        return
    parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
    try:
        for result in parallel(tasks):
            keep(result, store, finished)
    except BaseException as error:
        # workers would finish what they have begun; nobody waits for it any more
        get_reusable_executor().shutdown(wait=False, kill_workers=True)
        if isinstance(error, BrokenProcessPool):
            raise WorkerDied("a worker process was killed, most likely for its memory; try fewer --jobs") from error
        raise


def keep(result: tuple[Record, Arrays] | Failure, store: Store, finished: Callable[[Record | Failure], None]) -> None:
    """Store a result and report it."""
    if isinstance(result, Failure):
        finished(result)
        return
    record, arrays = result
    store.append(record, arrays)
    finished(record)


def work(place: Workplace, job: Job) -> tuple[Record, Arrays] | Failure:
    """Execute one job in whatever process this is."""
    path = place.problem_file(job.problem)
    cell = job.run.cell
    try:
        problem, prepared = prepare(str(path), cell.train.tobytes())
        return execute(problem, prepared, job.run, progress_writer(place, job))
    except (FloatingPointError, ValueError, RuntimeError) as error:
        # one method that fails on one cell must not take the others' results with it; the report names it
        return Failure(job.problem, job.run.method, cell.repeat, cell.fold, f"{type(error).__name__}: {error}")


@lru_cache(maxsize=1)
def prepare(path: str, rows: bytes) -> tuple[Problem, Prepared]:
    """Return a problem and its preprocessing for training rows; runs of one cell follow each other and share it."""
    problem: Problem = read_problem(path)
    return problem, problem.prepare(np.frombuffer(rows, dtype=np.int64).copy())


@lru_cache(maxsize=2)
def read_problem(path: str) -> Problem:
    """Return the problem pickled at `path`, a file of this user's own temporary folder."""
    problem: Problem = joblib.load(path)
    return problem


def progress_writer(place: Workplace, job: Job) -> Callable[[int, int], None]:
    """Return a function that writes a run's progress to this process's file, at most five times a second."""
    path, last = place.folder / f"{os.getpid()}.progress", 0.0

    def write(done: int, total: int) -> None:
        nonlocal last
        if done == total:
            path.unlink(missing_ok=True)
        elif time.monotonic() - last > 0.2:
            last = time.monotonic()
            # progress is not worth a failed run
            with contextlib.suppress(OSError):
                path.write_text(f"{job.problem}\t{job.run.method}\t{done}\t{total}", "utf-8")

    return write
