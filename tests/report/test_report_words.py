"""Numbers and verdicts in words, against sentences written by hand."""

import pytest

from mixkit.report import formats, words


def test_a_winner_is_the_answer_in_one_sentence(summary):
    answer = words.answer(summary["problems"]["digits"])
    assert answer == "mixup: helps by 0.9 points [0.2, 1.6] (probability 0.98)."


def test_other_methods_that_help_are_named_beside_the_winner(summary):
    problem = summary["problems"]["digits"]
    problem["methods"]["mixupe"]["verdict"] = "helps"
    assert words.answer(problem).endswith("(probability 0.98); also helps: mixupe.")


def test_no_winner_on_an_official_split_is_said_for_this_training_set(summary):
    answer = words.answer(summary["problems"]["concrete"])
    assert answer == "No method was shown to help for this training set; hurts: mixup."


def test_a_winner_on_an_official_split_is_said_for_this_training_set(summary):
    problem = summary["problems"]["digits"]
    problem["split"] = {"kind": "official", "seeds": 5, "train": 1000, "test": 500}
    assert words.answer(problem).endswith("(probability 0.98) for this training set.")


def test_harm_is_told_by_its_size_with_the_interval_turned_round(summary):
    sentence = words.sentence(summary["problems"]["digits"], "manifold")
    assert sentence == "manifold: hurts by 1.2 points [0.8, 1.6] (probability > 0.99)"


def test_a_metric_that_is_no_share_is_told_in_its_own_unit(summary):
    sentence = words.sentence(summary["problems"]["concrete"], "mixup")
    assert sentence == "mixup: hurts by 0.021 [0.011, 0.032] (probability 0.98)"


def test_equivalence_names_reference_and_region(summary):
    sentence = words.sentence(summary["problems"]["digits"], "label-smoothing")
    assert sentence == (
        "label-smoothing: equivalent to erm within 0.5 points, 0.0 points [-0.3, 0.3] (probability 0.97)"
    )


def test_undecided_says_all_three_probabilities_and_how_many_runs_are_needed(summary):
    sentence = words.sentence(summary["problems"]["digits"], "mixupe")
    assert sentence == (
        "mixupe: undecided, +0.3 points [-0.3, 0.9] (helps 0.40, equivalent 0.50, hurts 0.10); "
        "about 24 runs needed, 10 done"
    )


def test_fewer_than_six_runs_are_called_too_few(summary):
    problem = summary["problems"]["digits"]
    problem["methods"]["mixupe"]["scores"] = [0.97] * 5
    assert words.sentence(problem, "mixupe").endswith("; 5 runs are too few for a verdict")


def test_five_seeds_of_an_official_split_are_not_called_too_few(summary):
    problem = summary["problems"]["concrete"]
    problem["methods"]["mixup"]["verdict"] = "undecided"
    assert "too few" not in words.sentence(problem, "mixup")


def test_unknown_numbers_are_dashes(summary):
    problem = summary["problems"]["digits"]
    problem["methods"]["mixup"].update(score=None, score_sd=None, difference=None, probability=None)
    method = problem["methods"]["mixup"]
    assert words.score(problem, method) == "-"
    assert words.difference(problem, method) == "-"
    assert words.verdict_chance(method) == ""


def test_detectable_difference_is_a_range_over_methods(summary):
    problem = summary["problems"]["digits"]
    problem["methods"]["mixup"]["detectable"] = 0.011
    assert words.detectable(problem) == "These runs can detect a difference of about 0.4 to 1.1 points."


@pytest.mark.parametrize(
    ("metric", "rope", "value", "printed"),
    [
        ("accuracy", 0.005, 0.0123, "+1.2"),
        ("accuracy", 0.0005, 0.0123, "+1.23"),
        ("accuracy", 0.005, -0.0004, "0.0"),  # never "-0.0"
        ("rmse", 0.006, -0.0123, "-0.012"),
        ("rmse", 8.0, 123.4, "+123"),
        ("rmse", None, 0.5, "+0.500"),
    ],
)
def test_differences_are_printed_finely_enough_for_the_region_of_equivalence(metric, rope, value, printed):
    assert formats.scale(metric, rope).signed(value) == printed


def test_across_is_in_points_only_if_all_metrics_are_shares(summary):
    assert words.across_scale(summary).unit == ""
    del summary["problems"]["concrete"]
    assert words.across_scale(summary).unit == " points"


def test_split_names_runs_and_rows(summary):
    assert words.split(summary["problems"]["digits"]) == (
        "2 x 5 folds, 10 runs per method; rows: 1,222 to train, 216 to validate, 359 to test"
    )
