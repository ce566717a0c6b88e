"""Front end and networks of MixupE's speech experiment (Zou et al. 2023, arXiv:2212.13381, section 5.3)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

RATE = 16_000
"""Samples per second that the front end is made for."""
WINDOW, HOP = 320, 160
BINS, FRAMES = WINDOW // 2 + 1, 101
_FLAT = 1e-5  # deviation of a clip without any sound; magnitudes of 16-bit noise deviate by more


class PaperSpectrogram(nn.Module):
    """Waveform at 16 kHz -> log magnitudes (161 bins, 101 frames), each clip of mean 0 and deviation 1.

    Hamming windows of 20 ms every 10 ms, transforms of 320 samples, log(1 + magnitude), cut to 101 frames or padded
    with zeros behind, then normalised over all cells of the clip.  A mean of 0 is what MixupE's derivation assumes.
    The paper says 160 x 101 and the authors' code has the 161 bins of a real transform.

    NOTE[DIFF] Borders are padded with zeros, not reflected, so that clips shorter than a window pass; a clip of silence
    becomes zeros instead of NaN.

    >>> PaperSpectrogram()(torch.randn(2, 1, 16000)).shape
    torch.Size([2, 1, 161, 101])
    """

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hamming_window(WINDOW), persistent=False)

    def forward(self, waves: Tensor) -> Tensor:
        """Waveforms (B, 1, T) -> (B, 1, 161, 101).

        Raises:
            ValueError: another shape, or no samples.
        """
        if waves.ndim != 3 or waves.shape[1] != 1 or waves.shape[2] == 0:
            raise ValueError(f"waves must be (B, 1, T) with T >= 1, got shape {tuple(waves.shape)}")
        # Squares of quiet samples leave the range of half precision.
        with torch.autocast(waves.device.type, enabled=False):
            spectra = torch.stft(
                waves.squeeze(1).float(), WINDOW, HOP, window=self.window, pad_mode="constant", return_complex=True
            )
            features = spectra.abs().log1p()[:, :, :FRAMES]
            features = nn.functional.pad(features, (0, FRAMES - features.shape[2])).unsqueeze(1)
            variance, mean = torch.var_mean(features, dim=(1, 2, 3), keepdim=True)
            normalised: Tensor = (features - mean) / variance.clamp_min(_FLAT**2).sqrt()
        return normalised


class LeNet(nn.Module):
    """Two convolutions and two linear layers on `PaperSpectrogram`: 16.3 million parameters for 30 words.

    conv(1 -> 20, 5x5) - pool - conv(20 -> 20, 5x5) - pool - linear(16,280 -> 1,000) - linear(1,000 -> classes), with
    ReLU, and dropout as in the code that the authors built on.  Submodules, each run once per forward pass: `frontend`
    (mixing there is the paper's), `features`, `head`.

    Args:
        classes: number of logits.
        dropout: probability, of channels behind the second convolution and of units before the last layer.

    >>> LeNet(30)(torch.zeros(2, 1, 16000)).shape
    torch.Size([2, 30])
    """

    def __init__(self, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.frontend = PaperSpectrogram()
        self.features = nn.Sequential(
            nn.Conv2d(1, 20, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(20, 20, 5),
            nn.Dropout2d(dropout),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.head = nn.Sequential(
            nn.Linear(20 * 37 * 22, 1000), nn.ReLU(), nn.Dropout(dropout), nn.Linear(1000, classes)
        )

    def forward(self, waves: Tensor) -> Tensor:
        """Waveforms (B, 1, T) at 16 kHz -> logits (B, classes)."""
        logits: Tensor = self.head(self.features(self.frontend(waves)))
        return logits


class VGG11(nn.Module):
    """Configuration A of VGG (Simonyan and Zisserman 2015, arXiv:1409.1556) with BatchNorm, on `PaperSpectrogram`.

    Eight 3x3 convolutions with five poolings, linear(7,680 -> 512) - linear(512 -> classes), without anything between
    the two, as in the code that the authors built on: 13.2 million parameters for 30 words.  Submodules, each run once
    per forward pass: `frontend` (mixing there is the paper's), `features`, `head`.

    Args:
        classes: number of logits.

    >>> sum(parameter.numel() for parameter in VGG11(30).parameters())
    13172894
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.frontend = PaperSpectrogram()
        stages = ((1, 64), (64, 128), (128, 256, 256), (256, 512, 512), (512, 512, 512))
        self.features = nn.Sequential(*(layer for widths in stages for layer in _stage(*widths)), nn.Flatten())
        self.head = nn.Sequential(nn.Linear(512 * (BINS // 32) * (FRAMES // 32), 512), nn.Linear(512, classes))

    def forward(self, waves: Tensor) -> Tensor:
        """Waveforms (B, 1, T) at 16 kHz -> logits (B, classes)."""
        logits: Tensor = self.head(self.features(self.frontend(waves)))
        return logits


def _stage(*widths: int) -> list[nn.Module]:
    """Return convolutions of these widths and a pooling that halves bins and frames."""
    layers: list[nn.Module] = []
    for inside, outside in pairwise(widths):
        layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
    return [*layers, nn.MaxPool2d(2)]
