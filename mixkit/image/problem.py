"""Images as a problem: from a folder, from scikit-learn's digits, or without labels for predictions."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from mixkit.comparison.problems import IntArray, LoadOptions, Prepared, Recipe, Split
from mixkit.files import list_unlabelled, plural, problem_name
from mixkit.folders import list_labelled
from mixkit.image.networks import SmallConvNet, SmallResNet
from mixkit.image.reading import SUFFIXES, Pixels, read_images, to_grey
from mixkit.image.transforms import random_shift, show_image
from mixkit.placement import AtInputs
from mixkit.tasks import MISSING, MultiClass
from mixkit.tokens import MapTokens, TokenSite

_TINY = 16
_SHIFTED_FROM = 24


@dataclass(eq=False)
class ImageProblem:
    """Labelled images of one size.

    Inputs are float32 (B, C, H, W) in [0, 1]; the network's first submodule normalises them with the mean and
    deviation of the training rows.  Training batches of at least 24 pixels a side are shifted at random by up
    to an eighth of the side.  They are not flipped: a flip changes what digits, letters and traffic signs mean.

    Attributes:
        pixels: uint8 (n, C, H, W).

    The others are those of `mixkit.comparison.problems.Problem`.
    """

    name: str
    title: str
    pixels: Pixels
    labels: IntArray
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    groups: IntArray | None = None
    grouped_look: str | None = None
    official: Split | None = None
    modality: str = "image"

    def prepare(self, train: IntArray) -> Prepared:
        """Take mean and deviation per channel from the rows `train`; see `Problem.prepare`."""
        mean, std = _channel_statistics(self.pixels, train)
        return _prepared(self.pixels, self.labels, self.classes, mean, std)


def load_images(path: Path, options: LoadOptions) -> ImageProblem:
    """Read a folder of images; classes, split and groups as in `mixkit.folders.list_labelled`.

    Raises:
        DataError: the folder cannot be used; the message says why and what to do.
    """
    listing = list_labelled(path, SUFFIXES, options)
    pixels, kept, notes = read_images(listing.rows, side=None)
    listing = listing.keep(kept, *notes)
    name = problem_name(path)
    return ImageProblem(
        name=name,
        title=f"{name}: {_described(pixels)}, {plural(len(listing.classes), 'class')}",
        pixels=pixels,
        labels=listing.labels,
        classes=listing.classes,
        notes=listing.notes,
        groups=listing.groups,
        grouped_look=listing.grouped_look,
        official=listing.official,
    )


def restore_images(card: Mapping[str, Any], path: Path, options: LoadOptions) -> tuple[Prepared, list[str]]:
    """Images without labels, of the size and colour that `card` says; see `Adapter.restore`.

    Files that cannot be read are left out with a warning.

    Raises:
        DataError: there is no such file, or none could be read.
    """
    rows = list_unlabelled(path, SUFFIXES)
    pixels, kept, notes = read_images(rows, int(card["side"]))
    if left_out := [note for note in notes if note.startswith("left out")]:
        warnings.warn(left_out[0], stacklevel=2)
    channels = int(card["channels"])
    if pixels.shape[1] > channels:
        pixels = to_grey(pixels)
    # Grey files for a network that saw colour
    pixels = np.broadcast_to(pixels, (len(pixels), channels, *pixels.shape[2:]))
    unknown = np.full(len(pixels), MISSING, dtype=np.int64)
    # The true values come with the network's weights, where they are buffers.
    mean, std = torch.zeros(channels), torch.ones(channels)
    return _prepared(pixels, unknown, tuple(card["classes"]), mean, std), [rows[i].name for i in kept]


def digits() -> ImageProblem:
    """scikit-learn's handwritten digits."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - loading the adapter loads no scikit-learn

    images, labels = load_digits(return_X_y=True)
    pixels = np.round(images * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return ImageProblem(
        name="digits",
        title=f"digits: {_described(pixels)}, 10 classes (scikit-learn)",
        pixels=pixels,
        labels=labels.astype(np.int64),
        classes=tuple("0123456789"),
    )


def _described(pixels: Pixels) -> str:
    count, channels, height, width = pixels.shape
    return f"{plural(count, 'image')} of {height} x {width} in {'grey' if channels == 1 else 'colour'}"


def _channel_statistics(pixels: Pixels, rows: IntArray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel of values in [0, 1]; exact, from counts of the 256 levels."""
    levels = np.arange(256) / 255
    means, stds = [], []
    for channel in range(pixels.shape[1]):
        share = np.bincount(pixels[rows, channel].reshape(-1), minlength=256) / (len(rows) * pixels[0, 0].size)
        mean = float(share @ levels)
        means.append(mean)
        # A channel that never changes stays at zero after normalisation.
        stds.append(max(float(share @ (levels - mean) ** 2) ** 0.5, 1e-3))
    return torch.tensor(means), torch.tensor(stds)


def _prepared(pixels: Pixels, labels: IntArray, classes: Sequence[str], mean: Tensor, std: Tensor) -> Prepared:
    task, (channels, side) = MultiClass(len(classes)), pixels.shape[1:3]

    def batch(rows: Tensor) -> Tensor:
        return torch.from_numpy(pixels[rows.numpy()]).float().div_(255)

    def model() -> nn.Module:
        if side <= _TINY:
            return SmallConvNet(mean, std, len(classes))
        return SmallResNet(mean, std, len(classes), side)

    return Prepared(
        task=task,
        targets=task.encode(torch.from_numpy(labels)),
        batch=batch,
        model=model,
        place=AtInputs(),
        sites=("stage1", "stage2", "stage3"),
        recipe=_recipe(len(pixels), side),
        show=show_image,
        card={"modality": "image", "classes": list(classes), "channels": channels, "side": side},
        augment=partial(random_shift, most=side // 8) if side >= _SHIFTED_FROM else None,
        continuous=_itself,
        with_continuous=_replaced,
        bounds=(0.0, 1.0),
        tokens=_tokens,
    )


def _tokens(network: nn.Module, generator: Generator) -> TokenSite:
    """The last stage but one, as in the papers."""
    return MapTokens("stage2", 32)


def _recipe(count: int, side: int) -> Recipe:
    """Enough steps for these networks: about 300 for tiny pictures, 1,100 for others, in 10 to 40 epochs."""
    batch_size = 128 if count >= 4000 else 64 if count >= 800 else 32
    steps = 300 if side <= _TINY else 1100
    epochs = min(40, max(10, round(steps * batch_size / count)))
    return Recipe(epochs=epochs, batch_size=batch_size, learning_rate=2e-3)


def _itself(inputs: Tensor) -> Tensor:
    return inputs


def _replaced(inputs: Tensor, pixels: Tensor) -> Tensor:
    return pixels
