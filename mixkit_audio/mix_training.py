"""Mix-Training: several words at once, each labelled as fully there, however quiet."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Generator, Tensor

from mixkit.pairing import Pairing, Sources, random_order
from mixkit.plan import check_targets
from mixkit.randomness import numpy_generator
from mixkit_audio.clips import Clips, as_clips, check_float, like
from mixkit_audio.levels import SILENCE, Level, Rms, real_part


@dataclass(frozen=True, eq=False)
class WordsPlan:
    """Sums of clips with gains, and labels that are on where any of them is.

    Attributes:
        sources: which clips, and their shares of the amplitude; column 0 is the clip itself.
        gains: float (B, K), on the samples of each clip; 0 where fewer words are mixed.
        absent: bool (B, K), which clips are of a class that is the absence of the others.
        background: positions of those classes.
    """

    sources: Sources
    gains: Tensor
    absent: Tensor
    background: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def pairing(self) -> Pairing:
        """The clip's own share and its partner of the largest share."""
        return self.sources.pairing

    def apply(self, x: Any) -> Any:
        """Mix waveforms (B, ..., T), a tensor or `Clips`; the caller's are not changed.

        Raises:
            ValueError: another number of clips than the plan was drawn for, or whole numbers.
        """
        clips = as_clips(x)
        check_float(clips.values, "MixTraining")
        if len(clips) != len(self):
            raise ValueError(f"x must hold the {len(self)} clips that the plan was drawn for, got {len(clips)}")
        values = real_part(clips)
        index, gains = self.sources.index.to(values.device), self.gains.to(values)
        mixed, lengths = values, torch.zeros_like(clips.lengths)
        for k in range(index.shape[1]):
            gain = gains[:, k].view(-1, *[1] * (values.ndim - 1))
            mixed = mixed.addcmul_(gain, values.index_select(0, index[:, k])) if k else gain * values
            heard = (self.sources.lam[:, k] > 0).to(lengths.device)
            theirs = clips.lengths[self.sources.index[:, k].to(lengths.device)]
            lengths = torch.maximum(lengths, torch.where(heard, theirs, 0))
        return like(x, Clips(mixed.to(clips.values.dtype), lengths))

    def targets(self, t: Tensor) -> Tensor:
        """Return `t` float (B, K, ...): the largest of the labels of all clips in the mix.

        Clips of background classes give no label beside others; of labels with frames this holds frame by frame.
        """
        check_targets(t, len(self))
        index, heard = self.sources.index.to(t.device), (self.gains > 0).to(t.device)
        if t.ndim == 2:
            # by clip and not by class: `t` may be labels of another kind, such as one for each clip
            words = heard & ~self.absent.to(t.device)
            heard = torch.where(words.any(1, keepdim=True), words, heard)
        mixed = torch.zeros_like(t)
        for k in range(index.shape[1]):
            there = heard[:, k].view(-1, *[1] * (t.ndim - 1))
            mixed = torch.maximum(mixed, torch.where(there, t[index[:, k]], 0.0))
        return self._without_background(mixed) if self.background and t.ndim == 3 else mixed

    def _without_background(self, mixed: Tensor) -> Tensor:
        """Return labels (B, K, frames) with background classes off in the frames in which there is another one."""
        words = torch.ones(mixed.shape[1], dtype=torch.bool, device="cpu")
        words[list(self.background)] = False
        words = words.to(mixed.device)[None, :, None]
        spoken = ((mixed > 0.5) & words).any(1, keepdim=True)
        return torch.where(spoken & ~words, 0.0, mixed)


@dataclass(frozen=True)
class MixTraining:
    """Several words at once with k-hot labels (Mix-Training, Shi et al. 2023, arXiv:2305.17706); stands in for a `Mix`.

    Clips of equal energy, but for a signal-to-interference ratio drawn uniformly in decibels for each word beside the
    first; every label is fully on, whatever its gain.  Train with `MultiLabel(K)`: binary cross-entropy.

    NOTE[DIFF] Written from the abstracts: how the paper normalises energy and what it mixes with is not stated there.
    The sum is divided by the root of the gains' squares, so that a mix is about as loud as a clip.

    Args:
        words: how many clips make a mix, one of these drawn for each sample; 1 leaves it as it is.
        sir: lowest and highest ratio of the clip to each of the others, in dB.
        level: what clips are made equal by.
        background: positions of classes that are the absence of words (silence); they stay on only where nothing else
            is, and their clips are not made as loud as words.
        until: share of the training after which nothing is mixed any more, in (0, 1].

    Raises:
        ValueError: an argument is out of range.

    >>> mix = MixTraining(words=(2,), sir=(0.0, 0.0))
    >>> plan = mix.draw(torch.randn(4, 8000), torch.eye(4), torch.Generator().manual_seed(0))
    >>> plan.targets(torch.eye(4)).sum(1)
    tensor([2., 2., 2., 2.])
    """

    words: tuple[int, ...] = (1, 2)
    sir: tuple[float, float] = (-10.0, 10.0)
    level: Level = field(default_factory=Rms)
    background: tuple[int, ...] = ()
    until: float = 1.0

    def __post_init__(self) -> None:
        if not self.words or min(self.words) < 1:
            raise ValueError(f"words must hold numbers of at least 1, got words={self.words!r}")
        if not (all(map(math.isfinite, self.sir)) and self.sir[0] <= self.sir[1]):
            raise ValueError(f"sir must be two finite numbers of decibels in order, got sir={self.sir!r}")
        if any(position < 0 for position in self.background):
            raise ValueError(f"background must name positions from 0 on, got background={self.background!r}")
        if not 0 < self.until <= 1:
            raise ValueError(f"until must be in (0, 1], got until={self.until!r}")

    @property
    def _most(self) -> int:
        return max(2, *self.words)  # a column for a partner, used or not

    def partner_share(self, progress: float) -> float:
        """Return E[a] for clips of one level: 1 minus the mean sum of squared shares; from seeded draws."""
        return self._expected_share if progress < self.until else 0.0

    @cached_property
    def _expected_share(self) -> float:
        shares = self._shares(20_000, torch.Generator().manual_seed(0)).double()
        return float(1 - shares.square().sum(1).mean())

    def draw(
        self,
        inputs: Any,
        targets: Tensor,
        generator: Generator,
        *,
        progress: float = 0.0,
        keep: Tensor | None = None,
    ) -> WordsPlan:
        """Draw a plan; arguments as of `Mix.draw`.

        Raises:
            ValueError: `inputs` are no waveforms in floating point.
        """
        clips = as_clips(inputs)
        check_float(clips.values, "MixTraining")
        size = len(targets)
        own = torch.arange(size, device="cpu")
        order = random_order(size, generator)
        index = torch.stack([own] * self._most, 1)
        for k in range(1, self._most):  # along one random cycle: partners differ from the clip and each other
            index[order, k] = order.roll(-k)
        shares = self._shares(size, generator)
        column = torch.arange(index.shape[1])
        stays = torch.zeros(size, dtype=torch.bool) if keep is None else keep
        stays = stays | torch.full((size,), progress >= self.until)
        # beyond the batch's size the cycle comes round to clips that are in the mix already
        shares = torch.where((column >= size) | (stays[:, None] & (column > 0)), 0.0, shares)
        shares = shares / shares.sum(1, keepdim=True)
        absent = self._absent(targets)[index.to(targets.device)]
        return WordsPlan(Sources(index, shares), self._gains(clips, absent, index, shares), absent, self.background)

    def _absent(self, targets: Tensor) -> Tensor:
        """Return bool (B,): which clips are of a background class, in most of their frames if labels have frames."""
        return targets[:, list(self.background)].sum(1).view(len(targets), -1).mean(1) > 0.5

    def _shares(self, size: int, generator: Generator) -> Tensor:
        """Return float32 (size, K): amplitudes of equally loud clips, as shares."""
        most = self._most
        draw = numpy_generator(generator)
        counts = torch.from_numpy(draw.choice(list(self.words), size))
        ratio = torch.from_numpy(draw.uniform(self.sir[0], self.sir[1], (size, most - 1)))
        amplitude = torch.cat([torch.ones(size, 1, dtype=torch.float64), 10 ** (-ratio / 20)], 1)
        amplitude = torch.where(torch.arange(most)[None] < counts[:, None], amplitude, 0.0)
        return (amplitude / amplitude.sum(1, keepdim=True)).float()

    def _gains(self, clips: Clips, absent: Tensor, index: Tensor, shares: Tensor) -> Tensor:
        """Return float (B, K): gains that bring clips to the own one's level, times their shares, of unit power."""
        weights, where = shares.double(), clips.values.device
        levels = self.level(clips).double().to(where)[index.to(where)]
        weights = weights.to(where)
        words = weights > 0
        # a word that is brought to the level of a silent clip would be inaudible
        noise = absent.to(where) | (levels < SILENCE + 1e-3)
        # as loud as the first word in the mix, or as its own clip where there is none
        first = (words & ~noise).float().argmax(1, keepdim=True)
        factor = 10 ** ((levels.gather(1, first) - levels) / 20)
        factor = torch.where(noise, factor.clamp_max(1.0), factor)  # noise is not made as loud as a word
        gains = weights / weights.square().sum(1, keepdim=True).sqrt() * factor
        single = words.sum(1) == 1
        gains[single, 0] = 1.0  # bit for bit what it was
        return gains.float()
