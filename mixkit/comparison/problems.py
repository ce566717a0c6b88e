"""What a modality brings to a comparison: `Adapter` -> `Problem` -> `Prepared`.

An `Adapter` recognises and reads data; a `Problem` is one data set with its labels, groups and official split;
`Problem.prepare` fits all preprocessing on the training rows of one split and returns a `Prepared`: everything that one
training run needs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, nn

from mixkit.method import Setting
from mixkit.placement import Placement
from mixkit.report.summary import GalleryItem
from mixkit.tasks import Task
from mixkit.tokens import TokenSite

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """How one model is trained; the same for all methods of a comparison.

    AdamW with a cosine schedule to zero.  `batch_size` rows a step; the last, smaller batch of an epoch is used too.
    """

    epochs: int
    batch_size: int
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2


class Split(NamedTuple):
    """Row indices of an official split; `validation` is None where the data set has none of its own."""

    train: IntArray
    validation: IntArray | None
    test: IntArray


class FurtherTests(Protocol):
    """What a kind of data tests beside the usual scores: several words at once, say.  Descriptive, never a verdict."""

    def scores(self, predict: Callable[[Any], Tensor], rows: IntArray, generator: Generator) -> dict[str, float]:
        """Return scores by name, as a report shall print it; of all methods of a cell on the same draws.

        Args:
            predict: inputs on the CPU -> logits (n, K) on the CPU, of a trained network.
            rows: int64, the test rows.
            generator: for whatever is drawn.
        """
        ...

    def examples(self, rows: IntArray, generator: Generator) -> list[GalleryItem]:
        """Return what the tests look or sound like, for the report."""
        ...


@dataclass(frozen=True, eq=False)
class Prepared:
    """One split's preprocessing, fitted on its training rows, and the model it feeds.

    Attributes:
        task: what the logits mean.
        targets: float32 (n, K), encoded labels of ALL rows of the problem, in its order.
        batch: row indices int64 (B,) -> inputs on the CPU; a tensor, or any object with `.to(device)`.
        model: builds a fresh network, initialised from torch's global generator (callers fork and seed it).
        place: where mixing acts by default.
        sites: names of submodules at which manifold mixup may mix besides `place`.
        tokens: (network, generator) -> what learned mixing looks at in it, weights drawn by the generator; None: there
            is nothing that it could.
        recipe: default training recipe.
        show: (inputs, i) -> HTML fragment that draws row i of the inputs (user text escaped); for galleries.
        absent: positions of classes that are the absence of the others (silence, background).
        further: scores of this kind of data beside those that every classifier gets; None: there are none.
        show_weights: (inputs, rows, weights float (K, L)) -> HTML fragment that draws how much a learned mix takes of
            its K samples, `rows` of the inputs with the own one first, at each of the L tokens that are no padding
            (user text escaped); None: maps are coloured, other tokens get numbered bars.
        card: JSON-serialisable description from which `Adapter.restore` rebuilds preprocessing and network.
        augment: (inputs, generator) -> inputs, label-preserving augmentation of training batches; None: there is none.
        continuous: inputs -> the float tensor (B, ...) that noise and attacks may perturb; None: there is none.
        with_continuous: (inputs, tensor) -> a copy of the inputs with that tensor in place.
        bounds: smallest and largest value that a perturbed tensor may take.
    """

    task: Task
    targets: Tensor
    batch: Callable[[Tensor], Any]
    model: Callable[[], nn.Module]
    place: Placement
    sites: tuple[str, ...]
    recipe: Recipe
    show: Callable[[Any, int], str]
    card: Mapping[str, Any]
    augment: Callable[[Any, Generator], Any] | None = None
    continuous: Callable[[Any], Tensor] | None = None
    with_continuous: Callable[[Any, Tensor], Any] | None = None
    bounds: tuple[float, float] = (float("-inf"), float("inf"))
    tokens: Callable[[nn.Module, Generator], TokenSite] | None = None
    show_weights: Callable[[Any, Sequence[int], Tensor], str] | None = None
    further: FurtherTests | None = None
    absent: tuple[int, ...] = ()

    def rows(self, picked: Tensor) -> tuple[Any, Tensor]:
        """Return inputs and encoded targets of the rows at int64 `picked` (B,)."""
        return self.batch(picked), self.targets[picked]

    def setting(
        self, model: nn.Module, training: IntArray, *, draws: Generator, tokens: Generator, total_steps: int
    ) -> Setting:
        """Return what a method builds its objective from.

        Args:
            model: from `self.model`.
            training: int64 (n,), the training rows.
            draws: for all draws of a training.
            tokens: draws the weights of what learned mixing looks at.
            total_steps: of the whole training.
        """
        return Setting(
            model=model,
            task=self.task,
            place=self.place,
            sites=self.sites,
            generator=draws,
            total_steps=total_steps,
            tokens=None if self.tokens is None else self.tokens(model, tokens),
            training=lambda: self.rows(torch.from_numpy(training)),
            absent=self.absent,
        )


class Problem(Protocol):
    """One data set.  Picklable, because runs happen in worker processes.

    Attributes:
        name: short, unique in a comparison, also used in file names.
        modality: "image", "table", "audio", "graph" or "node" (of one graph): what a method's `modalities` speak of.
        title: one line for reports, e.g. "digits: 1,797 images of 8 x 8, 10 classes (scikit-learn)".
        notes: what a reader must know: "synthetic", "3 files could not be read: ...".
        labels: (n,) int64 class codes, or float64 targets for regression; decides sizes and stratification.
        classes: names of the classes by code; empty for regression.
        groups: (n,) int64 group codes that must not be torn apart by a split, or None.
        grouped_look: a sentence when row names look grouped although no groups were given, else None.
        official: the data set's own split, or None.
    """

    name: str
    modality: str
    title: str
    notes: tuple[str, ...]
    labels: npt.NDArray[Any]
    classes: tuple[str, ...]
    groups: IntArray | None
    grouped_look: str | None
    official: Split | None

    def prepare(self, train: IntArray) -> Prepared:
        """Fit all preprocessing on rows `train` (nothing else is looked at) and return what a run needs."""
        ...


@dataclass(frozen=True)
class LoadOptions:
    """The options of the command line that decide how data are read; each as the user typed it."""

    target: str | None = None
    header: bool = True
    label_from: str | None = None
    group_by: str | None = None


@dataclass(frozen=True)
class Adapter:
    """What an adapter package registers in the entry-point group `mixkit.problems`.

    Attributes:
        modality: "image", "table", "audio" or "graph".
        embedded: the problems that need no data from the user.
        recognises: path -> True if this looks like data of this modality (cheap: looks at names, not at contents).
        load: (path, options) -> Problem; raises `DataError` with a message for the user.
        restore: (card, path, options) -> (Prepared, names): the data at `path`, without labels, preprocessed as `card`
            says; names identify the rows in the predictions' table.
        default_methods: short list for a comparison, without "erm", which is always there.
    """

    modality: str
    embedded: Callable[[], Sequence[Problem]]
    recognises: Callable[[Path], bool]
    load: Callable[[Path, LoadOptions], Problem]
    restore: Callable[[Mapping[str, Any], Path, LoadOptions], tuple[Prepared, list[str]]]
    default_methods: tuple[str, ...] = field(default=("label-smoothing", "mixup", "mixupe"))


class DataError(Exception):
    """Data that cannot be used; the message tells the user what is wrong and the way out."""


class WorkerDied(Exception):
    """A worker process was killed from outside; the message tells the user the way out."""
