"""Print the tables of docs/results.md from folders that `mixkit compare` wrote.

    python benchmarks/results_table.py FOLDER [FOLDER ...] [--further NAME [NAME ...]]

With --further the scores that a kind of data has beside the usual ones (several words at once, say) are judged as the
primary score is, on resampled splits: differences to the reference in the same cells, corrected standard error, an
interval that holds for all methods and all of the scores named at once.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from mixkit.comparison.statistics import judge_resampled
from mixkit.report import words
from mixkit.report.formats import ratio


def table(summary):
    """Return the Markdown lines of one comparison."""
    lines = [f"`{summary['command']}`", ""]
    for problem in summary["problems"].values():
        lines += [f"{problem['title']}; {words.split(problem)}.", ""]
        lines += ["| method | score | difference to erm | verdict | log loss, scaled | time per epoch | memory |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for name, method in problem["methods"].items():
            cost, beside = method.get("cost") or {}, method.get("descriptive") or {}
            loss = beside.get("log_loss_scaled")
            cells = [
                name,
                words.score(problem, method),
                "" if name == problem["reference"] else words.difference(problem, method),
                "" if name == problem["reference"] else method["verdict"],
                "" if loss is None else f"{loss:.3f}",
                ratio(cost.get("seconds_per_epoch_ratio")),
                ratio(cost.get("peak_memory_ratio")),
            ]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return lines


def further(folder, summary, names):
    """Return the Markdown lines of further scores, judged."""
    runs = [json.loads(line) for line in (folder / "runs.jsonl").read_text("utf-8").splitlines()]
    lines = []
    for title, problem in summary["problems"].items():
        if problem["split"]["kind"] != "resampled":
            raise SystemExit(f"{folder}: --further judges resampled splits, got an official one")
        lines += ["| method | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        methods, reference = list(problem["methods"]), problem["reference"]
        compared = (len(methods) - 1) * len(names)
        of = {(run["method"], run["repeat"], run["fold"]): run for run in runs if run["problem"] == title}
        for method in methods:
            cells = [
                judged(
                    [(run, of[reference, *cell]) for (name, *cell), run in of.items() if name == method],
                    score,
                    compared,
                )
                for score in names
            ]
            lines.append("| " + " | ".join([method, *cells]) + " |")
    return [*lines, ""]


def judged(pairs, score, compared):
    """Return a score's mean, and its difference to the reference with interval and verdict."""
    values = [100 * run["descriptive"][score] for run, _ in pairs]
    mean = f"{np.mean(values):.1f}"
    if pairs[0][0]["method"] == pairs[0][1]["method"]:
        return mean
    differences = [value - 100 * other["descriptive"][score] for value, (_, other) in zip(values, pairs, strict=True)]
    rows = pairs[0][0]["rows"]
    sizes = {"n_train": rows["train"] + rows["validation"], "n_test": rows["test"]}
    found = judge_resampled(differences, **sizes, compared=compared, rope=0.5)
    return f"{mean}, {found.difference:+.1f} [{found.low:.1f}, {found.high:.1f}], {found.verdict}"


def main():
    """Print the tables of the folders named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--further", nargs="+", default=(), help="names of further scores, as the report prints them")
    options = parser.parse_args()
    for folder in options.folders:
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        print("\n".join(table(summary)))  # the table is what this script is for
        if options.further:
            print("\n".join(further(folder, summary, options.further)))


if __name__ == "__main__":
    main()
