"""`mixkit compare` from settings to report: estimate, run, judge, write."""

import datetime
import time
from collections.abc import Mapping, Sequence

import joblib
import numpy as np

import mixkit
from mixkit.comparison.entry import Entry, open_entries, with_budget
from mixkit.comparison.gallery import gallery
from mixkit.comparison.grid import Failure, execute_grid
from mixkit.comparison.judge import REFERENCE, Design, judge
from mixkit.comparison.learned_gallery import unpacked
from mixkit.comparison.metrics import default_rope
from mixkit.comparison.official import FEWEST_SEEDS
from mixkit.comparison.problems import DataError
from mixkit.comparison.resampled import FEWEST_CELLS
from mixkit.comparison.run import FURTHER
from mixkit.comparison.screen import Screen
from mixkit.comparison.settings import Settings
from mixkit.comparison.snippet import snippet
from mixkit.comparison.statistics import across_problems, detectable_before
from mixkit.comparison.store import Record, Store
from mixkit.comparison.workplace import Job, Workplace, workplace
from mixkit.files import plural
from mixkit.method import methods
from mixkit.randomness import derived_generator
from mixkit.report.formats import duration
from mixkit.report.html import write
from mixkit.report.summary import GalleryItem, MethodSummary, ProblemSummary, Split, Summary

MOST_REPEATS = 8
START_UP = 4.0  # seconds until worker processes are at work


def run_comparison(settings: Settings, store: Store, screen: Screen, command: str) -> Summary:
    """Run a comparison to its end and return its summary; everything is in the store as it goes.

    Args:
        settings: what the user chose.
        store: the folder; runs that are there already are not run again.
        screen: where progress is shown.
        command: as typed, for the report.

    Raises:
        DataError: the data cannot be used.
        ValueError: a setting is wrong.
        OSError: the folder cannot be written to.
    """
    started = time.monotonic()
    entries, missing = open_entries(settings)
    workers = settings.jobs or (joblib.cpu_count() if (settings.device or "cpu") == "cpu" else 1)
    for entry in entries:
        announce(entry, screen)
    settings = budgeted(entries, settings, workers)
    done = store.records()
    for entry in entries:
        entry.measure(dict.fromkeys(job.run.method for job in entry.todo(done)))
    store.save_settings(settings.stored_form())
    forecast(entries, done, workers, screen)
    screen.note(f"Results go to {store.folder}")
    with workplace(workers) as place:
        failures = run_all(entries, store, place, workers, screen)
        if failures and not store.records():
            raise DataError(f"no run could be finished; the first: {failures[0].method}: {failures[0].message}")
        problems = {entry.problem.name: summarise(entry, store, entry.repeats) for entry in entries}
        for entry in entries if settings.until_decided else []:
            problems[entry.problem.name], more = decide(entry, store, place, workers, screen)
            failures += more
    summary: Summary = {
        "mixkit": mixkit.__version__,
        "command": command,
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "settings": {key: value for key, value in settings.said().items() if key not in ("budgeted", "run_seconds")},
        "seconds": time.monotonic() - started,
        "problems": problems,
        "across": across_problems(problems) if len(problems) > 1 else None,
        "missing": [{"what": item.what, "remedy": item.remedy} for item in missing],
        "failures": [{"problem": f.problem, "method": f.method, "message": f.message} for f in failures],
    }
    store.save_json("summary.json", summary)
    write(summary, galleries(entries, problems, store), store.folder / "report.html")
    return summary


def budgeted(entries: Sequence[Entry], settings: Settings, workers: int) -> Settings:
    """Return `settings` with epochs for what the time budget has not been turned into yet; the entries take them."""
    if settings.time_budget is None:
        return settings
    for entry in entries:
        entry.measure(entry.unbudgeted)
    settings = with_budget(entries, settings, workers)
    for entry in entries:
        entry.take_budget(settings)
    return settings


def announce(entry: Entry, screen: Screen) -> None:
    """Say what the data are, and what a reader must know of them."""
    screen.note(entry.problem.title)
    for note in entry.problem.notes:
        screen.note(f"  {note}")
    if entry.problem.grouped_look:
        screen.note(f"  warning: {entry.problem.grouped_look}")


def forecast(entries: Sequence[Entry], done: Mapping[str, Record], workers: int, screen: Screen) -> None:
    """Say how many runs there will be, about how long, and which difference they can detect."""
    todo = [(entry, job) for entry in entries for job in entry.todo(done)]
    there = sum(len(entry.jobs()) for entry in entries) - len(todo)
    seconds = sum(entry.seconds(job.run.method) for entry, job in todo) / workers + START_UP * (workers > 1)
    reused = f", {there} more are there already" if there else ""
    took = f"; about {duration(seconds)} on {plural(workers, 'process')}" if todo else ""
    screen.note(f"{plural(len(todo), 'run')}{reused}{took}")
    for entry in entries:
        cells = plural(len(entry.cells()), "seed" if entry.official else "split")
        screen.note(f"  {entry.problem.name}: {cells}, {plural(len(entry.methods), 'method')}; {detectable(entry)}")


def detectable(entry: Entry) -> str:
    """Return which difference the design can detect, in words."""
    cells, fewest = entry.cells(), FEWEST_SEEDS if entry.official else FEWEST_CELLS
    if len(cells) < fewest:
        return f"too few for a verdict, which needs {fewest}"
    if entry.metrics[0].name != "accuracy":
        return "what difference that can detect is seen once runs have shown how far they scatter"
    difference = detectable_before(
        n_test=max(2, len(cells[0].test)),
        cells=len(cells),
        n_train=len(cells[0].train) + len(cells[0].validation),
        compared=max(1, len(entry.methods) - 1),
        official=entry.official,
    )
    if difference > 0.5:
        return "too few rows to detect any but huge differences"
    return f"can detect a difference of about {100 * difference:.1f} points (if two methods disagree on 1 item in 10)"


def run_all(
    entries: Sequence[Entry],
    store: Store,
    place: Workplace,
    workers: int,
    screen: Screen,
    *,
    repeats: int | None = None,
) -> list[Failure]:
    """Run what is not in the store yet; return what failed."""
    done = store.records()
    jobs: list[Job] = []
    for entry in entries:
        if todo := entry.todo(done, repeats):
            place.take(entry.problem)
            jobs += todo
    failures: list[Failure] = []
    if not jobs:
        return failures
    with screen.progress(len(jobs), place.running) as report:

        def finished(result: Record | Failure) -> None:
            if isinstance(result, Failure):
                failures.append(result)
            report(result)

        execute_grid(place, jobs, store, workers=min(workers, len(jobs)), finished=finished)
    return failures


def decide(
    entry: Entry, store: Store, place: Workplace, workers: int, screen: Screen
) -> tuple[ProblemSummary, list[Failure]]:
    """Add whole repeats of resampled splits while a verdict is open; return the last summary and what failed."""
    repeats, failures = entry.repeats, []
    summary = summarise(entry, store, repeats)
    while not entry.official and repeats < MOST_REPEATS and is_open(summary):
        repeats += 1
        screen.note(f"{entry.problem.name} is undecided: repeat {repeats} of at most {MOST_REPEATS}")
        failures += run_all([entry], store, place, workers, screen, repeats=repeats)
        summary = summarise(entry, store, repeats)
    return summary, failures


def is_open(problem: ProblemSummary) -> bool:
    """Return whether a method of `problem` is still undecided."""
    return any(method.get("verdict") == "undecided" for method in problem["methods"].values())


def summarise(entry: Entry, store: Store, repeats: int) -> ProblemSummary:
    """Return the summary of one problem from the runs in the store."""
    problem = entry.problem
    keys = {job.run.key(job.problem) for job in entry.jobs(repeats)}
    records = [record for key, record in store.records().items() if key in keys]
    metric = entry.metrics[0]
    reference = [record["scores"][metric.name] for record in records if record["method"] == REFERENCE]
    rope = default_rope(metric, float(np.mean(reference))) if reference else 0.0
    design = Design(entry.official, metric, rope, problem.labels, store.outputs, problem.groups)
    judged = judge(records, entry.methods, design)
    found = methods()
    for name, summary in judged.items():
        summary |= {"paper": found[name].paper, "summary": found[name].summary}
    best = winner(judged, higher_is_better=metric.higher_is_better)
    return {
        "modality": problem.modality,
        "title": problem.title,
        "notes": [*problem.notes, *([problem.grouped_look] if problem.grouped_look else [])],
        "rows": len(problem.labels),
        "classes": list(problem.classes),
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "rope": rope,
        "reference": REFERENCE,
        "split": split_of(entry, repeats),
        "methods": judged,
        "winner": best,
        "snippet": None if best is None else snippet(best, problem, entry.first_prepared),
    }


def split_of(entry: Entry, repeats: int) -> Split:
    """Return how rows were split, with the sizes of the first cell."""
    cell = entry.cells()[0]
    sizes: Split = {"train": len(cell.train), "validation": len(cell.validation), "test": len(cell.test)}
    if entry.official:
        return {"kind": "official", "seeds": repeats, **sizes}
    return {"kind": "resampled", "folds": entry.folds, "repeats": repeats, **sizes}


def winner(judged: dict[str, MethodSummary], *, higher_is_better: bool) -> str | None:
    """Return the method that helps most, or None if none is found to help."""
    helping = {name: summary for name, summary in judged.items() if summary.get("verdict") == "helps"}
    sign = 1 if higher_is_better else -1
    return max(helping, key=lambda name: sign * (helping[name]["difference"] or 0.0), default=None)


def galleries(
    entries: Sequence[Entry], problems: Mapping[str, ProblemSummary], store: Store
) -> dict[str, list[GalleryItem]]:
    """Return the gallery of every problem; a method without a finished run has none.

    What methods that learn how to mix have to show was drawn by their first run.
    """
    drawn, found, done = {}, methods(), store.records()
    for entry in entries:
        name, cell = entry.problem.name, entry.cells()[0]
        finished = [found[method] for method in entry.methods if problems[name]["methods"][method]["score"] is not None]
        items = gallery(entry.problem, entry.first_prepared, finished, cell.train)
        for key in (entry.run(method, cell).key(name) for method in entry.methods):
            if key in done and (packed := store.outputs(key).get("gallery")) is not None:
                items += unpacked(packed)
        items.sort(key=lambda item: entry.methods.index(item.method))
        if (further := entry.first_prepared.further) is not None:
            items += further.examples(cell.test, derived_generator(cell.seed, FURTHER))
        drawn[name] = items
    return drawn
