"""Rows of a table as HTML, for galleries."""

from collections.abc import Sequence
from html import escape

from torch import Tensor

from mixkit.report.weights import bars, source_names
from mixkit_tabular.batch import TableBatch
from mixkit_tabular.preprocess import TablePreprocessor

MOST_COLUMNS = 12


def show_row(preprocessor: TablePreprocessor, rows: TableBatch, i: int) -> str:
    """Return an HTML table of row i in original units; of a wide table, its first columns and a count of the rest."""
    cells = list(preprocessor.original(rows, i).items())
    lines = [f"<tr><th>{escape(name)}</th><td>{_cell(value)}</td></tr>" for name, value in cells[:MOST_COLUMNS]]
    if len(cells) > MOST_COLUMNS:
        lines.append(f'<tr><td colspan="2">and {len(cells) - MOST_COLUMNS} more columns</td></tr>')
    return f'<table class="row">{"".join(lines)}</table>'


def show_weights(preprocessor: TablePreprocessor, rows: TableBatch, picked: Sequence[int], weights: Tensor) -> str:
    """Return an HTML table of the columns in which rows `picked` were mixed, with a bar a column.

    Args:
        preprocessor: knows the columns.
        rows: a batch.
        picked: rows of it, K of them.
        weights: (K, columns).
    """
    found = [preprocessor.original(rows, i) for i in picked]
    lines = [[name, *(_plain(row[name]) for row in found)] for name in found[0]]
    return bars(["column", *source_names(len(picked))], lines, weights.numpy())


def _plain(value: float | str | None) -> str:
    if value is None:
        return "(missing)"
    return value if isinstance(value, str) else f"{value:.4g}"


def _cell(value: float | str | None) -> str:
    if value is None:
        return "<em>missing</em>"
    return escape(_plain(value))
