"""A row of a table as HTML, for galleries."""

from html import escape

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


def _cell(value: float | str | None) -> str:
    if value is None:
        return "<em>missing</em>"
    return escape(value) if isinstance(value, str) else f"{value:.4g}"
