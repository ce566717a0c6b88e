"""Charts of a comparison as SVG: intervals, learning curves, reliability diagrams, all problems together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mixkit.report import words
from mixkit.report.formats import Scale
from mixkit.report.summary import Curve, ProblemSummary, Reliability, Summary, plain
from mixkit.report.svg import own_settings, svg

INK, FAINT, BAND = "#1a1a1a", "#767676", "#dbe7f0"
# Okabe and Ito's palette, told apart with every kind of colour vision; without yellow, too faint on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a67c00", "#56b4e9")
DASHES = ("-", "--", "-.", ":")
VERDICT_COLOURS = {"helps": "#00785a", "hurts": "#c04a00", "equivalent": "#0072b2", "undecided": FAINT}
MARKERS = {"helps": "^", "hurts": "v", "equivalent": "s", "undecided": "o"}
WIDTH = 6.4
LONGEST_NAME = 22


@dataclass(frozen=True)
class _Bar:
    """One row of a forest plot, in printed units."""

    name: str
    verdict: str
    value: float
    inner: tuple[float, float] | None
    outer: tuple[float, float] | None = None


def intervals(problem: ProblemSummary, identity: str) -> str | None:
    """Return differences to the reference, their intervals, the band of equivalence; None: there are none."""
    factor = words.problem_scale(problem).factor
    bars = []
    for name, method in problem["methods"].items():
        value = method.get("difference")
        if value is not None and method["verdict"] != "reference":
            inner = _pair(method.get("low"), method.get("high"), factor)
            bars.append(_Bar(name, method["verdict"], value * factor, inner))
    if not bars:
        return None
    sentences = [words.sentence(problem, bar.name) for bar in bars]
    description = f"Differences to {problem['reference']} with intervals. {'; '.join(sentences)}"
    sides = ("worse", "better") if problem["higher_is_better"] else ("better", "worse")
    unit = _unit(words.problem_scale(problem), problem["metric"])
    label = _label(sides, f"difference to {problem['reference']}{unit}")
    with own_settings():
        return svg(_forest(bars, problem["rope"] * factor, label), identity, plain(description))


def across(summary: Summary, identity: str) -> str | None:
    """Return the mean differences over all problems: thick the interval, thin where a next problem lies."""
    printed = words.across_scale(summary)
    bars, sentences = [], []
    for name, entry in (summary["across"] or {}).items():
        if entry["mean"] is None:
            continue
        inner = _pair(entry["low"], entry["high"], printed.factor)
        outer = _pair(entry["prediction_low"], entry["prediction_high"], printed.factor)
        bars.append(_Bar(name, "undecided", entry["mean"] * printed.factor, inner, outer))
        found = f"{printed.signed(entry['mean'])} {printed.interval(entry['low'], entry['high'])}"
        sentences.append(f"{name}: {found}")
    if not bars:
        return None
    label = _label(("worse", "better"), f"mean difference{_unit(printed, '')}")
    with own_settings():
        return svg(_forest(bars, None, label), identity, plain(f"Mean differences. {'; '.join(sentences)}"))


def curves(problem: ProblemSummary, identity: str) -> str | None:
    """Return training loss and validation score by epoch, all methods in each; None: there are none."""
    found = {name: curve for name, method in problem["methods"].items() if (curve := method.get("curve"))}
    if not found:
        return None
    factor = words.problem_scale(problem).factor
    with own_settings():
        figure = Figure(figsize=(WIDTH, 2.5 + 0.2 * ((len(found) + 3) // 4)), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.set_title("training loss", loc="left")
        right.set_title(f"validation: {plain(problem['metric'])}{_unit_of_score(problem)}", loc="left")
        lines = [_curve(left, right, curve, factor, _look(problem, name)) for name, curve in found.items()]
        for axes in (left, right):
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        figure.legend(lines, [_short(name) for name in found], loc="outside lower center", ncols=4, frameon=False)
        return svg(figure, identity, plain(f"Learning curves of {', '.join(found)}"))


def reliability(problem: ProblemSummary, identity: str) -> str | None:
    """Return a reliability diagram per method (confidence against accuracy); None: no method has one."""
    found = {name: bins for name, m in problem["methods"].items() if (bins := m.get("reliability"))}
    if not found:
        return None
    columns = 4
    rows = -(-len(found) // columns)
    with own_settings():
        figure = Figure(figsize=(WIDTH, 1.85 * rows + 0.2), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for cell, axes in enumerate(grid.flat):
            axes.set_visible(cell < len(found))
            axes.tick_params(labelbottom=cell + columns >= len(found))
        for axes, (name, bins) in zip(grid.flat, found.items(), strict=False):  # the grid may have cells left over
            _diagram(axes, name, bins, _look(problem, name)[0])
        figure.supxlabel("confidence", fontsize=9)
        figure.supylabel("accuracy", fontsize=9)
        description = f"Reliability diagrams of {', '.join(found)}: on the diagonal, confidence equals accuracy"
        return svg(figure, identity, plain(description))


def _forest(bars: Sequence[_Bar], rope: float | None, label: str) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.75 + 0.3 * len(bars)), layout="constrained")
    axes = figure.subplots()
    if rope:
        axes.axvspan(-rope, rope, color=BAND, linewidth=0)
    axes.axvline(0, color=FAINT, linewidth=0.8)
    for row, bar in enumerate(bars):
        colour = VERDICT_COLOURS.get(bar.verdict, FAINT) if bar.outer is None else COLOURS[0]
        if bar.outer is not None:
            axes.plot(bar.outer, (row, row), color=colour, linewidth=1)
        if bar.inner is not None:
            axes.plot(bar.inner, (row, row), color=colour, linewidth=2.6)
        axes.plot(bar.value, row, MARKERS.get(bar.verdict, "o"), color=colour, markersize=7)
    axes.set_yticks(range(len(bars)), [_short(bar.name) for bar in bars])
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.spines.left.set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(plain(label))
    return figure


def _curve(left: Axes, right: Axes, curve: Curve, factor: float, look: tuple[str, str]) -> Line2D:
    colour, dashes = look
    # None becomes NaN, which matplotlib leaves out of the line
    loss = np.array(curve["train_loss"], dtype=np.float64)
    validation = np.array(curve["validation"], dtype=np.float64) * factor
    single = "." if len(curve["epoch"]) == 1 else ""
    (line,) = left.plot(curve["epoch"], loss, color=colour, linestyle=dashes, linewidth=1.4, marker=single)
    right.plot(curve["epoch"], validation, color=colour, linestyle=dashes, linewidth=1.4, marker=single)
    return line


def _diagram(axes: Axes, name: str, bins: Reliability, colour: str) -> None:
    axes.plot((0, 1), (0, 1), color=FAINT, linewidth=0.8, linestyle=":")
    filled = [
        (confidence, accuracy, count)
        for confidence, accuracy, count in zip(bins["confidence"], bins["accuracy"], bins["count"], strict=True)
        if confidence is not None and accuracy is not None
    ]
    if filled:
        confidence, accuracy, count = (np.array(column, dtype=np.float64) for column in zip(*filled, strict=True))
        axes.plot(confidence, accuracy, color=colour, linewidth=1)
        # area says how many rows a bin holds, with a floor that keeps small ones visible
        axes.scatter(confidence, accuracy, s=4 + 40 * count / max(count.sum(), 1.0), color=colour, linewidths=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
    axes.set_yticks((0, 0.5, 1), ("0", "0.5", "1"))
    axes.set_title(_short(name), loc="left")


def _look(problem: ProblemSummary, name: str) -> tuple[str, str]:
    """Return colour and line style of a method; the reference is always drawn in ink."""
    if name == problem["reference"]:
        return INK, "-"
    rank = [other for other in problem["methods"] if other != problem["reference"]].index(name)
    return COLOURS[rank % len(COLOURS)], DASHES[rank // len(COLOURS) % len(DASHES)]


def _short(name: str) -> str:
    text = plain(name)
    # a leading underscore would make matplotlib leave the entry out of a legend
    text = text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
    return f"\N{ZERO WIDTH SPACE}{text}" if text.startswith("_") else text


def _label(sides: tuple[str, str], text: str) -> str:
    return f"{sides[0]}  \N{LEFTWARDS ARROW}  {text}  \N{RIGHTWARDS ARROW}  {sides[1]}"


def _pair(low: float | None, high: float | None, factor: float) -> tuple[float, float] | None:
    return None if low is None or high is None else (low * factor, high * factor)


def _unit(printed: Scale, fallback: str) -> str:
    return f" in{printed.unit}" if printed.unit else f" in {fallback}" if fallback else ""


def _unit_of_score(problem: ProblemSummary) -> str:
    unit = words.problem_scale(problem).score_unit
    return f", {unit}" if unit else ""
