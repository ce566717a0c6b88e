"""Clips from files to batches: rate, length, channels, broken files, groups, players, and restoring from a card."""

import base64
import builtins
import importlib
import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("mixkit_audio", reason="needs the extra mixkit[audio]", exc_type=ImportError)

import soundfile

import mixkit_audio.backend
from mixkit import AtSite
from mixkit.comparison.problems import DataError, LoadOptions
from mixkit.folders import list_labelled
from mixkit_audio import ADAPTER, AudioNet, LogMel, keywords
from mixkit_audio.reading import SUFFIXES
from mixkit_audio.transforms import random_time_shift, show_clip

DATA = Path(os.environ.get("MIXKIT_DATA", Path(__file__).parents[2] / "../shared/data"))
RATE = 8000


def tone(seconds: float, pitch: float = 440.0, rate: int = RATE):
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)


def save(path: Path, samples, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)
    return path


@pytest.fixture
def folder(tmp_path):
    """Six tones of half a second in two classes."""
    for label, pitch in (("high", 1000), ("low", 200)):
        for i in range(3):
            save(tmp_path / label / f"{i}.wav", tone(0.5, pitch * (1 + 0.1 * i)))
    return tmp_path


@pytest.fixture(scope="module")
def embedded():
    return keywords()


def test_samples_are_stored_as_they_are_in_the_files(folder):
    problem = ADAPTER.load(folder, LoadOptions())
    assert problem.waves.shape == (6, 4000)
    np.testing.assert_allclose(problem.waves[0] / 32767, tone(0.5, 1000), atol=1e-4)
    assert problem.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert problem.notes == ()
    batch = problem.prepare(np.arange(6)).batch(torch.tensor([0, 5]))
    assert batch.shape == (2, 1, 4000)
    assert batch.dtype == torch.float32


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "WAV"])
def test_other_formats_are_read(folder, suffix):
    save(folder / "low" / f"x.{suffix}", tone(0.5, 200))
    problem = ADAPTER.load(folder, LoadOptions())
    assert len(problem.waves) == 7
    other = problem.waves[6].astype(float)
    assert np.abs(other).max() > 10000
    assert np.abs(np.fft.rfft(other[500:3500])).argmax() == 200 * 3000 / RATE


def test_other_rates_are_resampled_and_the_note_says_so(folder):
    save(folder / "low" / "x.wav", tone(0.5, 200, rate=16000), rate=16000)
    problem = ADAPTER.load(folder, LoadOptions())
    assert problem.rate == RATE
    assert problem.notes == ("1 of 7 clips were resampled to 8,000 Hz",)
    np.testing.assert_allclose(problem.waves[6][200:-200] / 32767, tone(0.5, 200)[200:-200], atol=5e-3)


def test_longer_clips_lose_their_ends_and_shorter_ones_stand_in_silence(folder):
    for i in range(3, 40):
        save(folder / "low" / f"{i}.wav", tone(0.5, 200))
    long = np.concatenate([np.zeros(4000), tone(0.5, 300), np.zeros(4000)])
    save(folder / "low" / "x.wav", long)
    save(folder / "low" / "y.wav", tone(0.25, 300))
    problem = ADAPTER.load(folder, LoadOptions())
    assert problem.waves.shape[1] == 4000
    np.testing.assert_allclose(problem.waves[-2] / 32767, tone(0.5, 300), atol=1e-4)
    np.testing.assert_allclose(problem.waves[-1] / 32767, np.pad(tone(0.25, 300), 1000), atol=1e-4)
    assert problem.notes == (
        "1 of 45 clips were longer than 0.50 s and cut to their middle",
        "1 of 45 clips were shorter than 0.50 s and padded with silence",
    )


def test_length_is_at_most_two_seconds(tmp_path):
    for label in "ab":
        save(tmp_path / label / "1.wav", tone(5))
    assert ADAPTER.load(tmp_path, LoadOptions()).waves.shape == (2, 16000)


def test_channels_are_averaged(folder):
    save(folder / "low" / "x.wav", np.stack([tone(0.5, 200), np.zeros(4000)], axis=1))
    problem = ADAPTER.load(folder, LoadOptions())
    np.testing.assert_allclose(problem.waves[6] / 32767, tone(0.5, 200) / 2, atol=1e-4)


def test_broken_empty_and_undefined_clips_are_left_out_and_named(folder):
    (folder / "low" / "x.wav").write_bytes(b"RIFF no sound")
    save(folder / "low" / "y.wav", np.zeros(0))
    soundfile.write(folder / "low" / "z.wav", np.full(4000, np.nan), RATE, subtype="FLOAT")
    problem = ADAPTER.load(folder, LoadOptions())
    assert problem.notes == ("left out 3 audio files that could not be read: low/x.wav, low/y.wav, low/z.wav",)
    assert len(problem.waves) == len(problem.labels) == 6


def test_only_broken_files_are_refused(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 2 audio files could be read; 'a/1\.wav'"):
        ADAPTER.load(tmp_path, LoadOptions())


def test_loud_float_clips_are_turned_down_and_not_clipped(folder):
    soundfile.write(folder / "low" / "x.wav", 4 * tone(0.5, 200), RATE, subtype="FLOAT")
    waves = ADAPTER.load(folder, LoadOptions()).waves
    np.testing.assert_allclose(waves[6] / 32767, 2 * tone(0.5, 200), atol=1e-3)


def test_front_end_is_normalised_per_bin_on_the_training_rows(embedded):
    train = np.arange(0, 360, 2)
    prepared = embedded.prepare(train)
    features = prepared.model().frontend(prepared.batch(torch.from_numpy(train)))
    torch.testing.assert_close(features.mean((0, 1, 3)), torch.zeros(40), rtol=0, atol=1e-3)
    torch.testing.assert_close(features.std((0, 1, 3)), torch.ones(40), rtol=0, atol=1e-3)


def test_mixing_happens_on_the_spectrogram_by_default(embedded):
    prepared = embedded.prepare(np.arange(300))
    assert prepared.place == AtSite("frontend")
    assert prepared.model().frontend(prepared.batch(torch.arange(3))).shape == (3, 1, 40, 61)


def test_silence_has_finite_features_at_any_rate():
    for rate in (2000, 8000, 44100):
        assert LogMel(rate)(torch.zeros(1, 1, rate // 10)).isfinite().all()


def test_every_stage_runs_once_per_forward_pass():
    model, calls = AudioNet(RATE, None, None, 5), []
    for site in ("frontend", "stage1", "stage2", "stage3", "head"):
        model.get_submodule(site).register_forward_hook(lambda *_, site=site: calls.append(site))
    assert model(torch.zeros(2, 1, 4000)).shape == (2, 5)
    assert calls == ["frontend", "stage1", "stage2", "stage3", "head"]


def test_shift_moves_each_clip_whole_and_silence_moves_in():
    waves = torch.arange(1.0, 101.0).expand(64, 1, 100)
    before = waves.clone()
    shifted = random_time_shift(waves, torch.Generator().manual_seed(1), most=10)
    offsets = shifted[:, 0, 50] - waves[:, 0, 50]
    assert torch.equal(waves, before)
    assert offsets.min() == -10
    assert offsets.max() == 10
    for clip, offset in zip(shifted[:, 0], offsets, strict=True):
        expected = waves[0, 0] + offset
        expected[(expected < 1) | (expected > 100)] = 0
        assert torch.equal(clip, expected)


def test_keywords_are_always_the_same_and_say_that_they_are_synthetic(embedded):
    np.testing.assert_array_equal(embedded.waves, keywords().waves)
    assert embedded.waves.shape == (360, 4800)
    assert "synthetic" in embedded.title
    assert embedded.notes[0].startswith("synthetic: ")
    assert np.bincount(embedded.labels).tolist() == [60] * 6
    assert np.bincount(embedded.groups).tolist() == [30] * 12


def test_keywords_are_audible_and_not_clipped(embedded):
    peaks = np.abs(embedded.waves.astype(int)).max(axis=1)
    assert peaks.min() > 3000
    assert (np.abs(embedded.waves.astype(int)) == 32767).sum(axis=1).max() <= 1


def test_a_few_epochs_learn_the_keywords_of_unknown_voices(embedded):
    train, test = (
        torch.from_numpy(np.flatnonzero(embedded.groups % 4 == 0) if held else np.flatnonzero(embedded.groups % 4))
        for held in (False, True)
    )
    prepared = embedded.prepare(train.numpy())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = prepared.model()
    optimizer, order = torch.optim.AdamW(net.parameters(), lr=2e-3), torch.Generator().manual_seed(0)
    for _ in range(10):
        for rows in train[torch.randperm(len(train), generator=order)].split(32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(prepared.batch(rows)), prepared.targets[rows]).backward()
            optimizer.step()
    net.eval()
    assert (net(prepared.batch(test)).argmax(1) == prepared.targets[test].argmax(1)).float().mean() > 0.6


def test_problem_survives_pickling(embedded):
    again, rows = pickle.loads(pickle.dumps(embedded)), torch.arange(5)
    assert torch.equal(again.prepare(np.arange(9)).batch(rows), embedded.prepare(np.arange(9)).batch(rows))


@pytest.mark.parametrize(("scale", "peak"), [(8.0, 0.9), (1.0, 0.9), (0.02, 0.08)])
def test_player_neither_clips_nor_blows_up_noise(scale, peak):
    wave = torch.from_numpy(2 * tone(0.25)).float()[None, None] * scale
    fragment = show_clip(wave, 0, RATE)
    data = base64.b64decode(fragment.split("audio/wav;base64,")[1].split('"')[0])
    samples, rate = soundfile.read(io.BytesIO(data))
    assert rate == RATE
    np.testing.assert_allclose(np.abs(samples).max(), peak, atol=1e-3)
    np.testing.assert_allclose(samples / np.abs(samples).max(), 2 * tone(0.25), atol=2e-3)
    assert "data:image/png" in fragment


def test_silence_can_be_shown():
    assert "<audio" in show_clip(torch.zeros(1, 1, 4000), 0, RATE)


def test_restored_network_gives_the_same_logits_for_the_same_files(folder):
    problem = ADAPTER.load(folder, LoadOptions())
    prepared = problem.prepare(np.arange(4))
    net = prepared.model().eval()
    again, names = ADAPTER.restore(json.loads(json.dumps(prepared.card)), folder, LoadOptions())
    restored = again.model().eval()
    restored.load_state_dict(net.state_dict())
    assert names == ["high/0.wav", "high/1.wav", "high/2.wav", "low/0.wav", "low/1.wav", "low/2.wav"]
    rows = torch.arange(6)
    torch.testing.assert_close(restored(again.batch(rows)), net(prepared.batch(rows)), rtol=0, atol=0)
    assert again.targets.isnan().all()


def test_restored_rate_and_length_are_those_of_the_card_and_broken_files_are_warned_of(folder):
    card = {"modality": "audio", "classes": ["a", "b"], "rate": 4000, "length": 1000}
    prepared, names = ADAPTER.restore(card, folder / "low" / "0.wav", LoadOptions())
    assert names == ["0.wav"]
    assert prepared.batch(torch.tensor([0])).shape == (1, 1, 1000)
    (folder / "x.wav").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"left out 1 audio file that could not be read: x\.wav"):
        ADAPTER.restore(card, folder, LoadOptions())


@pytest.mark.parametrize("error", [ImportError, OSError, RuntimeError])
def test_torchaudio_that_does_not_fit_names_the_remedy(monkeypatch, error):
    plain = builtins.__import__

    def fail(name, *args, **kwargs):
        if name.startswith("torchaudio"):
            raise error("libcudart.so.13: cannot open shared object file")
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(ImportError, match=r"libcudart.*pip install 'mixkit\[audio\]'"):
        importlib.reload(mixkit_audio.backend)


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "speech_commands").is_dir(), reason="needs the folder speech_commands of the real data")
def test_speech_commands_look_grouped_and_keep_their_silence_when_grouped():
    path = DATA / "speech_commands"
    assert ADAPTER.recognises(path)
    problem = ADAPTER.load(path, LoadOptions())
    assert len(problem.classes) == 12
    assert "--group-by '([^_]+)_nohash_'" in problem.grouped_look
    grouped = ADAPTER.load(path, LoadOptions(group_by="([^_]+)_nohash_"))
    assert grouped.classes == problem.classes
    assert grouped.grouped_look is None
    listing = list_labelled(path, SUFFIXES, LoadOptions(group_by="([^_]+)_nohash_"))
    unknown = [i for i, row in enumerate(listing.rows) if row.label == "_unknown_"]
    known = [i for i, row in enumerate(listing.rows) if row.label == "yes"]
    # `cat_0cb74144_nohash_0.flac` and `0cb74144_nohash_2.flac` are one speaker
    assert set(listing.groups[unknown]) & set(listing.groups[known])


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "fsdd").is_dir(), reason="needs the folder fsdd of the real data")
def test_spoken_digits_take_their_labels_from_the_file_names():
    problem = ADAPTER.load(DATA / "fsdd", LoadOptions(label_from=r"^(?P<label>\d)_", group_by=r"_([a-z]+)_"))
    assert problem.classes == tuple("0123456789")
    assert np.bincount(problem.labels).tolist() == [200] * 10
    assert np.bincount(problem.groups).tolist() == [500] * 4
