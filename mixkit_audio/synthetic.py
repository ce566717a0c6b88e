"""Keywords synthesised in code: a source-filter model of speech with several voices, pitches, rates and noise levels.

A word is a path through the positions of three formants, with the strength of voice and of hiss along it.  A voice
has its own vocal tract length, pitch and tempo, and every take varies them.  It is no recorded speech; it gives the
speech part of the kit something to learn without a download.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from mixkit_audio.problem import AudioProblem, described
from mixkit_audio.reading import Shape, to_int16

_RATE = 8000
_LENGTH = 4800
_WINDOW, _HOP = 256, 64
_VOICES, _TAKES = 12, 5
_BANDWIDTHS = (70.0, 110.0, 180.0, 250.0)
_SCHWA = np.array([500.0, 1500.0, 2500.0])

Signal = npt.NDArray[np.float64]

# Knots: time (0 to 1), three formants in Hz, strength of the voice, strength of the hiss, centre of the hiss in Hz.
_WORDS: dict[str, list[tuple[float, ...]]] = {
    "yes": [
        (0.00, 280, 2250, 3000, 0.4, 0.0, 3400),
        (0.35, 550, 1850, 2500, 1.0, 0.0, 3400),
        (0.58, 530, 1800, 2500, 0.8, 0.0, 3400),
        (0.66, 500, 1750, 2600, 0.0, 0.5, 3400),
        (1.00, 500, 1750, 2600, 0.0, 0.1, 3400),
    ],
    "no": [
        (0.00, 250, 1250, 2300, 0.4, 0.0, 2000),
        (0.25, 260, 1200, 2300, 0.5, 0.0, 2000),
        (0.35, 520, 1050, 2400, 1.0, 0.0, 2000),
        (1.00, 350, 750, 2400, 0.4, 0.0, 2000),
    ],
    "up": [
        (0.00, 680, 1200, 2500, 0.8, 0.0, 900),
        (0.50, 650, 1150, 2500, 1.0, 0.0, 900),
        (0.68, 480, 950, 2400, 0.5, 0.0, 900),
        (0.72, 450, 900, 2400, 0.0, 0.0, 900),
        (0.88, 450, 900, 2400, 0.0, 0.0, 900),
        (0.91, 450, 900, 2400, 0.0, 0.5, 900),
        (1.00, 450, 900, 2400, 0.0, 0.0, 900),
    ],
    "down": [
        (0.00, 300, 1700, 2600, 0.2, 0.6, 2900),
        (0.08, 400, 1600, 2600, 0.8, 0.0, 2900),
        (0.30, 750, 1300, 2500, 1.0, 0.0, 2900),
        (0.62, 450, 900, 2400, 0.8, 0.0, 2900),
        (0.75, 270, 1250, 2300, 0.4, 0.0, 2900),
        (1.00, 250, 1300, 2300, 0.2, 0.0, 2900),
    ],
    "on": [
        (0.00, 640, 930, 2500, 0.8, 0.0, 2000),
        (0.50, 620, 950, 2500, 1.0, 0.0, 2000),
        (0.65, 280, 1200, 2300, 0.4, 0.0, 2000),
        (1.00, 250, 1300, 2300, 0.2, 0.0, 2000),
    ],
    "off": [
        (0.00, 640, 930, 2500, 0.8, 0.0, 2200),
        (0.50, 620, 930, 2500, 1.0, 0.0, 2200),
        (0.62, 560, 1050, 2400, 0.2, 0.2, 2200),
        (0.70, 560, 1050, 2400, 0.0, 0.3, 2200),
        (1.00, 560, 1050, 2400, 0.0, 0.1, 2200),
    ],
}


class Voice(NamedTuple):
    """One speaker: factor on all formants, pitch in Hz, factor on durations, breathiness."""

    tract: float
    pitch: float
    tempo: float
    breath: float


def keywords() -> AudioProblem:
    """Six words by twelve voices in five takes each, 8 kHz, always the same; groups are the voices."""
    generator = np.random.default_rng(20240)
    waves, labels, groups = [], [], []
    for speaker in range(_VOICES):
        voice = _voice(generator)
        for label, word in enumerate(_WORDS):
            for _ in range(_TAKES):
                waves.append(to_int16(_recorded(_spoken(word, voice, generator), generator)))
                labels.append(label)
                groups.append(speaker)
    stored = np.stack(waves)
    clips = described(len(stored), Shape(_RATE, _LENGTH))
    return AudioProblem(
        name="keywords",
        title=f"keywords: {clips}, {len(_WORDS)} words by {_VOICES} voices (synthetic)",
        waves=stored,
        rate=_RATE,
        labels=np.array(labels, dtype=np.int64),
        classes=tuple(_WORDS),
        notes=("synthetic: the words are synthesised in code, not recorded; voices are never torn apart by a split",),
        groups=np.array(groups, dtype=np.int64),
        epochs=12,
    )


def _voice(generator: Generator) -> Voice:
    tract = generator.uniform(0.85, 1.2)
    # Short vocal tracts, whose formants are high, tend to go with high voices.
    pitch = 110 * 2 ** (2.5 * (tract - 0.85) + generator.normal(0, 0.2))
    return Voice(tract, pitch, generator.uniform(0.8, 1.25), generator.uniform(0.02, 0.15))


def _spoken(word: str, voice: Voice, generator: Generator) -> Signal:
    """One take of a word, (n,) with n at most the length of a clip, loudest value 1."""
    knots = np.array(_WORDS[word])
    samples = int(min(0.38 * voice.tempo * generator.uniform(0.85, 1.15), 0.57) * _RATE)
    time = np.linspace(0, 1, samples)
    warped = time ** generator.uniform(0.8, 1.25)
    path = np.stack([np.interp(warped, knots[:, 0], knots[:, i]) for i in range(1, 7)], axis=1)
    # A careless take moves all vowels towards the middle one.
    care = generator.uniform(0.45, 1.0)
    formants = (_SCHWA + care * (path[:, :3] - _SCHWA)) * voice.tract * generator.normal(1, 0.03, 3)
    voiced, hiss, centre = path[:, 3], path[:, 4], path[:, 5]
    breath = generator.standard_normal(samples)
    glottis = _glottis(voice.pitch, time, generator) + voice.breath * breath
    sound = _filtered(voiced * glottis, formants) + _coloured(hiss * generator.standard_normal(samples), centre)
    ramp = np.minimum(1, np.minimum(time, 1 - time) * 25)
    shaped: Signal = sound * ramp
    return shaped / float(np.abs(shaped).max())


def _glottis(pitch: float, time: Signal, generator: Generator) -> Signal:
    """A sawtooth with falling, slightly trembling pitch: the slope of a voice's spectrum, 6 dB an octave."""
    fall, bend = generator.uniform(0.75, 1.05), generator.normal(1, 0.08)
    tremble = 1 + 0.02 * np.sin(2 * np.pi * generator.uniform(1, 3) * time + generator.uniform(0, 6))
    phase = np.cumsum(pitch * bend * fall**time * tremble) / _RATE
    return np.asarray(2 * (phase % 1) - 1)


def _filtered(source: Signal, formants: Signal) -> Signal:
    """Pass `source` (n,) through resonances at `formants` (n, 3), which move."""

    def gain(frames: Signal, frequencies: Signal) -> Signal:
        places = np.concatenate([frames, np.full((len(frames), 1), 3700.0)], axis=1)
        response = np.ones((len(frames), len(frequencies)), dtype=np.complex128)
        for place, width in zip(places.T[:, :, None], _BANDWIDTHS, strict=True):
            response /= 1 - (frequencies / place) ** 2 + 1j * frequencies * width / place**2
        return np.asarray(np.abs(response))

    return _overlap_add(source, formants, gain)


def _coloured(source: Signal, centre: Signal) -> Signal:
    """Noise (n,) around a moving centre (n,)."""

    def gain(frames: Signal, frequencies: Signal) -> Signal:
        return np.asarray(1 / (1 + ((frequencies - frames) / 700) ** 2))

    return _overlap_add(source, centre[:, None], gain)


def _overlap_add(source: Signal, control: Signal, gain: Callable[[Signal, Signal], Signal]) -> Signal:
    """Filter short frames by `gain(control of the frame, frequencies)` and add them up."""
    padded = np.pad(source, _WINDOW)
    starts = np.arange(0, len(padded) - _WINDOW, _HOP)
    frames = padded[starts[:, None] + np.arange(_WINDOW)] * np.hanning(_WINDOW + 1)[:-1]
    middles = np.clip(starts - _WINDOW // 2, 0, len(source) - 1)
    frequencies: Signal = np.linspace(0, _RATE / 2, _WINDOW // 2 + 1)
    filtered = np.fft.irfft(np.fft.rfft(frames) * gain(control[middles], frequencies), _WINDOW)
    result: Signal = np.zeros(len(padded))
    np.add.at(result, starts[:, None] + np.arange(_WINDOW), filtered)
    return result[_WINDOW : _WINDOW + len(source)]


def _recorded(sound: Signal, generator: Generator) -> Signal:
    """Place a take in a clip, at its own level, with a room's noise."""
    clip = np.zeros(_LENGTH)
    start = generator.integers(0, _LENGTH - len(sound) + 1)
    clip[start : start + len(sound)] = sound * 10 ** (generator.uniform(-14, -2) / 20)
    noise = generator.standard_normal(_LENGTH)
    # Rooms are louder at low frequencies.
    noise[1:] += generator.uniform(0, 0.9) * noise[:-1]
    ratio = 10 ** (generator.uniform(0, 20) / 20)
    level = np.sqrt(np.mean(sound**2)) * np.abs(clip).max() / ratio
    return np.asarray(clip + noise / noise.std() * level)
