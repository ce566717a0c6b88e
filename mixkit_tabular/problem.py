"""A table as a problem of a comparison: `load` reads and checks it once, `TableProblem.prepare` fits one split."""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pandas as pd
import torch
from torch import Generator, Tensor, nn

from mixkit.comparison.problems import DataError, IntArray, LoadOptions, Prepared, Recipe, Split
from mixkit.placement import AtSite
from mixkit.sites import find_site
from mixkit.tasks import MultiClass, Regression, Task
from mixkit.tokens import SpanTokens, TokenSite
from mixkit_tabular.batch import TableBatch
from mixkit_tabular.columns import Roles, infer_roles, listed, looks_grouped
from mixkit_tabular.network import ColumnEmbedding, network_from_card
from mixkit_tabular.preprocess import CLIP, TablePreprocessor
from mixkit_tabular.readers import Table, read_table
from mixkit_tabular.show import show_row, show_weights
from mixkit_tabular.target import make_groups, make_target, resolve_column

TOKEN_CHANNELS = 16
"""Of what learned mixing sees of a column."""


@dataclass(eq=False)
class TableProblem:
    """One table with its target (the attributes of `Problem`, and what `prepare` needs).

    Attributes:
        features: the rows that have a target; feature columns only.
        roles: feature columns by kind.
        target: name of the target column.
        columns: names of all columns of the file, in its order.
        header: whether the file named its columns.
    """

    name: str
    title: str
    notes: tuple[str, ...]
    labels: npt.NDArray[Any]
    classes: tuple[str, ...]
    groups: IntArray | None
    grouped_look: str | None
    features: pd.DataFrame
    roles: Roles
    target: str
    columns: tuple[str, ...]
    header: bool = True
    modality: str = "table"
    official: Split | None = None

    def prepare(self, train: IntArray) -> Prepared:
        """Fit preprocessing, and for regression the scale of the target, on rows `train`."""
        preprocessor = TablePreprocessor.fit(self.features.iloc[train], self.roles)
        task = (
            MultiClass(len(self.classes)) if self.classes else Regression.fitted(torch.from_numpy(self.labels[train]))
        )
        targets = task.encode(torch.from_numpy(self.labels))
        card = {
            "modality": self.modality,
            "target": self.target,
            "classes": list(self.classes),
            "columns": list(self.columns),
            "header": self.header,
            "preprocessing": preprocessor.card(),
            "network": network_card(preprocessor, targets.shape[1], len(train)),
            "training_rows": len(train),
        }
        if isinstance(task, Regression):
            card |= {"mean": list(task.mean), "scale": list(task.scale)}
        return assemble(card, preprocessor, preprocessor.transform(self.features), targets, task)


def load(path: Path, options: LoadOptions) -> TableProblem:
    """Read a table and decide on target, groups and features; each decision is in the problem's notes.

    Args:
        path: CSV, TSV or ARFF, plain or gzipped, or Parquet.
        options: `target` (name, or position from 0 or from -1 backwards; for ARFF the last attribute if not given),
            `header`, `group_by` (name or position).

    Raises:
        DataError: the table or an option can't be used; the message says why and names a way out.
    """
    table = read_table(path, header=options.header)
    names = list(table.frame.columns)
    target, notes = _target_name(table, names, options)
    labelled = make_target(table.frame[target])
    features = table.frame.loc[labelled.kept].drop(columns=target).reset_index(drop=True)
    groups, look = None, looks_grouped(features)
    notes = (*notes, *labelled.notes)
    if options.group_by is not None:
        column = resolve_column(names, options.group_by, "--group-by")
        if column == target:
            raise DataError(f"--group-by must not be the target, got {column!r} for both")
        (groups, group_notes), look = make_groups(features.pop(column)), None
        notes += group_notes
    roles = infer_roles(features)
    used = [*roles.numeric, *roles.categorical]
    if not used:
        raise DataError(f"{path} must have a usable feature beside the target {target!r}, got none; {_why(roles)}")
    notes = (*table.notes, *notes, *roles.notes, *_copies(features[used]))
    name = re.sub(r"[^\w.-]+", "-", table.name).strip("-.") or "table"
    return TableProblem(
        name, describe(name, len(features), roles, labelled.classes), notes, labelled.labels, labelled.classes,
        groups, look, features[used], roles, target, tuple(names), options.header,
    )  # fmt: skip


def assemble(
    card: dict[str, Any], preprocessor: TablePreprocessor, rows: TableBatch, targets: Tensor, task: Task
) -> Prepared:
    """Return what a run needs from a card, its preprocessing, preprocessed rows, targets (n, K) and their meaning."""
    values = preprocessor.values
    return Prepared(
        task=task,
        targets=targets,
        batch=rows.rows,
        model=partial(network_from_card, card["network"]),
        place=AtSite("embed"),
        sites=("body.0", "body.1"),
        recipe=recipe(card["training_rows"], regression=isinstance(task, Regression)),
        show=partial(show_row, preprocessor),
        card=card,
        continuous=partial(_values, values) if values else None,
        with_continuous=partial(_with_values, values) if values else None,
        bounds=(-CLIP, CLIP),
        tokens=column_tokens,
        show_weights=partial(show_weights, preprocessor),
    )


def column_tokens(network: nn.Module, generator: Generator) -> TokenSite:
    """Return a token a column of the table, at the embedding of `network`.

    Args:
        network: a `TableNet`, perhaps wrapped.
        generator: draws what maps columns to tokens.
    """
    embed, _ = find_site(network, "embed")
    assert isinstance(embed, ColumnEmbedding)
    return SpanTokens("embed", embed.span_of(), channels=TOKEN_CHANNELS, generator=generator)


def network_card(preprocessor: TablePreprocessor, outputs: int, rows: int) -> dict[str, Any]:
    """Size the network by the number of training rows."""
    return {
        "values": preprocessor.values,
        "marked": list(preprocessor.marked),
        "cardinalities": list(preprocessor.cardinalities),
        "outputs": outputs,
        "width": 128 if rows < 20_000 else 256,
        "depth": 3,
        "dropout": 0.15,
        "members": 1,
    }


def recipe(rows: int, *, regression: bool) -> Recipe:
    """Choose epochs and batch size by the number of training rows, the learning rate by the task as well.

    >>> [(r.epochs, r.batch_size) for r in (recipe(n, regression=False) for n in (200, 1000, 5000, 50000))]
    [(90, 64), (60, 128), (37, 128), (30, 256)]
    """
    batch_size = 64 if rows < 300 else 128 if rows < 10000 else 256
    share = 1000 / max(rows, 1)
    if regression:  # small tables gain from long and fast training, large ones overfit by it
        epochs, learning_rate = 200 * share**0.8, 6e-3
        return Recipe(round(max(40, min(300, epochs))), batch_size, learning_rate, weight_decay=1e-2)
    epochs, learning_rate = 60 * share**0.3, 2e-3 if rows < 5000 else 4e-3
    return Recipe(round(max(30, min(90, epochs))), batch_size, learning_rate, weight_decay=1e-2)


def describe(name: str, rows: int, roles: Roles, classes: tuple[str, ...]) -> str:
    """Return a title of one line."""
    what = f"{len(classes)} classes" if classes else "regression"
    return (
        f"{name}: {rows:,} rows, {len(roles.numeric)} numeric and {len(roles.categorical)} categorical columns, {what}"
    )


def _target_name(table: Table, names: list[str], options: LoadOptions) -> tuple[str, tuple[str, ...]]:
    notes = ("--label-from was ignored: it is for files, a table's label is a column",) if options.label_from else ()
    if options.target is not None:
        return resolve_column(names, options.target, "--target"), notes
    if table.default_target is None:
        raise DataError(
            f"a table needs --target, the column to predict (a name or a position, -1 for the last); "
            f"the columns are {listed(names)}"
        )
    usual = f"the last attribute, {table.default_target!r}, is the target, as usual in ARFF; --target chooses another"
    return table.default_target, (*notes, usual)


def _why(roles: Roles) -> str:
    return "; ".join(roles.notes) or "there is no other column"


def _copies(features: pd.DataFrame) -> tuple[str, ...]:
    count = int(features.duplicated().sum())
    if not count:
        return ()
    return (f"{count} rows repeat the features of an earlier row; copies may stand on both sides of a split",)


def _values(count: int, inputs: TableBatch) -> Tensor:
    return inputs.numeric[:, :count]


def _with_values(count: int, inputs: TableBatch, values: Tensor) -> TableBatch:
    return TableBatch(torch.cat([values, inputs.numeric[:, count:]], dim=1), inputs.codes)
