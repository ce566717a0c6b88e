"""What happens to clips outside the network: the random shift of training, and players for reports."""

import base64
import io
import wave

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mixkit.png import png_data_uri
from mixkit_audio.networks import LogMel

_LOUDEST = 0.9
_MOST_GAIN = 4.0


def random_time_shift(waves: Tensor, generator: Generator, most: int) -> Tensor:
    """Shift each clip by its own offset of up to `most` samples, earlier or later; silence moves in.

    Args:
        waves: (B, 1, T); not changed.
        generator: where the offsets come from.
        most: the largest shift.

    >>> clips = torch.rand(2, 1, 8)
    >>> torch.equal(random_time_shift(clips, torch.Generator(), most=0), clips)
    True
    """
    count, _, length = waves.shape
    windows = F.pad(waves, (most, most)).unfold(2, length, 1)  # a view: (B, 1, 2 most + 1, T)
    offsets = torch.randint(2 * most + 1, (count,), generator=generator).to(waves.device)
    return windows[torch.arange(count, device=waves.device), :, offsets]


def show_clip(waves: Tensor, i: int, rate: int) -> str:
    """Clip `i` of (B, 1, T) as an HTML fragment: a player and a log-mel spectrogram."""
    clip = waves[i, 0].detach().float().cpu()
    player = f'<audio controls preload="none" src="{_wav_data_uri(clip, rate)}"></audio>'
    picture = f'<img src="{_spectrogram(clip, rate)}" width="200" height="80" alt="spectrogram">'
    return f'<div class="clip">{picture}<br>{player}</div>'


def _wav_data_uri(clip: Tensor, rate: int) -> str:
    """16-bit WAV; a sum of clips is turned down so that it does not clip, a quiet one up at most fourfold."""
    gain = min(_LOUDEST / max(float(clip.abs().max()), 1e-9), _MOST_GAIN)
    samples = (clip * gain * 32767).round().to(torch.int16).numpy().astype("<i2")
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return "data:audio/wav;base64," + base64.b64encode(data.getvalue()).decode()


def _spectrogram(clip: Tensor, rate: int) -> str:
    features = LogMel(rate)(clip.reshape(1, 1, -1))[0, 0].flip(0)  # low frequencies at the bottom
    span = (features.max() - features.min()).clamp(min=1e-6)
    dark = (features.max() - features) / span * 255
    return png_data_uri(dark.round().to(torch.uint8).contiguous().numpy())
