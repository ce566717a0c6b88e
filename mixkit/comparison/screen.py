"""What a comparison says in the terminal while it runs: all of it on stderr, so that stdout stays for results."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mixkit.comparison.grid import Failure
from mixkit.comparison.store import Record
from mixkit.comparison.workplace import Running
from mixkit.report.summary import plain

COLUMNS = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())


MANY = 2000  # things that a bar counts; fewer are read in seconds
Thing = TypeVar("Thing")


def counted(things: Sequence[Thing], what: str) -> Iterator[Thing]:
    """Yield `things`; if they are many and stderr is a terminal, a bar there counts them until the last."""
    console = Console(stderr=True)
    if len(things) < MANY or not console.is_terminal:
        yield from things
        return
    with Progress(*COLUMNS, console=console, transient=True) as bar:
        yield from bar.track(things, description=what)


class Screen:
    """Notes and progress on stderr.

    Args:
        console: where to; None: stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = Console(stderr=True) if console is None else console

    def note(self, text: str) -> None:
        """Print a line of text as it is, but for control characters."""
        self.console.print(plain(text), markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def progress(
        self, total: int, running: Callable[[], Sequence[Running]]
    ) -> Iterator[Callable[[Record | Failure], None]]:
        """Show overall progress with the time left, and each run under way; yield what reports a finished run.

        Where stderr is no terminal, a line a finished run is printed instead.
        """
        if not self.console.is_terminal:
            yield Lines(self, total)
            return
        with Progress(*COLUMNS, console=self.console, transient=True) as bars:
            overall = bars.add_task("all runs", total=total)
            with following(bars, running):

                def finished(result: Record | Failure) -> None:
                    bars.advance(overall)
                    if isinstance(result, Failure):
                        bars.console.print(escape(failed(result)), style="red")

                yield finished

    @contextmanager
    def epochs(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Say what is trained, and show its epochs on a terminal; yield what is told (epochs done, epochs in all)."""
        self.note(what)
        with Progress(*COLUMNS, console=self.console, transient=True, disable=not self.console.is_terminal) as bar:
            task = bar.add_task("  epochs", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)


class Lines:
    """Prints a line a finished run, for logs."""

    def __init__(self, screen: Screen, total: int) -> None:
        self._screen, self._total, self._done = screen, total, 0

    def __call__(self, result: Record | Failure) -> None:
        """Print the line of `result`."""
        self._done += 1
        head = f"[{self._done}/{self._total}]"
        if isinstance(result, Failure):
            self._screen.note(f"{head} {failed(result)}")
            return
        name, value = next(iter(result["scores"].items()))
        where = f"repeat {result['repeat']} fold {result['fold']}"
        self._screen.note(
            f"{head} {result['problem']} {result['method']} {where}: {name} {value:.4f} "
            f"({result['cost']['seconds']:.1f} s)"
        )


@contextmanager
def following(bars: Progress, running: Callable[[], Sequence[Running]]) -> Iterator[None]:
    """Keep a bar for each run under way up to date, from a thread of its own."""
    stop = threading.Event()

    def follow() -> None:
        shown: dict[tuple[str, str], TaskID] = {}
        while not stop.wait(0.5):
            current = {(item.problem, item.method): item for item in running()}
            for key in [key for key in shown if key not in current]:
                bars.remove_task(shown.pop(key))
            for key, item in current.items():
                if key not in shown:
                    shown[key] = bars.add_task(f"  {escape(item.problem)} {escape(item.method)}", total=item.total)
                bars.update(shown[key], completed=item.done, total=item.total)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def failed(failure: Failure) -> str:
    """Return a line on a failed run."""
    return f"{failure.problem} {failure.method} repeat {failure.repeat} fold {failure.fold} failed: {failure.message}"
