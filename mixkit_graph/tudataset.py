"""Graph data sets in the raw layout of the TU Dortmund collection (Morris et al. 2020, arXiv:2007.08663).

The text files are read as they are: nothing is written beside them, and node labels keep their values (PyG's reader
shifts them to start at 0, so that a second data set may be read with other meanings).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mixkit.comparison.problems import DataError
from mixkit_graph.graphs import GraphSet, graph_set

MARK = "_graph_indicator.txt"


@dataclass(frozen=True, eq=False)
class TuData:
    """What the files hold.

    Attributes:
        name: the prefix of the files.
        graphs: structure, node labels and attributes.
        labels: int64 (G,) class codes, or None without a file of labels.
        classes: the labels as they stand in the file, by code.
        notes: what was left out or put right.
    """

    name: str
    graphs: GraphSet
    labels: npt.NDArray[np.int64] | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def tu_names(folder: Path) -> list[str]:
    """Return the names of the data sets whose files lie directly in `folder`."""
    return sorted(
        path.name.removesuffix(MARK)
        for path in folder.glob(f"*{MARK}")
        if path.with_name(path.name.removesuffix(MARK) + "_A.txt").exists()
    )


def read_tu(folder: Path, name: str, *, labelled: bool = True) -> TuData:
    """Read NAME_A.txt, NAME_graph_indicator.txt, NAME_graph_labels.txt and node labels and attributes, if any.

    Args:
        folder: where the files lie.
        name: their prefix.
        labelled: whether labels are needed; without, their file may be missing.

    Raises:
        DataError: a file is missing or unreadable, or the files contradict one another.
    """
    stem = folder / name
    indicator = _numbers(stem, "graph_indicator", np.int64)[:, 0]
    labels, classes = _labels(stem, labelled=labelled)
    if not len(indicator):
        raise DataError(f"{stem}_graph_indicator.txt must name a graph for each node, got an empty file")
    if indicator.min() < 1 or (np.diff(indicator) < 0).any():
        raise DataError(f"{stem}_graph_indicator.txt must number graphs from 1 in ascending order")
    size = int(indicator.max()) if labels is None else len(labels)
    if indicator.max() > size:
        raise DataError(f"{stem}_graph_labels.txt must have a line for each graph, got {size} for {indicator.max()}")
    edges = _numbers(stem, "A", np.int64, columns=2) - 1
    try:
        graphs = graph_set(
            torch.from_numpy(np.bincount(indicator - 1, minlength=size)),
            torch.from_numpy(np.ascontiguousarray(edges.T)),
            torch.from_numpy(_per_node(stem, "node_labels", np.int64, len(indicator))),
            torch.from_numpy(_per_node(stem, "node_attributes", np.float32, len(indicator))),
        )
    except ValueError as error:
        raise DataError(f"{stem}_A.txt (its nodes numbered from 0): {error}") from error
    return TuData(name, graphs, labels, classes, _notes(stem, graphs, edges))


def _labels(stem: Path, *, labelled: bool) -> tuple[npt.NDArray[np.int64] | None, tuple[str, ...]]:
    """Return class codes (G,) and classes."""
    if not labelled:
        return None, ()
    values = _numbers(stem, "graph_labels", np.float64)
    if values.shape[1] != 1 or (values != np.round(values)).any():
        raise DataError(
            f"{stem}_graph_labels.txt must hold one whole number a graph, its class; "
            "regression and several labels a graph are not supported"
        )
    classes, codes = np.unique(values[:, 0].astype(np.int64), return_inverse=True)
    return codes.astype(np.int64), tuple(str(value) for value in classes)


def _per_node(stem: Path, part: str, dtype: type, size: int) -> npt.NDArray[Any]:
    """Return an optional file with a line a node, (N, columns); without the file (N, 0)."""
    if not Path(f"{stem}_{part}.txt").exists():
        return np.empty((size, 0), dtype)
    values = _numbers(stem, part, dtype)
    if len(values) != size:
        raise DataError(f"{stem}_{part}.txt must have a line for each of the {size} nodes, got {len(values)}")
    if not np.isfinite(values).all():
        line = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0]) + 1
        raise DataError(f"{stem}_{part}.txt must hold finite numbers, got NaN or infinity in line {line}")
    return values


def _numbers(stem: Path, part: str, dtype: type, *, columns: int | None = None) -> npt.NDArray[Any]:
    """Return the numbers of one file, (lines, columns).

    Raises:
        DataError: the file is missing, unreadable, or holds something else.
    """
    path = Path(f"{stem}_{part}.txt")
    try:
        text = path.read_text()
        if not text.strip():
            return np.empty((0, columns or 1), dtype)
        values: npt.NDArray[Any] = np.loadtxt(text.splitlines(), dtype, delimiter=",", ndmin=2, comments=None)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; the raw files of a TU data set belong together") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be read: {re.sub(r'; use `.*', '', str(error))}") from error
    if columns is not None and values.shape[1] != columns:
        raise DataError(f"{path} must have {columns} numbers a line, got {values.shape[1]}")
    return values


def _notes(stem: Path, graphs: GraphSet, edges: npt.NDArray[np.int64]) -> tuple[str, ...]:
    """Return what a reader must know about how the files were taken; `edges` (E, 2) as they are listed."""
    notes = []
    unused = [part for part in ("edge_labels", "edge_attributes") if Path(f"{stem}_{part}.txt").exists()]
    if unused:
        notes.append(f"{' and '.join(unused).replace('_', ' ')} are not used")
    distinct = len(np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0))
    if distinct < len(edges):
        notes.append(f"{len(edges) - distinct:,} loops and repetitions among the edges were left out")
    added = graphs.edges.shape[1] - distinct
    if added:
        notes.append(f"{added:,} edges are listed in one direction only: taken as undirected")
    return tuple(notes)
