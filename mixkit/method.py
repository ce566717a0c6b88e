"""Named, comparable recipes: `Method`, how they are found, and `objective(name, ...)`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any

from torch import Generator, Tensor, nn

from mixkit.objectives import Objective
from mixkit.placement import AtInputs, Placement
from mixkit.tasks import MultiClass, MultiLabel, Regression, Task
from mixkit.tokens import TokenSite

MODALITIES = ("image", "table", "audio", "graph", "node")
Parameters = Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Setting:
    """What a method builds its objective from.

    Attributes:
        model: inputs -> logits.
        task: what they mean.
        place: where mixing acts by default.
        sites: hidden sites for manifold mixup, beside `place`.
        generator: for all draws; None: a private one from fresh entropy.
        total_steps: steps of the whole training, where known.
        tokens: what learned mixing looks at; None where nobody said.
        training: returns the training rows, as inputs of the model and encoded targets, for methods that look at them
            before the training; None where nobody said.
        absent: positions of classes that are the absence of the others (silence, background).
    """

    model: nn.Module
    task: Task
    place: Placement = field(default_factory=AtInputs)
    sites: tuple[str, ...] = ()
    generator: Generator | None = None
    total_steps: int | None = None
    tokens: TokenSite | None = None
    training: Callable[[], tuple[Any, Tensor]] | None = None
    absent: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Method:
    """A named recipe that can be compared with others.

    Attributes:
        name: as typed on the command line.
        modalities: the kinds of data it is for.
        paper: where it comes from.
        summary: one line on what it does.
        build: (setting, parameters) -> objective.
        defaults: parameters and their default values.
        modality_defaults: defaults that differ by the kind of data.
        grid: values to try when tuning, a tuple a parameter.
        tasks: the kinds of task it is for.
        at_sites: whether it chooses among hidden sites.
    """

    name: str
    modalities: tuple[str, ...]
    paper: str
    summary: str
    build: Callable[[Setting, Parameters], Objective]
    defaults: Parameters = field(default_factory=dict)
    modality_defaults: Mapping[str, Parameters] = field(default_factory=dict)
    grid: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    tasks: tuple[type[Task], ...] = (MultiClass, MultiLabel, Regression)
    at_sites: bool = False

    def parameters(self, modality: str | None = None) -> dict[str, float]:
        """Return the default parameters for a kind of data."""
        return {**self.defaults, **self.modality_defaults.get(modality or "", {})}


def methods() -> dict[str, Method]:
    """Return all methods by name: mixkit's own and those of the entry-point group `mixkit.methods`.

    An entry point names a `Method` or a sequence of them.

    Raises:
        ValueError: two packages register different methods under one name.

    >>> methods()["mixupe"].paper
    'Zou et al. 2023, UAI, arXiv:2212.13381'
    """
    from mixkit.recipes import METHODS  # noqa: PLC0415 - recipes are written with this module's names

    found = {method.name: method for method in METHODS}
    for point in entry_points(group="mixkit.methods"):
        try:
            loaded = point.load()
        # an extra that is missing, or broken (torchaudio beside another torch); `mixkit compare` names the remedy
        except (ImportError, OSError, RuntimeError):
            continue
        for method in [loaded] if isinstance(loaded, Method) else loaded:
            if found.setdefault(method.name, method) is not method:
                raise ValueError(
                    f"methods must have names of their own, but {method.name!r} is registered again by {point.value}; "
                    "uninstall one of the packages"
                )
    return found


def method(name: str) -> Method:
    """Return the method called `name`.

    Raises:
        ValueError: there is none; the message suggests the closest name.
    """
    from mixkit.recipes import METHODS  # noqa: PLC0415 - recipes are written with this module's names

    for own in METHODS:  # before any adapter is loaded
        if own.name == name:
            return own
    found = methods()
    if name not in found:
        raise ValueError(f"method must be one of {', '.join(sorted(found))}, got {name!r}{did_you_mean(name, found)}")
    return found[name]


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the name closest to `name`, or nothing if none is close."""
    close = get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def objective(
    name: str,
    model: nn.Module,
    task: Task,
    generator: Generator | None = None,
    *,
    place: Placement | None = None,
    sites: Sequence[str] = (),
    total_steps: int | None = None,
    tokens: TokenSite | None = None,
    training: tuple[Any, Tensor] | None = None,
    parameters: Parameters | None = None,
    modality: str | None = None,
) -> Objective:
    """Return the objective of a named method for an own training loop.

    Args:
        name: of a method, e.g. "mixupe"; `mixkit methods` lists them.
        model: inputs -> logits (B, K).
        task: what the logits mean.
        generator: for all draws, a CPU generator; None: a private one from fresh entropy.
        place: where mixing acts, e.g. `AtSite("layer2")`; None: at the inputs.
        sites: submodules among which manifold mixup chooses, beside `place`.
        total_steps: steps of the whole training, for methods that change with time.
        tokens: what learned mixing looks at, e.g. `MapTokens("layer3", 256)`.
        training: inputs and encoded targets of the training rows, for methods that look at them before the training.
        parameters: values that differ from the method's defaults, e.g. {"alpha": 0.4}.
        modality: "image", "table", "audio", "graph" or "node": takes the defaults for that kind of data.

    Raises:
        ValueError: unknown name, modality or parameter; unknown site.

    >>> from mixkit import MultiClass
    >>> mixup = objective("mixup", nn.Linear(4, 3), MultiClass(3), parameters={"alpha": 0.4})
    >>> objective("mixpu", nn.Linear(4, 3), MultiClass(3))
    Traceback (most recent call last):
        ...
    ValueError: method must be one of ..., got 'mixpu'; did you mean 'mixup'?
    """
    chosen = method(name)
    if modality is not None and modality not in MODALITIES:
        raise ValueError(f"modality must be one of {', '.join(MODALITIES)}, got {modality!r}")
    values = chosen.parameters(modality)
    for key, value in (parameters or {}).items():
        if key not in values:
            raise ValueError(f"parameters of {name!r} must be among {sorted(values)}, got {key!r}={value!r}")
        values[key] = value
    setting = Setting(
        model=model,
        task=task,
        place=AtInputs() if place is None else place,
        sites=tuple(sites),
        generator=generator,
        total_steps=total_steps,
        tokens=tokens,
        training=None if training is None else lambda: training,
    )
    return chosen.build(setting, values)
