"""From records to differences, verdicts and descriptive means."""

import numpy as np
import pytest

from mixkit.comparison.judge import Design, judge
from mixkit.comparison.metrics import METRICS

LABELS = np.tile([0, 1], 50)
ROWS = {"train": 60, "validation": 20, "test": 20}


def record(method, repeat, fold, score, **more):
    """Return a finished run."""
    return {
        "key": f"{method}-{repeat}-{fold}",
        "method": method,
        "repeat": repeat,
        "fold": fold,
        "rows": ROWS,
        "scores": {"accuracy": score, "rmse": score},
        "cost": {"seconds": 2.0, "seconds_per_epoch": 0.5, "peak_bytes": 100},
        **more,
    }


def grid(scores):
    """Return records of two repeats of five folds for method -> score, with the same scatter for all."""
    scatter = np.random.default_rng(0).normal(0, 0.01, 10)
    return [
        record(name, cell // 5, cell % 5, score + scatter[cell] + 0.001 * (cell % 2) * (name != "erm"))
        for name, score in scores.items()
        for cell in range(10)
    ]


def nothing(key):
    """Stand for outputs that resampled splits do not look at."""
    raise AssertionError(key)


RESAMPLED = Design(official=False, metric=METRICS["accuracy"], rope=0.005, labels=LABELS, outputs=nothing)


def test_a_clear_difference_helps_or_hurts():
    judged = judge(grid({"erm": 0.8, "good": 0.9, "bad": 0.7}), ["erm", "good", "bad"], RESAMPLED)
    assert {name: one["verdict"] for name, one in judged.items()} == {
        "erm": "reference",
        "good": "helps",
        "bad": "hurts",
    }
    assert judged["good"]["difference"] == pytest.approx(0.1005)
    assert judged["good"]["low"] < 0.1005 < judged["good"]["high"]


def test_where_lower_is_better_a_smaller_score_helps():
    design = Design(official=False, metric=METRICS["rmse"], rope=0.01, labels=LABELS, outputs=nothing)
    judged = judge(grid({"erm": 0.8, "mixup": 0.7}), ["erm", "mixup"], design)
    assert (judged["mixup"]["verdict"], judged["mixup"]["difference"] < 0) == ("helps", True)


def test_the_reference_comes_first_wherever_it_was_named():
    assert list(judge(grid({"a": 0.5, "erm": 0.5}), ["a", "erm"], RESAMPLED)) == ["erm", "a"]


def test_another_reference_can_be_named():
    design = Design(
        official=False, metric=METRICS["accuracy"], rope=0.005, labels=LABELS, outputs=nothing, reference="a"
    )
    judged = judge(grid({"a": 0.5, "erm": 0.6}), ["a", "erm"], design)
    assert (judged["a"]["verdict"], judged["erm"]["verdict"]) == ("reference", "helps")


def test_more_methods_make_wider_intervals():
    records = grid({"erm": 0.8, "a": 0.82, "b": 0.82, "c": 0.82})
    alone, among = judge(records, ["erm", "a"], RESAMPLED), judge(records, ["erm", "a", "b", "c"], RESAMPLED)
    assert among["a"]["high"] - among["a"]["low"] > alone["a"]["high"] - alone["a"]["low"]


def test_only_cells_that_both_have_finished_are_compared():
    records = [one for one in grid({"erm": 0.8, "mixup": 0.9}) if one["key"] not in ("erm-0-0", "mixup-1-4")]
    judged = judge(records, ["erm", "mixup"], RESAMPLED)
    assert judged["mixup"]["runs"] == 8
    assert len(judged["mixup"]["scores"]) == 9


@pytest.mark.parametrize("left", [0, 1])
def test_hardly_any_finished_run_leaves_the_verdict_undecided(left):
    records = grid({"erm": 0.8}) + grid({"mixup": 0.9})[:left]
    judged = judge(records, ["erm", "mixup"], RESAMPLED)["mixup"]
    assert (judged["verdict"], judged["low"], judged["high"]) == ("undecided", None, None)


def test_a_method_without_a_run_has_no_numbers():
    judged = judge(grid({"erm": 0.8}), ["erm", "mixup"], RESAMPLED)["mixup"]
    assert (judged["score"], judged["difference"], judged["configuration"], judged["curve"]) == (None,) * 4
    assert judged["cost"]["seconds_per_epoch_ratio"] is None


def test_without_a_finished_reference_nothing_is_decided():
    judged = judge(grid({"mixup": 0.9}), ["erm", "mixup"], RESAMPLED)
    assert judged["mixup"]["verdict"] == "undecided"
    assert judged["erm"]["score"] is None


def test_costs_are_medians_of_ratios_in_the_same_cells():
    records = [
        record("erm", 0, fold, 0.5, cost={"seconds": 1.0, "seconds_per_epoch": s, "peak_bytes": 10})
        for fold, s in enumerate((1.0, 2.0, 4.0))
    ] + [
        record("mixup", 0, fold, 0.5, cost={"seconds": 1.0, "seconds_per_epoch": s, "peak_bytes": 25})
        for fold, s in enumerate((1.5, 6.0, 8.0))
    ]
    cost = judge(records, ["erm", "mixup"], RESAMPLED)["mixup"]["cost"]
    assert cost == {
        "seconds_per_epoch": 6.0,
        "seconds_per_epoch_ratio": 2.0,
        "peak_memory_ratio": 2.5,
        "seconds": 1.0,
    }


def test_curves_are_means_with_gaps_where_nothing_was_defined():
    curves = [
        {"epoch": [1, 2], "train_loss": [2.0, 1.0], "validation": [None, 0.5]},
        {"epoch": [1, 2], "train_loss": [4.0, 2.0], "validation": [None, 0.7]},
        {"epoch": [1], "train_loss": [9.0], "validation": [0.1]},  # of another length
    ]
    records = [record("erm", 0, fold, 0.5, curve=curve) for fold, curve in enumerate(curves)]
    judged = judge(records, ["erm"], RESAMPLED)["erm"]["curve"]
    assert judged == {"epoch": [1, 2], "train_loss": [3.0, 1.5], "validation": [None, pytest.approx(0.6)]}


def official(differences, **design):
    """Return the verdict on an official split for item differences (S, n) to a reference that is always right."""
    seeds, items = differences.shape
    arrays = {f"erm-{s}-0": {"rows": np.arange(items), "items": np.ones(items)} for s in range(seeds)}
    arrays |= {f"mixup-{s}-0": {"rows": np.arange(items), "items": 1 + differences[s]} for s in range(seeds)}
    records = [
        record(name, s, 0, float(arrays[f"{name}-{s}-0"]["items"].mean()))
        for name in ("erm", "mixup")
        for s in range(seeds)
    ]
    made = Design(
        official=True, metric=METRICS["accuracy"], rope=0.005, labels=LABELS, outputs=arrays.__getitem__, **design
    )
    return judge(records, ["erm", "mixup"], made)["mixup"]


def test_an_official_split_is_judged_by_items_and_seeds():
    wrong = np.zeros((5, 100))
    wrong[:, :40] = -1.0
    judged = official(wrong)
    assert (judged["verdict"], judged["difference"]) == ("hurts", pytest.approx(-0.4))


def test_items_of_one_group_count_as_one():
    wrong = np.zeros((5, 100))
    wrong[:, :40] = -1.0
    alone, grouped = official(wrong), official(wrong, groups=np.arange(100) // 10)
    assert grouped["high"] - grouped["low"] > 1.5 * (alone["high"] - alone["low"])


def test_a_score_of_all_items_together_is_judged_by_resampling_them():
    generator = np.random.default_rng(0)
    outputs = {}
    for name, strength in (("erm", 0.2), ("mixup", 1.5)):
        for s in range(5):
            logit = strength * (2 * LABELS - 1) + generator.normal(0, 1, len(LABELS))
            p = 1 / (1 + np.exp(-logit))
            outputs[f"{name}-{s}-0"] = {"rows": np.arange(100), "outputs": np.stack([1 - p, p], 1)}
    records = [record(key.split("-")[0], int(key.split("-")[1]), 0, 0.5) for key in outputs]
    design = Design(official=True, metric=METRICS["auc"], rope=0.005, labels=LABELS, outputs=outputs.__getitem__)
    for one in records:
        one["scores"] = {"auc": METRICS["auc"].total(outputs[one["key"]]["outputs"], LABELS)}
    judged = judge(records, ["erm", "mixup"], design)["mixup"]
    assert judged["verdict"] == "helps"


def test_the_reliability_diagram_is_over_all_test_rows():
    outputs = {f"erm-0-{f}": {"rows": np.arange(50) + 50 * f, "outputs": np.tile([0.8, 0.2], (50, 1))} for f in (0, 1)}
    records = [record("erm", 0, fold, 0.5, descriptive={"ece": 0.3}) for fold in (0, 1)]
    design = Design(official=False, metric=METRICS["accuracy"], rope=0.005, labels=LABELS, outputs=outputs.__getitem__)
    curve = judge(records, ["erm"], design)["erm"]["reliability"]
    assert sum(curve["count"]) == 100
    assert [value for value in curve["accuracy"] if value is not None] == [0.5]
