"""Short clips as a problem: from a folder, synthesised, or without labels for predictions."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from mixkit.comparison.problems import IntArray, LoadOptions, Prepared, Recipe, Split
from mixkit.files import list_unlabelled, plural, problem_name
from mixkit.folders import list_labelled
from mixkit.placement import AtSite
from mixkit.sites import find_site
from mixkit.tasks import MISSING, MultiClass
from mixkit.tokens import TokenSite
from mixkit_audio.clip_tokens import ClipTokens
from mixkit_audio.networks import AudioNet, LogMel
from mixkit_audio.power import LogPower
from mixkit_audio.reading import SUFFIXES, Shape, Waves, read_clips
from mixkit_audio.speech_commands import official
from mixkit_audio.transforms import random_time_shift, show_clip
from mixkit_audio.word_tests import WordTests, absent

_STATISTICS_ROWS = 2000


@dataclass(eq=False)
class AudioProblem:
    """Labelled clips of one rate and length.

    Inputs are waveforms float32 (B, 1, T) in [-1, 1]; the network's submodule `frontend` turns them into log-mel
    spectrograms, normalised per bin with the mean and deviation of the training rows (of 2,000 of them at most).
    Mixing acts on those spectrograms by default, as in the speech experiment of the mixup paper; `AtInputs()` mixes
    waveforms.  Training batches are shifted in time at random by up to a tenth of their length.

    Attributes:
        waves: int16 (n, T).
        rate: samples per second.
        epochs: how long to train by default; None decides by the number of clips.

    The others are those of `mixkit.comparison.problems.Problem`.
    """

    name: str
    title: str
    waves: Waves
    rate: int
    labels: IntArray
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    groups: IntArray | None = None
    grouped_look: str | None = None
    official: Split | None = None
    epochs: int | None = None
    modality: str = "audio"

    def prepare(self, train: IntArray) -> Prepared:
        """Take mean and deviation per mel bin from the rows `train`; see `Problem.prepare`."""
        mean, std = _bin_statistics(self.waves, self.rate, train)
        prepared = _prepared(self.waves, self.rate, self.labels, self.classes, (mean, std))
        return replace(prepared, recipe=_recipe(len(self.waves), self.epochs))


def load_clips(path: Path, options: LoadOptions) -> AudioProblem:
    """Read a folder of clips; classes, split and groups as in `mixkit.folders.list_labelled`.

    The lists of Speech Commands are its official split (see `mixkit_audio.speech_commands`).  Of folders of 5,000 files
    and more, the decoded clips are kept on disk (see `mixkit_audio.clip_cache`) and mapped into memory.

    Raises:
        DataError: the folder cannot be used; the message says why and what to do.
    """
    listing = official(list_labelled(path, SUFFIXES, options))
    waves, shape, kept, notes = read_clips(listing.rows, shape=None)
    listing = listing.keep(kept, *notes)
    name = problem_name(path)
    return AudioProblem(
        name=name,
        title=f"{name}: {described(len(waves), shape)}, {plural(len(listing.classes), 'class')}",
        waves=waves,
        rate=shape.rate,
        labels=listing.labels,
        classes=listing.classes,
        notes=listing.notes,
        groups=listing.groups,
        grouped_look=listing.grouped_look,
        official=listing.official,
    )


def restore_clips(card: Mapping[str, Any], path: Path, options: LoadOptions) -> tuple[Prepared, list[str]]:
    """Clips without labels, of the rate and length that `card` says; see `Adapter.restore`.

    Files that cannot be read are left out with a warning.

    Raises:
        DataError: there is no such file, or none could be read.
    """
    rows = list_unlabelled(path, SUFFIXES)
    waves, shape, kept, notes = read_clips(rows, Shape(int(card["rate"]), int(card["length"])))
    if left_out := [note for note in notes if note.startswith("left out")]:
        warnings.warn(left_out[0], stacklevel=2)
    unknown = np.full(len(waves), MISSING, dtype=np.int64)
    # Mean and deviation come with the network's weights, where they are buffers.
    prepared = _prepared(waves, shape.rate, unknown, tuple(card["classes"]), (None, None))
    return prepared, [rows[i].name for i in kept]


def described(count: int, shape: Shape) -> str:
    """E.g. "800 clips of 1.00 s at 16,000 Hz"."""
    return f"{plural(count, 'clip')} of {shape.length / shape.rate:.2f} s at {shape.rate:,} Hz"


def _bin_statistics(waves: Waves, rate: int, rows: IntArray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per mel bin, over the frames of at most 2,000 evenly spaced rows."""
    used = rows[:: -(-len(rows) // _STATISTICS_ROWS)]
    features = LogMel(rate)
    count, total, squares = 0, torch.zeros(features.bins).double(), torch.zeros(features.bins).double()
    for part in np.array_split(used, -(-len(used) // 100)):
        bins = features(_batch(waves, torch.from_numpy(part))).double()
        count += bins.shape[0] * bins.shape[3]
        total += bins.sum((0, 1, 3))
        squares += bins.square().sum((0, 1, 3))
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=1e-4).sqrt()
    return mean.float(), std.float()


def _batch(waves: Waves, rows: Tensor) -> Tensor:
    return torch.from_numpy(waves[rows.numpy()]).float().div_(32768).unsqueeze(1)


def _prepared(
    waves: Waves,
    rate: int,
    labels: IntArray,
    classes: Sequence[str],
    statistics: tuple[Tensor | None, Tensor | None],
) -> Prepared:
    task, length = MultiClass(len(classes)), waves.shape[1]

    def model() -> nn.Module:
        return AudioNet(rate, *statistics, len(classes))

    return Prepared(
        task=task,
        targets=task.encode(torch.from_numpy(labels)),
        batch=partial(_batch, waves),
        model=model,
        place=AtSite("frontend"),
        sites=("stage1", "stage2", "stage3"),
        recipe=_recipe(len(waves), None),
        show=partial(show_clip, rate=rate),
        card={"modality": "audio", "classes": list(classes), "rate": rate, "length": length},
        augment=partial(random_time_shift, most=length // 10),
        continuous=_itself,
        with_continuous=_replaced,
        bounds=(-1.0, 1.0),
        tokens=_tokens,
        absent=tuple(absent(classes)),
        further=WordTests(partial(_batch, waves), labels, classes, partial(show_clip, rate=rate)),
    )


def _tokens(network: nn.Module, generator: Generator) -> TokenSite:
    """The last stage but one, as in the papers: weights over time, for all bins alike; power is mixed."""
    frontend, _ = find_site(network, "frontend")
    assert isinstance(frontend, LogMel)
    return ClipTokens("stage2", 48, combine=LogPower(frontend.mean, frontend.std, frontend.floor))


def _recipe(count: int, epochs: int | None) -> Recipe:
    """Enough steps for this network: about 800, in 15 to 40 epochs."""
    batch_size = 128 if count >= 8000 else 64 if count >= 2000 else 32
    by_size = min(40, max(15, round(800 * batch_size / count)))
    return Recipe(epochs=epochs or by_size, batch_size=batch_size, learning_rate=2e-3)


def _itself(inputs: Tensor) -> Tensor:
    return inputs


def _replaced(inputs: Tensor, waves: Tensor) -> Tensor:
    return waves
