"""Sound files as one int16 array: one channel, one rate, one length."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from mixkit.files import Row, read_rows, unreadable_note
from mixkit_audio import clip_cache
from mixkit_audio.backend import resample, soundfile

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})
LONGEST_SECONDS = 2.0
_SHORTEST_SECONDS = 0.1
_FORM = 1  # counts the ways in which this file has decoded clips

Waves = npt.NDArray[np.int16]


class Shape(NamedTuple):
    """What all clips of a problem have in common: samples per second, and samples."""

    rate: int
    length: int


class Header(NamedTuple):
    """What a file says of itself: samples per second, and samples."""

    rate: int
    frames: int


def choose_shape(headers: Sequence[Header]) -> Shape:
    """The most common rate (the higher of two as common), and the 95th percentile of the durations, at most 2 s.

    >>> choose_shape([Header(16000, 16000), Header(16000, 12000), Header(8000, 8000)])
    Shape(rate=16000, length=16000)
    """
    counts = Counter(header.rate for header in headers)
    rate = max(counts, key=lambda rate: (counts[rate], rate))
    seconds = np.percentile([header.frames / header.rate for header in headers], 95, method="higher")
    return Shape(rate, round(min(max(float(seconds), _SHORTEST_SECONDS), LONGEST_SECONDS) * rate))


def read_clips(rows: Sequence[Row], shape: Shape | None) -> tuple[Waves, Shape, list[int], list[str]]:
    """Read clips, mix channels down, resample, and cut or pad to one length around the middle.

    Args:
        rows: the files.
        shape: rate and length of the result; None chooses them from the files.

    Returns:
        Waves (n, length) of the files that could be read; their shape; the rows that could be read; notes on
        what was left out or changed.

    Raises:
        DataError: none of the files could be read.
    """
    if len(rows) < clip_cache.FROM:
        return decode_clips(rows, shape)
    name = clip_cache.key(rows, (_FORM, shape))
    if (kept := clip_cache.load(name)) is not None:
        return kept.waves, Shape(kept.rate, kept.waves.shape[1]), kept.kept, kept.notes
    waves, chosen, rows_kept, notes = decode_clips(rows, shape)
    failed = clip_cache.save(name, clip_cache.Decoded(waves, chosen.rate, rows_kept, notes))
    return waves, chosen, rows_kept, [*notes, failed] if failed else notes


def decode_clips(rows: Sequence[Row], shape: Shape | None) -> tuple[Waves, Shape, list[int], list[str]]:
    """Read clips as `read_clips` does, without looking for what was decoded before."""
    headers = [Header(1, 0)] * len(rows)

    def probe(i: int, path: Path) -> None:
        info = soundfile.info(str(path))
        if info.frames == 0:
            raise ValueError("the clip is empty")
        headers[i] = Header(info.samplerate, info.frames)

    opened, failed = read_rows(rows, probe, "audio")
    chosen = shape or choose_shape([headers[i] for i in opened])
    waves = np.zeros((len(opened), chosen.length), dtype=np.int16)

    def decode(i: int, path: Path) -> None:
        waves[i] = read_clip(path, headers[opened[i]], chosen)

    decoded, truncated = read_rows([rows[i] for i in opened], decode, "audio")
    kept = [opened[i] for i in decoded]
    notes = [unreadable_note(failed + truncated, "audio"), *_changes([headers[i] for i in kept], chosen)]
    waves = waves if len(kept) == len(opened) else waves[decoded]
    return waves, chosen, kept, [note for note in notes if note]


def read_clip(path: Path, header: Header, shape: Shape) -> Waves:
    """One clip, int16 (length,); of a longer one, the middle; a shorter one stands in the middle of silence.

    Raises:
        ValueError: values that are no numbers.
    """
    wanted = -(-shape.length * header.rate // shape.rate)
    start = max(0, (header.frames - wanted) // 2)
    samples, _ = soundfile.read(str(path), frames=wanted, start=start, dtype="float32", always_2d=True)
    wave = torch.from_numpy(samples.mean(axis=1))
    if not (len(wave) and bool(wave.isfinite().all())):
        raise ValueError("the clip holds no samples, or values that are no numbers")
    if header.rate != shape.rate:
        wave = resample(wave, header.rate, shape.rate)
    return to_int16(_fitted(wave.numpy(), shape.length))


def to_int16(wave: npt.NDArray[np.floating]) -> Waves:
    """A waveform in [-1, 1] as 16-bit integers; a louder one is turned down, not clipped.

    >>> to_int16(np.array([0.0, 0.5, -2.0])).tolist()
    [0, 8192, -32767]
    """
    peak = float(np.abs(wave).max(initial=1.0))
    return np.round(wave * (32767 / peak)).astype(np.int16)


def _fitted(wave: npt.NDArray[np.float32], length: int) -> npt.NDArray[np.float32]:
    surplus = max(0, len(wave) - length) // 2
    wave = wave[surplus : surplus + length]
    before = (length - len(wave)) // 2
    return np.pad(wave, (before, length - len(wave) - before))


def _changes(headers: Sequence[Header], shape: Shape) -> list[str]:
    """Notes on how many clips were resampled, cut or padded."""
    total, seconds = f"of {len(headers):,} clips were", shape.length / shape.rate
    lengths = [header.frames * shape.rate / header.rate - shape.length for header in headers]
    resampled = sum(header.rate != shape.rate for header in headers)
    longer, shorter = sum(excess >= 1 for excess in lengths), sum(excess <= -1 for excess in lengths)
    return [
        f"{resampled:,} {total} resampled to {shape.rate:,} Hz" if resampled else "",
        f"{longer:,} {total} longer than {seconds:.2f} s and cut to their middle" if longer else "",
        f"{shorter:,} {total} shorter than {seconds:.2f} s and padded with silence" if shorter else "",
    ]
