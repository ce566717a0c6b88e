"""Executing many runs, here or in worker processes by joblib, each stored as soon as it is finished."""

import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool

from mixkit.comparison.problems import WorkerDied
from mixkit.comparison.run import Arrays, execute
from mixkit.comparison.store import Record, Store
from mixkit.comparison.workplace import Job, Workplace, deaf_to_interrupts, end_with_owner


@dataclass(frozen=True)
class Failure:
    """A run that could not be finished, and why."""

    problem: str
    method: str
    repeat: int
    fold: int
    message: str


Result = tuple[Record, Arrays] | Failure


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
    if workers == 1:
        for job in jobs:
            keep(work(place, job), store, finished)
        return
    tasks = (joblib.delayed(work)(place, job) for job in jobs)
    parallel = joblib.Parallel(
        n_jobs=workers,
        return_as="generator_unordered",
        batch_size=1,
        pre_dispatch="2*n_jobs",
        max_nbytes=None,  # arguments are small: no shared memory
        initializer=end_with_owner,
        initargs=(place,),
    )
    with deaf_to_interrupts():
        results = parallel(tasks)  # starts the workers
    try:
        for result in results:
            keep(result, store, finished)
    except BaseException as error:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib tells that runs are cancelled: they are meant to be
            results.close()  # kills the workers: nobody waits any more for what they have begun
        if isinstance(error, BrokenProcessPool):
            raise WorkerDied("a worker process was killed, most likely for its memory; try fewer --jobs") from error
        raise


def keep(result: Result, store: Store, finished: Callable[[Record | Failure], None]) -> None:
    """Store a result and report it."""
    if isinstance(result, Failure):
        finished(result)
        return
    record, arrays = result
    store.append(record, arrays)
    finished(record)


def work(place: Workplace, job: Job) -> Result:
    """Execute one job in whatever process this is."""
    cell = job.run.cell
    try:
        problem, prepared = place.ready(job)
        return execute(problem, prepared, job.run, place.reporter(job))
    except Exception as error:
        # whatever one method does on one cell must not take the others' results with it; the report names it
        return Failure(job.problem, job.run.method, cell.repeat, cell.fold, described(error))
    finally:
        place.finished()


def described(error: Exception) -> str:
    """Return an error in one line, with the place in the code for those that are no plain message."""
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, ValueError | ArithmeticError):
        return message
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{message} ({Path(last.filename).name}, line {last.lineno})"
