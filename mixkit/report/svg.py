"""A matplotlib figure as an SVG element that can stand with others in one HTML page."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
    "svg.hashsalt": "mixkit",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.0,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
}
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw with the same settings for everyone, whatever the user's matplotlibrc says, then restore."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def svg(figure: Figure, identity: str, description: str) -> str:
    """Return `figure` as an SVG element.

    The same figure always gives the same text.  Must be called inside `own_settings`.

    Args:
        figure: a figure made without pyplot.
        identity: prefix of all ids inside, which makes them unique in the page; letters, digits and hyphens.
        description: what the picture shows, for those who cannot see it.
    """
    root = ElementTree.fromstring(_draw(figure))
    for parent in list(root.iter()):
        for child in list(parent):
            # matplotlib's style sheet would apply to the whole page, its metadata carry the versions of parts
            if child.tag.endswith(("}style", "}metadata")):
                parent.remove(child)
    for element in root.iter():
        _without_namespace(element)
        _prefix(element, identity)
    root.set("xmlns", "http://www.w3.org/2000/svg")
    root.set("style", "stroke-linejoin: round; stroke-linecap: butt")
    root.set("class", "chart")
    root.set("role", "img")
    root.set("aria-label", description)
    return ElementTree.tostring(root, encoding="unicode")


def _draw(figure: Figure) -> str:
    target = io.StringIO()
    with warnings.catch_warnings():
        # the browser has the letters that matplotlib's own font lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(target, format="svg", transparent=True, metadata=nothing)
    return target.getvalue()


def _without_namespace(element: ElementTree.Element) -> None:
    # Inside HTML, SVG elements need no namespace, and `href` has taken the place of `xlink:href`.
    element.tag = element.tag.rpartition("}")[2]
    for name in [name for name in element.attrib if name.startswith("{")]:
        element.set(name.rpartition("}")[2], element.attrib.pop(name))


def _prefix(element: ElementTree.Element, identity: str) -> None:
    for name, value in element.attrib.items():
        if name == "id":
            element.set(name, f"{identity}-{value}")
        elif name == "href":
            element.set(name, f"#{identity}-{value.removeprefix('#')}")
        elif "url(#" in value:
            element.set(name, _REFERENCE.sub(rf"url(#{identity}-\1)", value))
