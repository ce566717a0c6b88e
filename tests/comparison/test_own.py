"""`mixkit.compare`: the judge alone, for trainings of the user's own."""

import json

import numpy as np
import pytest

import mixkit
from mixkit.comparison.own import Labelled
from mixkit.comparison.problems import Split

LABELS = np.arange(100) % 2


def fit(variant, train, validation, test, seed):
    """Return a score that is better for "better"."""
    draw = np.random.default_rng([seed, len(variant)])
    return {"accuracy": 0.8 + 0.1 * (variant == "better") + 0.01 * draw.normal()}


def items_fit(variant, train, validation, test, seed):
    """Return a score a test row, better for "better"."""
    draw = np.random.default_rng([seed, len(variant)])
    return {"accuracy": (draw.random(len(test)) < (0.95 if variant == "better" else 0.6)).astype(float)}


def judged(comparison, name="better"):
    """Return what a comparison says of a variant."""
    return comparison.summary["problems"]["data"]["methods"][name]


def test_it_says_what_helps_and_the_first_variant_is_the_reference():
    result = mixkit.compare(fit, ["plain", "better", "other"], LABELS)
    problem = result.summary["problems"]["data"]
    assert (problem["reference"], problem["winner"]) == ("plain", "better")
    assert judged(result)["verdict"] == "helps"
    assert judged(result, "other")["verdict"] in ("equivalent", "undecided")


def test_every_variant_gets_the_same_rows_and_seeds_and_they_cover_the_data():
    calls = {"a": [], "b": []}

    def watched(variant, train, validation, test, seed):
        calls[variant].append((train.tolist(), validation.tolist(), test.tolist(), seed))
        return {"accuracy": 0.5}

    mixkit.compare(watched, ["a", "b"], LABELS, folds=4, repeats=2)
    assert calls["a"] == calls["b"]
    assert len(calls["a"]) == 8
    for train, validation, test, _ in calls["a"]:
        assert sorted(train + validation + test) == list(range(100))
    tested = sorted(row for _, _, test, _ in calls["a"][:4] for row in test)
    assert tested == list(range(100))
    assert len({seed for *_, seed in calls["a"]}) == 8


def test_what_fit_does_to_its_rows_does_not_reach_the_next_variant():
    seen = []

    def greedy(variant, train, validation, test, seed):
        seen.append(train.copy())
        train[:] = 0
        return {"accuracy": 0.5}

    mixkit.compare(greedy, ["a", "b"], LABELS, folds=2, repeats=1)
    assert np.array_equal(seen[0], seen[1])


def test_groups_of_any_kind_stay_on_one_side():
    speakers = np.array([f"speaker {i % 10}" for i in range(100)])

    def watched(variant, train, validation, test, seed):
        parts = [set(speakers[rows]) for rows in (train, validation, test)]
        assert sum(len(part) for part in parts) == len(set.union(*parts))
        return {"accuracy": 0.5}

    mixkit.compare(watched, ["a", "b"], Labelled(np.array(["x", "y"])[np.arange(100) // 5 % 2], speakers), folds=3)


def test_arrays_of_one_score_a_test_row_are_averaged():
    result = mixkit.compare(items_fit, ["plain", "better"], LABELS)
    assert judged(result)["verdict"] == "helps"
    assert judged(result)["score"] == pytest.approx(np.mean(judged(result)["scores"]))


def test_floats_are_a_regression_and_lower_errors_are_better():
    def errors(variant, train, validation, test, seed):
        return {"rmse": (1.0 if variant == "plain" else 0.5) + 0.01 * np.random.default_rng(seed).random()}

    result = mixkit.compare(errors, ["plain", "better"], np.linspace(0, 1, 60))
    assert (judged(result)["verdict"], judged(result)["difference"] < 0) == ("helps", True)


def test_an_official_split_is_kept_and_judged_by_items():
    split = Split(np.arange(0, 60), None, np.arange(60, 100))

    def watched(variant, train, validation, test, seed):
        assert (test == np.arange(60, 100)).all()
        assert sorted([*train, *validation]) == list(range(60))
        return items_fit(variant, train, validation, test, seed)

    result = mixkit.compare(watched, ["plain", "better"], Labelled(LABELS, official=split), seeds=6)
    assert result.summary["problems"]["data"]["split"] == {
        "kind": "official",
        "seeds": 6,
        "train": 51,
        "validation": 9,
        "test": 40,
    }
    assert judged(result)["verdict"] == "helps"


def test_an_official_split_needs_a_score_a_row():
    split = Split(np.arange(0, 60), None, np.arange(60, 100))
    with pytest.raises(ValueError, match="fit must return 'accuracy' as an array, one score a test row: the split is"):
        mixkit.compare(fit, ["plain", "better"], Labelled(LABELS, official=split))


def test_a_stopped_comparison_goes_on_where_it_was(tmp_path):
    calls = []

    def stopping(variant, train, validation, test, seed):
        calls.append(variant)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return fit(variant, train, validation, test, seed)

    with pytest.raises(KeyboardInterrupt):
        mixkit.compare(stopping, ["plain", "better"], LABELS, folds=3, out=tmp_path)
    resumed = mixkit.compare(stopping, ["plain", "better"], LABELS, folds=3, out=tmp_path)
    assert len(calls) == 4 + (12 - 3)
    assert judged(resumed)["scores"] == judged(mixkit.compare(fit, ["plain", "better"], LABELS, folds=3))["scores"]


def test_variants_and_repeats_that_come_later_reuse_what_is_there(tmp_path):
    calls = []

    def counted(variant, *rest):
        calls.append(variant)
        return fit(variant, *rest)

    mixkit.compare(counted, ["plain", "better"], LABELS, folds=3, repeats=1, out=tmp_path)
    mixkit.compare(counted, ["plain", "better", "late"], LABELS, folds=3, repeats=2, out=tmp_path)
    assert (calls.count("plain"), calls.count("late")) == (6, 6)


def test_what_it_writes_is_what_it_returns(tmp_path):
    result = mixkit.compare(fit, ["plain", "better"], LABELS, out=tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text()) == result.summary
    assert "better" in (tmp_path / "report.html").read_text()
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == 20


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mixkit.compare(fit, ["plain", "better"], LABELS)
    assert list(tmp_path.iterdir()) == []


def test_the_table_can_be_shown(capsys):
    mixkit.compare(fit, ["plain", "better"], LABELS).show()
    assert "better" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            {"accuracy": float("nan")},
            r"fit must return finite scores, .* got shape \(\) for 'accuracy' of 'a' in repeat",
        ),
        ({"accuracy": [0.5, 0.5]}, r"or one a test row \(50\), got shape \(2,\)"),
        (0.9, r"fit must return scores like \{\"accuracy\": 0.9\}, got 0.9 for 'a'"),
        ({}, r"fit must return scores like"),
        ({"f1": 0.5}, r"fit must return 'accuracy' always, got \['f1'\] for 'a'"),
    ],
)
def test_a_wrong_score_is_refused_at_once_and_not_stored(tmp_path, returned, message):
    calls = []

    def wrong(*arguments):
        calls.append(arguments)
        return returned

    with pytest.raises(ValueError, match=message):
        mixkit.compare(wrong, ["a", "b"], LABELS, metric="accuracy", folds=2, out=tmp_path)
    assert len(calls) == 1
    assert not (tmp_path / "runs.jsonl").exists()


def test_a_score_that_only_some_runs_have_is_refused():
    with pytest.raises(ValueError, match=r"fit must return 'accuracy' always, got \['f1'\] for 'b'"):
        mixkit.compare(lambda variant, *rest: {"accuracy" if variant == "a" else "f1": 0.5}, ["a", "b"], LABELS)


def test_a_metric_of_unknown_direction_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match="higher_is_better must be given for metric 'dice'; known are accuracy"):
        mixkit.compare(fit, ["plain", "better"], LABELS, metric="dice")


def test_an_own_metric_needs_only_its_direction():
    result = mixkit.compare(
        lambda variant, *rest: {"latency": 5.0 - (variant == "better") + rest[-1] % 7 / 100},
        ["plain", "better"],
        LABELS,
        higher_is_better=False,
    )
    assert judged(result)["verdict"] == "helps"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variants": ["a"]}, r"variants must name at least two, the reference first, got \['a'\]"),
        ({"variants": ["a", "a"]}, r"variants must name at least two"),
        ({"data": np.zeros((3, 2))}, r"labels and groups must have shape \(n,\), got \(3, 2\)"),
        ({"data": np.zeros(40, int)}, r"labels must have at least two classes, got only class 0"),
        ({"data": LABELS[:4]}, r"there must be at least as many rows as folds, got 4 for folds=5"),
    ],
)
def test_data_that_cannot_be_compared_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        mixkit.compare(fit, **{"variants": ["a", "b"], "data": LABELS, **arguments})
