"""The benchmark that repeats MixupE's experiment on speech: splits, training, choosing an epoch, report."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("mixkit_audio", reason="needs the extra mixkit[audio]", exc_type=ImportError)

import soundfile

from mixkit import MultiClass
from mixkit_audio.paper_networks import PaperSpectrogram

ROOT = Path(__file__).parents[2]
WORDS, SPEAKERS, TAKES, SAMPLES = 3, 10, 2, 1600


class Tiny(nn.Module):
    """A linear layer on mean magnitudes, large enough to be learned in a few steps: a fit takes no time."""

    def __init__(self, classes):
        super().__init__()
        self.frontend = PaperSpectrogram()
        self.head = nn.Linear(161, classes)

    def forward(self, waves):
        return self.head(100 * self.frontend(waves).mean((1, 3)))


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("speech_table", ROOT / "benchmarks" / "speech_table.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["speech_table"] = module
    spec.loader.exec_module(module)
    module.NETWORKS["lenet"] = Tiny
    yield module
    del sys.modules["speech_table"]


def write(folder, speakers, rate=16000):
    """Write clips named like Speech Commands': word i is a tone of (i + 1) * 600 Hz in noise."""
    draw = np.random.default_rng(0)
    for word in range(WORDS):
        (folder / f"word{word}").mkdir(parents=True)
        for speaker in speakers:
            for take in range(TAKES):
                tone = np.sin(2 * np.pi * 600 * (word + 1) * np.arange(SAMPLES) / rate)
                clip = 0.1 * tone + 0.1 * draw.standard_normal(SAMPLES)
                soundfile.write(folder / f"word{word}" / f"{speaker:08x}_nohash_{take}.wav", clip, rate)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "words"
    write(path, range(SPEAKERS))
    return path


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    path = tmp_path_factory.mktemp("split") / "parts"
    for part, speakers in {"train": range(6), "validation": range(6, 8), "test": range(8, 10)}.items():
        write(path / part, speakers)
    return path


@pytest.fixture(scope="module")
def speech(table, folder):
    return table.Speech(folder, table.SOURCES["speech_commands"], 7)


def limits(**changes):
    return {"epochs": 1, "device": "cpu", "seconds": 600} | changes


def test_the_published_table_has_two_networks_and_three_methods(table):
    assert np.array([table.PUBLISHED[name] for name in ("lenet", "vgg11")]).shape == (2, 3, 2)
    assert set(table.PUBLISHED) == set(table.NETWORKS)
    assert all(cells[2] < cells[1] < cells[0] for cells in table.PUBLISHED.values())


def test_no_speaker_is_in_two_parts_and_five_cells_test_every_clip_once(speech):
    assert len(speech.cells) == 7
    assert not speech.official
    for cell in speech.cells:
        parts = [set(speech.groups[rows].tolist()) for rows in (cell.train, cell.validation, cell.test)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == SPEAKERS
    tested = np.concatenate([cell.test for cell in speech.cells[:5]])
    assert sorted(tested.tolist()) == list(range(WORDS * SPEAKERS * TAKES))


def test_an_official_split_is_kept_and_seeds_differ(table, official):
    speech = table.Speech(official, table.SOURCES["speech_commands"], 3)
    assert speech.official
    assert [len(part) for part in (speech.cells[0].train, speech.cells[0].validation, speech.cells[0].test)] == [
        36,
        12,
        12,
    ]
    assert all(np.array_equal(cell.test, speech.cells[0].test) for cell in speech.cells)
    assert len({cell.seed for cell in speech.cells}) == 3


def test_clips_of_other_rates_are_brought_to_16_kilohertz(table):
    tone = np.round(8000 * np.sin(2 * np.pi * 440 * np.arange(4000) / 8000)).astype(np.int16)
    twice = table.at_rate(tone[None], 8000)
    assert twice.dtype == np.int16
    assert twice.shape == (1, 8000)
    assert np.abs(twice[0, ::2][200:-200] - tone[200:-200]).max() <= 160  # 2 % of the amplitude
    assert table.at_rate(tone[None], 16000) is not None


def test_the_same_fit_gives_the_same_result_and_tones_are_learned(table, speech):
    first, again = (table.train(speech, speech.cells[0], "lenet", "Mixup", epochs=12, device="cpu") for _ in range(2))
    assert {k: v for k, v in first.items() if "seconds" not in k} == {
        k: v for k, v in again.items() if "seconds" not in k
    }
    assert first["error"] < 35  # by chance it would be 67
    assert first["error"] == pytest.approx(100 * len(first["wrong"]) / len(speech.cells[0].test))


def test_methods_start_from_the_same_weights_and_penalty_and_mixing_change_the_training(table, speech):
    results = {m: table.train(speech, speech.cells[0], "lenet", m, epochs=2, device="cpu") for m in table.METHODS}
    assert len({result["validation_loss"] for result in results.values()}) == 3


def test_training_leaves_the_global_generator_alone(table, speech, global_state):
    before = global_state()
    table.train(speech, speech.cells[0], "lenet", "ERM", epochs=1, device="cpu")
    assert global_state() == before


def test_the_epoch_is_chosen_on_validation_rows_only(table, speech, monkeypatch):
    # validation errors by epoch; the test is scored when an epoch is the best so far, and never decides
    errors = {"validation": [50.0, 30.0, 30.0, 40.0], "test": [60.0, 70.0, 10.0]}
    losses, cell = [1.0, 0.9, 0.8, 0.1], speech.cells[0]
    asked = []

    def scripted(_, rows, __):
        part = "validation" if np.array_equal(rows, cell.validation) else "test"
        asked.append(part)
        i = asked.count(part) - 1
        return errors[part][i], losses[i], []

    monkeypatch.setattr(table, "scores", scripted)
    best = table.train(speech, cell, "lenet", "ERM", epochs=4, device="cpu")
    assert (best["epoch"], best["validation_error"], best["validation_loss"], best["error"]) == (3, 30.0, 0.8, 10.0)
    assert asked == ["validation", "test"] * 3 + ["validation"]


def test_an_interrupted_run_continues_where_it_was(table, speech, tmp_path, capsys):
    path = tmp_path / "speech.jsonl"
    store = table.Store(path, {"epochs": 1})
    table.run([speech], ["lenet"], store, **limits(seconds=-1))
    assert not store.results
    first = table.Fit(speech.name, "lenet", 0, 0, "ERM")
    store.add(first, {"error": 12.5, "wrong": [], "seconds": 1.0, "epoch_seconds": 1.0, "epoch": 1})
    with path.open("a") as file:
        file.write('{"data_set": "cut o')
    again = table.Store(path, {"epochs": 1})
    assert set(again.results) == {first}
    speech_of_one = table.Speech.__new__(table.Speech)
    speech_of_one.__dict__.update(vars(speech) | {"cells": speech.cells[:1]})
    table.run([speech_of_one], ["lenet"], again, **limits())
    assert "ERM" not in capsys.readouterr().out.replace("lenet 0 0 ERM: 12.50", "")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"settings": {"epochs": 1}}
    assert [line["method"] for line in lines[1:]] == ["ERM", "Mixup", "MixupE"]
    assert lines[1]["error"] == 12.5


def test_other_settings_need_another_file(table, tmp_path):
    path = tmp_path / "speech.jsonl"
    table.Store(path, {"epochs": 1})
    with pytest.raises(SystemExit, match="name another --out"):
        table.Store(path, {"epochs": 2})


def result(error, wrong=()):
    return {"error": error, "wrong": list(wrong), "epoch": 3, "epoch_seconds": 1.5}


def test_resampled_cells_are_judged_by_their_paired_differences(table, speech):
    results = {}
    for i, cell in enumerate(speech.cells):
        for method, error in (("ERM", 20.0 + i), ("Mixup", 20.0 + i), ("MixupE", 10.0 + i + 0.1 * (i % 2))):
            results[table.Fit(speech.name, "lenet", cell.repeat, cell.fold, method)] = result(error)
    cells = table.complete(results, speech, "lenet")
    assert len(cells) == 7
    assert table.judged(speech, cells, "ERM", "Mixup").verdict == "equivalent"
    verdict = table.judged(speech, cells, "ERM", "MixupE")
    assert verdict.verdict == "helps"
    assert verdict.difference == pytest.approx(-10 + 0.1 * 3 / 7)
    lines = table.report(results, [speech], ["lenet"])
    assert "| words | lenet | 7 | 10.43 ± 0.05 | 23.00 ± 2.16 |" in "\n".join(lines)


def test_an_official_split_is_judged_over_items_and_seeds(table, official):
    speech = table.Speech(official, table.SOURCES["speech_commands"], 5)
    test, results = speech.cells[0].test, {}
    for cell in speech.cells:
        for method, wrong in (("ERM", test[:6]), ("Mixup", test[:6]), ("MixupE", test[:3])):
            fit = table.Fit(speech.name, "lenet", cell.repeat, cell.fold, method)
            results[fit] = result(100 * len(wrong) / len(test), wrong.tolist())
    cells = table.complete(results, speech, "lenet")
    assert table.judged(speech, cells, "ERM", "MixupE").difference == pytest.approx(-25.0)
    assert table.judged(speech, cells, "ERM", "Mixup").difference == 0.0


def test_a_cell_that_lacks_a_method_does_not_count(table, speech):
    fit = table.Fit(speech.name, "lenet", 0, 0, "ERM")
    assert table.complete({fit: result(1.0)}, speech, "lenet") == []
    assert table.report({fit: result(1.0)}, [speech], ["lenet"]) == ["no cell is finished for all methods yet"]


def test_mixupe_has_the_paper_s_strengths_behind_the_front_end(table):
    what = table.objective(Tiny(3), MultiClass(3), "MixupE", torch.Generator())
    assert (what.mix.pairs.alpha, what.mix.pairs.per_sample, what.penalty.eta) == (0.2, False, 0.01)
    assert set(what(torch.randn(4, 1, SAMPLES), torch.eye(3)[[0, 1, 2, 0]])) == {"mixed", "penalty"}
