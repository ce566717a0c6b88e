"""How loud clips are, in decibels: plain and A-weighted, over what is real of them."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mixkit_audio.clips import Clips, along_time

SILENCE = -80.0
"""Levels below this count as this (Tokozume et al. 2018, arXiv:1711.10282, appendix); in dB of full scale."""


class Level(Protocol):
    """Estimates how loud clips are."""

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
        # zeros behind the clip: every sample is in a frame, whatever the padding
        padded = torch.nn.functional.pad(waves, (0, size))
        window = torch.hann_window(size, device=waves.device, dtype=waves.dtype)
        spectra = torch.stft(padded.flatten(0, -2), size, size // 2, window=window, center=False, return_complex=True)
        weights = self._weights(size).to(waves)[:, None]
        energy = (spectra.abs().square() * weights).sum(1).amax(1) / window.square().sum() / (size / 2)
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


def mean_square(clips: Clips) -> Tensor:
    """Return the mean square (B,) over channels and valid samples; 0 for clips of length 0."""
    waves = real_part(clips)
    channels = max(1, math.prod(waves.shape[1:-1]))
    count = (clips.lengths.to(waves.device) * channels).clamp_min(1)
    return waves.square().flatten(1).sum(1) / count


def real_part(clips: Clips) -> Tensor:
    """Return the values in float32 or better, 0 in the padding."""
    values = clips.values.to(torch.promote_types(clips.values.dtype, torch.float32))
    return torch.where(along_time(clips.valid(), values.ndim), values, 0.0)


def decibel(power: Tensor, floor: float) -> Tensor:
    """Return 10 log10(power), at least `floor`."""
    return 10 * power.clamp_min(10 ** (floor / 10)).log10()
