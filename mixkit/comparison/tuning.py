"""What is tried when a method is tuned inside a cell, and which trial wins."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from mixkit.method import Method


@dataclass(frozen=True)
class Trial:
    """Parameters of a method and factors on the recipe, as tried when tuning."""

    parameters: Mapping[str, float]
    rate_factor: float = 1.0
    decay_factor: float = 1.0


def trials(method: Method, parameters: Mapping[str, float], count: int, generator: torch.Generator) -> list[Trial]:
    """Return the trials of a run: the defaults first, then random ones.

    Learning rate (a factor of 1/2 to 2) and weight decay (1/10 to 10) are tried for every method, at the same random
    points; parameters are drawn from the method's grid.  So every method, also one without parameters, has as many
    trials as the others.

    Args:
        method: whose grid is searched.
        parameters: its defaults for this kind of data.
        count: number of trials; 0 and 1: the defaults alone.
        generator: of the draws.
    """
    exponents = 2 * torch.rand(max(0, count - 1), 2, generator=generator, device="cpu", dtype=torch.float64) - 1
    found = [Trial(parameters)]
    for rate, decay in exponents.tolist():
        drawn = {
            name: values[int(torch.randint(len(values), (), generator=generator, device="cpu"))]
            for name, values in sorted(method.grid.items())
        }
        found.append(Trial({**parameters, **drawn}, 2**rate, 10**decay))
    return found


def is_better(new: float | None, old: float | None, *, higher: bool) -> bool:
    """Return whether `new` is a better score than `old`; an undefined one (None) never is."""
    if new is None or old is None:
        return new is not None
    return new > old if higher else new < old
