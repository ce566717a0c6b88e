"""The settings of a comparison as typed, stored and resumed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mixkit.comparison.problems import LoadOptions


@dataclass(frozen=True)
class Settings:
    """What the user chose; None where nothing was said.  Stored with the runs, so that resuming repeats it.

    Attributes:
        data: the path as typed; None: the embedded problems.
        modality: forced kind of data.
        target: column or position of a table's target.
        header: False for tables whose first row is data.
        label_from: regular expression on file names, with a group named `label`.
        group_by: column, or regular expression on file names.
        methods: names; None: a short list for each kind of data.
        folds: K of resampled splits (5).
        repeats: R of resampled splits (2).
        seeds: S of an official split (5).
        metric: the primary one; None: accuracy, or rmse.
        tune: tuning trials of every method in every cell (0).
        until_decided: add repeats until every verdict stands, up to 8.
        epochs: of every run; None: the problem's own.
        time_budget: minutes for the whole comparison, shared equally by its runs; turned into epochs once.
        jobs: worker processes; None: one a core, or one on an accelerator.
        device: as Lightning Fabric names it ("cpu", "cuda", "auto").
        precision: as Lightning Fabric names it ("32-true", "bf16-mixed").
        added: methods that were added to the short lists when resuming.
        budgeted: problem -> method -> epochs, from `time_budget`.
        run_seconds: what each run has of the time budget.
    """

    data: str | None = None
    modality: str | None = None
    target: str | None = None
    header: bool | None = None
    label_from: str | None = None
    group_by: str | None = None
    methods: tuple[str, ...] | None = None
    folds: int | None = None
    repeats: int | None = None
    seeds: int | None = None
    metric: str | None = None
    tune: int | None = None
    until_decided: bool | None = None
    epochs: int | None = None
    time_budget: float | None = None
    jobs: int | None = None
    device: str | None = None
    precision: str | None = None
    added: tuple[str, ...] | None = None
    budgeted: Mapping[str, Mapping[str, int]] | None = None
    run_seconds: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("folds", 2), ("repeats", 1), ("seeds", 1), ("tune", 0), ("epochs", 1), ("jobs", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"--{name} must be at least {least}, got {value}")
        if self.methods is not None and not self.methods:
            raise ValueError("--methods must name at least one method, got none")
        if self.time_budget is not None and not self.time_budget > 0:
            raise ValueError(f"--time-budget must be positive, got {self.time_budget}")
        if self.epochs is not None and self.time_budget is not None:
            raise ValueError("--epochs and --time-budget exclude each other: a time budget is turned into epochs")

    def load_options(self) -> LoadOptions:
        """Return what decides how data are read."""
        return LoadOptions(self.target, self.header is not False, self.label_from, self.group_by)

    def merged(self, newer: "Settings") -> "Settings":
        """Return these settings with everything that `newer` says in its place.

        Methods are added to those that were there; whoever resumes keeps what is finished.  A time budget that is
        not a new one keeps the epochs it was turned into.

        Raises:
            ValueError: `newer` asks for other data than these runs are of.
        """
        if newer.data is not None and not same_path(newer.data, self.data):
            raise ValueError(f"--resume is for runs on {self.data or 'the embedded problems'}, got DATA {newer.data!r}")
        changes = {key: value for key, value in asdict(newer).items() if value is not None}
        changes.pop("data", None)
        if newer.methods is not None:
            field, there = ("added", self.added or ()) if self.methods is None else ("methods", self.methods)
            changes = {**changes, "methods": self.methods, field: tuple(dict.fromkeys([*there, *newer.methods]))}
        if any(changes.get(name, getattr(self, name)) != getattr(self, name) for name in ("time_budget", "epochs")):
            changes = {"time_budget": None, "epochs": None, "budgeted": None, "run_seconds": None, **changes}
        return Settings(**{**asdict(self), **changes})

    def named(self) -> tuple[str, ...]:
        """Return the methods that were asked for by name."""
        return (*(self.methods or ()), *(self.added or ()))

    def said(self) -> dict[str, Any]:
        """Return everything that was said, for the report and the folder."""
        said = {key: value for key, value in asdict(self).items() if value is not None}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in said.items()}  # as in JSON

    def stored_form(self) -> dict[str, Any]:
        """Return what the folder keeps: everything that was said, with a path that holds from anywhere."""
        said = self.said()
        return said if self.data is None else {**said, "data": str(Path(self.data).resolve())}

    @classmethod
    def stored(cls, saved: Mapping[str, Any]) -> "Settings":
        """Return the settings that a folder holds; what other versions have written besides is left out."""
        known = {field.name for field in fields(cls)}
        values = {key: value for key, value in saved.items() if key in known}
        for name in ("methods", "added"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        return cls(**values)


def same_path(one: str, other: str | None) -> bool:
    """Return whether two paths lead to the same place."""
    return other is not None and Path(one).resolve() == Path(other).resolve()
