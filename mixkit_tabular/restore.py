"""A model card and a new table -> inputs for prediction."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mixkit.comparison.problems import LoadOptions, Prepared
from mixkit.tasks import MultiClass, Regression
from mixkit_tabular.preprocess import TablePreprocessor
from mixkit_tabular.problem import assemble
from mixkit_tabular.readers import read_table


def restore(card: Mapping[str, Any], path: Path, options: LoadOptions) -> tuple[Prepared, list[str]]:
    """Read the table at `path` and preprocess it as `card` says.

    Columns are found by name; the target, if it is there, and further columns are not looked at.  A table without a
    header is read without one again, with or without the target column.

    Returns:
        The preprocessed rows, with targets of zeros, and row numbers from 0 as names.  `ignored_columns` of the new
        card lists columns that training did not have.

    Raises:
        DataError: the table can't be read, or columns are missing; the message lists them.
    """
    header = options.header and bool(card["header"])
    frame = read_table(path, header=header).frame
    if not header:
        frame = _with_positions(frame, list(card["columns"]), card["target"])
    preprocessor = TablePreprocessor.from_card(card["preprocessing"])
    rows = preprocessor.transform(frame)
    targets = torch.zeros(len(rows), card["network"]["outputs"])
    ignored = [name for name in frame.columns if name not in set(card["columns"])]
    classes = card["classes"]
    task = MultiClass(len(classes)) if classes else Regression(tuple(card["mean"]), tuple(card["scale"]))
    prepared = assemble({**card, "ignored_columns": ignored}, preprocessor, rows, targets, task)
    return prepared, [str(i) for i in range(len(frame))]


def _with_positions(frame: pd.DataFrame, columns: list[str], target: str) -> pd.DataFrame:
    """Name the columns of a table without a header as in training, where only the target may be left out."""
    features = [name for name in columns if name != target]
    for names in (columns, features):
        if len(names) == frame.shape[1]:
            return frame.set_axis(names, axis="columns")
    return frame
