"""What `mixkit compare` uses for graphs: finding raw folders, loading and restoring them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixkit.comparison.problems import Adapter, DataError, LoadOptions, Prepared, Problem
from mixkit_graph.generated import embedded_problems
from mixkit_graph.graph_problem import load_graphs, restore_graphs
from mixkit_graph.node_problem import load_nodes, restore_nodes
from mixkit_graph.planetoid import planetoid_names
from mixkit_graph.tudataset import tu_names

Found = tuple[str, Path, str]  # "graphs" or "nodes", the folder of the raw files, the data set's name

LAYOUTS = (
    "a raw folder holds NAME_A.txt, NAME_graph_indicator.txt and NAME_graph_labels.txt (TUDataset) "
    "or ind.NAME.x, .tx, .allx, .y, .ty, .ally, .graph and .test.index (Planetoid)"
)


def recognises(path: Path) -> bool:
    """Return whether `path` is, or holds, a raw folder; looks at names only."""
    return bool(raw_data(path))


def load(path: Path, options: LoadOptions) -> Problem:
    """Read the data set in a raw folder.  Nothing is written beside it.

    Args:
        path: a folder that holds raw files or a folder raw/ with them; or the folder above, if that holds one data set.
        options: none applies to graphs.

    Raises:
        DataError: there is no data set or more than one, files are missing or unreadable, or an option was given.
    """
    _refuse(options)
    kind, folder, name = _only(path)
    return load_graphs(folder, name) if kind == "graphs" else load_nodes(folder, name)


def restore(card: Mapping[str, Any], path: Path, options: LoadOptions) -> tuple[Prepared, list[str]]:
    """Read the data set in a raw folder and preprocess it as `card` says.

    Raises:
        DataError: as for `load`, or the data are not like those of the training.
    """
    _refuse(options)
    kind, folder, name = _only(path)
    if kind != card["samples"]:
        raise DataError(f"the model classifies {card['samples']}, got a data set of {kind} in {folder}")
    return (restore_graphs if kind == "graphs" else restore_nodes)(card, folder, name)


def raw_data(path: Path) -> list[Found]:
    """Return the data sets at `path`: directly in it, in its raw/, or in the raw/ of the folders in it."""
    if not path.is_dir():
        return []
    for folders in ((path,), (path / "raw",), sorted(path.glob("*/raw/"))):
        found = [item for folder in folders for item in _in_folder(folder)]
        if found:
            return found
    return []


def _in_folder(folder: Path) -> list[Found]:
    layouts: Sequence[tuple[str, Callable[[Path], list[str]]]] = (("graphs", tu_names), ("nodes", planetoid_names))
    return [(kind, folder, name) for kind, names in layouts for name in names(folder)]


def _only(path: Path) -> Found:
    """Return the one data set at `path`.

    Raises:
        DataError: there is none, or more than one.
    """
    found = raw_data(path)
    if len(found) > 1:
        listed = ", ".join(f"{name} in {folder}" for _, folder, name in found)
        raise DataError(f"{path} must hold one data set, got {len(found)}: {listed}; give the folder of one of them")
    if not found:
        raise DataError(f"{path} holds no graphs: {LAYOUTS}")
    return found[0]


def _refuse(options: LoadOptions) -> None:
    """Raise DataError for options that mean nothing for graphs."""
    if options.group_by is not None:
        raise DataError("--group-by does not apply to graphs: the raw layouts know no groups; leave it out")
    given = [name for name, value in (("--target", options.target), ("--label-from", options.label_from)) if value]
    if given:
        raise DataError(f"{given[0]} does not apply to graphs: labels are in the raw files; leave it out")


ADAPTER = Adapter(
    modality="graph",
    embedded=embedded_problems,
    recognises=recognises,
    load=load,
    restore=restore,
)
