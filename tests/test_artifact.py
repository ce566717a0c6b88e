"""A trained network on disk predicts as it did in memory, and what is not one is refused."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from mixkit.artifact import Predictions, fit_final, predict_data, read_card, restored_network
from mixkit.comparison.entry import open_entries
from mixkit.comparison.problems import DataError, LoadOptions, Split
from mixkit.comparison.screen import Screen
from mixkit.comparison.settings import Settings


@pytest.fixture
def screen():
    """Return a screen that nobody sees."""
    return Screen(Console(file=io.StringIO()))


@pytest.fixture
def table(tmp_path):
    """Return the path of a table with three classes."""
    draw = np.random.default_rng(0)
    kinds = np.arange(60) % 3
    frame = pd.DataFrame({"a": draw.normal(kinds), "b": draw.normal(-kinds), "y": np.array(["u", "v", "w"])[kinds]})
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


@pytest.fixture
def entry(table):
    """Return the table as an entry."""
    return open_entries(Settings(data=str(table), target="y", epochs=3))[0][0]


@pytest.fixture
def trained(entry, tmp_path, screen):
    """Return the folder of a network trained with mixup."""
    fit_final(entry, "mixup", tmp_path / "model", screen)
    return tmp_path / "model"


def test_the_folder_holds_weights_and_a_card_and_nothing_else(trained):
    assert sorted(path.name for path in trained.iterdir()) == ["model.json", "model.safetensors"]


def test_the_card_says_what_was_trained_on_what_and_how_well(trained):
    card = json.loads((trained / "model.json").read_text())
    assert (card["modality"], card["method"], card["classes"], card["rows"]) == ("table", "mixup", ["u", "v", "w"], 60)
    assert card["configuration"]["alpha"] == 0.2
    assert card["scores"]["rows"] == {"train": 41, "validation": 7, "test": 12}
    assert 0 <= card["scores"]["accuracy"] <= 1
    assert card["data"]["training_rows"] == 60


def test_predictions_are_those_of_the_network_that_was_trained(trained, table, entry):
    predictions = predict_data(trained, table, LoadOptions())
    prepared = entry.problem.prepare(np.arange(60))
    network = prepared.model()
    network.load_state_dict(load_file(trained / "model.safetensors"))
    network.eval()
    with torch.no_grad():
        wanted = network(prepared.batch(torch.arange(60))).softmax(1)
    torch.testing.assert_close(predictions.outputs, wanted, rtol=1e-5, atol=1e-6)
    assert predictions.classes == ["u", "v", "w"]
    assert len(predictions.names) == 60


def test_the_same_fit_writes_the_same_weights(entry, trained, tmp_path, screen):
    fit_final(entry, "mixup", tmp_path / "again", screen)
    first, again = (load_file(folder / "model.safetensors") for folder in (trained, tmp_path / "again"))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_an_official_test_set_is_never_trained_on(entry, tmp_path, screen, monkeypatch):
    rows = np.arange(60)
    entry.problem.official = Split(rows[:40], None, rows[40:])
    seen = []
    prepare = type(entry.problem).prepare

    def watched(self, train):
        seen.append(sorted(train.tolist()))
        return prepare(self, train)

    monkeypatch.setattr(type(entry.problem), "prepare", watched)
    card = fit_final(entry, "erm", tmp_path / "model", screen)
    assert seen[-1] == list(range(40))
    assert card["scores"]["rows"]["test"] == 20


def test_where_the_folder_cannot_be_nothing_is_trained(entry, table, screen, monkeypatch):
    def trains(*arguments):
        raise AssertionError("trained")

    monkeypatch.setattr("mixkit.artifact.execute", trains)
    with pytest.raises(OSError, match="File exists"):
        fit_final(entry, "mixup", table, screen)


def test_a_failed_write_leaves_neither_weights_nor_card(entry, tmp_path, screen, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OSError, match="No space left on device"):
        fit_final(entry, "mixup", tmp_path / "model", screen)
    assert list((tmp_path / "model").iterdir()) == []


def test_a_folder_without_a_card_is_refused(tmp_path):
    with pytest.raises(DataError, match="must be a folder written by `mixkit train`"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be a folder written by"),
        ("[]", "but parts are missing"),
        ('{"modality": "table"}', "but parts are missing"),
    ],
)
def test_a_card_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_card(tmp_path)


def test_a_card_of_an_adapter_that_is_not_there_is_refused(trained, table):
    card = json.loads((trained / "model.json").read_text())
    (trained / "model.json").write_text(json.dumps({**card, "modality": "smell"}))
    with pytest.raises(DataError, match=r"must be one of .*, got 'smell'"):
        predict_data(trained, table, LoadOptions())


@pytest.mark.parametrize("damage", ["rubbish", "missing", "other"])
def test_weights_that_do_not_fit_the_card_are_refused(trained, entry, damage):
    path = trained / "model.safetensors"
    if damage == "rubbish":
        path.write_bytes(b"rubbish")
    elif damage == "missing":
        path.unlink()
    else:
        save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(DataError, match=r"model\.safetensors must hold the network of model\.json"):
        restored_network(entry.first_prepared, trained)


def test_data_that_are_not_there_are_refused(trained, tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist; check the spelling"):
        predict_data(trained, tmp_path / "nowhere", LoadOptions())


def test_classes_are_written_with_their_probabilities():
    file = io.StringIO()
    Predictions(["1", "2"], ["a, b", 'c"'], torch.tensor([[0.25, 0.75], [1.0, 0.0]])).write_csv(file)
    assert file.getvalue().splitlines() == [
        'name,prediction,"p(a, b)","p(c"")"',
        '1,"c""",0.250000,0.750000',
        '2,"a, b",1.000000,0.000000',
    ]


def test_values_are_written_in_full():
    file = io.StringIO()
    Predictions(["x"], [], torch.tensor([[0.1]], dtype=torch.float64)).write_csv(file)
    assert file.getvalue().splitlines() == ["name,prediction", "x,0.1"]
