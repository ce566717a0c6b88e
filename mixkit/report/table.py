"""A comparison's results as tables in the terminal: readable at 80 columns, in a pipe, and without colour."""

from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mixkit.report import formats, words
from mixkit.report.summary import ProblemSummary, Summary, plain

STYLES = {
    "helps": "bold green",
    "hurts": "bold red",
    "equivalent": "cyan",
    "undecided": "yellow",
    "reference": "dim",
}


def show(summary: Summary, console: Console) -> None:
    """Print the results on `console`: a table per problem, one over all, what is missing or failed."""
    page = _Page(console)
    for name, problem in summary["problems"].items():
        page.problem(name, problem)
    if summary["across"]:
        page.across(summary)
    page.leftovers(summary)
    page.line(f"{formats.duration(summary['seconds'])} in all.", "dim")


@dataclass(frozen=True)
class _Page:
    """Prints parts of the results on one console."""

    console: Console
    said: set[str] = field(default_factory=set)  # explanations that need not be repeated under each table

    def text(self, content: object, style: str = "") -> Text:
        """Return text that this console can print: no markup, no control codes, nothing it cannot encode."""
        encoding = self.console.encoding or "utf-8"
        return Text(plain(content).encode(encoding, "replace").decode(encoding), style=style)

    def line(self, content: object, style: str = "") -> None:
        self.console.print(self.text(content, style))

    def problem(self, name: str, problem: ProblemSummary) -> None:
        """Print one problem: the answer, the table, and what is needed to read it."""
        self.line(f"{words.question(name)} {words.answer(problem)}", "bold")
        self.line(f"{problem['title']}; {words.split(problem)}", "dim")
        self._print(self._methods(problem))
        self._beneath(problem)
        self.console.print()

    def _methods(self, problem: ProblemSummary) -> Table:
        table = self._table("method", "score", "difference", "verdict", "prob.", "time")
        for name, method in problem["methods"].items():
            verdict = method["verdict"]
            table.add_row(
                self.text(name),
                self.text(words.score(problem, method, self._plus_minus())),
                self.text(words.difference(problem, method)),
                self.text(verdict, STYLES[verdict]),
                self.text(words.verdict_chance(method)),
                self.text(formats.ratio((method.get("cost") or {}).get("seconds_per_epoch_ratio"))),
            )
        return table

    def _beneath(self, problem: ProblemSummary) -> None:
        undecided = [name for name, method in problem["methods"].items() if method["verdict"] == "undecided"]
        if words.columns(problem) not in self.said:
            self.beneath(words.columns(problem))
            self.said.add(words.columns(problem))
        self.beneath(words.meaning(problem))
        self.beneath(words.detectable(problem))
        for name in undecided:
            self.beneath(words.sentence(problem, name))
        for note in problem["notes"]:
            self.beneath(f"Note: {note}")

    def beneath(self, content: str | None) -> None:
        """Print an indented line under a table."""
        if content:
            self.console.print(Padding(self.text(content, "dim"), (0, 0, 0, 2), expand=False))

    def across(self, summary: Summary) -> None:
        """Print the table over all problems."""
        printed = words.across_scale(summary)
        self.line("Over all problems", "bold")
        table = self._table("method", "problems", "mean difference", "next problem", "helps", "same", "hurts")
        for name, entry in (summary["across"] or {}).items():
            odds = entry["signed_rank"]
            table.add_row(
                self.text(name),
                self.text(entry["problems"]),
                self.text(f"{printed.signed(entry['mean'])} {printed.interval(entry['low'], entry['high'])}"),
                self.text(printed.interval(entry["prediction_low"], entry["prediction_high"])),
                *(self.text(formats.chance(odds[key] if odds else None)) for key in ("helps", "equivalent", "hurts")),
            )
        self._print(table)
        self.beneath(words.across_columns(printed))
        self.console.print()

    def leftovers(self, summary: Summary) -> None:
        """Print what could not be compared, and the way out."""
        if summary["missing"]:
            table = self._table("not installed", "to add it")
            for part in summary["missing"]:
                table.add_row(self.text(part["what"]), self.text(part["remedy"]))
            self._print(table)
        for failure in summary["failures"]:
            self.line(f"failed: {failure['method']} on {failure['problem']}: {failure['message']}", "red")

    def _table(self, first: str, *others: str) -> Table:
        # A pipe gets columns only: lines drawn around them are in the way of whoever reads them next.
        lines = self.console.is_terminal and not self.console.options.ascii_only
        padding = (0, 1, 0, 0) if lines else (0, 1)  # two blanks between columns in both cases
        table = Table(box=SIMPLE_HEAD if lines else None, padding=padding, pad_edge=False, header_style="bold")
        for header in (first, *others):
            table.add_column(self.text(header), overflow="fold")
        return table

    def _print(self, table: Table) -> None:
        self.console.print(Padding(table, (0, 0, 0, 1 if table.box else 2), expand=False))

    def _plus_minus(self) -> str:
        return "+-" if self.console.options.ascii_only else "\N{PLUS-MINUS SIGN}"
