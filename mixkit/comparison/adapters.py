"""Finding adapters by entry point, and the one that fits the user's data."""

from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from mixkit.comparison.problems import Adapter, DataError, LoadOptions, Problem
from mixkit.method import did_you_mean

EXTRAS = {"table": "tabular"}  # extras are named like their modality, but for this one


@dataclass(frozen=True)
class Missing:
    """An adapter that cannot be loaded here, why, and the way out."""

    what: str
    remedy: str
    reason: str


def find_adapters() -> tuple[dict[str, Adapter], list[Missing]]:
    """Return the adapters by modality, and those whose packages are missing."""
    found, missing = {}, []
    for point in sorted(entry_points(group="mixkit.problems"), key=lambda point: order(point.name)):
        try:
            found[point.name] = point.load()
        # torchaudio beside a torch build that does not fit it raises OSError or RuntimeError; AttributeError: the
        # package is not what was installed
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            remedy = f'pip install "mixkit[{EXTRAS.get(point.name, point.name)}]"'
            missing.append(Missing(point.name, remedy, (str(error).splitlines() or [type(error).__name__])[0]))
    return found, missing


def order(modality: str) -> int:
    """Return the place of a modality in lists; adapters of other packages come last."""
    known = ("image", "table", "audio", "graph")
    return known.index(modality) if modality in known else len(known)


def load_problem(path: Path, options: LoadOptions, modality: str | None = None) -> tuple[Problem, Adapter]:
    """Return the problem at `path` and the adapter that read it.

    Args:
        path: what the user named.
        options: how it is to be read.
        modality: forces an adapter; None: recognised by what is there.

    Raises:
        DataError: nothing there, not recognised, recognised by several adapters, unreadable, or the extra is missing.
    """
    adapter = choose_adapter(path, modality)
    return adapter.load(path, options), adapter


def choose_adapter(path: Path, modality: str | None) -> Adapter:
    """Return the adapter for `path`; see `load_problem`."""
    adapters, missing = find_adapters()
    if modality is not None:
        return adapter_for(modality, adapters, missing)
    if not path.exists():
        raise DataError(f"{path} does not exist; check the spelling, or run without DATA for the embedded problems")
    hits = [adapter for adapter in adapters.values() if adapter.recognises(path)]
    if len(hits) == 1:
        return hits[0]
    if hits:
        names = ", ".join(adapter.modality for adapter in hits)
        raise DataError(f"{path} looks like several kinds of data ({names}); say which with --as")
    also = "".join(f"\n  {item.what} cannot be read here: {item.remedy}" for item in missing)
    raise DataError(
        f"{path} is not recognised: expected a folder of class folders with images or WAV/FLAC/OGG clips, a table "
        f"(CSV, Parquet, ARFF), or a raw folder of PyG (TUDataset, Planetoid); force a kind with --as{also}"
    )


def adapter_for(modality: str, adapters: dict[str, Adapter], missing: list[Missing]) -> Adapter:
    """Return the adapter of a modality.

    Raises:
        DataError: there is none, or its packages are missing.
    """
    if modality in adapters:
        return adapters[modality]
    for item in missing:
        if item.what == modality:
            raise DataError(f"{modality} data cannot be read here ({item.reason}); {item.remedy}")
    names = sorted([*adapters, *(item.what for item in missing)])
    raise DataError(f"--as must be one of {', '.join(names)}, got {modality!r}{did_you_mean(modality, names)}")
