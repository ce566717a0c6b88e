"""Levels of clips: the A curve's published values, frames by NumPy, padding, batches, gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("mixkit_audio", reason="needs the extra mixkit[audio]", exc_type=ImportError)

from mixkit_audio import AWeighted, Clips, Rms


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def full(waves):
    return Clips(waves, torch.full((len(waves),), waves.shape[-1]))


def a_curve(frequency):
    """Return dB of the A curve (IEC 61672-1, annex E)."""
    f = np.maximum(frequency, 1.0) ** 2
    gain = 12194.0**2 * f**2 / ((f + 20.6**2) * np.sqrt((f + 107.7**2) * (f + 737.9**2)) * (f + 12194.0**2))
    return 2 + 20 * np.log10(gain)


def by_frames(wave, rate, size):
    """Return dB of one clip: the loudest of its Hann frames, weighted, by NumPy in double precision."""
    padded = np.pad(wave, (0, size))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    weights = 10 ** (np.maximum(a_curve(np.fft.rfftfreq(size, 1 / rate)), -80) / 10)
    starts = range(0, len(padded) - size + 1, size // 2)
    energies = [(np.abs(np.fft.rfft(hann * padded[i : i + size])) ** 2 * weights).sum() for i in starts]
    return 10 * np.log10(max(*energies, 1e-9) / (hann**2).sum() / (size / 2))


# table 3 of IEC 61672-1
@pytest.mark.parametrize(("hertz", "decibels"), [(100, -19.1), (500, -3.2), (1000, 0.0), (2500, 1.3), (4000, 1.0)])
def test_tones_are_as_loud_as_the_standard_s_table_says(hertz, decibels):
    time = torch.arange(16000.0) / 16000
    tones = torch.stack([torch.sin(2 * torch.pi * f * time) for f in (hertz, 1000)])
    found = AWeighted(16000)(full(tones))
    # frames resolve 8 Hz, which blurs the steep end a little
    assert float(found[0] - found[1]) == pytest.approx(decibels, abs=0.15)


@settings(max_examples=15)
@given(
    st.sampled_from([(8000, 1024), (16000, 2048), (44100, 4096)]),
    st.integers(1, 20),
    st.integers(1, 9000),
    st.integers(0, 99),
)
def test_the_level_is_that_of_the_loudest_weighted_frame(kind, count, samples, seed):
    rate, size = kind
    waves = torch.randn(count, samples, generator=seeded(seed)).cumsum(1) / 50
    expected = [by_frames(wave.double().numpy(), rate, size) for wave in waves]
    np.testing.assert_allclose(AWeighted(rate)(full(waves)).numpy(), np.maximum(expected, -80), atol=1e-3)


@pytest.mark.parametrize("level", [Rms(), AWeighted(16000)])
def test_channels_count_by_their_mean_energy(level):
    wave = torch.randn(3, 1, 5000, generator=seeded())
    both = torch.cat([wave, torch.zeros_like(wave)], 1)
    torch.testing.assert_close(level(full(both)), level(full(wave)) - 10 * np.log10(2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("level", [Rms(), AWeighted(16000)])
def test_what_stands_in_the_padding_is_not_heard(level):
    wave = torch.randn(10, 3000, generator=seeded())
    padded = torch.cat([wave, torch.full((10, 2000), torch.nan)], 1)
    torch.testing.assert_close(level(Clips(padded, torch.full((10,), 3000))), level(full(wave)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("level", [Rms(), AWeighted(16000)])
def test_a_level_changes_nothing_of_the_clips(level):
    waves = torch.randn(9, 4000, generator=seeded())
    before = waves.clone()
    level(full(waves))
    assert torch.equal(waves, before)


@pytest.mark.parametrize("level", [Rms(), AWeighted(16000)])
def test_gradients_of_silence_are_finite(level):
    waves = torch.zeros(2, 4000, requires_grad=True)
    level(full(waves)).sum().backward()
    assert bool(waves.grad.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_levels_are_at_least_single_precision(dtype):
    waves = torch.randn(2, 4000, generator=seeded()).to(dtype)
    found = AWeighted(16000)(full(waves))
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(found.double(), AWeighted(16000)(full(waves.double())), atol=1e-3, rtol=0)
