"""The benchmark that repeats MixupE's experiment on tables: its published numbers, splits, columns, fits and report."""

import importlib.util
import json
import os
import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("MIXKIT_DATA", ROOT.parent / "shared" / "data")) / "tabular"


@pytest.fixture(scope="module")
def uci():
    spec = importlib.util.spec_from_file_location("uci_table", ROOT / "benchmarks" / "uci_table.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["uci_table"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["uci_table"]


@pytest.fixture(scope="module")
def iris(uci):
    return uci.Table("iris", FOLDER)


def published(uci):
    return {
        name: {m: np.array([mean]) for m, (mean, _) in zip(uci.METHODS, cells, strict=True)}
        for name, cells in uci.PUBLISHED.items()
    }


def test_the_published_table_has_ten_data_sets_and_three_methods(uci):
    assert np.array(list(uci.PUBLISHED.values())).shape == (10, 3, 2)
    assert {*uci.SOURCES, "iris"} == set(uci.PUBLISHED)


def test_the_published_means_are_ordered_as_counted_by_hand(uci):
    assert [counts[1:] for counts in uci.orders(published(uci))] == [(6, 6), (7, 7), (9, 9), (3, 3)]


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=80), seed=st.integers(0, 2**31))
def test_every_class_is_split_as_evenly_as_whole_rows_allow(uci, labels, seed):
    part = uci.split(np.array(labels), torch.Generator().manual_seed(seed))
    for rows in [part, *(part[np.array(labels) == one] for one in set(labels))]:
        assert len(rows) // 10 <= (rows == 1).sum() <= -(-len(rows) // 10)
        assert len(rows) // 5 <= (rows == 2).sum() <= -(-len(rows) // 5)


def test_trials_have_splits_of_their_own(iris):
    first, second = iris.rows(0, "test"), iris.rows(1, "test")
    assert torch.equal(iris.rows(0, "test").other_inputs, first.other_inputs)
    assert not torch.equal(second.other_inputs, first.other_inputs)


def test_a_choice_sees_no_test_row(uci):
    numbered = uci.Table("iris", FOLDER, uci.Reading(scaling="none"))
    numbered.frame = pd.DataFrame({"row": np.arange(150.0)})
    chosen, final = numbered.rows(0, "choose"), numbered.rows(0, "test")
    shown = {*chosen.inputs.flatten().tolist(), *chosen.other_inputs.flatten().tolist()}
    assert shown == set(final.inputs.flatten().tolist())
    assert not shown & set(final.other_inputs.flatten().tolist())
    assert [len(part) for part in (*chosen, *final)] == [105, 105, 15, 15, 120, 120, 30, 30]


def test_gaps_and_scales_come_from_the_fitted_rows(uci):
    frame = pd.DataFrame(
        {
            "number": [1.0, 3.0, np.nan, 102.0],
            "word": pd.Series(["b", "b", "a", None], dtype="category"),
            "constant": [7.0, 7.0, 7.0, 9.0],
            "gaps": [np.nan, np.nan, np.nan, 5.0],
        }
    )
    fitted = np.array([True, True, True, False])
    # number: mean 2, deviation 1 of 1 and 3; constant: only centred; gaps: nothing known; then word as (a, b)
    expected = [[-1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [0, 0, 0, 1, 0], [100, 2, 5, 0, 1]]
    torch.testing.assert_close(uci.encode(frame, fitted), torch.tensor(expected).float())


def test_columns_may_be_scaled_to_a_range_or_not_at_all(uci):
    frame, fitted = pd.DataFrame({"x": [2.0, 4.0, 5.0]}), np.array([True, True, False])
    assert uci.encode(frame, fitted, uci.Reading("range")).flatten().tolist() == [0.0, 1.0, 1.5]
    assert uci.encode(frame, fitted, uci.Reading("none")).flatten().tolist() == [2.0, 4.0, 5.0]


def test_few_whole_values_may_be_read_as_a_category(uci):
    frame = pd.DataFrame({"few": [1.0, 2.0, 2.0], "halves": [0.5, 1.0, 1.0]})
    encoded = uci.encode(frame, np.ones(3, bool), uci.Reading("none", categories_up_to=2))
    assert encoded.tolist() == [[0.5, 1.0, 0.0], [1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]


def test_networks_trained_side_by_side_are_those_trained_alone(uci, iris):
    etas, rows = (0.0, 0.01, 1.0), iris.rows(0, "choose")
    fits = [uci.Fit("iris", 0, "choose", 0.5, eta) for eta in etas]
    stacked = uci.train_stack(iris, rows, fits[0], etas, epochs=5)
    alone = torch.stack([uci.train_one(iris, rows, fit, epochs=5) for fit in fits])
    torch.testing.assert_close(stacked, alone, rtol=1e-4, atol=1e-5)
    assert (alone[2] - alone[0]).abs().max() > 1e-3


def test_an_interrupted_run_continues_without_training_anything_twice(uci, iris, tmp_path, monkeypatch):
    path = tmp_path / "out.jsonl"
    uci.run_trial(iris, 0, uci.Store(path, {"a": 1}), epochs=1)
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) == 1 + 9 * 6 + 3
    path.write_text("\n".join(lines[:-1]) + '\n{"data_set": "ir', "utf-8")
    store = uci.Store(path, {"a": 1})
    trained = []
    real = uci.train_one
    monkeypatch.setattr(uci, "train_one", lambda *a, **k: trained.append(a[2].stage) or real(*a, **k))
    uci.run_trial(iris, 0, store, epochs=1)
    assert trained == ["test"]
    again = json.loads(path.read_text("utf-8").splitlines()[-1])
    assert again | {"seconds": 0} == json.loads(lines[-1]) | {"seconds": 0}


def test_on_long_tables_eta_is_searched_at_one_alpha(uci, iris, tmp_path):
    store = uci.Store(tmp_path / "out.jsonl", {})
    uci.run_trial(iris, 0, store, stepwise_above=149, epochs=1)
    assert len(store.results) == 9 + 5 + 3
    assert len({fit.alpha for fit in store.results if fit.eta}) == 1


def test_results_of_other_settings_are_not_continued(uci, tmp_path):
    uci.Store(tmp_path / "out.jsonl", {"scaling": "standard"})
    with pytest.raises(SystemExit, match="name another --out"):
        uci.Store(tmp_path / "out.jsonl", {"scaling": "none"})


def test_the_lowest_validation_error_is_chosen_and_ties_go_to_the_lower_loss(uci):
    def fit(alpha, eta, stage="choose"):
        return uci.Fit("iris", 0, stage, alpha, eta)

    results = {
        fit(0.1, 0.0): {"error": 5.0, "loss": 0.1},
        fit(0.2, 0.0): {"error": 4.0, "loss": 0.3},
        fit(0.5, 0.0): {"error": 4.0, "loss": 0.2},
        fit(0.1, 1.0): {"error": 3.0, "loss": 0.9},
        fit(0.2, 0.1): {"error": 9.0, "loss": 0.1},
        fit(0.2, 0.0, "test"): {"error": 0.0, "loss": 0.0},
    }
    assert uci.choose(results, "iris", 0) == {"ERM": (None, 0.0), "Mixup": (0.5, 0.0), "MixupE": (0.1, 1.0)}


def test_a_cell_is_within_up_to_one_published_deviation(uci):
    errors = {"cmc": {"ERM": np.array([44.0, 44.6]), "Mixup": np.array([48.4, 48.4]), "MixupE": np.array([48.0, 48.0])}}
    lines, within = uci.side_by_side(errors)
    # published 45.77 +- 1.49, 46.67 +- 1.83, 45.42 +- 2.05
    assert within == {("cmc", "ERM"): True, ("cmc", "Mixup"): True, ("cmc", "MixupE"): False}
    assert lines[-1].count("(outside)") == 1
    assert "44.30 ± 0.42" in lines[-1]


def test_luck_is_what_binomial_test_sets_and_welch_say(uci):
    # letter tests 4,000 rows: sd of a trial sqrt(p (1 - p) / 4000), sqrt(2 / 5) of it for two means of 5 trials each
    cells = uci.PUBLISHED["letter"]
    scales = [np.sqrt(2 / 5 * mean * (100 - mean) / 4000) for mean, _ in cells]
    by_hand = sum(2 * NormalDist().cdf(sd / scale) - 1 for (_, sd), scale in zip(cells, scales, strict=True))
    spread = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])
    errors = {"letter": {"ERM": 4.56 + spread, "Mixup": 3.71 + spread, "MixupE": 9.0 + spread}}
    expected, different = uci.luck(errors, {"letter": 20_000})
    assert expected == pytest.approx(by_hand)
    assert different == 1


def test_differences_are_paired_by_trial_and_corrected_for_shared_rows(uci):
    erm, gain = np.array([10.0, 30.0, 20.0, 50.0, 40.0]), np.array([1.0, 2.0, 3.0, 2.0, 2.0])
    errors = {"iris": {"ERM": erm, "Mixup": erm - gain, "MixupE": erm - gain}}
    found = uci.differences(errors, {"iris": 150})["Mixup - ERM", "iris"]
    assert found.difference == -2
    assert found.standard_error == pytest.approx(np.std(gain, ddof=1) * np.sqrt(1 / 5 + 30 / 120))


def test_the_report_waits_for_two_trials_of_all_methods(uci):
    results = {
        uci.Fit("iris", trial, "test", alpha, eta): {"error": 5.0 + trial, "loss": 0.1, "seconds": 1.0}
        for trial in (0, 1)
        for alpha, eta in ((None, 0.0), (0.1, 0.0), (0.1, 0.01))
    }
    assert any("3 of 3 cells" in line for line in uci.report(results, {"iris": 150}))
    results.popitem()
    assert uci.report(results, {"iris": 150}) == ["no data set has two finished trials yet"]


@pytest.mark.data
def test_abalone_has_the_usual_three_classes(uci):
    if not (FOLDER / "abalone.arff").is_file():
        pytest.skip(f"there is no {FOLDER / 'abalone.arff'}; name the folder with MIXKIT_DATA")
    frame, labels = uci.load("abalone", FOLDER)
    assert np.bincount(labels).tolist() == [1407, 1323, 1447]
    assert "Class_Rings" not in frame
