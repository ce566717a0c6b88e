"""What a fitted estimator remembers: its attributes, pickles, `save` and `load`."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import nn

import mixkit
from mixkit_tabular.choosing import MixingReport
from mixkit_tabular.columns import Roles
from mixkit_tabular.preprocess import TablePreprocessor
from mixkit_tabular.saved import State, read_estimator, write_estimator


class Remembering(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """An estimator whose fit is one `State`; abstract."""

    _state: State

    def save(self, folder: str | Path) -> None:
        """Write `model.safetensors` and `model.json` to a folder, both or none; nothing is pickled.

        Raises:
            NotFittedError: there is nothing to save.
            OSError: the folder cannot be written to.
            ValueError: class labels or arguments have no form in JSON.
        """
        check_is_fitted(self)
        about = {
            "mixkit": mixkit.__version__,
            "estimator": type(self).__name__,
            "arguments": self._arguments(),
            "n_features_in": self.n_features_in_,
            "feature_names_in": None if not hasattr(self, "feature_names_in_") else self.feature_names_in_.tolist(),
        }
        try:
            write_estimator(Path(folder), self._state, about)
        except TypeError as error:
            raise ValueError(f"arguments must have a form in JSON to be saved: {error}") from error

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Return the estimator that `save` wrote; `random_state` is None if it was no number.

        Raises:
            ValueError: there is none in the folder, it cannot be read, or is of another class.
        """
        card, state = read_estimator(Path(folder))
        if card["estimator"] != cls.__name__:
            raise ValueError(f"{folder} must hold a {cls.__name__}, got a {card['estimator']}; use its own `load`")
        estimator = cls(**cls._from_arguments(card["arguments"]))
        estimator.n_features_in_ = card["n_features_in"]
        if card["feature_names_in"] is not None:
            estimator.feature_names_in_ = np.array(card["feature_names_in"], dtype=object)
        estimator._state = state
        return estimator

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments as JSON can hold them."""
        arguments = self.get_params(deep=False)
        if not isinstance(self.random_state, int | np.integer):
            arguments["random_state"] = None
        if not isinstance(self.categorical_features, str):
            arguments["categorical_features"] = [_plain(column) for column in self.categorical_features]
        return {name: _plain(value) for name, value in arguments.items()}

    @classmethod
    def _from_arguments(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments that `_arguments` described."""
        return arguments

    @property
    def network_(self) -> nn.Module:
        """The trained network."""
        return self._known.fitted.network

    @property
    def preprocessor_(self) -> TablePreprocessor:
        """Turns rows into what the network takes."""
        return self._known.fitted.preprocessor

    @property
    def roles_(self) -> Roles:
        """Columns by kind, and notes on what was left out."""
        return self._known.roles

    @property
    def mixing_report_(self) -> MixingReport:
        """How rows were mixed, and why."""
        return self._known.report

    @property
    def history_(self) -> list[dict[str, float]]:
        """A record an epoch: loss, and the validation loss where there are validation rows."""
        return [dict(epoch) for epoch in self._known.fitted.epochs]

    @property
    def best_epoch_(self) -> int:
        """The epoch whose weights the network has, from 1 on."""
        return self._known.fitted.best_epoch

    @property
    def _known(self) -> State:
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"{type(self).__name__} is not fitted yet")
        return self._state

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is a network."""
        return hasattr(self, "_state")

    def __sklearn_tags__(self) -> Tags:
        """Return what scikit-learn needs to know: missing values are fine."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return arrays and plain values only: smaller than torch's objects, and skops can keep them."""
        state = dict(super().__getstate__())
        if "_state" in state:
            found: State = state.pop("_state")
            state["_packed"] = {"card": found.card(), "arrays": found.arrays()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        packed = state.get("_packed")
        super().__setstate__({name: value for name, value in state.items() if name != "_packed"})
        if packed is not None:
            self._state = State.restored(packed["card"], packed["arrays"])


def _plain(value: Any) -> Any:
    """Return a number or text of NumPy as Python's."""
    return value.item() if isinstance(value, np.generic) else value
