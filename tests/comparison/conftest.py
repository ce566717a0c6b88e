"""Small data made here, comparisons on them in this process, and methods that join by entry point."""

import csv
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import mixkit.method
from mixkit import Erm
from mixkit.comparison.entry import open_entries
from mixkit.comparison.screen import Screen
from mixkit.comparison.settings import Settings
from mixkit.comparison.store import Store
from mixkit.comparison.workflow import run_comparison
from mixkit.method import MODALITIES, Method


def written(path, rows=60, classes=("no", "yes")):
    """Write a CSV of two numbers and a category that tell something about the class in column `y`."""
    draw = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "c", "y"])
        for i in range(rows):
            k = i % len(classes)
            writer.writerow([f"{draw.normal(k):.3f}", f"{draw.normal(-k):.3f}", draw.choice(["u", "v"]), classes[k]])
    return path


@pytest.fixture
def write_table():
    """Return (path, rows=60, classes=("no", "yes")) -> the path of a table written there."""
    return written


@pytest.fixture
def table(tmp_path):
    """Return the path of a small table with target `y`."""
    return written(tmp_path / "table.csv")


@pytest.fixture
def settings(table):
    """Return (**changes) -> settings of a quick comparison of mixup on the table."""

    def made(**changes):
        quick: dict[str, Any] = {"folds": 2, "repeats": 1, "epochs": 1, "jobs": 1, "methods": ("mixup",)}
        return Settings(data=str(table), target="y", **{**quick, **changes})

    return made


@pytest.fixture
def entry(settings):
    """Return the table as an entry of a comparison."""
    return open_entries(settings())[0][0]


@dataclass
class Told:
    """A screen, and what it was told."""

    stream: io.StringIO
    screen: Screen

    @property
    def text(self):
        """Everything so far."""
        return self.stream.getvalue()


@pytest.fixture
def told():
    """Return a screen that nobody sees."""
    stream = io.StringIO()
    return Told(stream, Screen(Console(file=stream, width=200)))


@pytest.fixture
def quick_report(monkeypatch):
    """Write no charts: most tests look at numbers."""
    monkeypatch.setattr("mixkit.comparison.workflow.write", lambda summary, galleries, path: path.write_text("report"))


@pytest.fixture
def compare(tmp_path, told):
    """Return (settings, name="out") -> (summary, store) of a comparison in a folder of that name."""

    def run(settings, name="out"):
        store = Store(tmp_path / name)
        return run_comparison(settings, store, told.screen, "mixkit compare"), store

    return run


@dataclass(frozen=True)
class Point:
    """An entry point as importlib.metadata has them."""

    name: str
    loaded: Any
    value: str = "somewhere:THING"

    def load(self):
        """Return the thing, or raise it."""
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded


@pytest.fixture
def found_adapters(monkeypatch):
    """Return (modality=adapter or exception, ...) -> None: what the entry points of adapters are to give."""

    def replaced(**loaded):
        points = [Point(name, thing) for name, thing in loaded.items()]
        monkeypatch.setattr("mixkit.comparison.adapters.entry_points", lambda group: points)

    return replaced


def broken_build(setting, parameters):
    """Fail as a method with a bug would."""
    raise TypeError("no such argument")


def diverging_build(setting, parameters):
    """Return an objective whose loss is infinite."""

    class Diverging(Erm):
        def training_terms(self, inputs, targets, weights):
            return {"loss": super().training_terms(inputs, targets, weights)["loss"] * float("inf")}

    return Diverging(setting.model, setting.task)


@pytest.fixture
def joined(monkeypatch):
    """Let the methods "broken" and "diverging" join by entry point."""
    found = [
        Method(name, MODALITIES, "nowhere", "fails", build)
        for name, build in (("broken", broken_build), ("diverging", diverging_build))
    ]
    monkeypatch.setattr(mixkit.method, "entry_points", lambda group: [Point("test", found)])


def without_cost(record):
    """Return a record without what differs from time to time."""
    return {key: value for key, value in record.items() if key != "cost"}


@pytest.fixture
def numbers():
    """Return store -> its records without their cost."""
    return lambda store: {key: without_cost(record) for key, record in store.records().items()}
