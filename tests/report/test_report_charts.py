"""Charts: well-formed, the same each time, many on one page, and true to the numbers."""

from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from mixkit.report import charts

SVG = "{http://www.w3.org/2000/svg}"
DRAWN = [charts.intervals, charts.curves, charts.reliability]


def texts(svg):
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def bands(svg):
    """Return left and right end of the paths that are filled with the colour of the band."""
    paths = ElementTree.fromstring(svg).iter(f"{SVG}path")
    return [path.get("d").split() for path in paths if charts.BAND in path.get("style", "")]


@pytest.mark.parametrize("draw", DRAWN)
def test_the_same_numbers_give_the_same_text(draw, summary):
    problem = summary["problems"]["digits"]
    assert draw(problem, "a") == draw(problem, "a")


def test_ids_are_unique_over_all_charts_of_a_page(summary):
    drawn = [draw(summary["problems"]["digits"], f"chart-{n}") for n, draw in enumerate(DRAWN)]
    drawn += [charts.intervals(summary["problems"]["digits"], "again"), charts.across(summary, "across")]
    found = [node.get("id") for svg in drawn for node in ElementTree.fromstring(svg).iter() if node.get("id")]
    assert len(found) > 100
    assert len(found) == len(set(found))


def test_every_reference_inside_a_chart_has_its_target(summary):
    svg = charts.intervals(summary["problems"]["digits"], "a")
    nodes = list(ElementTree.fromstring(svg).iter())
    ids = {node.get("id") for node in nodes}
    hrefs = {node.get("href").removeprefix("#") for node in nodes if node.get("href")}
    clips = {node.get("clip-path")[5:-1] for node in nodes if node.get("clip-path")}
    assert hrefs
    assert clips
    assert hrefs | clips <= ids


def test_a_chart_is_an_image_with_a_description(summary):
    root = ElementTree.fromstring(charts.intervals(summary["problems"]["digits"], "a"))
    assert root.get("role") == "img"
    assert "mixup: helps by 0.9 points [0.2, 1.6]" in root.get("aria-label")


def test_a_chart_has_no_style_sheet_that_would_reach_the_page(summary):
    root = ElementTree.fromstring(charts.curves(summary["problems"]["digits"], "a"))
    assert not list(root.iter(f"{SVG}style"))


def test_the_better_side_is_right_for_accuracy_and_left_for_rmse(summary):
    (accuracy,) = [t for t in texts(charts.intervals(summary["problems"]["digits"], "a")) if "better" in t]
    (rmse,) = [t for t in texts(charts.intervals(summary["problems"]["concrete"], "a")) if "better" in t]
    assert accuracy.index("worse") < accuracy.index("better")
    assert rmse.index("better") < rmse.index("worse")


def test_the_reference_has_no_row_among_the_differences(summary):
    labels = texts(charts.intervals(summary["problems"]["digits"], "a"))
    assert {"mixup", "mixupe", "label-smoothing", "manifold"} <= set(labels)
    assert "erm" not in labels


def test_a_wider_region_of_equivalence_is_a_wider_band(summary):
    problem = summary["problems"]["digits"]
    (narrow,) = bands(charts.intervals(problem, "a"))
    problem["rope"] = 0.01
    (wide,) = bands(charts.intervals(problem, "a"))
    # M left bottom L right bottom ...: the axis stays that of the intervals, so widths compare
    assert float(wide[4]) - float(wide[1]) == pytest.approx(2 * (float(narrow[4]) - float(narrow[1])), rel=1e-3)


def test_any_name_can_be_drawn(summary):
    problem = summary["problems"]["digits"]
    names = ["$x_{1}$", "_hidden", "<b>&'\"", "\x1b[31m\x00\nred", "\u65e5\u672c", "\udc80"]
    problem["methods"] |= dict.fromkeys(names, problem["methods"]["mixup"])
    for draw in DRAWN:
        svg = draw(problem, "a")
        ElementTree.fromstring(svg)
        assert "<b>" not in svg
    shown = [text.removeprefix("\N{ZERO WIDTH SPACE}") for text in texts(charts.curves(problem, "a"))]
    assert {charts.plain(name) for name in names} <= set(shown)


def test_what_nobody_measured_is_not_drawn(summary):
    problem = summary["problems"]["digits"]
    for method in problem["methods"].values():
        method.update(difference=None, curve=None, reliability=None)
    assert [draw(problem, "a") for draw in DRAWN] == [None, None, None]


def test_gaps_in_numbers_are_gaps_in_charts(summary):
    problem = summary["problems"]["digits"]
    problem["methods"]["mixup"].update(low=None, high=None)
    problem["methods"]["mixup"]["curve"] = {"epoch": [1], "train_loss": [None], "validation": [None]}
    problem["methods"]["mixup"]["reliability"] = {"confidence": [None], "accuracy": [None], "count": [0]}
    for draw in DRAWN:
        assert "nan" not in draw(problem, "a").lower().replace("nance", "")


def test_the_settings_of_the_user_are_neither_used_nor_changed(summary):
    problem = summary["problems"]["digits"]
    expected = charts.intervals(problem, "a")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert charts.intervals(problem, "a") == expected
        assert mpl.rcParams["font.size"] == 30
