"""Scores beside accuracy for clips of words: several words at once, at falling levels, and one word under noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from mixkit.comparison.problems import IntArray
from mixkit.pairing import random_order
from mixkit.report.summary import GalleryItem
from mixkit_audio.clips import Clips
from mixkit_audio.levels import Rms

WORDS = (2, 3)
SIRS = (0.0, -5.0, -10.0, -20.0)
SNRS = (20.0, 10.0, 0.0)
ROWS = 400  # of the test rows: descriptive scores need no more
ABSENT = frozenset({"_silence_", "silence", "_background_noise_", "background"})
"""Names of classes that are the absence of a word; their clips take no part."""

Predict = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class WordTests:
    """How well a network finds words that are not alone; the `FurtherTests` of clips.

    Several words: each clip is heard at once with one or two of other classes, all of them from the rows given.  They
    are brought to one level (rms over the clip) and the clip itself then lowered to `SIRS` decibels against each of the
    others; the mix is as loud as the clip was.  The score is the share of mixes whose words are exactly the most
    probable ones: two of two among the first two, three of three among the first three.

    Noise: pink noise at `SNRS` decibels below the clip; the score is accuracy.

    Attributes:
        batch: int64 (n,) rows -> waveforms (n, 1, T).
        labels: int64, classes of all rows of the problem.
        classes: their names.
        show: (waveforms, i) -> HTML fragment with a player.
    """

    batch: Callable[[Tensor], Tensor]
    labels: IntArray
    classes: Sequence[str]
    show: Callable[[Tensor, int], str]

    def scores(self, predict: Predict, rows: IntArray, generator: Generator) -> dict[str, float]:
        """Return the scores by name, of at most 400 of `rows`; those of several words need as many classes.

        Args:
            predict: waveforms -> logits (n, K) on the CPU.
            rows: int64, of the problem; best clips of speakers that were not trained on.
            generator: of the choice of rows, partners and noise: the same for all methods.
        """
        waves, labels = self._words(rows, generator)
        if not len(waves):
            return {}
        found: dict[str, float] = {}
        for count in WORDS:
            index = partners(labels, count, generator)
            for sir in SIRS if index is not None else ():
                assert index is not None
                logits = predict(together(waves, index, sir))
                found[f"{_NUMERALS[count]} words, {sir:g} dB"] = all_found(logits, labels[index])
        noise = pink_noise(waves, generator)
        for snr in SNRS:
            right = predict(waves + 10 ** (-snr / 20) * noise).argmax(1) == labels
            found[f"accuracy, noise at {snr:g} dB"] = float(right.double().mean())
        return found

    def examples(self, rows: IntArray, generator: Generator) -> list[GalleryItem]:
        """Return what the tests sound like: two words at 0 and at -10 dB, and a word in noise at 0 dB."""
        waves, labels = self._words(rows, generator)
        index = partners(labels, 2, generator) if len(waves) else None
        if index is None:
            return []
        items = []
        for i, sir in ((0, 0.0), (1, -10.0)):
            own, other = index[i].tolist()
            below = "as loud as" if sir == 0 else f"{-sir:g} dB below"
            mixed = together(waves, index, sir)
            caption = f"'{self.classes[int(labels[own])]}' {below} '{self.classes[int(labels[other])]}'"
            shown = self.show(waves, own), self.show(waves, other), self.show(mixed, i)
            items.append(GalleryItem(TEST, *shown, caption=caption))
        noise = pink_noise(waves, generator)
        shown = self.show(waves, 0), self.show(noise, 0), self.show(waves + noise, 0)
        caption = f"'{self.classes[int(labels[0])]}' in noise as loud as itself"
        return [*items, GalleryItem(TEST, *shown, caption=caption)]

    def _words(self, rows: IntArray, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return waveforms (n, 1, T) and classes (n,) of some of `rows` that hold words, and more than silence."""
        chosen = torch.from_numpy(rows)
        labels = torch.from_numpy(self.labels)[chosen]
        words = ~torch.isin(labels, torch.tensor(absent(self.classes), dtype=labels.dtype))
        chosen, labels = chosen[words], labels[words]
        picked = random_order(len(chosen), generator)[:ROWS]
        waves, labels = self.batch(chosen[picked]), labels[picked]
        audible = levels(waves) > Rms().floor
        return waves[audible], labels[audible]


TEST = "the tests"
_NUMERALS = {2: "two", 3: "three"}


def absent(classes: Sequence[str]) -> list[int]:
    """Return the positions of classes that are the absence of a word.

    >>> absent(("_silence_", "down", "up"))
    [0]
    """
    return [code for code, name in enumerate(classes) if name.lower() in ABSENT]


def partners(labels: Tensor, count: int, generator: Generator) -> Tensor | None:
    """Return int64 (n, count): each row and random others, all of different classes; None: too few classes.

    >>> partners(torch.tensor([0, 1]), 2, torch.Generator()).tolist()
    [[0, 1], [1, 0]]
    """
    if len(torch.unique(labels)) < count:
        return None
    index = torch.arange(len(labels))[:, None]
    odds = torch.rand(len(labels), len(labels), generator=generator)
    for _ in range(count - 1):
        taken = (labels[None, None, :] == labels[index][:, :, None]).any(1)
        index = torch.cat([index, odds.masked_fill(taken, -1.0).argmax(1, keepdim=True)], 1)
    return index


def together(waves: Tensor, index: Tensor, sir: float) -> Tensor:
    """Return clips (m, 1, T): those of each row at once, the first `sir` dB against each other one, as loud as it was.

    Args:
        waves: (n, 1, T), none of them silent.
        index: int64 (m, K), rows of `waves`.
        sir: signal-to-interference ratio in dB.
    """
    level = levels(waves)
    gains = torch.ones(index.shape[1], dtype=torch.float64)
    gains[0] = 10 ** (sir / 20)
    gains = gains / gains.square().sum().sqrt()
    mixed = torch.zeros_like(waves[index[:, 0]])
    for k, gain in enumerate(gains):
        factor = gain * 10 ** ((level[index[:, 0]] - level[index[:, k]]) / 20)
        mixed = mixed + factor.to(waves)[:, None, None] * waves[index[:, k]]
    return mixed


def all_found(logits: Tensor, labels: Tensor) -> float:
    """Return the share of rows whose K `labels` (n, K) are the K largest of `logits` (n, C)."""
    most = logits.topk(labels.shape[1], dim=1).indices
    return float((most.sort(1).values == labels.sort(1).values).all(1).double().mean())


def pink_noise(waves: Tensor, generator: Generator) -> Tensor:
    """Return noise (n, 1, T) of a spectrum that falls by 3 dB an octave, as loud as `waves` each."""
    white = torch.fft.rfft(torch.randn(waves.shape, generator=generator))
    falling = torch.arange(white.shape[-1]).clamp_min(1).rsqrt()
    falling[0] = 0.0
    noise = torch.fft.irfft(white * falling, n=waves.shape[-1])
    factor = 10 ** ((levels(waves) - levels(noise)) / 20)
    scaled: Tensor = factor.to(waves)[:, None, None] * noise.to(waves)
    return scaled


def levels(waves: Tensor) -> Tensor:
    """Return the rms level of each clip in dB, (n,)."""
    return Rms()(Clips(waves, torch.full((len(waves),), waves.shape[-1]))).double()
