"""The tables in the terminal: in a pipe, in colour, with hostile names, on a terminal that knows ASCII only."""

import io
import re

from rich.console import Console

from mixkit.report import table


def printed(summary, **options):
    console = Console(file=io.StringIO(), width=80, **options)
    table.show(summary, console)
    return console.file.getvalue()


def row(output, name):
    (found,) = [line for line in output.splitlines() if re.match(rf"\s*{name}\s{{2,}}", line)]
    return found.split()


def test_each_row_has_score_difference_verdict_probability_and_time(summary):
    cells = " ".join(row(printed(summary), "manifold"))
    assert cells == "manifold 96.0 \N{PLUS-MINUS SIGN} 0.4 -1.2 [-1.6, -0.8] hurts > 0.99 1.03 x"


def test_output_in_a_pipe_has_no_colours_and_no_lines(summary):
    output = printed(summary)
    assert "\x1b" not in output
    assert not re.search("[\N{BOX DRAWINGS LIGHT HORIZONTAL}-\N{BOX DRAWINGS HEAVY LEFT AND LIGHT RIGHT}]", output)


def test_no_line_is_wider_than_the_terminal(summary):
    assert max(map(len, printed(summary).splitlines())) <= 80


def test_on_a_terminal_the_verdict_has_a_colour_and_a_word(summary):
    assert re.search("\x1b\\[1;32mhelps", printed(summary, force_terminal=True, color_system="standard"))


def test_undecided_methods_say_how_many_runs_are_needed(summary):
    assert "about 24 runs needed, 10 done" in " ".join(printed(summary).split())


def test_a_missing_extra_comes_with_its_command(summary):
    assert row(printed(summary), "audio") == ["audio", "pip", "install", '"mixkit[audio]"']


def test_failed_runs_are_listed(summary):
    assert "failed: cutmix on digits: loss became infinite" in printed(summary)


def test_results_over_all_problems_are_printed_only_if_there_are_any(summary):
    assert "Over all problems" in printed(summary)
    summary["across"] = None
    assert "Over all problems" not in printed(summary)


def test_names_are_neither_markup_nor_escape_codes(summary):
    methods = summary["problems"]["digits"]["methods"]
    methods["[red]a[/red]"] = methods["mixup"]
    methods["\x1b[2Jb\nc"] = methods["mixup"]
    output = printed(summary)
    assert "[red]a[/red]" in output
    assert "\x1b" not in output
    assert "\N{REPLACEMENT CHARACTER}[2Jb c" in output


def test_explanation_of_columns_is_not_repeated_for_the_next_problem_of_the_same_kind(summary):
    summary["problems"]["concrete"] = summary["problems"]["digits"]
    assert printed(summary).count("score: accuracy in %") == 1


def test_a_terminal_that_knows_ascii_only_gets_every_row(summary):
    methods = summary["problems"]["digits"]["methods"]
    methods["\N{GREEK SMALL LETTER BETA}-mix"] = methods["mixup"]
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    table.show(summary, Console(file=file, width=80, force_terminal=True))
    file.flush()
    output = raw.getvalue().decode("ascii")
    assert "98.1 +- 0.4" in output
    assert "?-mix" in output
