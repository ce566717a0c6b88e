"""Folders as labelled rows: what counts as class, split, group and file, and what the user is told."""

from pathlib import Path

import numpy as np
import pytest

from mixkit.comparison.problems import DataError, LoadOptions
from mixkit.files import holds, list_unlabelled, read_rows, walk
from mixkit.folders import list_labelled
from mixkit.grouped_names import grouped_look

TXT = frozenset({".txt"})


def tree(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return root


def listed(root, **options):
    return list_labelled(root, TXT, LoadOptions(**options))


def test_folders_are_classes_and_rows_are_in_order_of_names(tmp_path):
    listing = listed(tree(tmp_path, "b/2.txt", "a/1.txt", "b/1.txt", "a/deep/er/0.txt"))
    assert [row.name for row in listing.rows] == ["a/1.txt", "a/deep/er/0.txt", "b/1.txt", "b/2.txt"]
    assert listing.classes == ("a", "b")
    assert listing.labels.tolist() == [0, 0, 1, 1]
    assert listing.labels.dtype == np.int64
    assert listing.groups is None
    assert listing.official is None
    assert listing.notes == ()


def test_numbered_classes_are_in_order_of_their_values(tmp_path):
    assert listed(tree(tmp_path, "10/a.txt", "9/a.txt", "x/a.txt")).classes == ("9", "10", "x")


def test_hidden_files_and_other_endings_are_no_data_and_upper_case_endings_are(tmp_path):
    names = ("a/1.TXT", "b/1.txt", "a/._1.txt", ".git/1.txt", "__MACOSX/a/1.txt", "a/Thumbs.db", "a/readme.md")
    assert [row.name for row in listed(tree(tmp_path, *names)).rows] == ["a/1.TXT", "b/1.txt"]


def test_split_folders_in_any_case_are_the_official_split(tmp_path):
    names = ("Train/a/1.txt", "Train/b/2.txt", "VALID/a/3.txt", "test/a/4.txt", "test/b/5.txt")
    listing = listed(tree(tmp_path, *names))
    assert listing.classes == ("a", "b")
    assert [[listing.rows[i].path.stem for i in part] for part in listing.official] == [["1", "2"], ["3"], ["4", "5"]]


def test_validation_stands_in_for_a_missing_test_and_says_so(tmp_path):
    listing = listed(tree(tmp_path, "train/a/1.txt", "train/b/2.txt", "val/a/3.txt"))
    assert listing.official.validation is None
    assert [listing.rows[i].path.stem for i in listing.official.test] == ["3"]
    assert listing.notes == ("there is no test folder: the validation folder is used as the test",)


def test_test_folder_without_class_folders_is_left_out_of_the_split(tmp_path):
    listing = listed(tree(tmp_path, "train/a/1.txt", "train/b/2.txt", "test/3.txt"))
    assert len(listing.rows) == 2
    assert listing.official is None
    assert listing.notes[0] == "left out 1 file in no class folder: test/3.txt"


@pytest.mark.parametrize("names", [("test/1.txt", "train/2.txt"), ("test/s1/1.txt", "control/s2/2.txt")])
def test_a_class_may_be_named_test(tmp_path, names):
    listing = listed(tree(tmp_path, *names))
    assert "test" in listing.classes
    assert listing.official is None


def test_one_folder_around_everything_is_looked_through(tmp_path):
    listing = listed(tree(tmp_path, "set/v1/train/a/1.txt", "set/v1/train/b/2.txt", "set/v1/test/a/3.txt"))
    assert listing.classes == ("a", "b")
    assert listing.official is not None


def test_link_back_to_a_folder_above_ends_the_walk(tmp_path):
    tree(tmp_path, "a/1.txt", "b/1.txt")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "c").symlink_to(tmp_path / "b", target_is_directory=True)
    assert [row.name for row in listed(tmp_path).rows] == ["a/1.txt", "b/1.txt", "c/1.txt"]


def test_empty_class_folders_are_named_in_the_notes(tmp_path):
    (tree(tmp_path, "a/1.txt", "b/1.txt", "d/1.jpg") / "c").mkdir()
    assert listed(tmp_path).notes == ("left out 2 class folders without usable files: c, d",)


def test_labels_come_from_file_names_with_label_from(tmp_path):
    listing = listed(tree(tmp_path, "7_ann_1.txt", "sub/3_bob_1.txt", "x.txt"), label_from=r"^(?P<label>\d)_")
    assert listing.classes == ("3", "7")
    assert listing.labels.tolist() == [1, 0]
    assert listing.notes == ("left out 1 file that --label-from does not match: x.txt",)


def test_label_from_keeps_split_folders_as_the_official_split(tmp_path):
    listing = listed(tree(tmp_path, "train/a_1.txt", "train/b_1.txt", "test/a_2.txt"), label_from="^(?P<label>.)_")
    assert listing.official.test.tolist() == [0]


@pytest.mark.parametrize("pattern", ["_(.+)_", "_(?P<group>.+)_", "(?:_)(.+)_(x)?"])
def test_group_by_takes_its_named_or_first_group_across_classes(tmp_path, pattern):
    listing = listed(tree(tmp_path, "a/0_ann_1.txt", "a/0_bob_1.txt", "b/1_ann_1.txt"), group_by=pattern)
    assert listing.groups.tolist() == [0, 1, 0]


def test_file_that_group_by_does_not_match_is_a_group_of_its_own(tmp_path):
    listing = listed(tree(tmp_path, "a/ann_1.txt", "a/1.txt", "b/ann_1.txt", "b/1.txt"), group_by="^([a-z]+)_")
    first, own, other, second = listing.groups[[1, 0, 2, 3]].tolist()
    assert first == second
    assert len({first, own, other}) == 3
    assert listing.notes == ("--group-by does not match 2 files, each taken as a group of its own: a/1.txt, b/1.txt",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"no class folders in .*'a_1\.txt' and 'b_1\.txt'.*--label-from"),
        ({"label_from": "(?P<label>.*"}, r"--label-from must be a regular expression, got '\(\?P<label>\.\*'"),
        ({"label_from": "(.*)_"}, "--label-from must contain a group named label"),
        ({"label_from": "^(?P<label>x)"}, r"--label-from must match file names.*'a_1\.txt'"),
        (
            {"label_from": "^(?P<label>.)", "group_by": "speaker"},
            "--group-by must be a regular expression with a group",
        ),
        ({"label_from": "^(?P<label>.)", "group_by": "(q)"}, r"--group-by must match file names.*'a_1\.txt'"),
        ({"label_from": "_(?P<label>.)"}, "at least two classes, found only '1'"),
    ],
)
def test_unusable_options_are_answered_with_the_way_out(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        listed(tree(tmp_path, "a_1.txt", "b_1.txt"), **options)


def test_folder_without_such_files_and_no_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no files ending in \.txt"):
        listed(tmp_path)
    with pytest.raises(DataError, match="must be a folder with a folder for each class"):
        listed(tmp_path / "missing")


def test_keeping_rows_drops_the_classes_that_are_gone(tmp_path):
    listing = listed(tree(tmp_path, "a/1.txt", "b/1.txt", "c/1.txt"))
    assert listing.keep([0, 2], "", "a note").classes == ("a", "c")
    assert listing.keep([0, 2], "", "a note").notes == ("a note",)
    with pytest.raises(DataError, match="at least two classes, found only 'a'"):
        listing.keep([0])


def test_files_that_cannot_be_read_are_reported_and_only_all_of_them_is_an_error(tmp_path):
    rows = list_unlabelled(tree(tmp_path, "1.txt", "x/2.txt"), TXT)

    def read(i, path):
        if path.stem != "2":
            raise OSError("broken")

    assert read_rows(rows, read, "text") == ([1], ["1.txt"])
    with pytest.raises(DataError, match=r"none of the 1 text file could be read; '1\.txt': broken"):
        read_rows(rows[:1], read, "text")


def test_unlabelled_rows_are_named_by_their_place(tmp_path):
    tree(tmp_path, "1.txt", "x/2.txt", "3.md")
    assert [row.name for row in list_unlabelled(tmp_path, TXT)] == ["1.txt", "x/2.txt"]
    assert [row.name for row in list_unlabelled(tmp_path / "x" / "2.txt", TXT)] == ["2.txt"]
    with pytest.raises(DataError, match=r"must be a file or a folder of files ending in \.txt"):
        list_unlabelled(tmp_path / "nothing", TXT)


def test_a_folder_is_recognised_by_most_of_its_files(tmp_path):
    tree(tmp_path, "a/1.txt", "a/2.TXT", "readme.md")
    assert holds(tmp_path, TXT)
    assert holds(tmp_path / "a" / "2.TXT", TXT)
    assert not holds(tmp_path, frozenset({".md"}))
    assert not holds(tmp_path / "missing", TXT)
    assert [path.name for path in walk(tmp_path)] == ["1.txt", "2.TXT", "readme.md"]


def names_of(pattern: str, *choices: list[str]) -> list[str]:
    rows = [()]
    for choice in choices:
        rows = [(*row, value) for row in rows for value in choice]
    return [pattern.format(*row) for row in rows]


HASHES = [f"{i:x}" for i in range(0xABC1234, 0xABC1234 + 20 * 7919, 7919)]
COUNT = [str(i) for i in range(10)]


@pytest.mark.parametrize(
    ("names", "labels", "groups", "suggestion"),
    [
        (names_of("{}_nohash_{}.wav", HASHES, ["0", "1", "2"]), None, "20 groups of 3.0", "([^_]+)_nohash_"),
        (names_of("{}_{}_{}.wav", COUNT, ["ann", "bob"], COUNT), 0, "2 groups of 100.0", "^[^_]+_([^_]+)_"),
        (names_of("patient{}-{}.png", COUNT, ["1", "2", "3", "4"]), None, "10 groups of 4.0", "^([^-]+)-"),
    ],
)
def test_grouped_names_are_seen_and_the_suggestion_makes_those_groups(tmp_path, names, labels, groups, suggestion):
    classes = [name.split("_")[labels] for name in names] if labels is not None else ["x", "y"] * (len(names) // 2)
    look = grouped_look(names, classes)
    assert groups in look
    assert f"--group-by '{suggestion}'" in look
    listing = listed(
        tree(tmp_path, *(f"{c}/{n}.txt" for c, n in zip(classes, names, strict=True))), group_by=suggestion
    )
    assert listing.groups.max() + 1 == int(groups.split(maxsplit=1)[0])


@pytest.mark.parametrize(
    "pattern", ["{1}.png", "img_{1}.png", "img{1}.png", "{0}_{1}.png", "{0}.{1}.png", "{1}_{0}.png", "IMG-{1}{0}.jpg"]
)
def test_running_numbers_and_class_names_in_file_names_are_no_groups(pattern):
    pairs = [(label, f"{i:04}") for label in ("cat", "dog") for i in range(50)]
    assert grouped_look([pattern.format(*pair) for pair in pairs], [label for label, _ in pairs]) is None
