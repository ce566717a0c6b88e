"""An estimator's arguments, checked when it is fitted: the method that was asked for, network and training."""

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from mixkit.method import method as method_named
from mixkit_tabular.fitting import Candidate, Options

PARAMETERS = {"mix_alpha": "alpha", "eta": "eta", "mix_until": "until"}
"""Arguments that set a parameter of the method."""


def candidate_from(arguments: Mapping[str, Any]) -> Candidate | None:
    """Return the method that was asked for, or None for "auto".

    Raises:
        ValueError: there is no such method, or it does not have a parameter that an argument sets.
    """
    method = arguments["method"]
    given = {name: arguments[name] for name in PARAMETERS if arguments[name] is not None}
    if method == "auto":
        if given:
            raise ValueError(
                f'{next(iter(given))} must be None with method="auto", which chooses it, got {given}; name a method'
            )
        return None
    known = method_named(method).parameters("table")
    for name, value in given.items():
        if PARAMETERS[name] not in known:
            raise ValueError(f"{name} must be None, method {method!r} has no such parameter, got {value}")
    return Candidate(method, {PARAMETERS[name]: float(value) for name, value in given.items()})


def options_from(arguments: Mapping[str, Any]) -> Options:
    """Return how the network is built and trained.

    Raises:
        ValueError: an argument is out of range.
    """
    network = {name: arguments[name] for name in ("width", "depth", "dropout", "members")}
    recipe = {name: arguments[name] for name in ("epochs", "batch_size", "learning_rate", "weight_decay")}
    for name in ("width", "depth", "members", "epochs", "batch_size", "patience"):
        _check(name, arguments[name], whole=True, least=1)
    _check("learning_rate", arguments["learning_rate"], whole=False, least=0, open_=True)
    _check("weight_decay", arguments["weight_decay"], whole=False, least=0)
    _check("dropout", arguments["dropout"], whole=False, least=0, below=1)
    return Options(
        {name: value for name, value in network.items() if value is not None},
        {name: value for name, value in recipe.items() if value is not None},
        arguments["patience"],
        arguments["device"],
    )


def _check(name: str, value: Any, *, whole: bool, least: float, below: float = np.inf, open_: bool = False) -> None:
    """Raise ValueError unless an argument is None or a number in its range."""
    if value is None:
        return
    kind: Any = numbers.Integral if whole else numbers.Real  # mypy knows no order on these
    if not isinstance(value, kind) or isinstance(value, bool) or not least <= value < below or (open_ and value == 0):
        what = "a whole number" if whole else "a number"
        bound = f"above {least}" if open_ else f"of at least {least}"
        raise ValueError(
            f"{name} must be {what} {bound}{'' if below == np.inf else f' and below {below}'}, got {value!r}"
        )
