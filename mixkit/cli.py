"""The command `mixkit`: compare, train, predict, show, methods.

Exit codes: 0 done, 2 wrong use or unusable data, 130 interrupted.
"""

import datetime
import json
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import mixkit
from mixkit.comparison.problems import LoadOptions
from mixkit.exits import check_folder, user_errors
from mixkit.method import methods as all_methods

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Mix training samples (mixup and its descendants) for images, tables, speech and graphs.",
)


def print_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(f"mixkit {mixkit.__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options of `mixkit` itself."""


class Modality(StrEnum):
    """Kinds of data."""

    image = "image"
    table = "table"
    audio = "audio"
    graph = "graph"


class Precision(StrEnum):
    """Precisions of the arithmetic, as Lightning Fabric names them."""

    single = "32-true"
    bfloat = "bf16-mixed"
    half = "16-mixed"
    double = "64-true"


Data = Annotated[Path | None, typer.Argument(help="Folder or file; without it, the embedded problems.")]
SomeData = Annotated[Path, typer.Argument(help="Folder or file.")]
As = Annotated[Modality | None, typer.Option("--as", help="Kind of data, if it is not recognised.")]
Target = Annotated[str | None, typer.Option(help="Target of a table: a column's name, or its position (-1: last).")]
NoHeader = Annotated[bool, typer.Option("--no-header", help="The table's first row is data.")]
LabelFrom = Annotated[
    str | None, typer.Option(help="Regular expression on file names with a group named `label`, for flat folders.")
]
GroupBy = Annotated[
    str | None,
    typer.Option(help="Column, or regular expression on file names: rows of a group never stand on two sides."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, mps or auto (default: cpu).")]
PrecisionOption = Annotated[Precision | None, typer.Option(help="Of the arithmetic (default: 32-true).")]
Epochs = Annotated[int | None, typer.Option(help="Epochs of every run (default: the problem's own).")]


@app.command()
def compare(
    data: Data = None,
    modality: As = None,
    target: Target = None,
    no_header: NoHeader = False,
    label_from: LabelFrom = None,
    group_by: GroupBy = None,
    methods: Annotated[str | None, typer.Option(help="Names with commas between; `mixkit methods` lists them.")] = None,
    folds: Annotated[int | None, typer.Option(help="K of K-fold splits (default: 5).")] = None,
    repeats: Annotated[int | None, typer.Option(help="Repeats of the K folds (default: 2).")] = None,
    seeds: Annotated[int | None, typer.Option(help="Seeds on an official split (default: 5).")] = None,
    metric: Annotated[str | None, typer.Option(help="Primary metric (default: accuracy, or rmse).")] = None,
    tune: Annotated[
        int | None,
        typer.Option(help="Tuning trials of every method in every cell (default: 0: documented values)."),
    ] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add repeats, up to 8, while a verdict is open.")
    ] = False,
    epochs: Epochs = None,
    time_budget: Annotated[
        float | None, typer.Option(help="Minutes for everything, the same time for every run, instead of epochs.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes (default: one a core).")] = None,
    device: Device = None,
    precision: PrecisionOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for results (default: mixkit-runs/DATE-TIME).")] = None,
    resume: Annotated[Path | None, typer.Option(help="Folder of a comparison to continue or to add to.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Does mixing help on these data, which kind, and how sure are we?"""
    from mixkit.comparison.screen import Screen  # noqa: PLC0415 - `mixkit methods` must not load the training parts
    from mixkit.comparison.settings import Settings  # noqa: PLC0415
    from mixkit.comparison.store import Store  # noqa: PLC0415
    from mixkit.comparison.workflow import run_comparison  # noqa: PLC0415
    from mixkit.report.table import show as show_table  # noqa: PLC0415

    folder = resume or out or Path("mixkit-runs") / datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    with user_errors(folder):
        settings = Settings(
            data=None if data is None else str(data),
            modality=modality,
            target=target,
            header=False if no_header else None,
            label_from=label_from,
            group_by=group_by,
            methods=None if methods is None else tuple(name.strip() for name in methods.split(",") if name.strip()),
            folds=folds,
            repeats=repeats,
            seeds=seeds,
            metric=metric,
            tune=tune,
            until_decided=until_decided or None,
            epochs=epochs,
            time_budget=time_budget,
            jobs=jobs,
            device=device,
            precision=precision,
        )
        check_folder(folder, resume=resume is not None)
        if resume is not None and out is not None:
            raise ValueError("--out and --resume exclude each other: what is resumed goes on in its own folder")
        if resume is None and data is None and settings.load_options() != LoadOptions():
            raise ValueError("--target, --no-header, --label-from and --group-by are about DATA, which is not given")
        if resume is not None:
            settings = Settings.stored(Store(folder).settings() or {}).merged(settings)
        command = shlex.join(["mixkit", *sys.argv[1:]])
        summary = run_comparison(settings, Store(folder), Screen(), command)
        if as_json:
            sys.stdout.write(json.dumps(summary, indent=1, allow_nan=False) + "\n")
        else:
            show_table(summary, Console())
            Console(stderr=True).print(f"report: {folder / 'report.html'}", soft_wrap=True, highlight=False)


@app.command()
def train(
    data: SomeData,
    method: Annotated[str, typer.Option(help="`mixkit methods` lists them.")],
    out: Annotated[Path, typer.Option(help="Folder for model.safetensors and model.json.")],
    modality: As = None,
    target: Target = None,
    no_header: NoHeader = False,
    label_from: LabelFrom = None,
    group_by: GroupBy = None,
    epochs: Epochs = None,
    device: Device = None,
    precision: PrecisionOption = None,
) -> None:
    """Fit a network on all training data, with one method, and write it to a folder."""
    from mixkit.artifact import fit_final  # noqa: PLC0415 - see compare
    from mixkit.comparison.entry import open_entries  # noqa: PLC0415
    from mixkit.comparison.screen import Screen  # noqa: PLC0415
    from mixkit.comparison.settings import Settings  # noqa: PLC0415

    with user_errors():
        settings = Settings(
            data=str(data),
            modality=modality,
            target=target,
            header=False if no_header else None,
            label_from=label_from,
            group_by=group_by,
            methods=(method,),
            epochs=epochs,
            device=device,
            precision=precision,
        )
        (entry,), _ = open_entries(settings)
        screen = Screen()
        screen.note(entry.problem.title)
        for note in entry.problem.notes:
            screen.note(f"  {note}")
        card = fit_final(entry, method, out, screen)
        metric = entry.metrics[0].name
        screen.note(f"{metric} on {card['scores']['rows']['test']} held-out rows: {card['scores'][metric]:.4f}")
        screen.note(f"written: {out / 'model.safetensors'}, {out / 'model.json'}")


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder written by `mixkit train`.")],
    data: SomeData,
    out: Annotated[Path | None, typer.Option(help="CSV file (default: standard output).")] = None,
    no_header: NoHeader = False,
) -> None:
    """Write predictions and probabilities for data, as CSV."""
    from mixkit.artifact import predict_data  # noqa: PLC0415 - see compare

    with user_errors():
        predictions = predict_data(folder, data, LoadOptions(header=not no_header))
        if out is None:
            predictions.write_csv(sys.stdout)
        else:
            with out.open("w", newline="", encoding="utf-8") as file:
                predictions.write_csv(file)


@app.command()
def show(
    data: SomeData,
    method: Annotated[str, typer.Option(help="`mixkit methods` lists them.")],
    out: Annotated[Path, typer.Option(help="HTML file.")],
    modality: As = None,
    target: Target = None,
    no_header: NoHeader = False,
    label_from: LabelFrom = None,
    pairs: Annotated[int, typer.Option(help="How many mixed samples.", min=1)] = 12,
    epochs: Annotated[
        int | None,
        typer.Option(help="Epochs of a method that learns how to mix and is trained first (default: the problem's)."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Of that training: cpu, cuda, mps or auto.")] = None,
) -> None:
    """Show what a method makes of pairs of samples, as one HTML file; what learns how to mix is trained first."""
    from mixkit.comparison.entry import open_entries  # noqa: PLC0415 - see compare
    from mixkit.comparison.screen import Screen  # noqa: PLC0415
    from mixkit.comparison.settings import Settings  # noqa: PLC0415
    from mixkit.comparison.showing import show_method  # noqa: PLC0415
    from mixkit.report.html import check_place, render_gallery, write_page  # noqa: PLC0415

    with user_errors():
        check_place(out)
        settings = Settings(
            data=str(data),
            modality=modality,
            target=target,
            header=False if no_header else None,
            label_from=label_from,
            methods=(method,),
            epochs=epochs,
            device=device,
        )
        (entry,), _ = open_entries(settings)
        items = show_method(entry, method, Screen(), pairs=pairs)
        write_page(render_gallery(entry.problem.title, entry.problem.notes, items), out)
        typer.echo(f"written: {out}", err=True)


@app.command()
def methods(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """List the methods: for which kinds of data, from which paper."""
    found = all_methods().values()
    if as_json:
        rows = [
            {
                "name": method.name,
                "modalities": list(method.modalities),
                "paper": method.paper,
                "summary": method.summary,
                "parameters": {modality: method.parameters(modality) for modality in method.modalities},
            }
            for method in found
        ]
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("method", "for", "what it does", "paper"):
        table.add_column(column, overflow="fold")
    for method in found:
        table.add_row(method.name, ", ".join(method.modalities), method.summary, method.paper)
    Console().print(table)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except KeyboardInterrupt:  # before a command was at work
        typer.echo("interrupted; nothing was written", err=True)
        sys.exit(130)
