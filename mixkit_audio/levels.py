"""How loud clips are, in decibels: plain and A-weighted, over what is real of them."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mixkit_audio.clips import Clips, padded_with

SILENCE = -80.0
"""Levels below this count as this (Tokozume et al. 2018, arXiv:1711.10282, appendix); in dB of full scale."""
_ROWS = 8  # transformed at once: frames of more clips leave the cache, which takes half as long again


class Level(Protocol):
    """Estimates how loud clips are."""

    @property
    def floor(self) -> float:
        """The level of silence in dB; none is below."""
        ...

    def __call__(self, clips: Clips) -> Tensor:
        """Return the level of waveforms in dB, float32 or better, (B,)."""
        ...


@dataclass(frozen=True)
class Rms:
    """10 log10 of the mean square over all channels and valid samples.

    Args:
        floor: level of silence in dB.

    >>> Rms()(Clips(torch.tensor([[1.0, -1.0, 9.0], [0.0, 0.0, 0.0]]), torch.tensor([2, 3])))
    tensor([  0., -80.])
    """

    floor: float = SILENCE

    def __call__(self, clips: Clips) -> Tensor:
        """Return dB (B,)."""
        return decibel(mean_square(clips), self.floor)


@dataclass(frozen=True)
class AWeighted:
    """The loudest frame's energy weighted by the A curve, as between-class learning estimates loudness.

    Tokozume et al. 2018 (arXiv:1711.10282): the maximum over frames of the weighted energy.  NOTE[DIFF] They give
    frame lengths for two rates; here a frame is the power of two from 93 ms on, which includes theirs.

    Args:
        rate: samples per second.
        floor: level of silence in dB.

    Raises:
        ValueError: rate is not positive.

    >>> tone = torch.sin(2 * torch.pi * 1000 / 16000 * torch.arange(16000.0))
    >>> low = torch.sin(2 * torch.pi * 60 / 16000 * torch.arange(16000.0))
    >>> one_kilohertz, hum = AWeighted(16000)(Clips(torch.stack([tone, low]), torch.tensor([16000, 16000]))).tolist()
    >>> 25 < one_kilohertz - hum < 28  # the curve is 0 dB at 1 kHz and -26 dB at 60 Hz
    True
    """

    rate: int
    floor: float = SILENCE

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got rate={self.rate!r}")

    def __call__(self, clips: Clips) -> Tensor:
        """Return dB (B,); of several channels their mean energy."""
        size = 1 << math.ceil(math.log2(0.0928 * self.rate))
        waves = real_part(clips)
        window = torch.hann_window(size, device=waves.device, dtype=waves.dtype)
        # on real and imaginary parts alike
        weights = self._weights(size).to(waves).repeat_interleave(2) / (window.square().sum() * (size / 2))
        rows = torch.split(waves.reshape(-1, waves.shape[-1]), _ROWS)
        energy = torch.cat([_frames(some, window).square() @ weights for some in rows]).amax(1)
        return decibel(energy.view(len(waves), -1).mean(1), self.floor)

    def _weights(self, size: int) -> Tensor:
        """Return the factor on power at each bin of a real transform."""
        square = torch.fft.rfftfreq(size, 1 / self.rate, dtype=torch.float64).square()
        square[0] = 1.0
        gain = 2 * math.log10(12194.0) + 2 * square.log10() - (square + 12194.0**2).log10()
        gain = gain - (square + 20.6**2).log10() - 0.5 * (square + 107.7**2).log10()
        gain = gain - 0.5 * (square + 737.9**2).log10()
        weights: Tensor = 10 ** ((2 + 20 * gain).clamp_min(self.floor) / 10)
        return weights


def _frames(waves: Tensor, window: Tensor) -> Tensor:
    """Return spectra of overlapping frames (n, frames, size + 2), real and imaginary parts in turn, of waves (n, T)."""
    size = len(window)
    # zeros behind the clip: every sample is in a frame, whatever the padding
    padded = torch.nn.functional.pad(waves, (0, size))
    spectra = torch.fft.rfft(padded.unfold(1, size, size // 2) * window)
    return torch.view_as_real(spectra).flatten(2)


def mean_square(clips: Clips) -> Tensor:
    """Return the mean square (B,) over channels and valid samples; 0 for clips of length 0."""
    waves = real_part(clips)
    channels = max(1, math.prod(waves.shape[1:-1]))
    count = (clips.lengths.to(waves.device) * channels).clamp_min(1)
    return waves.square().flatten(1).sum(1) / count


def real_part(clips: Clips) -> Tensor:
    """Return the values in float32 or better, 0 in the padding; the caller's own tensor where nothing has to change."""
    values = clips.values.to(torch.promote_types(clips.values.dtype, torch.float32))
    return padded_with(values, clips.lengths, 0.0)


def decibel(power: Tensor, floor: float) -> Tensor:
    """Return 10 log10(power), at least `floor`."""
    return 10 * power.clamp_min(10 ** (floor / 10)).log10()
