"""Numbers and verdicts in words: what the terminal's table and the HTML report both say."""

from typing import Literal

from mixkit.report.formats import SHARES, UNKNOWN, Scale, chance, scale
from mixkit.report.summary import MethodSummary, Probability, ProblemSummary, Summary

FEWEST_CELLS = 6  # with fewer no verdict is given


def problem_scale(problem: ProblemSummary) -> Scale:
    """Return how the primary metric of `problem` is printed."""
    return scale(problem["metric"], problem["rope"])


def across_scale(summary: Summary) -> Scale:
    """Return how differences across problems are printed: in points if all of them have shares as metrics."""
    metrics = {problem["metric"] for problem in summary["problems"].values()}
    return Scale(100.0, "%", " points", 2) if metrics <= SHARES else Scale(1.0, "", "", 3)


def chances(probability: Probability | None) -> str:
    """Return the three probabilities in words, or a dash."""
    if probability is None:
        return UNKNOWN
    return ", ".join(f"{name} {chance(probability[name])}" for name in ("helps", "equivalent", "hurts"))


def verdict_chance(method: MethodSummary) -> str:
    """Return the probability of a method's verdict; empty where the verdict claims nothing."""
    probability, verdict = method.get("probability"), method["verdict"]
    if probability is None or verdict == "undecided":
        return ""
    return "" if verdict == "reference" else chance(probability[verdict])


def score(problem: ProblemSummary, method: MethodSummary, plus_minus: str = "\N{PLUS-MINUS SIGN}") -> str:
    """Return "score +- standard deviation over the runs", without unit."""
    printed = problem_scale(problem)
    middle, spread = printed.number(method.get("score")), method.get("score_sd")
    return middle if spread is None else f"{middle} {plus_minus} {printed.number(spread)}"


def difference(problem: ProblemSummary, method: MethodSummary, unit: str = "") -> str:
    """Return "difference [low, high]", signed, with `unit` between; a dash for the reference."""
    printed = problem_scale(problem)
    value, low, high = method.get("difference"), method.get("low"), method.get("high")
    if method["verdict"] == "reference" or value is None:
        return UNKNOWN
    return f"{printed.signed(value)}{unit} {printed.interval(low, high)}"


def size(printed: Scale, method: MethodSummary) -> str:
    """Return how large a difference is, without its sign: "0.9 points [0.2, 1.6]"."""
    value, low, high = method.get("difference"), method.get("low"), method.get("high")
    if value is None:
        return "an unknown amount"
    if value < 0:
        value, low, high = -value, None if high is None else -high, None if low is None else -low
    return f"{printed.number(value)}{printed.unit} {printed.interval(low, high)}"


def sentence(problem: ProblemSummary, name: str) -> str:
    """Return what was found out about method `name`, e.g. "mixup: helps by 0.9 points [0.2, 1.6]"."""
    method, printed = problem["methods"][name], problem_scale(problem)
    verdict = method["verdict"]
    likely = f" (probability {verdict_chance(method)})" if verdict_chance(method) else ""
    if verdict == "reference":
        return f"{name}: the reference, {problem['metric']} {score(problem, method)}{_score_unit(printed)}"
    if verdict in ("helps", "hurts"):
        return f"{name}: {verdict} by {size(printed, method)}{likely}"
    found = difference(problem, method, printed.unit)
    if verdict == "equivalent":
        within = f"{printed.number(problem['rope'])}{printed.unit}"
        return f"{name}: equivalent to {problem['reference']} within {within}, {found}{likely}"
    return f"{name}: undecided, {found}{_odds(method)}{_more_runs(problem, method)}"


def _score_unit(printed: Scale) -> str:
    return f" {printed.score_unit}" if printed.score_unit else ""


def _odds(method: MethodSummary) -> str:
    return f" ({chances(method.get('probability'))})" if method.get("probability") else ""


def _more_runs(problem: ProblemSummary, method: MethodSummary) -> str:
    done, needed = len(method.get("scores") or []), method.get("runs_needed")
    if problem["split"].get("kind") == "resampled" and done < FEWEST_CELLS:
        return f"; {done} runs are too few for a verdict"
    return f"; about {needed} runs needed, {done} done" if needed is not None else ""


def question(name: str) -> str:
    """Return what a comparison on problem `name` asks."""
    return f"Does mixing help on {name}?"


def answer(problem: ProblemSummary) -> str:
    """Return the shortest true answer for one problem; on an official split it is "for this training set"."""
    scope = " for this training set" if problem["split"].get("kind") == "official" else ""
    winner = problem["winner"]
    if winner is not None and winner != problem["reference"]:
        helps = [name for name, method in problem["methods"].items() if method["verdict"] == "helps"]
        others = ", ".join(name for name in helps if name != winner)
        return f"{sentence(problem, winner)}{scope}{f'; also helps: {others}' if others else ''}."
    found = "; ".join(_by_verdict(problem))
    return f"No method was shown to help{scope}; {found}." if found else f"Nothing was compared{scope}."


def _by_verdict(problem: ProblemSummary) -> list[str]:
    names = {
        verdict: [name for name, method in problem["methods"].items() if method["verdict"] == verdict]
        for verdict in ("helps", "equivalent", "undecided", "hurts")
    }
    return [f"{verdict}: {', '.join(found)}" for verdict, found in names.items() if found]


def columns(problem: ProblemSummary) -> str:
    """Return what the columns of a table of results hold."""
    printed, reference = problem_scale(problem), problem["reference"]
    unit = f" in {printed.score_unit}" if printed.score_unit else ""
    lower = "" if problem["higher_is_better"] else " (lower is better)"
    points = f" in{printed.unit}" if printed.unit else ""
    return (
        f"score: {problem['metric']}{unit}{lower}, mean and standard deviation over the runs; "
        f"difference: to {reference}{points}, with an interval (95 % for all methods together); "
        f"time: per epoch, relative to {reference}."
    )


def meaning(problem: ProblemSummary) -> str:
    """Return in one line what the verdicts mean for this problem."""
    printed, reference = problem_scale(problem), problem["reference"]
    within = f"{printed.number(problem['rope'])}{printed.unit}"
    return (
        f"helps, hurts: better or worse than {reference} by more than {within}; equivalent: within {within}; "
        "undecided: these runs cannot tell."
    )


def detectable(problem: ProblemSummary) -> str | None:
    """Return which difference the runs could detect, or None where it is not known."""
    printed = problem_scale(problem)
    values = [value for m in problem["methods"].values() if (value := m.get("detectable")) is not None]
    if not values:
        return None
    low, high = printed.number(min(values)), printed.number(max(values))
    reach = low if low == high else f"{low} to {high}"
    return f"These runs can detect a difference of about {reach}{printed.unit}."


def split(problem: ProblemSummary) -> str:
    """Return how the rows were split, e.g. "2 x 5 folds: 10 runs per method, 1,222 rows to train, ..."."""
    cut = problem["split"]
    rows = ", ".join(f"{cut[part]:,} {verb}" for part, verb in _PARTS if part in cut)
    if cut.get("kind") == "official":
        return f"official split, {cut.get('seeds', UNKNOWN)} seeds per method; rows: {rows}"
    folds, repeats = cut.get("folds", 0), cut.get("repeats", 0)
    return f"{repeats} x {folds} folds, {folds * repeats} runs per method; rows: {rows}"


_PARTS: tuple[tuple[Literal["train", "validation", "test"], str], ...] = (
    ("train", "to train"),
    ("validation", "to validate"),
    ("test", "to test"),
)


def across_columns(printed: Scale) -> str:
    """Return what the columns of the table over all problems hold."""
    unit = f" in{printed.unit}" if printed.unit else ""
    return (
        f"Positive is better. mean difference{unit}: random-effects mean with a 95 % interval; "
        "next problem: where the difference on a further problem is expected; "
        "helps, same, hurts: signed-rank probabilities."
    )
