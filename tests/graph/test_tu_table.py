"""The benchmark that repeats MixupE's experiment on graphs: splits, the two protocols' choices, fits side by side."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mixkit_graph.generated import motif_graphs
from mixkit_graph.graphs import graph_set

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tu():
    spec = importlib.util.spec_from_file_location("tu_table", ROOT / "benchmarks" / "tu_table.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["tu_table"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["tu_table"]


@pytest.fixture(scope="module")
def motifs(tu):
    problem = motif_graphs()
    return tu.Collection("MUTAG", problem.graphs, problem.labels)


@pytest.fixture
def double():
    """Compute in double precision: what should agree then does, whatever the order of sums."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def fits(tu, *points, fold=0, part="nested"):
    return [tu.Fit("MUTAG", fold, part, *point, 0) for point in points]


def curve(test, val=None, loss=None):
    result = {"test": test, "seconds": 1.0}
    return result if val is None else result | {"val": val, "val_loss": loss or [0.0] * len(val)}


def test_nodes_are_their_labels_or_else_their_degrees(tu):
    edges = torch.tensor([[0, 1], [1, 2]])
    labelled = graph_set(torch.tensor([3]), edges, torch.tensor([[7], [3], [7]]))
    assert tu.one_hot(labelled).tolist() == [[0, 1], [1, 0], [0, 1]]
    assert tu.one_hot(graph_set(torch.tensor([3]), edges)).tolist() == [[1, 0], [0, 1], [1, 0]]


def test_a_batch_holds_features_with_the_neighbours_added_and_the_sums_of_graphs(tu):
    # a path of 3 (degrees 1, 2, 1) and a pair (degrees 1, 1); asked for the other way round
    graphs = graph_set(torch.tensor([3, 2]), torch.tensor([[0, 1, 3], [1, 2, 4]]))
    batch = tu.Collection("MUTAG", graphs, [0, 1]).batch(torch.tensor([1, 0]))
    assert batch.x.tolist() == [[2, 0], [2, 0], [1, 1], [2, 1], [1, 1]]
    pair = [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
    path = [[0, 0, 0, 1, 0], [0, 0, 1, 0, 1], [0, 0, 0, 1, 0]]
    for matrix in batch.neighbours:
        assert matrix.to_dense().tolist() == pair + path
    assert batch.graphs.forward.to_dense().tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 1, 1]]
    assert torch.equal(batch.graphs.transposed.to_dense(), batch.graphs.forward.to_dense().T)


def test_the_product_has_the_gradient_of_the_dense_one(tu):
    columns = torch.tensor([1, 0, 2])
    matrix = tu.ones_at(torch.tensor([0, 1, 3]), columns, 3)
    dense = torch.tensor([[0.0, 1, 0], [1, 0, 1]])
    assert torch.equal(matrix.to_dense(), dense)
    x = torch.randn(3, 2, requires_grad=True)
    back = tu.ones_at(torch.tensor([0, 1, 2, 3]), torch.tensor([1, 0, 1]), 2)
    tu.Product.apply(x, tu.Matrix(matrix, back)).square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * dense.T @ (dense @ x.detach()))


def test_folds_are_even_apart_and_validate_on_a_ninth_of_what_trains(tu, motifs):
    tested = []
    for fold in range(10):
        train, validation, test = motifs.rows(fold, "nested")
        whole, none, again = motifs.rows(fold, "whole")
        assert sorted([*train.tolist(), *validation.tolist()]) == whole.tolist()
        assert (len(none), len(validation), len(test)) == (0, 32, 32)
        assert torch.equal(test, again)
        assert torch.bincount(motifs.labels[test]).tolist() == [8, 8, 8, 8]
        tested += test.tolist()
    assert sorted(tested) == list(range(320))


@pytest.mark.usefixtures("double")
def test_networks_trained_side_by_side_are_those_trained_alone(tu):
    problem = motif_graphs()
    motifs = tu.Collection("MUTAG", problem.graphs, problem.labels)
    motifs.x = motifs.x.double()
    points = [(None, 0.0), (1.0, 0.0), (1.0, 0.5), (0.2, 0.0)]
    together = tu.train(motifs, fits(tu, *points), epochs=1)
    for fit, result in zip(fits(tu, *points), together, strict=True):
        alone = tu.train(motifs, [fit], epochs=1, form=tu.Alone)[0]
        assert result["val_loss"] == pytest.approx(alone["val_loss"], abs=1e-4)
        assert result["test"] == alone["test"]
    losses = [result["val_loss"][0] for result in together]
    assert min(abs(a - b) for i, a in enumerate(losses) for b in losses[:i]) > 1e-3


def test_the_papers_protocol_takes_one_epoch_for_all_folds(tu):
    points = {
        (1.0, 0.0): [curve([1.0, 0.5, 0.7]), curve([0.0, 0.5, 0.5])],  # means 0.5, 0.5, 0.6
        (0.2, 0.0): [curve([0.5, 0.75, 0.2]), curve([0.5, 0.55, 1.0])],  # means 0.5, 0.65, 0.6
    }
    errors, point, epoch = tu.on_test(points)
    assert (point, epoch) == ((0.2, 0.0), 2)
    np.testing.assert_allclose(errors, [25, 45])


def test_ties_on_the_test_folds_go_to_the_earlier_epoch_whatever_the_rounding(tu):
    # both means are 0.15, but 0.1 + 0.2 > 0.3 in floating point
    errors, _, epoch = tu.on_test({(None, 0.0): [curve([0.3, 0.1]), curve([0.0, 0.2])]})
    assert epoch == 1
    np.testing.assert_allclose(errors, [70, 100])


def test_the_nested_protocol_chooses_on_validation_in_each_fold_and_ties_go_to_the_lower_loss(tu):
    points = {
        (1.0, 0.1): [curve([0.1, 0.2], [0.8, 0.9], [0.5, 0.6]), curve([0.3, 0.4], [0.6, 0.5], [0.1, 0.1])],
        (0.2, 0.1): [curve([0.5, 0.6], [0.9, 0.9], [0.7, 0.55]), curve([1.0, 1.0], [0.4, 0.5], [0.0, 0.0])],
    }
    errors, chosen = tu.nested(points)
    assert chosen == [((0.2, 0.1), 2), ((1.0, 0.1), 1)]
    np.testing.assert_allclose(errors, [40, 70])


def test_test_accuracy_does_not_move_the_nested_choice(tu):
    points = {(1.0, 0.0): [curve([0.1, 0.2], [0.8, 0.9], [0.5, 0.6])]}
    better = {(1.0, 0.0): [curve([1.0, 0.2], [0.8, 0.9], [0.5, 0.6])]}
    assert tu.nested(points)[1] == tu.nested(better)[1]


def test_points_that_miss_a_fold_take_no_part(tu):
    results = {}
    for fold in (0, 1, 2):
        points = [*tu.FIRST, (0.2, 0.0)][: (3, 4, 2)[fold]]
        results |= {fit: curve([0.5], [0.5]) for fit in fits(tu, *points, fold=fold)}
    found, folds = tu.finished(results, "MUTAG", "nested")
    # fold 2 lacks MixupE's first point, so it is not reported; fold 0 lacks alpha 0.2, which is left out
    assert folds == [(0, 0), (0, 1)]
    assert {method: list(points) for method, points in found.items()} == {
        "ERM": [(None, 0.0)],
        "Mixup": [(1.0, 0.0)],
        "MixupE": [(1.0, 0.01)],
    }
    assert tu.finished(results, "MUTAG", "whole")[1] == []


def test_rounds_begin_with_the_first_points_and_hold_every_point_once(tu):
    rounds = tu.rounds(tu.ALPHAS, tu.ETAS, 6)
    points = [point for one in rounds for point in one]
    assert rounds[0] == list(tu.FIRST)
    assert len(points) == len(set(points)) == 1 + 9 * 6
    assert max(map(len, rounds)) == 6


def test_epochs_are_for_all_or_for_one_data_set(tu):
    assert tu.epochs_of(["100", "MUTAG=350"]) == {"MUTAG": 350, "PROTEINS": 100, "IMDB-BINARY": 100}
    with pytest.raises(SystemExit, match="--epochs must name one of MUTAG"):
        tu.epochs_of(["mutag=1"])


def test_an_interrupted_run_continues_without_training_anything_twice(tu, motifs, tmp_path, monkeypatch):
    path, stacks = tmp_path / "out.jsonl", tu.plan(["MUTAG"], [list(tu.FIRST)], ["nested"], folds=2)
    arguments = {"folds": 10, "epochs": {"MUTAG": 1}, "seconds": 1e9}
    tu.run(stacks, {"MUTAG": motifs}, tu.Store(path, {"a": 1}), **arguments)
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) == 1 + 2 * 3
    path.write_text("\n".join(lines[:-1]) + '\n{"data": "MU', "utf-8")
    trained, real = [], tu.train
    monkeypatch.setattr(tu, "train", lambda *a, **k: trained.extend(a[1]) or real(*a, **k))
    store = tu.Store(path, {"a": 1})
    tu.run(stacks, {"MUTAG": motifs}, store, **arguments)
    assert trained == fits(tu, (1.0, 0.01), fold=1)
    again, before = json.loads(path.read_text("utf-8").splitlines()[-1]), json.loads(lines[-1])
    assert again["val_loss"] == pytest.approx(before["val_loss"], abs=1e-3)
    assert any(line.startswith("| MUTAG | nested, trained on 8/10 | 2 |") for line in tu.report(store.results))


def test_nothing_is_started_once_the_time_is_up(tu, motifs, tmp_path, capsys):
    store = tu.Store(tmp_path / "out.jsonl", {})
    stacks = tu.plan(["MUTAG"], [list(tu.FIRST)], ["nested"], folds=1)
    tu.run(stacks, {"MUTAG": motifs}, store, folds=10, epochs={"MUTAG": 1}, seconds=0)
    assert not store.results
    assert capsys.readouterr().out == "the time is up\n"


def test_results_of_other_settings_are_not_continued(tu, tmp_path):
    tu.Store(tmp_path / "out.jsonl", {"epochs": 1})
    with pytest.raises(SystemExit, match="name another --out"):
        tu.Store(tmp_path / "out.jsonl", {"epochs": 2})


def test_a_verdict_is_corrected_for_what_folds_share(tu):
    erm, gain = np.array([10.0, 30, 20, 50, 40, 30, 20, 10, 0, 5]), np.array([1.0, 2, 3, 2, 2, 1, 2, 3, 2, 2])
    # s = sqrt(4 / 9), standard error s sqrt(1 / 10 + 1 / 9), Student's t with 9 degrees at 1 - 0.05 / 2: 2.6850
    half = np.sqrt(4 / 9) * np.sqrt(1 / 10 + 1 / 9) * 2.6850
    assert tu.verdict(erm - gain, erm, 10) == f"-2.00 [{-2 - half:.2f}, {-2 + half:.2f}] helps"
