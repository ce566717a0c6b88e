"""Where a plan acts in a model: at its inputs, at a named site inside an unmodified model, or at one of several.

A placement is an immutable description; `placement.on(model)` installs what it needs once and returns the callable that
runs the model on a mixed batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Generator, Tensor, nn

from mixkit.clean import take
from mixkit.plan import Plan
from mixkit.sites import SiteHook, install, probe

Draw = Callable[[Any], Plan]


class Passed(NamedTuple):
    """What comes out of one mixed pass: mixed logits (B, K), clean logits of the rows asked for or None, the plan."""

    mixed: Tensor
    clean: Tensor | None
    plan: Plan


class Placed(Protocol):
    """A placement on one model."""

    def __call__(self, inputs: Any, draw: Draw, clean: Tensor | None, *, size: int, generator: Generator) -> Passed:
        """Run the model on a mixed batch.

        Args:
            inputs: the batch as the model takes it.
            draw: what is mixed (a tensor; only its shape where content is not there yet) -> plan.
            clean: int64 indices of rows whose clean logits are wanted as well, or None.
            size: B, the number of samples that are mixed.
            generator: for placements that draw where to act.
        """
        ...


class Placement(Protocol):
    """Where a plan acts; a frozen dataclass."""

    def on(self, model: nn.Module) -> Placed:
        """Install on `model` (hooks, once) and return the callable."""
        ...


@dataclass(frozen=True)
class AtInputs:
    """The inputs are mixed.  Clean rows are concatenated with the mixed ones: one forward pass.

    Inputs that are no tensors (an adapter's container) are mixed by their policy's plan; their clean rows take a
    forward pass of their own.
    """

    def on(self, model: nn.Module) -> Placed:
        """Return the callable for `model`; nothing is installed."""
        return PlacedAtInputs(model)


class PlacedAtInputs:
    """`AtInputs` on one model; use `AtInputs().on(model)`."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def __call__(self, inputs: Any, draw: Draw, clean: Tensor | None, *, size: int, generator: Generator) -> Passed:
        """Run the model on mixed inputs; see `Placed`."""
        plan = draw(inputs)
        mixed = plan.apply(inputs)
        if clean is None:
            return Passed(self._model(mixed), None, plan)
        if isinstance(mixed, Tensor):
            logits = self._model(torch.cat([mixed, take(inputs, clean)]))
            return Passed(logits[:size], logits[size:], plan)
        logits = self._model(inputs)
        return Passed(self._model(mixed), take(logits, clean), plan)


@dataclass(frozen=True)
class AtSite:
    """The output of a submodule is mixed, or its input with "name:input"; the model stays as it is.

    A hook is installed once and reads the current plan.  Clean rows ride along from the site on: what is before it
    runs once, what is after it on the mixed and the clean rows together.  The first batch probes the site: it must run
    once a pass, and permuting its rows must permute the logits.

    Args:
        site: name of a submodule, as `model.named_modules()` has it; wrappers of torch.compile and DDP are seen
            through.
        rows: inputs -> int64 indices of the site's rows that are samples (labelled nodes, say); all by default.
            What runs after the site then sees these rows only.

    Raises:
        ValueError: (on a model) no submodule has that name; the message lists those there are.
        RuntimeError: (at the first batch) the site runs several times a pass, or there is a path around it; (at any
            batch) the site did not run, because the model skipped it or was compiled and run before.
    """

    site: str
    rows: Callable[[Any], Tensor] | None = None

    def on(self, model: nn.Module) -> Placed:
        """Install the hook on `model` and return the callable."""
        hook = SiteHook(self.site)
        install(hook, model, self.site)
        return PlacedAtSite(model, hook, self.rows)


class PlacedAtSite:
    """`AtSite` on one model; use `AtSite(...).on(model)`."""

    def __init__(self, model: nn.Module, hook: SiteHook, rows: Callable[[Any], Tensor] | None) -> None:
        self._model = model
        self._hook = hook
        self._rows = rows
        self._shape: torch.Size | None = None
        self._probed = False

    def __call__(self, inputs: Any, draw: Draw, clean: Tensor | None, *, size: int, generator: Generator) -> Passed:
        """Run the model with the plan applied at the site; see `Placed`."""
        rows = None if self._rows is None else self._rows(inputs)
        if not self._probed:
            self._shape, self._probed = probe(self._model, self._hook, inputs, rows, size)
        assert self._shape is not None
        plan = draw(torch.empty(size, *self._shape, device="meta"))
        with self._hook.active(plan.apply, rows, clean):
            logits = self._model(inputs)
        self._hook.check_once()
        return Passed(logits[:size], None if clean is None else logits[size:], plan)


@dataclass(frozen=True, init=False)
class AtOneOf:
    """One of several places a batch, uniformly: manifold mixup (Verma et al. 2019, arXiv:1806.05236).

    Args:
        places: the candidates, e.g. `AtInputs()`, `AtSite("layer1")`, `AtSite("layer2")`.

    Raises:
        ValueError: there are no places.
    """

    places: tuple[Placement, ...]

    def __init__(self, *places: Placement) -> None:
        if not places:
            raise ValueError("AtOneOf needs at least one place, got none")
        object.__setattr__(self, "places", tuple(places))

    def on(self, model: nn.Module) -> Placed:
        """Install every candidate on `model` and return the callable that chooses."""
        return PlacedAtOneOf([place.on(model) for place in self.places])


class PlacedAtOneOf:
    """`AtOneOf` on one model; use `AtOneOf(...).on(model)`."""

    def __init__(self, placed: Sequence[Placed]) -> None:
        self._placed = placed

    def __call__(self, inputs: Any, draw: Draw, clean: Tensor | None, *, size: int, generator: Generator) -> Passed:
        """Run the model mixed at a place drawn anew; see `Placed`."""
        choice = int(torch.randint(len(self._placed), (), generator=generator, device=generator.device))
        return self._placed[choice](inputs, draw, clean, size=size, generator=generator)
