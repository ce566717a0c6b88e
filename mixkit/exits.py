"""How a command ends: messages instead of tracebacks, exit code 2 for what the user can mend, 130 when interrupted."""

import contextlib
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from mixkit.comparison.problems import DataError, WorkerDied


def check_folder(folder: Path, *, resume: bool) -> None:
    """Raise ValueError if `folder` holds runs that nobody asked to resume, or none although somebody did."""
    stored = (folder / "settings.json").exists()
    if resume and not stored:
        raise ValueError(f"--resume must name the folder of a comparison, with its settings.json, got {folder}")
    if not resume and (stored or (folder / "runs.jsonl").exists()):
        raise ValueError(f"--out must be a new folder, {folder} holds runs already; continue them with --resume")


@contextlib.contextmanager
def user_errors(folder: Path | None = None) -> Iterator[None]:
    """Turn what the user can mend into a message and exit code 2, an interrupt into 130, warnings into lines.

    Args:
        folder: of a comparison, to say how it continues.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of other packages, for their users
        warnings.showwarning = show_warning
        try:
            yield
        except KeyboardInterrupt:
            typer.echo(f"interrupted; {what_is_kept(folder)}", err=True)
            raise typer.Exit(130) from None
        except (DataError, ValueError, FloatingPointError) as error:
            typer.echo(f"mixkit: {error}", err=True)
            raise typer.Exit(2) from None
        except (OSError, WorkerDied) as error:
            typer.echo(f"mixkit: {error}; {what_is_kept(folder)}", err=True)
            raise typer.Exit(2) from None


def what_is_kept(folder: Path | None) -> str:
    """Return what a stopped command leaves, and how it continues."""
    if folder is None or not (folder / "settings.json").exists():
        return "nothing was written"
    return f"what is finished is kept; continue with: mixkit compare --resume {shlex.quote(str(folder))}"


def show_warning(  # noqa: PLR0917 - the signature that warnings asks for
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """Print a warning without the line of code that it comes from; see `warnings.showwarning`."""
    typer.echo(f"mixkit: warning: {message}", err=True)
