"""An estimator's arguments, checked when it is fitted: the method that was asked for, network and training."""

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from mixkit.method import method as method_named
from mixkit_tabular.fitting import Candidate, Options

PARAMETERS = {"mix_alpha": "alpha", "eta": "eta", "mix_until": "until"}
"""Arguments that set a parameter of the method."""

BOUNDS: dict[str, Any] = {
    "mix_alpha": {"whole": False, "least": 0, "open_": True},
    "eta": {"whole": False, "least": 0},
    "mix_until": {"whole": False, "least": 0, "most": 1, "open_": True},
}


def candidate_from(arguments: Mapping[str, Any]) -> Candidate | None:
    """Return the method that was asked for, or None for "auto".

    Raises:
        ValueError: there is no such method, or it does not have a parameter that an argument sets, or that is out of
            range.
    """
    method = arguments["method"]
    if not isinstance(method, str):
        raise ValueError(f'method must be "auto" or the name of a method, got {method!r}; `mixkit methods` lists them')
    for name, bounds in BOUNDS.items():
        _check(name, arguments[name], **bounds)
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
    if isinstance(arguments["random_state"], numbers.Integral):
        _check("random_state", arguments["random_state"], whole=True, least=0, below=2**32)
    if not isinstance(arguments["device"], str):
        raise ValueError(f'device must be text such as "cpu" or "cuda:1", got {arguments["device"]!r}')
    for name in ("early_stopping", "warm_start"):  # "no" would count as True
        if arguments[name] not in {True, False}:
            raise ValueError(f"{name} must be True or False, got {arguments[name]!r}")
    if not isinstance(arguments["verbose"], numbers.Integral):
        raise ValueError(f"verbose must be 0 or 1, got {arguments['verbose']!r}")
    return Options(
        {name: value for name, value in network.items() if value is not None},
        {name: value for name, value in recipe.items() if value is not None},
        arguments["patience"],
        arguments["device"],
    )


def _check(
    name: str,
    value: Any,
    *,
    whole: bool,
    least: float,
    below: float = np.inf,
    most: float = np.inf,
    open_: bool = False,
) -> None:
    """Raise ValueError unless an argument is None or a number in its range."""
    if value is None:
        return
    kind: Any = numbers.Integral if whole else numbers.Real  # mypy knows no order on these
    fits = isinstance(value, kind) and not isinstance(value, bool) and least <= value < below and value <= most
    if not fits or (open_ and value == least):
        what = "a whole number" if whole else "a number"
        bound = f"above {least}" if open_ else f"of at least {least}"
        upper = f" and below {below}" if below < np.inf else f" and at most {most}" if most < np.inf else ""
        raise ValueError(f"{name} must be {what} {bound}{upper}, got {value!r}")
