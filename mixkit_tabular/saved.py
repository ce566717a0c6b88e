"""A fitted estimator's state as arrays and JSON: for pickles without torch's objects, and for `save` and `load`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from mixkit.artifact import write_artifact
from mixkit_tabular.choosing import MixingReport
from mixkit_tabular.coding import Coding, coding_from_card
from mixkit_tabular.columns import Roles
from mixkit_tabular.fitting import Fitted, build_from_card
from mixkit_tabular.preprocess import TablePreprocessor

FORMAT = 1
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class State:
    """What `fit` found out.

    Attributes:
        fitted: network and preprocessing.
        coding: of the target.
        roles: of the columns.
        report: how rows were mixed.
        passes: how often `partial_fit` went over rows.
    """

    fitted: Fitted
    coding: Coding
    roles: Roles
    report: MixingReport
    passes: int = 0

    def card(self) -> dict[str, Any]:
        """Return all but the weights, as JSON can hold it."""
        return {
            "network": dict(self.fitted.card),
            "preprocessing": self.fitted.preprocessor.card(),
            "epochs": [dict(epoch) for epoch in self.fitted.epochs],
            "best_epoch": self.fitted.best_epoch,
            "target": self.coding.card(),
            "roles": {"numeric": list(self.roles.numeric), "categorical": list(self.roles.categorical)}
            | {"notes": list(self.roles.notes)},
            "report": self.report.card(),
            "passes": self.passes,
        }

    def arrays(self) -> Arrays:
        """Return the weights by name."""
        return {name: value.numpy().copy() for name, value in self.fitted.network.state_dict().items()}

    @classmethod
    def restored(cls, card: Mapping[str, Any], arrays: Mapping[str, Any]) -> "State":
        """Return the state that `card()` and `arrays()` describe.

        Raises:
            RuntimeError: the weights are another network's.
        """
        network = build_from_card(card["network"])
        network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in arrays.items()})
        fitted = Fitted(
            network.eval().requires_grad_(False),
            TablePreprocessor.from_card(card["preprocessing"]),
            dict(card["network"]),
            tuple(card["epochs"]),
            card["best_epoch"],
        )
        roles = {name: tuple(names) for name, names in card["roles"].items()}
        return cls(
            fitted,
            coding_from_card(card["target"]),
            Roles(**roles),
            MixingReport.from_card(card["report"]),
            card["passes"],
        )


def write_estimator(folder: Path, state: State, about: Mapping[str, Any]) -> None:
    """Write `model.safetensors` and `model.json`, both or none.

    Args:
        folder: made if it is not there.
        state: of the estimator.
        about: what else the estimator needs.

    Raises:
        OSError: the folder cannot be written to.
        TypeError: something in `about` has no form in JSON.
    """
    card = {"format": FORMAT, **about, **state.card()}
    json.dumps(card)  # before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    try:
        write_artifact(folder, state.fitted.network, card)
    except SafetensorError as error:  # how it says that a disk is full
        raise OSError(f"{folder} must be a folder that can be written to: {error}") from error


def read_estimator(folder: Path) -> tuple[dict[str, Any], State]:
    """Return what `write_estimator` wrote.

    Raises:
        ValueError: there is no estimator in the folder, or it cannot be read.
    """
    try:
        card = json.loads((folder / "model.json").read_text("utf-8"))
        if not isinstance(card, dict) or card.get("format") != FORMAT:
            raise ValueError(f"model.json is not of format {FORMAT}")
        weights = load_file(folder / "model.safetensors")
        return card, State.restored(card, {name: value.numpy() for name, value in weights.items()})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{folder} must be a folder written by `save` of an estimator: {error}") from error
