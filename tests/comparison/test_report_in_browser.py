"""The report opens from disk in a browser, without a network."""

import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from mixkit.comparison.settings import Settings

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)


class Text(HTMLParser):
    """Collects what a reader sees."""

    def __init__(self):
        super().__init__()
        self.words, self._hidden = [], 0

    def handle_starttag(self, tag, attributes):
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._hidden:
            self.words.append(data)


@pytest.fixture
def opened(tmp_path):
    """Return path -> (the page as the browser made it, its console)."""

    def show(path):
        command = [
            BROWSER,
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
            *("--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--v=0", "--dump-dom"),
            f"--user-data-dir={tmp_path / 'profile'}",
            path.as_uri(),
        ]
        environment = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return done.stdout, console

    return show


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
def test_a_report_with_every_kind_of_gallery_renders_without_errors(compare, opened):
    settings = Settings(folds=2, repeats=1, epochs=1, jobs=1, methods=("mixup", "cutmix", "automix"))
    summary, store = compare(settings)
    page, console = opened(store.folder / "report.html")
    assert console == []
    text = Text()
    text.feed(page)
    words = " ".join("".join(text.words).split())
    assert list(summary["problems"]) == ["digits", "crops", "keywords", "motifs", "blocks"]
    assert all(problem["title"] in words for problem in summary["problems"].values())
    assert page.count("<svg") >= 10
    assert page.count("<audio") >= 3
    assert (page.count('class="heat"'), page.count('class="bars"')) == (12, 6)
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)
