"""Cells: what no side may share, what repeats keep, and what cannot be split."""

import numpy as np
import pytest

from mixkit.comparison.problems import Split
from mixkit.comparison.splits import official_cells, resampled_cells

RNG = np.random.default_rng(0)
LABELS = RNG.permutation(np.repeat([0, 1, 2], [100, 60, 17]))
TARGETS = RNG.normal(size=150)
GROUPS = RNG.integers(0, 25, len(LABELS))
SPEAKERS = RNG.integers(0, 25, len(TARGETS))
CASES = {
    "classes": (LABELS, None),
    "classes in groups": (LABELS, GROUPS),
    "targets": (TARGETS, None),
    "targets in groups": (TARGETS, SPEAKERS),
}


def rows_of(cell):
    return cell.train, cell.validation, cell.test


@pytest.fixture(params=CASES, ids=list(CASES))
def case(request):
    return CASES[request.param]


def test_every_cell_uses_every_row_exactly_once(case):
    for cell in resampled_cells(*case):
        together = np.concatenate(rows_of(cell))
        assert np.array_equal(np.sort(together), np.arange(len(case[0])))
        assert all(part.dtype == np.int64 and len(part) for part in rows_of(cell))


def test_every_row_is_tested_once_a_repeat(case):
    cells = resampled_cells(*case, folds=4, repeats=3)
    assert [(cell.repeat, cell.fold) for cell in cells] == [(r, f) for r in range(3) for f in range(4)]
    for repeat in range(3):
        tested = np.concatenate([cell.test for cell in cells if cell.repeat == repeat])
        assert np.array_equal(np.sort(tested), np.arange(len(case[0])))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["classes in groups", "targets in groups"])
def test_no_group_stands_on_two_sides(name, seed):
    labels, groups = CASES[name]
    for cell in resampled_cells(labels, groups, repeats=3, seed=seed):
        sides = [set(groups[part]) for part in rows_of(cell)]
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]


def test_classes_are_spread_evenly_over_all_sides():
    for cell in resampled_cells(LABELS):
        assert np.bincount(LABELS[cell.test]).tolist() in ([20, 12, 3], [20, 12, 4])
        validation = np.bincount(LABELS[cell.validation])
        assert abs(validation - 0.15 * np.array([80, 48, 13.6])).max() < 1


def test_about_fifteen_percent_of_the_training_side_validates(case):
    for cell in resampled_cells(*case):
        share = len(cell.validation) / (len(cell.validation) + len(cell.train))
        assert share == pytest.approx(0.15, abs=0.01 if case[1] is None else 0.05)


def test_every_class_is_trained_on():
    for groups in (None, GROUPS):
        for cell in resampled_cells(LABELS, groups, repeats=4):
            assert set(LABELS[cell.train]) == {0, 1, 2}


def test_more_repeats_leave_the_earlier_cells_as_they_are(case):
    few, many = resampled_cells(*case, repeats=2), resampled_cells(*case, repeats=5)
    for one, other in zip(few, many, strict=False):
        assert (one.repeat, one.fold, one.seed) == (other.repeat, other.fold, other.seed)
        assert all(np.array_equal(a, b) for a, b in zip(rows_of(one), rows_of(other), strict=True))


def test_every_cell_has_a_split_and_a_seed_of_its_own(case):
    cells = resampled_cells(*case, repeats=4)
    assert len({cell.seed for cell in cells}) == 20
    assert len({cell.test.tobytes() for cell in cells}) == 20


@pytest.mark.parametrize("name", ["classes in groups", "targets in groups"])
def test_repeats_put_groups_together_anew(name):
    labels, groups = CASES[name]
    cells = resampled_cells(labels, groups, repeats=6)
    first = [set(groups[cell.test]) for cell in cells if cell.repeat == 0]
    shared = [len(set(groups[c.test]) & one) / len(one) for c in cells if c.repeat > 0 for one in first]
    assert max(shared) < 1
    assert np.mean(shared) == pytest.approx(0.2, abs=0.03)  # a fifth of the groups is in any other fold by chance


def test_folds_of_groups_are_even_in_size_and_classes():
    sizes = RNG.integers(5, 40, 40)
    groups = np.repeat(range(40), sizes)
    labels = (RNG.random(len(groups)) < np.repeat(RNG.uniform(0.1, 0.5, 40), sizes)).astype(int)
    for cell in resampled_cells(labels, groups, repeats=3):
        assert len(cell.test) == pytest.approx(len(labels) / 5, rel=0.15)
        assert labels[cell.test].mean() == pytest.approx(labels.mean(), abs=0.06)


def test_another_seed_gives_other_splits(case):
    one, other = (resampled_cells(*case, seed=seed)[0] for seed in (0, 1))
    assert one.seed != other.seed
    assert not np.array_equal(one.test, other.test)


def test_names_of_groups_do_not_matter():
    one = resampled_cells(LABELS, GROUPS)
    other = resampled_cells(LABELS, GROUPS * 10 + 3)
    assert all(np.array_equal(a.train, b.train) for a, b in zip(one, other, strict=True))


def test_class_smaller_than_the_folds_says_which_and_what_to_do():
    labels = np.repeat([0, 1, 2], [20, 20, 3])
    message = r"class 'rare' has 3 members for folds=5; use at most 3 folds, or leave the class out"
    with pytest.raises(ValueError, match=message):
        resampled_cells(labels, classes=["a", "b", "rare"])
    assert len(resampled_cells(labels, folds=3)) == 6


def test_single_member_of_a_class_must_be_left_out():
    with pytest.raises(ValueError, match=r"class 1 has 1 members for folds=2; leave the class out"):
        resampled_cells(np.repeat([0, 1], [20, 1]), folds=2)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match=r"labels must have at least two classes, got only class 'cat'"):
        resampled_cells(np.zeros(20, int), classes=["cat"])


def test_more_folds_than_rows_or_groups_are_refused():
    with pytest.raises(ValueError, match=r"as many rows as folds, got 4 for folds=5; use at most 4 folds"):
        resampled_cells(np.arange(4.0))
    with pytest.raises(ValueError, match=r"as many groups as folds, got 4 for folds=5; use at most 4 folds"):
        resampled_cells(np.tile([0, 1], 20), np.repeat(range(4), 10))


def test_two_groups_are_too_few():
    with pytest.raises(ValueError, match="at least 3 groups, to train, to validate and to test, got 2"):
        resampled_cells(np.tile([0, 1], 20), np.repeat([0, 1], 20), folds=2)


def test_three_groups_train_validate_and_test():
    for cell in resampled_cells(np.tile([0, 1], 30), np.repeat([0, 1, 2], 20), folds=3):
        assert [len(part) for part in rows_of(cell)] == [20, 20, 20]


def test_class_of_one_group_is_refused():
    labels = np.tile([0, 1], 30)
    labels[:4] = 2
    with pytest.raises(ValueError, match="class 2 is in one group only: it can't be trained on and tested"):
        resampled_cells(labels, np.repeat(range(6), 10))


def test_class_of_two_groups_is_always_trained_on():
    labels = np.tile([0, 1], 60)
    labels[[0, 2, 100]] = 2  # groups 0 and 10 of 12
    groups = np.repeat(range(12), 10)
    for cell in resampled_cells(labels, groups, repeats=8):
        assert set(labels[cell.train]) == {0, 1, 2}


def test_bad_labels_and_groups_are_refused():
    with pytest.raises(ValueError, match=r"labels must be \(n,\) with n >= 1, got shape \(0,\)"):
        resampled_cells(np.zeros(0))
    with pytest.raises(ValueError, match="targets must be finite, got nan"):
        resampled_cells(np.array([1.0, np.nan] * 10))
    with pytest.raises(ValueError, match=r"labels must be integers \(classes\) or floats \(regression\), got <U1"):
        resampled_cells(np.array(["a", "b"] * 10))
    with pytest.raises(ValueError, match=r"groups must be one a row, got \(3,\) for 150 rows"):
        resampled_cells(TARGETS, [0, 1, 2])


@pytest.mark.parametrize("arguments", [{"folds": 1}, {"repeats": 0}])
def test_one_fold_or_no_repeat_is_refused(arguments):
    with pytest.raises(ValueError, match="folds must be at least 2 and repeats at least 1"):
        resampled_cells(LABELS, **arguments)


# official splits

OFFICIAL = Split(np.arange(100), None, np.arange(120, 177))


def test_official_rows_stay_where_they_are():
    split = Split(np.arange(90), np.arange(90, 120), np.arange(120, 177))
    for seed, cell in enumerate(official_cells(split, LABELS, seeds=5)):
        assert (cell.repeat, cell.fold) == (seed, 0)
        assert all(np.array_equal(a, b) for a, b in zip(rows_of(cell), split, strict=True))


def test_each_official_seed_takes_its_own_validation_part():
    cells = official_cells(OFFICIAL, LABELS)
    assert len(cells) == 5
    assert len({cell.validation.tobytes() for cell in cells}) == len({cell.seed for cell in cells}) == 5
    for cell in cells:
        assert np.array_equal(np.sort(np.concatenate([cell.train, cell.validation])), OFFICIAL.train)
        assert np.array_equal(cell.test, OFFICIAL.test)
        assert len(cell.validation) == 15


def test_more_official_seeds_leave_the_earlier_ones_as_they_are():
    for one, other in zip(official_cells(OFFICIAL, LABELS), official_cells(OFFICIAL, LABELS, seeds=9), strict=False):
        assert one.seed == other.seed
        assert np.array_equal(one.validation, other.validation)


def test_official_validation_keeps_groups_whole():
    groups = np.repeat(range(60), 3)[: len(LABELS)]
    split = Split(np.arange(99), None, np.arange(120, 177))
    for cell in official_cells(split, LABELS, groups):
        assert not set(groups[cell.train]) & set(groups[cell.validation])


def test_official_split_that_tears_a_group_is_refused():
    groups = np.arange(len(LABELS))
    groups[130] = groups[50]
    with pytest.raises(ValueError, match="must keep groups whole, got that of row 50 in train and test"):
        official_cells(OFFICIAL, LABELS, groups)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(np.arange(100), None, np.arange(90, 120)), "official parts must share no rows, got row 90 in train and"),
        (Split(np.arange(100), None, np.arange(0)), "the official test part must have rows, got none"),
        (Split(np.arange(100), None, np.arange(170, 180)), r"rows of the official test part must be in 0..176"),
        (Split(np.flatnonzero(LABELS == 0), None, np.flatnonzero(LABELS == 1)), "at least two classes, got one"),
    ],
)
def test_official_parts_that_make_no_sense_are_refused(split, message):
    with pytest.raises(ValueError, match=message):
        official_cells(split, LABELS)


def test_no_official_seeds_are_refused():
    with pytest.raises(ValueError, match="seeds must be at least 1, got seeds=0"):
        official_cells(OFFICIAL, LABELS, seeds=0)


def test_training_part_with_one_row_a_class_has_nothing_to_set_aside():
    split = Split(np.array([0, 1]), None, np.arange(2, 20))
    with pytest.raises(ValueError, match="2 training rows have too few rows to set some aside for validation"):
        official_cells(split, np.tile([0, 1], 10))
