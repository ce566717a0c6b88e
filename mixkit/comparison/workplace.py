"""Where runs happen: this process, or worker processes that find problems in a temporary folder and report there."""

import contextlib
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import joblib
import numpy as np

from mixkit.comparison.problems import Prepared, Problem
from mixkit.comparison.run import Run

Ready = tuple[Problem, Prepared]


class Job(NamedTuple):
    """A run on the problem of that name."""

    problem: str
    run: Run


@dataclass(frozen=True)
class Running:
    """How far a run under way is."""

    problem: str
    method: str
    done: int
    total: int


class Workplace(Protocol):
    """Carries problems to where runs happen, and their progress back."""

    def take(self, problem: Problem) -> None:
        """Make ready for runs on `problem`."""
        ...

    def ready(self, job: Job) -> Ready:
        """Return the problem of `job` and its preprocessing; runs of one cell follow each other and share it."""
        ...

    def reporter(self, job: Job) -> Callable[[int, int], None]:
        """Return what is told (epochs done, epochs in all) of a run."""
        ...

    def finished(self) -> None:
        """Forget the run under way of this process."""
        ...

    def running(self) -> list[Running]:
        """Return the runs under way."""
        ...


class OneProcess:
    """Runs happen in this process: nothing has to travel."""

    def __init__(self) -> None:
        self._problems: dict[str, Problem] = {}
        self._now: list[Running] = []
        self._prepared = lru_cache(maxsize=1)(self._prepare)

    def take(self, problem: Problem) -> None:
        """Keep `problem`."""
        self._problems[problem.name] = problem

    def ready(self, job: Job) -> Ready:
        """Return the problem of `job` and its preprocessing."""
        return self._prepared(job.problem, job.run.cell.train.tobytes())

    def _prepare(self, name: str, rows: bytes) -> Ready:
        problem = self._problems[name]
        return problem, problem.prepare(training_rows(rows))

    def reporter(self, job: Job) -> Callable[[int, int], None]:
        """Return what is told (epochs done, epochs in all) of a run."""

        def report(done: int, total: int) -> None:
            self._now = [Running(job.problem, job.run.method, done, total)]

        return report

    def finished(self) -> None:
        """Forget the run under way."""
        self._now = []

    def running(self) -> list[Running]:
        """Return the run under way."""
        return self._now


class SharedFolder(NamedTuple):
    """A temporary folder that carries problems to worker processes and their progress back.

    Attributes:
        folder: holds a file a problem, and one a worker that is at work.
        owner: process id of the command.
    """

    folder: Path
    owner: int

    def problem_file(self, name: str) -> Path:
        """Return where the problem `name` lies pickled."""
        return self.folder / f"{joblib.hash(name)}.problem"

    def take(self, problem: Problem) -> None:
        """Lay `problem` out for the workers, unless it is there."""
        path = self.problem_file(problem.name)
        if not path.exists():
            joblib.dump(problem, path)

    def ready(self, job: Job) -> Ready:
        """Return the problem of `job` and its preprocessing."""
        return prepare_from(self.problem_file(job.problem), job.run.cell.train.tobytes())

    def reporter(self, job: Job) -> Callable[[int, int], None]:
        """Return what writes a run's progress to this process's file, at most five times a second."""
        last = 0.0

        def report(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last > 0.2:
                last = time.monotonic()
                with contextlib.suppress(OSError):  # progress is not worth a failed run
                    self._own_file().write_text(f"{job.problem}\t{job.run.method}\t{done}\t{total}", "utf-8")

        return report

    def finished(self) -> None:
        """Forget the run under way of this process."""
        with contextlib.suppress(OSError):
            self._own_file().unlink(missing_ok=True)

    def running(self) -> list[Running]:
        """Return the runs under way, as last written."""
        found = []
        for path in sorted(self.folder.glob("*.progress")):
            parts: list[str] = []
            with contextlib.suppress(OSError, ValueError):  # written or removed at this moment
                parts = path.read_text("utf-8").split("\t")
            if len(parts) == 4 and parts[3].isdigit():
                found.append(Running(parts[0], parts[1], int(parts[2]), int(parts[3])))
        return found

    def _own_file(self) -> Path:
        return self.folder / f"{os.getpid()}.progress"


@contextlib.contextmanager
def workplace(workers: int) -> Iterator[Workplace]:
    """Make ready for runs in so many processes; what is laid out for workers is removed at the end."""
    if workers == 1:
        yield OneProcess()
        return
    with tempfile.TemporaryDirectory(prefix="mixkit-", ignore_cleanup_errors=True) as folder:
        yield SharedFolder(Path(folder), os.getpid())


@lru_cache(maxsize=1)
def prepare_from(path: Path, rows: bytes) -> Ready:
    """Return the problem at `path` and its preprocessing for training rows."""
    problem = read_problem(path)
    return problem, problem.prepare(training_rows(rows))


@lru_cache(maxsize=2)
def read_problem(path: Path) -> Problem:
    """Return the problem pickled at `path`, a file of this user's own temporary folder."""
    problem: Problem = joblib.load(path)
    return problem


def training_rows(rows: bytes) -> np.typing.NDArray[np.int64]:
    """Return row indices from their bytes."""
    return np.frombuffer(rows, dtype=np.int64).copy()


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Let processes that start inside ignore Ctrl-C, which a terminal sends to all: the command ends them."""
    if threading.current_thread() is not threading.main_thread():  # only there can it be done
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end_with_owner(place: Workplace) -> None:
    """See to it that this worker process ends, and the folder goes, when the command is killed: nobody else would."""
    if not isinstance(place, SharedFolder):
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # also those that are started later, see `deaf_to_interrupts`

    def watch() -> None:
        while os.getppid() == place.owner:
            time.sleep(0.5)
        shutil.rmtree(place.folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
