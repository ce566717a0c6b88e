"""What an estimator says while it fits: nothing, or a progress bar on stderr."""

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

COLUMNS = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())


class Telling:
    """Lines and a bar of epochs; a context manager.

    Args:
        verbose: 0 says nothing, anything above says what is tried and shows epochs.
        name: of who speaks.
        console: where to; None: stderr.
    """

    def __init__(self, verbose: int, name: str, console: Console | None = None) -> None:
        self._loud = verbose > 0
        self._name = name
        console = console or Console(stderr=True)
        # a bar in a file is noise
        hidden = not (self._loud and (console.is_interactive or console.is_jupyter))
        self._bars = Progress(*COLUMNS, console=console, transient=True, disable=hidden)
        self._task = self._bars.add_task(name, total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def says(self, text: str) -> None:
        """Print a line."""
        if self._loud:
            self._bars.console.print(f"{self._name}: {text}", markup=False, highlight=False)

    def epochs(self, done: int, total: int, loss: float) -> None:
        """Move the bar of epochs."""
        self._bars.update(self._task, completed=done, total=total, description=f"{self._name}: loss {loss:.4f}")
