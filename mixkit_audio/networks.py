"""The log-mel front end and a small network of temporal convolutions for short clips."""

import torch
from torch import Tensor, nn

from mixkit_audio.backend import MelSpectrogram

# About the power of a quiet room: padded silence then looks like recorded silence, whatever the recording chain.
_FLOOR = 1e-4


class LogMel(nn.Module):
    """Waveform -> log-mel spectrogram with frames every 10 ms, normalised per mel bin.

    Args:
        rate: samples per second; it also decides the number of bins: 40 from 8 kHz on.
        mean: mean of each bin, (F,); None for 0.
        std: standard deviation of each bin, (F,); None for 1.

    >>> LogMel(8000)(torch.zeros(2, 1, 4000)).shape
    torch.Size([2, 1, 40, 51])
    """

    mean: Tensor
    std: Tensor
    floor = _FLOOR
    """Power that is added before the logarithm."""

    def __init__(self, rate: int, mean: Tensor | None = None, std: Tensor | None = None) -> None:
        super().__init__()
        window = max(32, round(0.025 * rate))
        transform_size = 1 << (window - 1).bit_length()
        # More bins than the transform resolves would stay empty.
        self.bins = min(40, transform_size // 6)
        self.mel = MelSpectrogram(
            sample_rate=rate,
            n_fft=transform_size,
            win_length=window,
            hop_length=max(1, round(0.01 * rate)),
            n_mels=self.bins,
            # Reflected borders would need a clip longer than the window.
            pad_mode="constant",
        )
        self.register_buffer("mean", (torch.zeros(self.bins) if mean is None else mean).reshape(1, 1, -1, 1))
        self.register_buffer("std", (torch.ones(self.bins) if std is None else std).reshape(1, 1, -1, 1))

    def forward(self, waves: Tensor) -> Tensor:
        """Waveforms (B, 1, T) -> (B, 1, F, frames)."""
        # Squares of quiet samples leave the range of half precision.
        with torch.autocast(waves.device.type, enabled=False):
            power = self.mel(waves.float())
            features: Tensor = (torch.log(power + self.floor) - self.mean) / self.std
        return features


class AudioNet(nn.Module):
    """Residual convolutions along time on log-mel bins, after TC-ResNet (Choi et al., 2019, arXiv:1904.03814).

    About 130,000 parameters.  Submodules, each run once per forward pass: `frontend`, `stem`, `stage1`, `stage2`,
    `stage3`, `head`.

    Args:
        rate: samples per second.
        mean: mean of each mel bin over the training rows, (F,); None for 0.
        std: their standard deviations, (F,); None for 1.
        classes: number of logits.

    >>> AudioNet(8000, None, None, classes=6)(torch.zeros(2, 1, 4000)).shape
    torch.Size([2, 6])
    """

    def __init__(self, rate: int, mean: Tensor | None, std: Tensor | None, classes: int) -> None:
        super().__init__()
        self.frontend = LogMel(rate, mean, std)
        self.stem = nn.Sequential(_convolution(self.frontend.bins, 24, kernel=5, stride=2), nn.ReLU())
        self.stage1 = TemporalBlock(24, 32)
        self.stage2 = TemporalBlock(32, 48)
        self.stage3 = TemporalBlock(48, 64)
        self.head = nn.Linear(64, classes)

    def forward(self, waves: Tensor) -> Tensor:
        """Waveforms (B, 1, T) -> logits (B, classes)."""
        features = self.frontend(waves).squeeze(1)
        hidden: Tensor = self.stage3(self.stage2(self.stage1(self.stem(features))))
        logits: Tensor = self.head(hidden.mean(2))
        return logits


class TemporalBlock(nn.Module):
    """Two convolutions over nine frames with BatchNorm, around a projected shortcut; halves the frames."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv1 = _convolution(inside, outside, kernel=9, stride=2)
        self.conv2 = _convolution(outside, outside, kernel=9, stride=1)
        self.project = _convolution(inside, outside, kernel=1, stride=2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Features (B, inside, frames) -> (B, outside, frames / 2)."""
        return torch.relu(self.project(inputs) + self.conv2(torch.relu(self.conv1(inputs))))


def _convolution(inside: int, outside: int, kernel: int, stride: int) -> nn.Sequential:
    conv = nn.Conv1d(inside, outside, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm1d(outside))
