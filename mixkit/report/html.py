"""One standalone HTML file: everything inside, nothing loaded from elsewhere, the user's text escaped."""

import base64
import errno
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mixkit.report import formats, views
from mixkit.report.summary import GalleryItem, Summary

# Only comfort: without it the page shows everything, and snippets are copied by hand.
SCRIPT = """
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = document.getElementById(button.dataset.copies);
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = document.execCommand("copy") ? "copied" : "selected";
    }
  });
}
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
"""


def render(summary: Summary, gallery: Mapping[str, Sequence[GalleryItem]]) -> str:
    """Return the report of a comparison as one HTML page.

    Args:
        summary: the results, as in `summary.json`.
        gallery: problem -> mixed samples; their drawings go into the page as they are, captions are escaped.
    """
    return _page(
        "report.html",
        title=f"mixkit: {', '.join(summary['problems'])}",
        summary=summary,
        problems=views.problems(summary, gallery),
        across=views.across(summary),
        settings=views.pairs(summary["settings"]),
        took=formats.duration(summary["seconds"]),
    )


def render_gallery(title: str, notes: Sequence[str], items: Sequence[GalleryItem]) -> str:
    """Return mixed samples alone as one HTML page; their drawings go into the page as they are."""
    return _page("gallery.html", title=title, notes=notes, groups=views.groups(items))


def write(summary: Summary, gallery: Mapping[str, Sequence[GalleryItem]], path: Path) -> None:
    """Write the report of a comparison to `path`; see `write_page`."""
    write_page(render(summary, gallery), path)


def check_place(path: Path) -> None:
    """Raise OSError if `write_page` could not write `path`, before the work that ends there; nothing is left."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a file must be named, not a folder", str(path))
    beside = _beside(path)
    try:
        beside.touch()
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error
    beside.unlink()


def write_page(page: str, path: Path) -> None:
    """Write `page` to `path` as a whole or not at all: what was there stays if the disk is full.

    Raises:
        OSError: the file cannot be written.
    """
    beside = _beside(path)
    try:
        with beside.open("wb") as file:
            # names of files may hold bytes that are no text; they become question marks
            file.write(page.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _page(template: str, **content: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(script=Markup(SCRIPT), policy=_policy(), **content)


def _policy() -> str:
    """Return the page's own security policy: no network and no script but ours, should anything slip in."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
