"""Print the tables of docs/results.md from folders that `mixkit compare` wrote.

python benchmarks/results_table.py FOLDER [FOLDER ...]
"""

import argparse
import json
from pathlib import Path

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


def main():
    """Print the tables of the folders named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    for folder in parser.parse_args().folders:
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
        print("\n".join(table(summary)))  # the table is what this script is for


if __name__ == "__main__":
    main()
