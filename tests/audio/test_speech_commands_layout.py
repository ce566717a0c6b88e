"""Speech Commands as it comes: official lists, background noise, and decoded clips that are kept."""

import json
import os

import numpy as np
import pytest
import soundfile

from mixkit.comparison.problems import DataError, LoadOptions
from mixkit_audio import clip_cache, load_clips, reading

WORDS = ("left", "right")


def clip(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 3000, 1600)
    soundfile.write(path, noise.astype(np.int16), 16000)


@pytest.fixture
def commands(tmp_path):
    root = tmp_path / "speech"
    for k, word in enumerate(WORDS):
        for speaker in "abcdef":
            clip(root / word / f"{speaker}0_nohash_0.wav", 10 * k + ord(speaker))
    for name in ("dishes", "bike"):
        clip(root / "_background_noise_" / f"{name}.wav")
    (root / "testing_list.txt").write_text("left/a0_nohash_0.wav\nright/a0_nohash_0.wav\nright/b0_nohash_0.wav\n")
    (root / "validation_list.txt").write_text("left/c0_nohash_0.wav\nright/c0_nohash_0.wav\n")
    return root


def names(problem, rows):
    return {(problem.classes[problem.labels[i]], int(i)) for i in rows}


def test_the_lists_are_the_official_split_and_the_rest_is_for_training(commands):
    problem = load_clips(commands, LoadOptions())
    assert problem.classes == WORDS
    assert [len(part) for part in problem.official] == [7, 2, 3]
    # rows are sorted by name: left a..f, right a..f
    assert problem.official.test.tolist() == [0, 6, 7]
    assert problem.official.validation.tolist() == [2, 8]


def test_background_noise_is_no_class_and_is_told(commands):
    problem = load_clips(commands, LoadOptions())
    assert "left out 2 recordings of _background_noise_, which is no word" in problem.notes


def test_converted_clips_are_found_and_missing_ones_told(commands):
    (commands / "left" / "a0_nohash_0.wav").unlink()
    clip(commands / "left" / "a0_nohash_0.flac")
    (commands / "right" / "b0_nohash_0.wav").unlink()
    problem = load_clips(commands, LoadOptions())
    assert problem.official.test.tolist() == [0, 6]
    assert "1 clip of the official lists are not there: right/b0_nohash_0" in problem.notes


def test_the_folder_above_will_do(commands):
    problem = load_clips(commands.parent, LoadOptions())
    assert [len(part) for part in problem.official] == [7, 2, 3]


def test_without_lists_there_is_no_official_split(commands):
    for file in ("testing_list.txt", "validation_list.txt"):
        (commands / file).unlink()
    assert load_clips(commands, LoadOptions()).official is None


def test_lists_of_other_clips_are_no_split(commands):
    for file in ("testing_list.txt", "validation_list.txt"):
        (commands / file).write_text("up/z_nohash_0.wav\n")
    problem = load_clips(commands, LoadOptions())
    assert problem.official is None
    assert any("official lists are not there: up/z_nohash_0" in note for note in problem.notes)


def test_a_list_that_is_no_text_is_refused(commands):
    (commands / "testing_list.txt").write_bytes(b"\xff\xfe\x00left")
    with pytest.raises(DataError, match=r"testing_list.txt must be a list of clips, a path in each line"):
        load_clips(commands, LoadOptions())


@pytest.fixture
def cached(monkeypatch, tmp_path):
    monkeypatch.setenv("MIXKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(clip_cache, "FROM", 4)
    decoded = []
    original = reading.read_clip
    monkeypatch.setattr(reading, "read_clip", lambda *given: (decoded.append(given[0]), original(*given))[1])
    return decoded


def test_the_second_start_decodes_nothing_and_reads_the_same(commands, cached):
    first = load_clips(commands, LoadOptions())
    assert len(cached) == 12
    second = load_clips(commands, LoadOptions())
    assert len(cached) == 12
    assert isinstance(second.waves, np.memmap)
    np.testing.assert_array_equal(first.waves, second.waves)
    assert (first.rate, first.notes) == (second.rate, second.notes)
    batches = [problem.prepare(problem.official.train).batch(np_rows()) for problem in (first, second)]
    assert batches[0].equal(batches[1])


def np_rows():
    import torch

    return torch.tensor([0, 5, 3])


def test_a_changed_file_is_decoded_again(commands, cached):
    load_clips(commands, LoadOptions())
    clip(commands / "left" / "d0_nohash_0.wav", seed=99)
    os.utime(commands / "left" / "d0_nohash_0.wav", (1, 1))
    load_clips(commands, LoadOptions())
    assert len(cached) == 24


def test_what_was_kept_in_part_is_decoded_again(commands, cached, tmp_path):
    load_clips(commands, LoadOptions())
    (file,) = (tmp_path / "cache").glob("*.npy")
    file.write_bytes(file.read_bytes()[:100])
    load_clips(commands, LoadOptions())
    assert len(cached) == 24
    (about,) = (tmp_path / "cache").glob("*.json")
    about.write_text(json.dumps({"rate": 16000}))
    load_clips(commands, LoadOptions())
    assert len(cached) == 36


def test_a_disk_that_cannot_be_written_costs_nothing_but_a_note(commands, cached, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    problem = load_clips(commands, LoadOptions())
    assert len(problem.waves) == 12
    assert any("could not be kept in" in note and "No space left on device" in note for note in problem.notes)
    assert list(clip_cache.folder().iterdir()) == []


def test_the_place_of_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("MIXKIT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert clip_cache.folder() == tmp_path / "mixkit"


def test_many_files_are_counted_on_a_terminal(monkeypatch):
    from mixkit.comparison import screen

    monkeypatch.setattr(screen, "MANY", 3)
    assert list(screen.counted([1, 2], "few")) == [1, 2]
    assert list(screen.counted([1, 2, 3], "no terminal")) == [1, 2, 3]
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stderr for a terminal then
    assert list(screen.counted([1, 2, 3], "reading")) == [1, 2, 3]
