"""The HTML report: standalone, well-formed, escaped, written as a whole or not at all."""

import base64
import errno
import hashlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from mixkit.report import GalleryItem, html

HOSTILE = "<script>alert(1)</script>\"'>&"
VOID = {"meta", "img", "br", "link", "input", "source"}


class Parsed(HTMLParser):
    """Collects what a page holds, and fails on tags that do not match."""

    def __init__(self, page):
        super().__init__()
        self.open, self.ids, self.addresses, self.handlers, self.text = [], [], [], [], []
        self.scripts, self.tags = [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            self.ids += [value] if name == "id" else []
            self.addresses += [value] if name in {"src", "href", "srcset", "action", "data"} else []
            self.handlers += [name] if name.startswith("on") else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open and self.open[-1] == "script" else self.text).append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def test_the_page_is_well_formed_and_its_ids_are_unique(page):
    parsed = Parsed(page)
    assert len(parsed.ids) > 100
    assert len(parsed.ids) == len(set(parsed.ids))


def test_the_page_loads_nothing_from_elsewhere(page):
    assert all(address.startswith(("#", "data:")) for address in Parsed(page).addresses)
    assert not re.search(r"@import|url\((?!#)", page)


def test_every_link_has_its_target(page):
    parsed = Parsed(page)
    assert {address[1:] for address in parsed.addresses if address.startswith("#")} <= set(parsed.ids)


def test_the_answers_stand_on_top(page):
    text = Parsed(page).words
    answer = "Does mixing help on digits? mixup: helps by 0.9 points [0.2, 1.6] (probability 0.98)."
    assert 0 < text.index(answer) < text.index("2 x 5 folds")
    assert "No method was shown to help for this training set; hurts: mixup." in text


def test_the_snippet_of_the_winner_can_be_copied(page):
    assert "mixup in your own loop" in page
    assert 'data-copies="problem-1-snippet" hidden' in page
    assert 'id="problem-1-snippet">mixer = mixkit.Mixer(mix, task)' in page


def test_details_hold_configuration_scores_command_and_settings(page):
    text = Parsed(page).words
    for detail in ("alpha 1.0", "97.00, 98.00", "mixkit compare --folds 5", "jobs 2", "Zhang et al. 2018"):
        assert detail in text


def test_columns_that_nobody_measured_are_left_out(page):
    text = Parsed(page).words
    assert "log loss, scaled" in text
    assert "accuracy under PGD" not in text


def test_missing_extras_and_failures_are_on_the_page(page):
    text = Parsed(page).words
    assert 'Not installed: audio. To add it: pip install "mixkit[audio]"' in text
    assert "Failed: cutmix: loss became infinite" in text


def poisoned(value):
    """Return a copy in which every name, and every text that is not part of the contract, is hostile."""
    if isinstance(value, dict):
        return {key: poisoned(item) if key not in {"kind", "verdict"} else item for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return f"{value}{HOSTILE}" if isinstance(value, str) else value


def poison_names(summary):
    for problem in summary["problems"].values():
        problem["methods"] = {name + HOSTILE: method for name, method in problem["methods"].items()}
        for method in problem["methods"].values():
            method["configuration"] = {HOSTILE: HOSTILE}
    summary["problems"] = {name + HOSTILE: problem for name, problem in summary["problems"].items()}
    summary["across"] = {name + HOSTILE: entry for name, entry in summary["across"].items()}
    summary["settings"] = {HOSTILE: [HOSTILE]}
    return summary


def test_text_of_the_user_never_becomes_markup(summary, gallery):
    hostile = poison_names(poisoned(summary))
    items = {
        f"{name}{HOSTILE}": [GalleryItem(HOSTILE, i.own, i.partner, i.mixed, HOSTILE) for i in group]
        for name, group in gallery.items()
    }
    source = html.render(hostile, items)
    page = Parsed(source)
    assert page.scripts == [html.SCRIPT]
    assert page.handlers == []
    assert page.tags.count("script") == 1
    assert source.count("<script>") == 1
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    # all of it arrives as text: names of problems, methods, classes, captions
    assert page.words.count("alert(1)") > 50


def test_a_gallery_alone_escapes_title_notes_methods_and_captions():
    item = GalleryItem(HOSTILE, "<b>own</b>", "<b>partner</b>", None, HOSTILE)
    source = html.render_gallery(HOSTILE, [HOSTILE], [item])
    page = Parsed(source)
    assert source.count("<script>") == 1
    assert page.words.count("<script>alert(1)</script>") == 5  # title, heading, note, method, caption
    assert "<b>own</b>" in source


def test_a_gallery_says_where_nothing_can_be_drawn(gallery):
    page = html.render_gallery("digits", [], gallery["digits"])
    assert page.count("inside the network: nothing to draw") == 1
    assert page.count("<img") == 5


def test_a_learned_mixer_s_training_is_told_once_a_method_and_escaped():
    items = [GalleryItem("automix", "o", "p", "m", "c", trained=HOSTILE)] * 2 + [
        GalleryItem("mixup", "o", "p", "m", "c")
    ]
    page = html.render_gallery("digits", [], items)
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 1
    assert page.index("Mixed by automix") < page.index("&lt;script&gt;alert(1)") < page.index("Mixed by mixup")


def test_further_partners_are_numbered_and_stand_before_the_mixture():
    item = GalleryItem(
        "m", "<b>own</b>", "<b>first</b>", "<b>mixed</b>", "c", further=("<b>second</b>", "<b>third</b>")
    )
    page = html.render_gallery("digits", [], [item])
    shown = re.findall(r"<span>([^<]*)</span><b>(\w+)</b>", page)
    assert shown == [
        ("sample", "own"),
        ("partner", "first"),
        ("partner 2", "second"),
        ("partner 3", "third"),
        ("mixed", "mixed"),
    ]


def test_weights_are_drawn_below_the_pair_and_only_where_there_are_any():
    with_weights = GalleryItem("m", "o", "p", "x", "caption", weights="<b>weights</b>")
    page = html.render_gallery("digits", [], [with_weights, GalleryItem("m", "o", "p", "x", "caption")])
    assert page.count('<div class="weights"><b>weights</b></div>') == 1
    assert page.count('<div class="weights">') == 1


def test_a_place_that_cannot_be_written_to_is_found_before_and_leaves_nothing(tmp_path):
    html.check_place(tmp_path / "new.html")
    (tmp_path / "old.html").write_text("old")
    html.check_place(tmp_path / "old.html")
    assert [path.name for path in tmp_path.iterdir()] == ["old.html"]
    assert (tmp_path / "old.html").read_text() == "old"
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*nowhere/new\.html'"):
        html.check_place(tmp_path / "nowhere" / "new.html")
    with pytest.raises(IsADirectoryError, match="a file must be named, not a folder"):
        html.check_place(tmp_path)


def test_the_policy_of_the_page_allows_its_own_script_and_no_other(page):
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1).replace("&#39;", "'")
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")


def test_a_report_is_written_as_utf8_and_reads_back(summary, gallery, tmp_path):
    path = tmp_path / "report.html"
    html.write(summary, gallery, path)
    assert path.read_bytes().decode("utf-8") == html.render(summary, gallery)
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_report_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        html.write_page("new", path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_are_no_text_do_not_stop_the_report(summary, tmp_path):
    summary["problems"]["digits"]["notes"] = ["unreadable: \udcff.png"]
    html.write(summary, {}, tmp_path / "report.html")
    assert b"unreadable: ?.png" in (tmp_path / "report.html").read_bytes()


IMPORTS = """
import sys, mixkit.report
assert not {"matplotlib", "jinja2", "rich"} & set(sys.modules), "the package alone is light"
import mixkit.report.html, mixkit.report.charts
assert "matplotlib.pyplot" not in sys.modules, "charts need no pyplot"
"""


def test_importing_loads_neither_heavy_parts_early_nor_pyplot_ever():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
