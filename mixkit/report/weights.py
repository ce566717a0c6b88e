"""Weights of mixed samples as HTML fragments: colours over a picture, bars, and the scale that explains the colours."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from mixkit.png import png_data_uri

FloatArray = npt.NDArray[np.floating[Any]]
# From blue (nothing of the sample is taken) over grey to orange (all of it): colour-blind readers tell them apart, and
# an even mix stays without colour.
STOPS = ((0x1F, 0x77, 0xC8), (0xB4, 0xB4, 0xB4), (0xF0, 0x8C, 0x00))
SOURCES = ("#f08c00", "#1f77c8", "#2f9e6e")  # of the parts of a bar: the sample, its partner, a further one
OVERLAY = 0.6  # how much of a pixel is colour, the rest is the picture
MOST_BARS = 12


def colours(weights: FloatArray, even: float = 0.5) -> npt.NDArray[np.uint8]:
    """Return uint8 (..., 3), the colours of `weights` (...) in [0, 1]; `even` is the weight that stays grey.

    >>> colours(np.array([0.0, 0.5, 1.0])).tolist()
    [[31, 119, 200], [180, 180, 180], [240, 140, 0]]
    """
    channels = [np.interp(weights, (0, even, 1), [stop[c] for stop in STOPS]) for c in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


def colour(weight: float, even: float = 0.5) -> str:
    """Return the colour of one weight as CSS has it.

    >>> colour(1.0)
    '#f08c00'
    """
    red, green, blue = colours(np.array(weight), even).tolist()
    return f"#{red:02x}{green:02x}{blue:02x}"


def heat(picture: FloatArray, weights: FloatArray, what: str, even: float = 0.5) -> str:
    """Return an <img> of a grey `picture` (H, W) in [0, 1] under the colours of `weights` (H, W).

    Args:
        picture: what was weighed.
        weights: in [0, 1].
        what: whose weights they are, plain text; with the range it stands in for the image.
        even: the weight that stays grey.
    """
    grey = np.clip(picture, 0, 1)[..., None] * 255
    pixels = (1 - OVERLAY) * grey + OVERLAY * colours(weights, even)
    uri = png_data_uri(np.ascontiguousarray(pixels.round().astype(np.uint8)))
    return f'<img class="heat" alt="{escape(what)}: {spread(weights)}, mean {weights.mean():.2f}" src="{uri}">'


def maps(pictures: Sequence[FloatArray], weights: FloatArray) -> str:
    """Return each of K `pictures` (H, W) under its `weights` (K, H, W), with the scale."""
    even, names = 1 / len(pictures), source_names(len(pictures))
    drawn = "".join(
        f"<div><span>{name}'s weight</span>{heat(picture, own, f'weight of the {name}', even)}"
        f"<span>{spread(own)}</span></div>"
        for name, picture, own in zip(names, pictures, weights, strict=True)
    )
    return f'<div class="parts">{drawn}</div>{scale(even)}'


def bars(head: Sequence[str], rows: Sequence[Sequence[str]], weights: FloatArray) -> str:
    """Return a table with a bar a row, divided among the K samples of a mix, and the key of its colours.

    Of many rows those whose own weights are furthest from their mean are shown.

    Args:
        head: titles of the columns beside the bars, plain text; the first stands before them.
        rows: what stands there, plain text, L rows.
        weights: (K, L), which sum to 1 over K.
    """
    uneven = np.abs(weights[0] - weights[0].mean())
    shown = np.sort(np.argsort(-uneven, kind="stable")[:MOST_BARS])
    left_out = np.setdiff1d(np.arange(len(rows)), shown)
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in (head[0], "weight", *head[1:]))
    lines = [f"<thead><tr>{titles}</tr></thead>"]
    for j in shown.tolist():
        first, *others = rows[j]
        cells = "".join(f"<td>{escape(text)}</td>" for text in others)
        lines.append(
            f'<tr><th scope="row">{escape(first)}</th><td class="weight">{_bar(weights[:, j])}</td>{cells}</tr>'
        )
    if len(left_out):
        text = f"and {len(left_out)} more, with own weights of {spread(weights[0, left_out])}"
        lines.append(f'<tr><td colspan="{len(head) + 1}">{text}</td></tr>')
    return f'<table class="bars">{"".join(lines)}</table>{_key(len(weights))}'


def scale(even: float = 0.5) -> str:
    """Return the scale of the colours."""
    stops = ", ".join(f"{colour(at, even)} {100 * at:.0f}%" for at in (0.0, even, 1.0))
    return f'<p class="scale">weight 0 <i style="background: linear-gradient(to right, {stops})"></i> 1</p>'


def spread(weights: FloatArray) -> str:
    """Return the range of `weights` in words.

    >>> spread(np.array([0.25, 0.5, 0.75]))
    '0.25 to 0.75'
    """
    low, high = f"{weights.min():.2f}", f"{weights.max():.2f}"
    return low if low == high else f"{low} to {high}"


def source_names(count: int) -> list[str]:
    """Return names of the samples of a mix, the own one first.

    >>> source_names(3)
    ['sample', 'partner', 'partner 2']
    """
    return ["sample", "partner", *(f"partner {k}" for k in range(2, count))][:count]


def _key(count: int) -> str:
    marks = (
        f'<i class="mark" style="background: {SOURCES[k % len(SOURCES)]}"></i>{name}'
        for k, name in enumerate(source_names(count))
    )
    return f'<p class="scale">weight of the {" ".join(marks)}</p>'


def _bar(weights: FloatArray) -> str:
    """Return a bar divided by `weights` (K,), and the numbers."""
    parts = "".join(
        f'<i style="width: {100 * weight:.1f}%; background: {SOURCES[k % len(SOURCES)]}"></i>'
        for k, weight in enumerate(weights.tolist())
    )
    numbers = " + ".join(f"{weight:.2f}" for weight in weights.tolist())
    return f'<span class="bar" aria-hidden="true">{parts}</span> {numbers}'
