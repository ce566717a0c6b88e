"""Many runs: here or in worker processes, with the same numbers, whatever single runs do."""

import errno
import os
import signal

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor

from mixkit.comparison.entry import open_entries
from mixkit.comparison.grid import Failure, execute_grid
from mixkit.comparison.problems import WorkerDied
from mixkit.comparison.store import Store
from mixkit.comparison.workplace import OneProcess, Running, SharedFolder, workplace


def ran(entry, store, *, workers=1, finished=None):
    """Execute every run of `entry` and return what was reported."""
    told = []
    with workplace(workers) as place:
        place.take(entry.problem)
        execute_grid(place, entry.jobs(), store, workers=workers, finished=finished or told.append)
    return told


def test_every_run_is_stored_before_it_is_reported(entry, tmp_path):
    store, seen = Store(tmp_path), []
    ran(entry, store, finished=lambda record: seen.append(record["key"] in store.records()))
    assert seen == [True] * 4


def test_runs_are_the_methods_times_the_splits(entry, tmp_path):
    told = ran(entry, Store(tmp_path))
    assert [(r["method"], r["repeat"], r["fold"]) for r in told] == [
        ("erm", 0, 0),
        ("mixup", 0, 0),
        ("erm", 0, 1),
        ("mixup", 0, 1),
    ]


@pytest.mark.usefixtures("joined")
def test_a_method_that_fails_leaves_the_others_their_runs(settings, tmp_path):
    ((entry,), _) = open_entries(settings(methods=("broken", "diverging", "mixup")))
    store = Store(tmp_path)
    told = ran(entry, store)
    failures = {f.method: f.message for f in told if isinstance(f, Failure)}
    assert failures.keys() == {"broken", "diverging"}
    assert failures["broken"].startswith("TypeError: no such argument (conftest.py, line ")
    assert failures["diverging"].startswith("FloatingPointError: the loss became inf in epoch 1; lower the learning")
    assert sorted(record["method"] for record in store.records().values()) == ["erm", "erm", "mixup", "mixup"]


def test_a_disk_that_fills_up_stops_the_runs_and_keeps_what_is_there(entry, tmp_path, monkeypatch):
    store, fsync, calls = Store(tmp_path), os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        ran(entry, store)
    assert len(store.records()) == 2


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(entry, tmp_path, numbers):
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    ran(entry, one)
    ran(entry, two, workers=2)
    assert numbers(one) == numbers(two)
    for key in one.records():
        assert np.array_equal(one.outputs(key)["outputs"], two.outputs(key)["outputs"])


@pytest.mark.slow
def test_a_killed_worker_is_told_and_what_is_finished_stays(settings, tmp_path):
    ((entry,), _) = open_entries(settings(epochs=200))
    store = Store(tmp_path)

    def kill(record):
        for pid in list(get_reusable_executor(reuse=True)._processes):
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(WorkerDied, match="a worker process was killed, most likely for its memory; try fewer --jobs"):
        ran(entry, store, workers=2, finished=kill)
    assert 1 <= len(store.records()) < 4


def test_one_process_needs_no_folder(entry, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with workplace(1) as place:
        place.take(entry.problem)
        assert place.ready(entry.jobs()[0])[0] is entry.problem


def test_the_folder_of_worker_processes_goes_with_them(entry, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with workplace(2) as place:
        place.take(entry.problem)
        (folder,) = tmp_path.glob("mixkit-*")
        assert place.ready(entry.jobs()[0])[0].name == entry.problem.name
    assert not folder.exists()


def test_runs_of_one_cell_share_their_preprocessing(entry):
    place, jobs = OneProcess(), entry.jobs()
    place.take(entry.problem)
    first = place.ready(jobs[0])[1]
    assert place.ready(jobs[1])[1] is first
    assert place.ready(jobs[2])[1] is not first


@pytest.mark.parametrize("shared", [False, True])
def test_progress_is_told_while_a_run_is_under_way(entry, tmp_path, shared):
    place = SharedFolder(tmp_path, os.getpid()) if shared else OneProcess()
    assert place.running() == []
    place.reporter(entry.jobs()[1])(3, 7)
    assert place.running() == [Running("table", "mixup", 3, 7)]
    place.finished()
    assert place.running() == []


def test_progress_that_is_being_written_is_passed_over(tmp_path):
    (tmp_path / "1.progress").write_text("digits\tmix")
    (tmp_path / "2.progress").write_bytes(b"\xff\xfe")
    (tmp_path / "3.progress").mkdir()
    (tmp_path / "4.progress").write_text("digits\tmixup\t1\t2")
    assert SharedFolder(tmp_path, 0).running() == [Running("digits", "mixup", 1, 2)]
