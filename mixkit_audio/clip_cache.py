"""Decoded clips on disk: a folder of many files is read once, and from one file afterwards."""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixkit.files import Row

FROM = 5000
"""Folders of fewer files are decoded anew: that takes seconds."""


class Decoded(NamedTuple):
    """What reading a folder came to: see `mixkit_audio.reading.read_clips`."""

    waves: npt.NDArray[np.int16]
    rate: int
    kept: list[int]
    notes: list[str]


def folder() -> Path:
    """Return where decoded clips are kept: MIXKIT_CACHE, else mixkit/ below XDG_CACHE_HOME or ~/.cache."""
    if "MIXKIT_CACHE" in os.environ:
        return Path(os.environ["MIXKIT_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mixkit"


def key(rows: Sequence[Row], wanted: object) -> str:
    """Return a name for these files in this form; it changes with any file's path, size or time of change.

    Raises:
        OSError: a file is gone.
    """
    digest = hashlib.sha256(repr(wanted).encode())
    for row in rows:
        state = row.path.stat()
        digest.update(f"{row.path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:24]


def load(name: str) -> Decoded | None:
    """Return what was kept under `name`, its waves mapped from the disk; None if there is nothing usable."""
    try:
        described = json.loads((folder() / f"{name}.json").read_text(encoding="utf-8"))
        waves = np.load(folder() / f"{name}.npy", mmap_mode="r")
        found = Decoded(waves, int(described["rate"]), described["kept"], described["notes"])
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not whole
        return None
    return found if waves.dtype == np.int16 and waves.ndim == 2 and len(waves) == len(found.kept) else None


def save(name: str, decoded: Decoded) -> str:
    """Keep `decoded` under `name`; return "", or why it could not be kept, on a full disk say."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        described = {"rate": decoded.rate, "kept": decoded.kept, "notes": decoded.notes}
        with tempfile.TemporaryDirectory(dir=folder()) as part:  # on one disk with its end: whole files or none appear
            np.save(Path(part) / "waves.npy", decoded.waves)
            (Path(part) / "about.json").write_text(json.dumps(described), encoding="utf-8")
            (Path(part) / "waves.npy").replace(folder() / f"{name}.npy")
            (Path(part) / "about.json").replace(folder() / f"{name}.json")
    except OSError as error:
        return (
            f"decoded clips could not be kept in {folder()} ({error.strerror or error}): the next start decodes again"
        )
    return ""
