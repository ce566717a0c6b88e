"""The folder of a comparison: `settings.json`, `runs.jsonl` (a line a finished run), `outputs/` (test logits a run)."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Record = dict[str, Any]


class Store:
    """Reads and writes the folder of one comparison.

    Every finished run is on the disk before the next one is waited for; a process that is killed while it writes leaves
    half a line, which is dropped when the folder is read again.

    Args:
        folder: created with the first thing that is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs_file = folder / "runs.jsonl"

    def records(self) -> dict[str, Record]:
        """Return all finished runs by their key; a broken last line is cut off the file.

        Raises:
            ValueError: a line that is no run, which nobody but a hand or a broken disk writes.
        """
        if not self.runs_file.exists():
            return {}
        raw = self.runs_file.read_bytes()
        whole = raw.rfind(b"\n") + 1
        if whole < len(raw):
            with self.runs_file.open("r+b") as file:
                file.truncate(whole)
        records: dict[str, Record] = {}
        for number, line in enumerate(raw[:whole].splitlines(), 1):
            try:
                record = json.loads(line)
                records[record["key"]] = record
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{self.runs_file} must hold a run a line, line {number} is none; delete it to run it again"
                ) from error
        return records

    def append(self, record: Record, outputs: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write a finished run: its outputs first, then its line.

        Raises:
            OSError: the disk is full or cannot be written to; nothing half-written stays behind.
        """
        (self.folder / "outputs").mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / "outputs" / f"{record['key']}.npz", outputs)
        line = (json.dumps(record, allow_nan=False) + "\n").encode()
        size = self.runs_file.stat().st_size if self.runs_file.exists() else 0
        with self.runs_file.open("ab", buffering=0) as file:
            try:
                if file.write(line) != len(line):
                    raise OSError("the disk took only a part of a line")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise

    def outputs(self, key: str) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays written with the run `key`."""
        with np.load(self.folder / "outputs" / f"{key}.npz") as file:
            return dict(file)

    def settings(self) -> dict[str, Any] | None:
        """Return what was written by `save_settings`, or None.

        Raises:
            ValueError: the file is broken.
        """
        path = self.folder / "settings.json"
        if not path.exists():
            return None
        try:
            return dict(json.loads(path.read_text("utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} must be as `mixkit compare` wrote it: {error}") from error

    def save_settings(self, settings: Mapping[str, Any]) -> None:
        """Write the settings of the comparison."""
        self.save_json("settings.json", settings)

    def save_json(self, name: str, value: Any) -> None:
        """Write `value` as JSON to `name`, all of it or nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / name
        beside = path.with_name(path.name + ".part")
        try:
            beside.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", "utf-8")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def write_whole(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays as a compressed .npz, all of it or nothing."""
    beside = path.with_name(path.name + ".part")
    try:
        with beside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
