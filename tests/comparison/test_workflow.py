"""A whole comparison: what it says before, what it reuses, what it reports, and what it survives."""

import json

import pytest

import mixkit.comparison.adapters
from mixkit.comparison.entry import open_entries
from mixkit.comparison.problems import Adapter, DataError, Split
from mixkit.comparison.settings import Settings
from mixkit.comparison.store import Store
from mixkit.comparison.workflow import detectable, run_comparison


def test_a_comparison_ends_with_summary_report_and_outputs(compare, settings):
    summary, store = compare(settings(methods=("mixup", "mixupe"), repeats=3))
    problem = summary["problems"]["table"]
    assert list(problem["methods"]) == ["erm", "mixup", "mixupe"]
    assert problem["split"] == {"kind": "resampled", "folds": 2, "repeats": 3, "train": 26, "validation": 4, "test": 30}
    assert {one["verdict"] for one in problem["methods"].values()} <= {
        "reference",
        "helps",
        "hurts",
        "equivalent",
        "undecided",
    }
    assert json.loads((store.folder / "summary.json").read_text()) == summary
    assert "mixupe" in (store.folder / "report.html").read_text()
    assert len(list((store.folder / "outputs").iterdir())) == 18


@pytest.mark.usefixtures("quick_report")
def test_it_says_before_how_many_runs_and_what_they_can_detect(compare, settings, told):
    compare(settings(folds=3, repeats=2))
    assert "12 runs; about " in told.text
    assert "on 1 process" in told.text
    assert "table: 6 splits, 2 methods; can detect a difference of about " in told.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "too few for a verdict, which needs 6"),
        ({"repeats": 3, "metric": "f1"}, "what difference that can detect is seen once runs have shown how far they"),
        ({"repeats": 3}, "can detect a difference of about"),
        ({"repeats": 3, "methods": ("erm",)}, "can detect a difference of about"),
    ],
)
def test_what_can_be_detected_is_said_for_every_design(settings, changes, words):
    assert detectable(open_entries(settings(**changes))[0][0]).startswith(words)


@pytest.mark.usefixtures("quick_report")
def test_nothing_is_run_twice(compare, settings, told):
    first, store = compare(settings())
    lines = store.runs_file.read_text()
    again, _ = compare(settings())
    assert store.runs_file.read_text() == lines
    assert "0 runs, 4 more are there already\n" in told.text
    assert again["problems"] == first["problems"]


@pytest.mark.usefixtures("quick_report")
def test_methods_and_repeats_that_come_later_keep_the_lines_there_are(compare, settings):
    _, store = compare(settings())
    before = store.runs_file.read_text()
    summary, _ = compare(settings(repeats=2, methods=("mixup", "mixupe")))
    after = store.runs_file.read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == 12
    assert [len(one["scores"]) for one in summary["problems"]["table"]["methods"].values()] == [4, 4, 4]


@pytest.mark.usefixtures("quick_report")
def test_runs_added_later_have_the_numbers_they_would_have_had(compare, settings, numbers):
    compare(settings(), "grown")
    _, grown = compare(settings(repeats=2, methods=("mixup", "mixupe")), "grown")
    _, whole = compare(settings(repeats=2, methods=("mixupe", "mixup")), "whole")
    assert numbers(grown) == numbers(whole)


@pytest.mark.usefixtures("quick_report")
def test_another_primary_metric_is_another_comparison(compare, settings):
    compare(settings())
    summary, store = compare(settings(metric="auc"))
    assert len(store.records()) == 8
    assert summary["problems"]["table"]["metric"] == "auc"


@pytest.mark.usefixtures("quick_report")
def test_changed_data_are_run_anew(compare, settings, table, write_table):
    compare(settings())
    write_table(table, rows=62)
    _, store = compare(settings())
    assert len(store.records()) == 8


@pytest.mark.usefixtures("quick_report")
def test_an_open_verdict_gets_more_repeats_until_eight(compare, settings, told):
    summary, store = compare(settings(until_decided=True, repeats=3, methods=("label-smoothing",)))
    decided = summary["problems"]["table"]
    repeats = decided["split"]["repeats"]
    open_ = decided["methods"]["label-smoothing"]["verdict"] == "undecided"
    assert repeats == 8 if open_ else 3 <= repeats <= 8
    assert told.text.count("is undecided: repeat") == repeats - 3
    assert len(store.records()) == 4 * repeats


@pytest.mark.usefixtures("quick_report")
def test_a_time_budget_becomes_epochs_once(compare, settings, numbers):
    budget = settings(epochs=None, time_budget=0.02)
    _, store = compare(budget)
    stored = Settings.stored(store.settings())
    assert stored.time_budget == 0.02
    assert stored.run_seconds == pytest.approx(0.02 * 60 / 4)
    assert stored.budgeted["table"].keys() == {"erm", "mixup"}
    assert min(stored.budgeted["table"].values()) >= 1
    before = numbers(store)
    compare(stored.merged(Settings()))
    assert numbers(store) == before


@pytest.mark.usefixtures("quick_report")
def test_a_method_that_joins_a_time_budget_gets_as_much_time_and_leaves_the_others_theirs(compare, settings):
    _, store = compare(settings(epochs=None, time_budget=0.02))
    before = Settings.stored(store.settings())
    compare(before.merged(Settings(methods=("mixupe",))))
    after = Settings.stored(store.settings())
    assert after.run_seconds == before.run_seconds
    assert {name: after.budgeted["table"][name] for name in ("erm", "mixup")} == before.budgeted["table"]
    assert after.budgeted["table"]["mixupe"] >= 1
    assert len(store.records()) == 6


@pytest.mark.usefixtures("quick_report")
def test_tuning_gives_every_method_as_many_trials(compare, settings):
    _, store = compare(settings(tune=3))
    assert [record["tuning_trials"] for record in store.records().values()] == [3] * 4
    rates = {r["configuration"]["learning_rate"] for r in store.records().values() if r["method"] == "erm"}
    assert rates  # of the trial that was best on the validation rows


@pytest.mark.usefixtures("joined")
def test_a_run_that_fails_is_reported_and_the_others_survive(compare, settings, told):
    summary, store = compare(settings(methods=("broken", "diverging", "mixup")))
    assert [(f["problem"], f["method"]) for f in summary["failures"]] == [
        ("table", "broken"),
        ("table", "diverging"),
    ] * 2
    methods = summary["problems"]["table"]["methods"]
    assert (methods["broken"]["score"], methods["broken"]["verdict"]) == (None, "undecided")
    assert methods["mixup"]["score"] is not None
    assert "table broken repeat 0 fold 0 failed: TypeError: no such argument" in told.text
    report = (store.folder / "report.html").read_text()
    assert "no such argument" in report


@pytest.mark.usefixtures("joined", "quick_report")
def test_what_failed_is_tried_again_when_resuming(compare, settings):
    compare(settings(methods=("diverging", "mixup")))
    summary, store = compare(settings(methods=("diverging", "mixup")))
    assert len(summary["failures"]) == 2
    assert len(store.records()) == 4


def test_if_every_run_fails_the_first_reason_is_the_error(compare, settings, monkeypatch):
    def fails(*arguments):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("mixkit.comparison.grid.execute", fails)
    with pytest.raises(DataError, match="no run could be finished; the first: erm: RuntimeError: out of memory"):
        compare(settings())


@pytest.mark.usefixtures("quick_report")
def test_an_official_split_is_tested_with_several_seeds(compare, settings, monkeypatch):
    official = Split(*(range_of(*bounds) for bounds in ((0, 30), (30, 40), (40, 60))))

    def opened(settings):
        entries, missing = open_entries(settings)
        entries[0].problem.official = official
        return entries, missing

    monkeypatch.setattr("mixkit.comparison.workflow.open_entries", opened)
    monkeypatch.setattr("mixkit_tabular.problem.TableProblem.official", None, raising=False)
    summary, store = compare(settings(seeds=5))
    problem = summary["problems"]["table"]
    assert problem["split"] == {"kind": "official", "seeds": 5, "train": 30, "validation": 10, "test": 20}
    assert len(store.records()) == 10
    assert len({record["seed"] for record in store.records().values()}) == 5
    assert problem["methods"]["mixup"]["low"] is not None


def range_of(start, stop):
    """Return int64 row indices."""
    import numpy as np

    return np.arange(start, stop, dtype=np.int64)


def test_the_users_text_reaches_the_report_escaped(compare, settings, table, write_table):
    write_table(table, classes=("<script>alert(1)</script>", 'it\'s "ok" & 🎉'))
    _, store = compare(settings())
    report = (store.folder / "report.html").read_text("utf-8")
    assert "<script>alert(1)" not in report
    assert "&lt;script&gt;alert(1)" in report
    assert "🎉" in report


def test_a_missing_extra_is_a_row_with_the_command_that_adds_it(tmp_path, told, found_adapters, capsys):
    from mixkit.report.table import show

    here, _ = mixkit.comparison.adapters.find_adapters()
    table_only = Adapter("table", here["table"].embedded, *(lambda *a: False,) * 3, ("mixup",))
    found_adapters(
        table=table_only,
        audio=ImportError("No module named 'torchaudio'"),
        graph=OSError("libtorch_cuda.so: cannot open\nmore"),
    )
    settings = Settings(folds=2, repeats=1, epochs=1, jobs=1)
    summary = run_comparison(settings, Store(tmp_path), told.screen, "mixkit compare")
    assert list(summary["problems"]) == ["crops"]
    assert summary["missing"] == [
        {"what": "audio", "remedy": 'pip install "mixkit[audio]"'},
        {"what": "graph", "remedy": 'pip install "mixkit[graph]"'},
    ]
    from rich.console import Console

    show(summary, Console(width=200))
    assert 'pip install "mixkit[audio]"' in capsys.readouterr().out
    assert "mixkit[graph]" in (tmp_path / "report.html").read_text()


def test_data_of_a_missing_extra_are_refused_with_the_command_that_adds_it(found_adapters, tmp_path):
    found_adapters(audio=ImportError("No module named 'torchaudio'"))
    with pytest.raises(
        DataError, match=r"audio data cannot be read here \(No module named 'torchaudio'\); pip install"
    ):
        open_entries(Settings(data=str(tmp_path), modality="audio"))
    with pytest.raises(DataError, match=r'audio cannot be read here: pip install "mixkit\[audio\]"'):
        open_entries(Settings(data=str(tmp_path)))


def test_embedded_problems_without_a_method_to_compare_are_left_out():
    entries, _ = open_entries(Settings(methods=("cutmix",)))
    assert {entry.problem.modality for entry in entries} == {"image", "audio"}


def test_methods_added_when_resuming_join_the_short_list(table):
    ((entry,), _) = open_entries(Settings(data=str(table), target="y", added=("manifold",)))
    assert entry.methods == ("erm", "label-smoothing", "mixup", "mixupe", "manifold")


def test_a_method_for_another_kind_of_data_is_refused_with_those_that_suit(table):
    with pytest.raises(ValueError, match=r"methods must suit 'table: 60 rows.*', got cutmix; these do: erm, label-"):
        open_entries(Settings(data=str(table), target="y", methods=("cutmix",)))
