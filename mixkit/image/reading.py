"""Picture files as one uint8 array: upright, in grey or colour, all of one square size."""

import importlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkit.comparison.problems import DataError
from mixkit.files import Row, read_rows, unreadable_note

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
LARGEST_SIDE = 64

Pixels = npt.NDArray[np.uint8]


def choose_side(shorter: Sequence[int]) -> int:
    """The common side: the median of the shorter sides, at most 64, rounded to a multiple of 8, at least 8.

    >>> choose_side([32, 32, 32]), choose_side([28]), choose_side([480, 640, 500]), choose_side([5])
    (32, 32, 64, 8)
    """
    return max(8, int(min(float(np.median(shorter)), LARGEST_SIDE) / 8 + 0.5) * 8)


def read_images(rows: Sequence[Row], side: int | None) -> tuple[Pixels, list[int], list[str]]:
    """Read pictures and resize each to a square (the aspect ratio is not kept, nothing is cut off).

    Args:
        rows: the files.
        side: height and width of the result; None chooses it from the files.

    Returns:
        Pixels (n, 3, side, side) of the files that could be read, or (n, 1, side, side) if all are grey; the
        rows that could be read; notes on what was left out or changed.

    Raises:
        DataError: pillow is missing, or none of the files could be read.
    """
    sizes, deep = [(0, 0)] * len(rows), np.zeros(len(rows), dtype=bool)

    def probe(i: int, path: Path) -> None:
        with _open(path) as image:
            sizes[i], deep[i] = image.size, image.mode[0] in "IF"

    _pillow()
    opened, failed = read_rows(rows, probe, "image")
    chosen = side or choose_side([min(sizes[i]) for i in opened])
    pixels = np.zeros((len(opened), 3, chosen, chosen), dtype=np.uint8)

    def decode(i: int, path: Path) -> None:
        pixels[i] = read_image(path, chosen)

    decoded, truncated = read_rows([rows[i] for i in opened], decode, "image")
    kept = [opened[i] for i in decoded]
    pixels = pixels if len(kept) == len(opened) else pixels[decoded]
    notes = [unreadable_note(failed + truncated, "image")]
    if resized := sum(sizes[i] != (chosen, chosen) for i in kept):
        notes.append(f"{resized:,} of {len(kept):,} images were resized to {chosen} x {chosen}")
    if count := int(deep[kept].sum()):
        notes.append(f"{count:,} of {len(kept):,} images had more than 8 bits and were reduced to 8")
    grey = bool((pixels[:, :1] == pixels[:, 1:]).all())
    return pixels[:, :1].copy() if grey else pixels, kept, [note for note in notes if note]


def read_image(path: Path, side: int) -> Pixels:
    """One picture, turned upright, in colour, resized: uint8 (3, side, side).

    The first frame of an animation counts, what is transparent becomes white, 16 bits become 8.
    """
    image_module = _pillow()
    with _open(path) as image, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pillow warns of odd metadata, which does no harm here
        image.draft(None, (2 * side, 2 * side))  # JPEG decodes large photographs at a fraction of the cost
        upright = importlib.import_module("PIL.ImageOps").exif_transpose(image)
        resized = _colour(upright).resize((side, side), image_module.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8).transpose(2, 0, 1)


def to_grey(pixels: Pixels) -> Pixels:
    """Luminance (ITU-R 601) of (n, 3, H, W) -> (n, 1, H, W); three equal channels keep their values.

    >>> to_grey(np.full((1, 3, 1, 1), 77, dtype=np.uint8)).item()
    77
    """
    red, green, blue = (pixels[:, i : i + 1].astype(np.uint32) for i in range(3))
    # pillow's integer weights, which sum to 2 ** 16
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)


def _pillow() -> Any:
    """The module PIL.Image; only folders need it, so that the embedded problem runs without."""
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise DataError(f"reading images needs pillow ({error}); pip install 'mixkit[image]'") from error


def _open(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of very large pictures: they are read, and made small
        return _pillow().open(path)


def _colour(image: Any) -> Any:
    """The picture in mode RGB."""
    image_module = _pillow()
    if image.mode[0] in "IF":
        values = np.asarray(image, dtype=np.float64)
        scaled = (values * _to_bytes(image.mode, values)).clip(0, 255).round()
        image = image_module.fromarray(scaled.astype(np.uint8))
    if "transparency" in image.info or image.mode in {"RGBA", "LA", "PA", "RGBa", "La"}:
        layer = image.convert("RGBA")
        white = image_module.new("RGBA", layer.size, "white")
        image = image_module.alpha_composite(white, layer)
    return image.convert("RGB")


def _to_bytes(mode: str, values: npt.NDArray[np.float64]) -> float:
    """The factor that takes a picture's values to 0..255: 16-bit integers, or floats of unknown range."""
    largest = values.max(initial=0)
    if mode == "F" and largest <= 1:
        return 255.0
    return 1.0 if mode in {"I", "F"} and largest <= 255 else 255 / 65535
