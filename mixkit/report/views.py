"""What the HTML templates show of a comparison: text ready to print (not yet escaped) and charts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from mixkit.report import charts, formats, words
from mixkit.report.summary import Descriptive, Failure, GalleryItem, MethodSummary, ProblemSummary, Summary

DESCRIPTIVE: Mapping[str, str] = {
    "log_loss": "log loss",
    "log_loss_scaled": "log loss, scaled",
    "ece": "ECE",
    "ece_scaled": "ECE, scaled",
    "temperature": "temperature",
    "accuracy_noise": "accuracy under noise",
    "accuracy_pgd": "accuracy under PGD",
}
SIGNS = {"helps": "\u25b2", "hurts": "\u25bc", "equivalent": "\u25a0", "undecided": "\u25cf", "reference": ""}


@dataclass(frozen=True)
class MethodView:
    """One method's row and its details."""

    name: str
    verdict: str
    sign: str
    probability: str
    chances: str
    score: str
    difference: str
    time: str
    memory: str
    sentence: str
    summary: str
    paper: str
    configuration: list[tuple[str, str]]
    scores: str
    total: str


@dataclass(frozen=True)
class Chart:
    """An SVG element with its caption."""

    caption: str
    svg: Markup


@dataclass(frozen=True)
class Group:
    """The gallery of one method, and how its mixer was trained, if it learns."""

    method: str
    items: list[GalleryItem]
    trained: str | None


@dataclass(frozen=True)
class ProblemView:
    """One problem's section; `identity` is its anchor, which never holds the user's text."""

    identity: str
    name: str
    question: str
    answer: str
    facts: list[str]
    notes: list[str]
    legend: list[str]
    methods: list[MethodView]
    headings: list[str]
    descriptive: list[tuple[str, list[str]]]
    further_headings: list[str]
    further: list[tuple[str, list[str]]]
    charts: list[Chart]
    gallery: list[Group]
    winner: str | None
    snippet: str | None
    failures: list[Failure]


@dataclass(frozen=True)
class AcrossView:
    """The section over all problems: rows of a table, its legend and its chart."""

    rows: list[list[str]]
    legend: str
    charts: list[Chart]


def problems(summary: Summary, gallery: Mapping[str, Sequence[GalleryItem]]) -> list[ProblemView]:
    """Return one section per problem, in the order of the summary."""
    return [
        _problem(summary, name, f"problem-{number}", gallery.get(name, ()))
        for number, name in enumerate(summary["problems"], start=1)
    ]


def across(summary: Summary) -> AcrossView | None:
    """Return the section over all problems, or None where there is none."""
    if not summary["across"]:
        return None
    printed = words.across_scale(summary)
    rows = []
    for name, entry in summary["across"].items():
        mean = f"{printed.signed(entry['mean'])} {printed.interval(entry['low'], entry['high'])}"
        further = printed.interval(entry["prediction_low"], entry["prediction_high"])
        rows.append([name, str(entry["problems"]), mean, further, words.chances(entry["signed_rank"])])
    drawn = _charts([("Mean differences over all problems", charts.across(summary, "across"))])
    return AcrossView(rows, words.across_columns(printed), drawn)


def groups(items: Sequence[GalleryItem]) -> list[Group]:
    """Return a gallery by method, in the order in which methods first appear."""
    order: dict[str, list[GalleryItem]] = {}
    for item in items:
        order.setdefault(item.method, []).append(item)
    return [Group(method, group, group[0].trained) for method, group in order.items()]


def pairs(values: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return settings as text: JSON, but strings without their quotes."""
    return [(str(name), _text(value)) for name, value in (values or {}).items()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _problem(summary: Summary, name: str, identity: str, items: Sequence[GalleryItem]) -> ProblemView:
    problem = summary["problems"][name]
    found = {name: method.get("descriptive") or {} for name, method in problem["methods"].items()}
    headings, descriptive = _numbers(found, list(DESCRIPTIVE))
    others = dict.fromkeys(key for numbers in found.values() for key in numbers if key not in DESCRIPTIVE)
    further_headings, further = _numbers(found, list(others))
    return ProblemView(
        identity=identity,
        name=name,
        question=words.question(name),
        answer=words.answer(problem),
        facts=_facts(problem),
        notes=problem["notes"],
        legend=[text for text in _legend(problem) if text],
        methods=[_method(problem, method) for method in problem["methods"]],
        headings=headings,
        descriptive=descriptive,
        further_headings=further_headings,
        further=further,
        charts=_problem_charts(problem, identity),
        gallery=groups(items),
        winner=problem["winner"],
        snippet=problem["snippet"],
        failures=[failure for failure in summary["failures"] if failure["problem"] == name],
    )


def _facts(problem: ProblemSummary) -> list[str]:
    facts = [problem["title"], words.split(problem)]
    return [*facts, f"classes: {', '.join(problem['classes'])}"] if problem["classes"] else facts


def _legend(problem: ProblemSummary) -> list[str | None]:
    undecided = [name for name, method in problem["methods"].items() if method["verdict"] == "undecided"]
    return [
        words.columns(problem),
        words.meaning(problem),
        words.detectable(problem),
        *(words.sentence(problem, name) for name in undecided),
    ]


def _method(problem: ProblemSummary, name: str) -> MethodView:
    method = problem["methods"][name]
    printed, cost = words.problem_scale(problem), method.get("cost") or {}
    return MethodView(
        name=name,
        verdict=method["verdict"],
        sign=SIGNS[method["verdict"]],
        probability=words.verdict_chance(method),
        chances="" if method["verdict"] == "reference" else words.chances(method.get("probability")),
        score=words.score(problem, method),
        difference=words.difference(problem, method),
        time=formats.ratio(cost.get("seconds_per_epoch_ratio")),
        memory=formats.ratio(cost.get("peak_memory_ratio")),
        sentence=words.sentence(problem, name),
        summary=method.get("summary") or "",
        paper=method.get("paper") or "",
        configuration=pairs(method.get("configuration")),
        scores=", ".join(printed.number(value, decimals=printed.decimals + 1) for value in _cells(method)),
        total=formats.duration(cost.get("seconds")),
    )


def _cells(method: MethodSummary) -> list[float | None]:
    return method.get("scores") or []


def _numbers(found: Mapping[str, Descriptive], keys: Sequence[str]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Return headings and rows of the numbers `keys` beside the primary metric; those nobody has are left out."""
    keys = [key for key in keys if any(numbers.get(key) is not None for numbers in found.values())]
    rows = [(name, [_plain_number(numbers.get(key)) for key in keys]) for name, numbers in found.items()]
    return [DESCRIPTIVE.get(key, key) for key in keys], rows if keys else []


def _plain_number(value: float | None) -> str:
    return formats.UNKNOWN if value is None else f"{value:.3f}"


def _problem_charts(problem: ProblemSummary, identity: str) -> list[Chart]:
    band = f"Differences to {problem['reference']}; within the shaded band they count as equivalent."
    curves = "Learning curves, means over the runs."
    reliable = "Reliability before temperature scaling: on the diagonal, confidence equals accuracy."
    return _charts(
        [
            (band, charts.intervals(problem, f"{identity}-intervals")),
            (curves, charts.curves(problem, f"{identity}-curves")),
            (reliable, charts.reliability(problem, f"{identity}-reliability")),
        ]
    )


def _charts(drawn: Sequence[tuple[str, str | None]]) -> list[Chart]:
    # Our own SVG: user text in it was escaped when it was written.
    return [Chart(caption, Markup(svg)) for caption, svg in drawn if svg is not None]
