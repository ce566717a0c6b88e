"""The folder of a comparison survives killed processes and full disks."""

import errno
import json
import os

import numpy as np
import pytest

from mixkit.comparison.store import Store


@pytest.fixture
def store(tmp_path):
    """Return a store that holds one run."""
    store = Store(tmp_path / "out")
    store.append({"key": "first", "scores": {"accuracy": 0.5}}, {"rows": np.arange(3)})
    return store


def files(store):
    """Return the names of all files in the folder."""
    return sorted(path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*") if path.is_file())


def full(*args, **kwargs):
    """Fail as writing to a full disk does."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_nothing_is_created_before_the_first_write(tmp_path):
    store = Store(tmp_path / "out")
    assert store.records() == {}
    assert store.settings() is None
    assert not store.folder.exists()


def test_a_run_comes_back_as_it_was_written(store):
    assert store.records() == {"first": {"key": "first", "scores": {"accuracy": 0.5}}}
    assert store.outputs("first")["rows"].tolist() == [0, 1, 2]
    assert files(store) == ["outputs/first.npz", "runs.jsonl"]


def test_half_a_last_line_is_dropped_and_the_next_run_starts_a_line(store):
    with store.runs_file.open("ab") as file:
        file.write(b'{"key": "second", "sco')
    assert list(store.records()) == ["first"]
    store.append({"key": "third"}, {"rows": np.arange(1)})
    assert list(store.records()) == ["first", "third"]
    assert len(store.runs_file.read_text().splitlines()) == 2


def test_a_last_line_without_its_end_is_half_a_line(store):
    raw = store.runs_file.read_bytes()
    store.runs_file.write_bytes(raw + raw.replace(b"first", b"other")[:-1])
    assert list(store.records()) == ["first"]
    assert store.runs_file.read_bytes() == raw


@pytest.mark.parametrize("line", ["rubbish", "[1, 2]", '{"no": "key"}', "\0\0\0"])
def test_a_whole_line_that_is_no_run_is_named(store, line):
    with store.runs_file.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=r"runs\.jsonl must hold a run a line, line 2 is none; delete it"):
        store.records()


def test_a_full_disk_at_the_line_leaves_whole_lines(store, monkeypatch):
    before = store.runs_file.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        store.append({"key": "second"}, {"rows": np.arange(3)})
    assert store.runs_file.read_bytes() == before


def test_a_full_disk_at_the_outputs_leaves_neither_line_nor_part(store, monkeypatch):
    before = files(store)
    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space left on device"):
        store.append({"key": "second"}, {"rows": np.arange(3)})
    assert files(store) == before
    assert list(store.records()) == ["first"]


def test_a_line_that_fits_only_in_part_is_taken_back(store):
    resource = pytest.importorskip("resource", reason="the system has no limits to test with")
    before = store.runs_file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # a real limit, as hard as a full disk
    try:
        with pytest.raises(OSError, match=r"File too large|only a part"):
            store.append({"key": "second", "text": "x" * 4000}, {"rows": np.arange(1)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.runs_file.read_bytes() == before


def test_settings_come_back_and_broken_ones_are_named(store):
    store.save_settings({"folds": 3})
    assert store.settings() == {"folds": 3}
    (store.folder / "settings.json").write_text("{")
    with pytest.raises(ValueError, match=r"settings\.json must be as `mixkit compare` wrote it"):
        store.settings()


def test_json_is_replaced_as_a_whole_or_not_at_all(store, monkeypatch):
    store.save_json("summary.json", {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.save_json("summary.json", {"a": float("nan")})
    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.replace", full)
        with pytest.raises(OSError, match="No space left on device"):
            store.save_json("summary.json", {"a": 2})
    assert json.loads((store.folder / "summary.json").read_text()) == {"a": 1}
    assert "summary.json.part" not in files(store)
