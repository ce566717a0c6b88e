"""One run: what it depends on, what it reports, and that it is repeatable."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mixkit.comparison.entry import open_entries
from mixkit.comparison.metrics import METRICS
from mixkit.comparison.problems import DataError
from mixkit.comparison.run import execute
from mixkit.comparison.splits import Cell
from mixkit.comparison.tuning import Trial, is_better, trials
from mixkit.method import methods


@pytest.fixture
def prepared(entry):
    """Return the preprocessing of the first cell."""
    return entry.first_prepared


@pytest.fixture
def run(entry):
    """Return (method="mixup", **changes) -> the method's run on the first cell."""

    def made(method="mixup", **changes):
        return replace(entry.run(method, entry.cells()[0]), **changes)

    return made


def test_the_same_run_gives_the_same_numbers(entry, prepared, run):
    first, second = (execute(entry.problem, prepared, run()) for _ in range(2))
    assert {k: v for k, v in first[0].items() if k != "cost"} == {k: v for k, v in second[0].items() if k != "cost"}
    assert np.array_equal(first[1]["outputs"], second[1]["outputs"])


def test_a_run_leaves_the_global_generators_as_they_were(entry, prepared, run, global_state):
    before = global_state()
    execute(entry.problem, prepared, run())
    assert global_state() == before


def test_a_run_does_not_depend_on_the_global_generators(entry, prepared, run):
    torch.manual_seed(1)
    first = execute(entry.problem, prepared, run())[0]["scores"]
    torch.manual_seed(2)
    assert execute(entry.problem, prepared, run())[0]["scores"] == first


def test_methods_of_a_seed_see_the_same_batches_and_start_from_the_same_weights(entry, prepared, run):
    def followed(method):
        picked, started = [], []

        def batch(rows):
            picked.append(rows.tolist())
            return prepared.batch(rows)

        def model():
            network = prepared.model()
            started.append([p.detach().clone() for p in network.parameters()])
            return network

        execute(entry.problem, replace(prepared, batch=batch, model=model), run(method, epochs=3))
        return picked, started[0]

    erm, mixup = followed("erm"), followed("mixupe")
    assert erm[0] == mixup[0]
    assert all(torch.equal(a, b) for a, b in zip(erm[1], mixup[1], strict=True))


def test_a_record_says_what_was_trained_and_how_it_went(entry, prepared, run):
    record, arrays = execute(entry.problem, prepared, run(epochs=3))
    assert record["rows"] == {"train": 26, "validation": 4, "test": 30}
    assert record["configuration"] == {
        "alpha": 0.2,
        "until": 1.0,
        "epochs": 3,
        "batch_size": prepared.recipe.batch_size,
        "learning_rate": prepared.recipe.learning_rate,
        "weight_decay": prepared.recipe.weight_decay,
    }
    assert record["curve"]["epoch"] == [1, 2, 3]
    assert record["cost"].keys() == {"seconds", "seconds_per_epoch", "peak_bytes"}
    assert arrays["outputs"].shape == (30, 2)
    assert record["scores"]["accuracy"] == pytest.approx(arrays["items"].mean())


def test_progress_counts_epochs_of_all_trials(entry, prepared, run):
    told = []
    execute(entry.problem, prepared, run(epochs=2, tune=3), lambda done, total: told.append((done, total)))
    assert told == [(done, 6) for done in range(1, 7)]


def test_a_long_curve_is_thinned_and_ends_with_the_last_epoch(entry, prepared, run):
    epochs = execute(entry.problem, prepared, run(epochs=29))[0]["curve"]["epoch"]
    assert epochs == [*range(2, 29, 2), 29]


def test_calibration_and_robustness_stand_beside_the_scores(entry, prepared, run):
    descriptive = execute(entry.problem, prepared, run())[0]["descriptive"]
    assert descriptive.keys() == {
        "temperature",
        "log_loss",
        "log_loss_scaled",
        "ece",
        "ece_scaled",
        "accuracy_noise",
        "accuracy_pgd",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 2},
        {"tune": 2},
        {"device": "cuda"},
        {"precision": "64-true"},
        {"fingerprint": "other"},
        {"parameters": {"alpha": 0.3}},
        {"method": "mixupe"},
        {"metrics": (METRICS["f1"], METRICS["accuracy"])},
    ],
)
def test_the_key_changes_with_whatever_changes_the_numbers(run, change):
    assert run(**change).key("table") != run().key("table")


def test_the_key_changes_with_seed_rows_and_problem(run):
    cell = run().cell
    others = [
        replace(cell, seed=cell.seed + 1),
        replace(cell, fold=1),
        replace(cell, train=cell.train[:-1], validation=np.append(cell.validation, cell.train[-1])),
    ]
    keys = {run().key("table"), run().key("elsewhere"), *(run(cell=other).key("table") for other in others)}
    assert len(keys) == 5


def test_the_key_does_not_change_with_which_device_of_a_kind(run):
    assert run(device="cuda:1").key("table") == run(device="cuda:0").key("table")


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "16-mixed"])
def test_every_precision_trains_and_predicts(entry, prepared, run, precision):
    record, _ = execute(entry.problem, prepared, run(precision=precision))
    assert 0 <= record["scores"]["accuracy"] <= 1


def one_class(cell, labels):
    """Return the cell with test rows of one class only."""
    return Cell(cell.repeat, cell.fold, cell.seed, cell.train, cell.validation, cell.test[labels[cell.test] == 0])


def test_a_metric_that_one_class_leaves_undefined_is_no_score(entry, prepared, run):
    cell = one_class(run().cell, entry.problem.labels)
    assert execute(entry.problem, prepared, run(cell=cell))[0]["scores"]["auc"] is None


def test_an_undefined_primary_metric_ends_the_run(entry, prepared, run):
    cell = one_class(run().cell, entry.problem.labels)
    with pytest.raises(ValueError, match="auc must be defined on the test rows; choose another --metric"):
        execute(entry.problem, prepared, run(cell=cell, metrics=(METRICS["auc"], METRICS["accuracy"])))


def test_a_validation_score_that_is_undefined_is_a_gap_in_the_curve(entry, prepared, run):
    cell = run().cell
    cell = replace(cell, validation=cell.validation[entry.problem.labels[cell.validation] == 0])
    record, _ = execute(entry.problem, prepared, run(cell=cell, metrics=(METRICS["auc"],), tune=2))
    assert record["curve"]["validation"] == [None]


def test_the_best_trial_on_the_validation_rows_is_tested(entry, prepared, run, monkeypatch):
    scores = iter([0.2, 0.9, 0.9, 0.4])
    monkeypatch.setattr("mixkit.comparison.run.primary", lambda *arguments: next(scores))
    tuned = run(tune=4)
    record, _ = execute(entry.problem, prepared, tuned)
    from mixkit.comparison.run import TUNING
    from mixkit.randomness import derived_generator

    tried = trials(methods()["mixup"], tuned.parameters, 4, derived_generator(tuned.cell.seed, TUNING))
    assert record["tuning_trials"] == 4
    assert record["configuration"]["learning_rate"] == prepared.recipe.learning_rate * tried[1].rate_factor


@pytest.mark.parametrize("name", ["erm", "mixup", "mixupe"])
def test_every_method_has_as_many_trials_the_documented_one_first(name, generator):
    method = methods()[name]
    tried = trials(method, method.parameters("image"), 12, generator)
    assert len(tried) == 12
    assert tried[0] == Trial(method.parameters("image"))
    assert len({(trial.rate_factor, trial.decay_factor) for trial in tried}) == 12
    assert all(0.5 <= trial.rate_factor <= 2 and 0.1 <= trial.decay_factor <= 10 for trial in tried)
    assert all(trial.parameters[key] in values for trial in tried[1:] for key, values in method.grid.items())


def test_methods_are_tuned_over_the_same_learning_rates():
    rates = [
        [trial.rate_factor for trial in trials(methods()[name], {}, 5, torch.Generator().manual_seed(7))]
        for name in ("erm", "mixupe")
    ]
    assert rates[0] == rates[1]


@pytest.mark.parametrize("count", [0, 1])
def test_without_tuning_the_documented_values_are_all_there_is(count, generator):
    assert trials(methods()["mixup"], {"alpha": 1.0}, count, generator) == [Trial({"alpha": 1.0})]


@pytest.mark.parametrize(
    ("new", "old", "higher", "better"),
    [
        (0.9, 0.8, True, True),
        (0.9, 0.8, False, False),
        (0.8, 0.8, True, False),
        (None, 0.1, True, False),
        (0.1, None, True, True),
        (None, None, True, False),
    ],
)
def test_better_means_what_the_metric_says(new, old, higher, better):
    assert is_better(new, old, higher=higher) is better


def test_one_class_of_rows_per_fold_is_needed(settings):
    with pytest.raises(DataError, match="there must be at least as many rows as folds, got 60 for folds=61"):
        open_entries(settings(folds=61))[0][0].cells()
