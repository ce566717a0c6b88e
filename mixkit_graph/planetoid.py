"""One graph with labelled nodes in the raw layout of Planetoid (Yang et al. 2016, arXiv:1603.08861): ind.NAME.x, ...

The files are Python pickles.  They are opened with an unpickler that knows arrays, sparse matrices and dictionaries
only, so that a file from the net can't run code.
"""

import pickle
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from mixkit.comparison.problems import DataError, Split

PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
VALIDATION_ROWS = 500


@dataclass(frozen=True, eq=False)
class PlanetoidData:
    """What the files hold.

    Attributes:
        name: the middle of the files' names.
        x: float32 (N, F), sparse; rows of nodes without features are empty.
        edges: int64 (2, E), as listed.
        labels: int64 (N,), 0 where `labelled` is not.
        labelled: bool (N,).
        classes: K, the number of classes.
        official: the split that everyone uses: the first rows, the next 500, the test index.
    """

    name: str
    x: Tensor
    edges: Tensor
    labels: npt.NDArray[np.int64]
    labelled: npt.NDArray[np.bool_]
    classes: int
    official: Split


def planetoid_names(folder: Path) -> list[str]:
    """Return the names of the data sets whose files lie directly in `folder`."""
    found = (path.name.removeprefix("ind.") for path in folder.glob("ind.*.x"))
    return sorted(name.removesuffix(".x") for name in found)


def read_planetoid(folder: Path, name: str) -> PlanetoidData:
    """Read the eight files ind.NAME.x, .tx, .allx, .y, .ty, .ally, .graph, .test.index.

    Nodes that are in none of them (CiteSeer has such) have neither features nor a label.

    Raises:
        DataError: a file is missing or unreadable, holds something else than arrays, or the files do not fit.
    """
    parts = {part: _read(folder / f"ind.{name}.{part}") for part in PARTS}
    try:
        return _assemble(name, parts)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"{folder}/ind.{name}.* do not fit one another: {error}") from error


def _assemble(name: str, parts: Mapping[str, Any]) -> PlanetoidData:
    """Put the parts together: rows of `allx` come first, row i of `tx` is node test.index[i]."""
    first, test = len(parts["ally"]), parts["test.index"]
    if len(test) != len(parts["ty"]) or len(np.unique(test)) != len(test) or test.min() < first:
        raise ValueError(
            f"test.index must name each of the {len(parts['ty'])} rows of ty once, after the {first} of ally"
        )
    size = max(int(test.max()) + 1, len(parts["graph"]))
    x = _rows_of(parts["allx"], np.arange(first), size) + _rows_of(parts["tx"], test, size)
    hot = np.zeros((size, parts["ally"].shape[1]))
    hot[:first], hot[test] = parts["ally"], parts["ty"]
    train = len(parts["y"])
    validation = np.arange(train, min(train + VALIDATION_ROWS, first))
    official = Split(np.arange(train), validation if len(validation) else None, np.sort(test))
    labelled = hot.sum(1) > 0
    if not labelled[np.concatenate([np.arange(train), validation, test])].all():
        raise ValueError("y, ally and ty must give each row of the split a class")
    edges = np.array([(a, b) for a, others in parts["graph"].items() for b in others], np.int64).reshape(-1, 2)
    if len(edges) and (edges.min() < 0 or edges.max() >= size):
        raise ValueError(f"graph must connect nodes 0..{size - 1}, got {edges.min()} and {edges.max()}")
    return PlanetoidData(
        name=name,
        x=_tensor(x),
        edges=torch.from_numpy(np.ascontiguousarray(edges.T)),
        labels=hot.argmax(1).astype(np.int64),
        labelled=labelled,
        classes=hot.shape[1],
        official=official,
    )


def _rows_of(matrix: Any, rows: npt.NDArray[np.int64], size: int) -> Any:
    """Return a sparse matrix (size, F) with `matrix` in the given rows."""
    if sparse.issparse(matrix):
        matrix.check_format(full_check=True)  # what comes from a file may point anywhere
    matrix = sparse.coo_matrix(matrix)
    if matrix.shape[0] != len(rows):
        raise ValueError(f"features must have a row for each label, got {matrix.shape[0]} for {len(rows)}")
    if not np.isfinite(matrix.data).all():
        raise ValueError("features must be finite, got NaN or infinity")
    return sparse.csr_matrix((matrix.data, (rows[matrix.row], matrix.col)), (size, matrix.shape[1]))


def _tensor(matrix: Any) -> Tensor:
    coo = matrix.tocoo()
    indices = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
    values = torch.from_numpy(coo.data.astype(np.float32))
    return torch.sparse_coo_tensor(indices, values, coo.shape, check_invariants=True).coalesce()


def _read(path: Path) -> Any:
    """Return what one file holds.

    Raises:
        DataError: it is missing or unreadable.
    """
    try:
        if path.name.endswith(".test.index"):
            return np.loadtxt(path.read_text().split(), np.int64, ndmin=1)
        with path.open("rb") as file:
            return ArrayUnpickler(file, encoding="latin1").load()
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; the eight raw files of a Planetoid data set belong together") from error
    except Exception as error:  # a broken pickle raises almost anything
        raise DataError(f"{path} can't be read: {error or type(error).__name__}") from error


class ArrayUnpickler(pickle.Unpickler):
    """Loads pickles of arrays, sparse matrices and plain containers; refuses everything else, so that no code runs."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the few classes and functions that such pickles need, whatever module it was in when written.

        Raises:
            pickle.UnpicklingError: something else is asked for.
        """
        wanted = (module.split(".", maxsplit=1)[0], name)
        if wanted not in _ALLOWED:
            raise pickle.UnpicklingError(f"only arrays and dictionaries are expected, got {module}.{name}")
        return _ALLOWED[wanted]


def _latin1(text: str, encoding: str) -> bytes:
    """Return the bytes that old pickle protocols write as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"only latin1 is expected, got {encoding}")
    return text.encode("latin1")


_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    # the functions that rebuild arrays and numpy's numbers are private and have moved: the objects know them
    ("numpy", "_reconstruct"): np.zeros(1).__reduce__()[0],
    ("numpy", "_frombuffer"): np.zeros(1).__reduce_ex__(5)[0],
    ("numpy", "scalar"): np.int64(0).__reduce__()[0],
    ("scipy", "csr_matrix"): sparse.csr_matrix,
    ("collections", "defaultdict"): defaultdict,
    ("_codecs", "encode"): _latin1,
    **{(module, kind.__name__): kind for module in ("__builtin__", "builtins") for kind in (list, bytes)},
}
