"""Pictures as data URIs for standalone reports: an 8-bit PNG, written with the standard library alone."""

import base64
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt


def png_data_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """The PNG of `pixels` as a data URI.

    Args:
        pixels: uint8 of shape (height, width) for grey or (height, width, 3) for colour.

    Raises:
        ValueError: another dtype or shape.

    >>> png_data_uri(np.zeros((2, 2), dtype=np.uint8))[:30]
    'data:image/png;base64,iVBORw0K'
    """
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype != np.uint8 or not (colour or pixels.ndim == 2):
        raise ValueError(
            f"pixels must be uint8 of shape (height, width) or (height, width, 3), got {pixels.dtype} {pixels.shape}"
        )
    height, width = pixels.shape[:2]
    # Every line of a PNG starts with the number of its filter; 0 is none.
    lines: npt.NDArray[Any] = np.zeros((height, 1 + pixels.size // height), dtype=np.uint8)
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if colour else 0, 0, 0, 0)
    data = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines.tobytes())) + _chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + data).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
