"""Weights as colours and bars: the right pixels, the right widths, and the user's text escaped."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from mixkit.report.weights import MOST_BARS, OVERLAY, bars, colour, colours, heat, maps, scale, spread


def pixels(fragment):
    """Return the pixels of each image in a fragment, as floats."""
    found = re.findall(r"data:image/png;base64,([^\"]+)", fragment)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), dtype=float) for data in found]


def luminance(red, green, blue):
    """Return the relative luminance of an sRGB colour, as WCAG defines it."""
    parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_an_even_mix_is_grey_and_the_ends_are_told_apart_without_hue():
    for even in (0.5, 1 / 3):
        red, green, blue = colours(np.array(even), even).tolist()
        assert red == green == blue
    low, high = (luminance(*colours(np.array(weight)).tolist()) for weight in (0.0, 1.0))
    assert (high + 0.05) / (low + 0.05) > 1.5


def test_colours_change_evenly_on_both_sides_of_an_even_mix():
    line = colours(np.array([0.0, 1 / 6, 1 / 3, 2 / 3, 1.0]), even=1 / 3).astype(float)
    np.testing.assert_allclose(line[1], (line[0] + line[2]) / 2, atol=0.51)
    np.testing.assert_allclose(line[3], (line[2] + line[4]) / 2, atol=0.51)


def test_a_map_is_the_picture_under_the_colours_of_its_weights():
    picture = np.array([[0.0, 1.0], [0.5, 2.0]])
    weights = np.array([[0.0, 0.25], [0.5, 1.0]])
    (drawn,) = pixels(heat(picture, weights, "weight of the sample"))
    grey = 255 * np.array([[0.0, 1.0], [0.5, 1.0]])[..., None]
    np.testing.assert_allclose(drawn, (1 - OVERLAY) * grey + OVERLAY * colours(weights).astype(float), atol=0.51)


def test_a_map_says_in_words_what_it_shows_and_escapes_it():
    weights = np.array([[0.1, 0.2], [0.3, 0.6]])
    assert 'alt="weight of &quot;x&quot;: 0.10 to 0.60, mean 0.30"' in heat(weights, weights, 'weight of "x"')


def test_maps_of_a_mix_come_in_the_order_of_its_samples_with_one_scale():
    pictures, weights = [np.zeros((2, 2))] * 3, np.array([0.2, 0.3, 0.5])[:, None, None] * np.ones((3, 2, 2))
    fragment = maps(pictures, weights)
    assert re.findall(r"<span>([^<]+)</span>", fragment) == [
        "sample's weight",
        "0.20",
        "partner's weight",
        "0.30",
        "partner 2's weight",
        "0.50",
    ]
    for drawn, weight in zip(pixels(fragment), (0.2, 0.3, 0.5), strict=True):
        np.testing.assert_allclose(drawn[0, 0], OVERLAY * colours(np.array(weight), 1 / 3).astype(float), atol=0.51)
    assert fragment.count('class="scale"') == 1
    assert f"{colour(1 / 3, 1 / 3)} 33%" in fragment


def test_the_scale_runs_from_the_colour_of_0_to_the_colour_of_1():
    assert f"{colour(0.0)} 0%, {colour(0.5)} 50%, {colour(1.0)} 100%" in scale()


def test_a_bar_is_divided_by_the_weights():
    weights = np.array([[0.25, 0.5], [0.75, 0.5]])
    fragment = bars(["column"], [["a"], ["b"]], weights)
    assert re.findall(r"width: ([\d.]+)%", fragment) == ["25.0", "75.0", "50.0", "50.0"]
    assert re.findall(r"</span> ([\d. +]+)</td>", fragment) == ["0.25 + 0.75", "0.50 + 0.50"]
    assert re.findall(r"</i>(\w+)", fragment.rpartition("<p")[2]) == ["sample", "partner"]


def test_the_names_and_values_beside_bars_are_escaped():
    fragment = bars(["<b>"], [["<script>", "<i>&"]], np.array([[0.5], [0.5]]))
    assert not re.search(r"<(b|script)>", fragment)
    assert "&lt;script&gt;" in fragment
    assert "&lt;i&gt;&amp;" in fragment


def test_of_many_bars_the_most_uneven_are_shown_in_their_order_and_the_rest_counted():
    own = np.full(50, 0.5)
    own[[3, 40]] = 0.9, 0.1
    fragment = bars(["column"], [[f"c{j}"] for j in range(50)], np.stack([own, 1 - own]))
    names = re.findall(r'scope="row">c(\d+)<', fragment)
    assert len(names) == MOST_BARS
    assert {"3", "40"} < set(names)
    assert names == sorted(names, key=int)
    assert f"and {50 - MOST_BARS} more, with own weights of 0.50<" in fragment


@pytest.mark.parametrize(("values", "words"), [([0.5, 0.501], "0.50"), ([0.0, 1.0], "0.00 to 1.00")])
def test_a_range_that_rounds_to_one_number_is_one_number(values, words):
    assert spread(np.array(values)) == words
