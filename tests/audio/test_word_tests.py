"""Several words at once and words under noise: what is mixed, what is counted, and that it reaches the report."""

import json
import math

import numpy as np
import pytest
import soundfile
import torch

from mixkit_audio.word_tests import WordTests, all_found, partners, pink_noise, together


def rms(wave):
    return wave.double().square().mean(-1).sqrt().squeeze(-1)


@pytest.fixture
def waves():
    generator = torch.Generator().manual_seed(3)
    # unlike levels, and orthogonal, so that powers add up exactly
    basis, _ = torch.linalg.qr(torch.randn(512, 6, generator=generator))
    return (basis.T * torch.tensor([1.0, 0.2, 3.0, 0.5, 1.5, 0.1])[:, None])[:, None]


@pytest.mark.parametrize("sir", [0.0, -5.0, -20.0])
@pytest.mark.parametrize("count", [2, 3])
def test_the_first_word_is_as_many_decibels_against_each_of_the_others_as_asked(waves, sir, count):
    index = torch.tensor([[0, 1, 2], [3, 4, 5]])[:, :count]
    mixed = together(waves, index, sir)
    for row, words in zip(mixed, index, strict=True):
        parts = [float(row[0].double() @ waves[k, 0].double()) / float(rms(waves[k])) ** 2 / 512 for k in words]
        gains = [part * float(rms(waves[k])) for part, k in zip(parts, words, strict=True)]
        for other in gains[1:]:
            assert 20 * math.log10(gains[0] / other) == pytest.approx(sir, abs=0.01)


def test_a_mix_is_as_loud_as_its_first_word(waves):
    mixed = together(waves, torch.tensor([[0, 1], [2, 3], [5, 4]]), -10.0)
    torch.testing.assert_close(rms(mixed), rms(waves)[[0, 2, 5]], rtol=1e-4, atol=0)


def test_the_words_of_a_mix_are_all_different():
    labels = torch.arange(5).repeat(20)
    for count in (2, 3):
        index = partners(labels, count, torch.Generator().manual_seed(0))
        assert (index[:, 0] == torch.arange(100)).all()
        assert all(len(set(row)) == count for row in labels[index].tolist())


def test_three_words_of_two_classes_are_not_made_up():
    assert partners(torch.tensor([0, 1, 0, 1]), 3, torch.Generator()) is None


def test_words_are_found_only_if_no_other_is_more_probable():
    logits = torch.tensor([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0], [1.0, 2.0, 3.0], [0.0, 5.0, 4.0]])
    labels = torch.tensor([[1, 0], [0, 1], [2, 1], [2, 1]])
    assert all_found(logits, labels) == 0.75


def test_noise_is_as_loud_as_the_clip_and_falls_by_three_decibels_an_octave():
    waves = torch.randn(64, 1, 16384, generator=torch.Generator().manual_seed(1)) * 0.3
    noise = pink_noise(waves, torch.Generator().manual_seed(0))
    torch.testing.assert_close(rms(noise), rms(waves), rtol=1e-3, atol=0)
    power = torch.fft.rfft(noise.double()).abs().square().mean((0, 1))
    for low in (64, 256, 1024):
        octaves = power[low : 2 * low].mean() / power[2 * low : 4 * low].mean()
        assert 10 * math.log10(octaves) == pytest.approx(3.01, abs=0.4)


def tones(classes=4, each=30):
    """A class is a pitch; a network that looks at the spectrum finds all that are there."""
    time = torch.arange(2000.0) / 2000
    labels = torch.arange(classes).repeat(each)
    return (0.1 * torch.sin(2 * torch.pi * (100 * (labels + 1))[:, None] * time))[:, None], labels.numpy()


def spectrum_peaks(waves):
    return torch.fft.rfft(waves[:, 0]).abs()[:, [100, 200, 300, 400]]


def word_tests(classes=("a", "b", "c", "d")):
    waves, labels = tones()
    tests = WordTests(lambda rows: waves[rows], labels, classes, lambda shown, i: f"<p>{len(shown)}, {i}</p>")
    return tests, np.arange(len(labels))


def test_a_network_that_hears_everything_finds_every_word_at_every_level():
    tests, rows = word_tests()
    scores = tests.scores(spectrum_peaks, rows, torch.Generator().manual_seed(0))
    assert scores == {
        **{f"{count} words, {sir} dB": 1.0 for count in ("two", "three") for sir in ("0", "-5", "-10", "-20")},
        **{f"accuracy, noise at {snr} dB": 1.0 for snr in (20, 10, 0)},
    }


def test_a_network_that_knows_one_word_finds_two_by_chance_only():
    tests, rows = word_tests()

    def deaf(waves):
        return torch.tensor([4.0, 3.0, 2.0, 1.0]).expand(len(waves), 4)

    scores = tests.scores(deaf, rows, torch.Generator().manual_seed(0))
    assert scores["accuracy, noise at 0 dB"] == pytest.approx(0.25)
    assert scores["two words, 0 dB"] == pytest.approx(1 / 6, abs=0.1)


def test_silence_and_its_class_take_no_part():
    tests, rows = word_tests(("a", "b", "c", "_silence_"))
    heard = []

    def listening(waves):
        heard.append(waves)
        return spectrum_peaks(waves)

    tests.scores(listening, rows, torch.Generator().manual_seed(0))
    assert {len(waves) for waves in heard} == {90}
    silent = WordTests(lambda picked: torch.zeros(len(picked), 1, 2000), tests.labels, tests.classes, tests.show)
    assert silent.scores(listening, rows, torch.Generator()) == {}
    assert silent.examples(rows, torch.Generator()) == []


def test_scores_replay_from_their_generator():
    tests, rows = word_tests()

    def noisy(waves):
        return spectrum_peaks(waves) + waves.abs().sum((1, 2))[:, None] % torch.tensor([0.3, 0.5, 0.7, 1.1]) * 400

    first, second = (tests.scores(noisy, rows, torch.Generator().manual_seed(5)) for _ in range(2))
    assert first == second


def test_examples_say_what_they_are():
    tests, rows = word_tests()
    captions = [item.caption for item in tests.examples(rows, torch.Generator().manual_seed(0))]
    assert len(captions) == 3
    assert " as loud as '" in captions[0]
    assert " 10 dB below '" in captions[1]
    assert captions[2].endswith("in noise as loud as itself")


def test_a_comparison_of_clips_reports_the_tests_with_players(tmp_path):
    from typer.testing import CliRunner

    from mixkit.cli import app

    for word, pitch in (("high", 900.0), ("low", 300.0), ("_silence_", 0.0)):
        (tmp_path / "clips" / word).mkdir(parents=True)
        for take in range(12):
            save_tone(tmp_path / "clips" / word / f"{take}.wav", pitch * (1 + take / 100))
    options = ["--methods", "mixup", "--folds", "2", "--repeats", "1", "--epochs", "1", "--jobs", "1"]
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["compare", str(tmp_path / "clips"), *options, "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    (problem,) = json.loads((out / "summary.json").read_text())["problems"].values()
    found = problem["methods"]["mixup"]["descriptive"]
    assert found["two words, -10 dB"] is not None
    assert "three words, 0 dB" not in found  # there are two words only
    page = (out / "report.html").read_text()
    assert "<h3>Further tests</h3>" in page
    tests = page[page.index("the tests</h3>") :]
    assert tests.count("<audio") >= 9
    assert "10 dB below" in tests


@pytest.mark.parametrize("name", ["mix-training", "wave-mixup", "between-class"])
def test_silence_is_no_label_beside_a_word(tmp_path, name):
    from mixkit.comparison.problems import LoadOptions
    from mixkit.method import method
    from mixkit_audio import load_clips

    for word, pitch in (("high", 900.0), ("low", 300.0), ("silence", 0.0)):
        (tmp_path / word).mkdir(parents=True)
        for take in range(8):
            save_tone(tmp_path / word / f"{take}.wav", pitch * (1 + take / 100))
    problem = load_clips(tmp_path, LoadOptions())
    prepared = problem.prepare(np.arange(24))
    assert prepared.absent == (2,)
    generators = {"draws": torch.Generator().manual_seed(0), "tokens": torch.Generator()}
    setting = prepared.setting(prepared.model(), np.arange(24), total_steps=1, **generators)
    objective = method(name).build(setting, method(name).parameters("audio"))
    targets = prepared.targets
    plan = objective.mix.draw(prepared.batch(torch.arange(24)), targets, objective.generator)
    labels = plan.targets(targets)
    words = (labels[:, :2] > 0).sum(1)
    assert (words == 2).any()
    assert (words == 1).any()
    assert not ((labels[:, 2] > 0) & (labels[:, :2].sum(1) > 0)).any()
    if name != "mix-training":  # silence is heard as what it is
        assert (labels[targets[:, 2] == 1, 2] == 1).all()


def save_tone(path, pitch):
    wave = 8000 * np.sin(2 * np.pi * pitch * np.arange(2000) / 8000)
    soundfile.write(path, wave.astype(np.int16), 8000)
