"""The judge against numbers computed by hand, by loops, by scipy, and by simulation."""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mixkit.comparison.metrics import METRICS
from mixkit.comparison.statistics import (
    Rule,
    across_problems,
    detectable_before,
    judge_official,
    judge_official_total,
    judge_resampled,
    random_effects,
    signed_rank,
)

TEN = [0.031, 0.012, 0.028, -0.004, 0.036, 0.017, 0.022, 0.030, 0.009, 0.019]
CELLS = {"n_train": 800, "n_test": 200, "compared": 1, "rope": 0.005}
ITEMS = {"compared": 1, "rope": 0.005}


def by_hand(differences, ratio, compared):
    """Nadeau and Bengio's interval in plain Python."""
    n = len(differences)
    mean = sum(differences) / n
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1)
    half = stats.t.ppf(1 - 0.05 / compared / 2, n - 1) * math.sqrt(variance * (1 / n + ratio))
    return mean - half, mean, mean + half


# resampled splits


@pytest.mark.parametrize("compared", [1, 5])
def test_interval_is_nadeau_and_bengios(compared):
    verdict = judge_resampled(TEN, n_train=800, n_test=200, compared=compared, rope=0.005)
    found = verdict.low, verdict.difference, verdict.high
    assert found == pytest.approx(by_hand(TEN, 0.25, compared), rel=1e-9)
    assert verdict.standard_error == pytest.approx(np.std(TEN, ddof=1) * math.sqrt(0.1 + 0.25))


def test_interval_of_a_small_example_computed_on_paper():
    # mean 3, s^2 = 2.5, s = 1.5811; se = s * sqrt(1/5 + 1/4) = 1.06066; t(4, 0.975) = 2.776445
    verdict = judge_resampled([1, 2, 3, 4, 5], n_train=80, n_test=20, compared=1, rope=0.1)
    assert verdict.low == pytest.approx(3 - 2.944865, abs=1e-5)
    assert verdict.high == pytest.approx(3 + 2.944865, abs=1e-5)


def test_probabilities_are_those_of_the_t_posterior():
    verdict = judge_resampled(TEN, **CELLS)
    posterior = stats.t(9, verdict.difference, verdict.standard_error)
    expected = {"helps": posterior.sf(0.005), "hurts": posterior.cdf(-0.005)}
    expected["equivalent"] = 1 - sum(expected.values())
    assert verdict.probability == pytest.approx(expected, abs=1e-12)


def test_more_cells_do_not_shrink_the_interval_below_the_floor():
    many = np.tile(TEN, 1000)
    floor = np.std(TEN) * math.sqrt(0.25)
    assert judge_resampled(many, **CELLS).standard_error == pytest.approx(floor, rel=1e-3)


def test_equal_scores_in_all_cells_are_equivalent():
    verdict = judge_resampled(np.zeros(10), **CELLS)
    assert verdict.verdict == "equivalent"
    assert verdict.probability == {"helps": 0.0, "equivalent": 1.0, "hurts": 0.0}
    assert (verdict.low, verdict.high, verdict.runs_needed) == (0.0, 0.0, 10)


def test_the_same_difference_in_all_cells_leaves_no_doubt():
    verdict = judge_resampled(np.full(10, 0.1), **CELLS)
    assert (verdict.verdict, verdict.standard_error) == ("helps", 0.0)


def test_fewer_than_six_cells_are_undecided_however_clear():
    assert judge_resampled([0.5, 0.51, 0.5, 0.51, 0.5], **CELLS).verdict == "undecided"
    assert judge_resampled([0.5, 0.51, 0.5, 0.51, 0.5, 0.51], **CELLS).verdict == "helps"
    assert judge_resampled([0.0] * 5, **CELLS).verdict == "undecided"


def test_fewer_than_six_cells_have_an_interval_but_nothing_detectable():
    verdict = judge_resampled([0.5, 0.51, 0.5, 0.51, 0.5], **CELLS)
    assert (verdict.low > 0, verdict.detectable, verdict.runs_needed) == (True, None, 6)


def test_one_cell_says_nothing():
    summary = judge_resampled([0.2], **CELLS).summary()
    assert (summary["verdict"], summary["difference"]) == ("undecided", 0.2)
    assert [summary[key] for key in ("low", "high", "probability", "detectable")] == [None] * 4


def test_lower_is_better_flips_the_verdict_and_nothing_else():
    higher = judge_resampled(TEN, **CELLS)
    lower = judge_resampled(TEN, **CELLS, higher_is_better=False)
    assert (higher.verdict, lower.verdict) == ("helps", "hurts")
    assert (higher.difference, higher.low, higher.high) == (lower.difference, lower.low, lower.high)
    assert higher.probability["helps"] == lower.probability["hurts"]


def test_worse_cells_hurt():
    assert judge_resampled(-np.array(TEN), **CELLS).verdict == "hurts"


def test_a_certain_difference_within_the_rope_is_equivalent():
    verdict = judge_resampled(0.002 + 0.0001 * np.arange(10), **CELLS)
    assert verdict.low > 0
    assert verdict.verdict == "equivalent"


def test_a_certain_difference_around_the_rope_is_undecided():
    verdict = judge_resampled(0.005 + 0.001 * np.linspace(-1, 1, 10), **CELLS)
    assert verdict.low > 0
    assert verdict.verdict == "undecided"


def test_what_helps_alone_may_be_undecided_among_many():
    differences = np.array(TEN) * 0.7
    assert judge_resampled(differences, n_train=800, n_test=200, compared=1, rope=0).verdict == "helps"
    assert judge_resampled(differences, n_train=800, n_test=200, compared=40, rope=0).verdict == "undecided"


def test_nan_names_its_cell():
    with pytest.raises(ValueError, match=r"scores must be finite, got a difference of nan in cell 3 "):
        judge_resampled([0.1, 0.2, 0.1, math.nan, 0.1, 0.2], **CELLS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compared": 0}, "compared must be at least 1"),
        ({"rope": -0.1}, "rope must be finite and not negative"),
        ({"rope": math.nan}, "rope must be finite and not negative"),
        ({"level": 1.0}, "level must be between 0 and 1"),
        ({"n_train": 0}, "n_train and n_test must be positive"),
    ],
)
def test_bad_settings_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        judge_resampled(TEN, **{**CELLS, **changes})


def test_no_differences_are_refused():
    with pytest.raises(ValueError, match=r"differences must be \(n,\) with n >= 1, got shape \(0,\)"):
        judge_resampled([], **CELLS)


@pytest.mark.parametrize("rope", [0.0, 0.5])
def test_the_detectable_difference_is_found_in_80_percent_of_comparisons(rope):
    rng, trials, found = np.random.default_rng(0), 1500, 0
    # cells of standard deviation 1 whose mean varies as Nadeau and Bengio say: sqrt(1/10 + 1/4)
    se = math.sqrt(0.1 + 0.25)
    detectable = Rule(3, rope).smallest_detectable(se, 9)
    for _ in range(trials):
        cells = detectable + rng.normal(0, 0.5) + rng.normal(size=10)
        found += judge_resampled(cells, n_train=80, n_test=20, compared=3, rope=rope).verdict == "helps"
    assert found / trials == pytest.approx(0.8, abs=0.04)  # 0.8 +- 3.9 standard deviations


def test_runs_needed_is_the_first_number_of_cells_that_detects_the_observed_difference():
    differences = np.array(TEN) - 0.008
    verdict = judge_resampled(differences, n_train=950, n_test=50, compared=3, rope=0.001)
    assert verdict.verdict == "undecided"
    assert verdict.runs_needed > 10
    s, size, rule = np.std(differences, ddof=1), differences.mean(), Rule(3, 0.001)

    def detectable(n):
        return rule.smallest_detectable(s * math.sqrt(1 / n + 50 / 950), n - 1)

    assert detectable(verdict.runs_needed) <= size < detectable(verdict.runs_needed - 1)


def test_no_number_of_cells_gets_below_the_floor():
    noisy = np.array(TEN) - np.mean(TEN) + 0.006
    assert judge_resampled(noisy, **CELLS).runs_needed is None


def test_a_small_difference_needs_the_runs_that_dismiss_it():
    verdict = judge_resampled(0.013 * np.linspace(-1, 1, 10), n_train=990, n_test=10, compared=1, rope=0.005)
    assert verdict.verdict == "undecided"
    s, rule = np.std(0.013 * np.linspace(-1, 1, 10), ddof=1), Rule(1, 0.005)
    n = verdict.runs_needed
    assert rule.largest_dismissed(s * math.sqrt(1 / n + 10 / 990), n - 1) >= 0
    assert rule.largest_dismissed(s * math.sqrt(1 / (n - 1) + 10 / 990), n - 2) < 0


# official splits


def mean_squares(d):
    """Two-way analysis of variance by explicit loops."""
    seeds, items = len(d), len(d[0])
    grand = sum(sum(row) for row in d) / (seeds * items)
    row = [sum(one) / items for one in d]
    column = [sum(d[s][i] for s in range(seeds)) / seeds for i in range(items)]
    seed = items * sum((r - grand) ** 2 for r in row) / (seeds - 1)
    item = seeds * sum((c - grand) ** 2 for c in column) / (items - 1)
    residual = 0.0
    for s in range(seeds):
        for i in range(items):
            residual += (d[s][i] - row[s] - column[i] + grand) ** 2
    return grand, seed, item, residual / ((seeds - 1) * (items - 1))


@pytest.fixture
def crossed():
    rng = np.random.default_rng(3)
    return 0.1 + 0.3 * rng.normal(size=(5, 1)) + rng.normal(size=40) + 0.5 * rng.normal(size=(5, 40))


def test_official_variance_is_put_together_from_mean_squares(crossed):
    grand, seed, item, residual = mean_squares(crossed.tolist())
    total = seed + item - residual
    assert total > max(seed, item)  # not at the floor
    degrees = total / (seed / 4 + (item - residual) / 39)
    half = stats.t.ppf(0.995, degrees) * math.sqrt(total / 200)
    verdict = judge_official(crossed, compared=5, rope=0.005)
    assert verdict.degrees == pytest.approx(degrees, rel=1e-9)
    assert (verdict.low, verdict.high) == pytest.approx((grand - half, grand + half), rel=1e-9)


def test_official_variance_has_its_floor():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(5, 30))
    noise -= noise.mean(0)  # no item effect left: MS_item is 0
    _, seed, item, residual = mean_squares(noise.tolist())
    assert seed + item - residual < max(seed, item)
    assert judge_official(noise, **ITEMS).standard_error == pytest.approx(math.sqrt(max(seed, item) / 150))


def test_seeds_that_change_nothing_leave_the_t_interval_over_items():
    items = np.random.default_rng(0).normal(0.2, 1, 50)
    verdict = judge_official(np.tile(items, (5, 1)), **ITEMS)
    expected = stats.ttest_1samp(items, 0).confidence_interval()
    assert (verdict.low, verdict.high) == pytest.approx((expected.low, expected.high))


def test_items_that_are_all_alike_leave_the_t_interval_over_seeds():
    seeds = np.random.default_rng(0).normal(0.2, 1, 6)
    verdict = judge_official(np.tile(seeds[:, None], (1, 50)), **ITEMS)
    expected = stats.ttest_1samp(seeds, 0).confidence_interval()
    assert (verdict.low, verdict.high) == pytest.approx((expected.low, expected.high))


def test_equal_outcomes_on_all_items_are_equivalent():
    verdict = judge_official(np.zeros((5, 20)), **ITEMS)
    assert (verdict.verdict, verdict.low, verdict.high) == ("equivalent", 0.0, 0.0)


def test_fewer_than_five_seeds_are_undecided_however_clear():
    better = np.random.default_rng(0).normal(1, 0.1, (5, 100))
    assert judge_official(better[:4], **ITEMS).verdict == "undecided"
    assert judge_official(better, **ITEMS).verdict == "helps"
    assert judge_official(better[:1], **ITEMS).summary()["low"] is None


def test_more_seeds_cannot_make_up_for_few_items():
    rng = np.random.default_rng(0)
    verdict = judge_official(0.02 + rng.normal(size=50) + 0.1 * rng.normal(size=(5, 50)), **ITEMS)
    assert (verdict.verdict, verdict.runs_needed) == ("undecided", None)


def test_seeds_needed_get_the_detectable_difference_down_to_the_observed_one():
    rng = np.random.default_rng(0)
    values = 0.3 + 0.3 * np.array([[-1.0], [1], [0.5], [-0.7], [0.2]]) + 0.5 * rng.normal(size=2000)
    verdict = judge_official(values, **ITEMS)
    assert verdict.verdict == "undecided"
    assert verdict.detectable > verdict.difference
    more = np.tile(values, (math.ceil(verdict.runs_needed / 5), 1))
    assert judge_official(more, **ITEMS).detectable < verdict.difference * 1.1


def test_groups_of_one_item_change_nothing(crossed):
    alone = judge_official(crossed, **ITEMS)
    grouped = judge_official(crossed, **ITEMS, groups=np.arange(40)[::-1])
    assert grouped.standard_error == pytest.approx(alone.standard_error)


def test_items_written_twice_count_once_when_grouped(crossed):
    once = judge_official(crossed, **ITEMS)
    twice = judge_official(np.repeat(crossed, 2, axis=1), **ITEMS, groups=np.repeat(np.arange(40), 2))
    assert twice.standard_error == pytest.approx(once.standard_error)
    assert twice.difference == pytest.approx(once.difference)


def test_groups_of_another_length_are_refused(crossed):
    with pytest.raises(ValueError, match=r"groups must be \(40,\), one an item, got shape \(39,\)"):
        judge_official(crossed, **ITEMS, groups=np.arange(39))


def test_nan_names_its_seed_and_item():
    values = np.zeros((5, 20))
    values[2, 7] = math.nan
    with pytest.raises(ValueError, match=r"got a difference of nan in seed 2, item 7 "):
        judge_official(values, **ITEMS)


def test_flat_official_differences_are_refused():
    with pytest.raises(ValueError, match=r"differences must be \(seeds, items\), both at least 1, got shape \(20,\)"):
        judge_official(np.zeros(20), **ITEMS)


def outputs(rng, labels, strength, seeds=5, seed_effect=0.0):
    """Probabilities (seeds, n, 2) that know the labels a little."""
    shared = strength * (2 * labels - 1) + rng.normal(size=len(labels))
    logits = shared + 0.5 * rng.normal(size=(seeds, len(labels))) + seed_effect * rng.normal(size=(seeds, 1))
    positive = 1 / (1 + np.exp(-logits))
    return np.stack([1 - positive, positive], axis=-1)


@pytest.fixture
def two_methods():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    return outputs(rng, labels, 1.0, seed_effect=0.3), outputs(rng, labels, 0.8, seed_effect=0.3), labels


def test_total_of_a_mean_over_items_comes_down_to_the_analysis_of_variance(two_methods):
    method, reference, labels = two_methods
    accuracy = METRICS["accuracy"]
    items = np.stack(
        [accuracy.per_item(a, labels) - accuracy.per_item(b, labels) for a, b in zip(method, reference, strict=True)]
    )
    exact = judge_official(items, **ITEMS)
    rng = np.random.default_rng(0)
    drawn = judge_official_total(method, reference, labels, score=accuracy.total, generator=rng, draws=600, **ITEMS)
    assert drawn.difference == pytest.approx(exact.difference)
    assert drawn.standard_error == pytest.approx(exact.standard_error, rel=0.1)  # the bootstrap's own noise is 3 %
    assert drawn.degrees == pytest.approx(exact.degrees, rel=0.2)


def test_auc_is_judged_and_the_draws_repeat(two_methods):
    method, reference, labels = two_methods
    found = [
        judge_official_total(
            method, reference, labels, score=METRICS["auc"].total, generator=np.random.default_rng(0), **ITEMS
        )
        for _ in range(2)
    ]
    auc = METRICS["auc"].total
    assert found[0] == found[1]
    expected = np.mean([auc(a, labels) - auc(b, labels) for a, b in zip(method, reference, strict=True)])
    assert found[0].difference == pytest.approx(expected)
    assert 0.005 < found[0].standard_error < 0.05


def test_draws_of_one_class_are_left_out():
    rng = np.random.default_rng(0)
    labels = np.array([0] * 30 + [1] * 2)  # 13 % of the draws hold no positive
    method, reference = outputs(rng, labels, 1.0), outputs(rng, labels, 0.5)
    score = METRICS["auc"].total
    verdict = judge_official_total(method, reference, labels, score=score, generator=rng, **ITEMS)
    assert math.isfinite(verdict.standard_error)


def test_a_score_that_few_draws_define_is_refused():
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 2
    method = outputs(rng, labels, 1.0)

    def only_the_whole(given, truths):
        return 1.0 if np.array_equal(truths, labels) else math.nan

    with pytest.raises(ValueError, match="the score must be defined on most resamples of the test items, got 0 of"):
        judge_official_total(method, method, labels, score=only_the_whole, generator=rng, **ITEMS)


def test_outputs_and_truths_of_different_lengths_are_refused(two_methods):
    method, reference, labels = two_methods
    with pytest.raises(ValueError, match=r"must be \(seeds, items, K\) for 299 truths, got \(5, 300, 2\) and"):
        judge_official_total(
            method,
            reference,
            labels[1:],
            score=METRICS["auc"].total,
            generator=np.random.default_rng(0),
            **ITEMS,
        )


def test_whole_groups_are_drawn_for_totals(two_methods):
    method, reference, labels = two_methods
    once = np.random.default_rng(0)
    plain = judge_official_total(
        method, reference, labels, score=METRICS["f1"].total, generator=once, draws=400, **ITEMS
    )
    twice = judge_official_total(
        np.repeat(method, 2, axis=1),
        np.repeat(reference, 2, axis=1),
        np.repeat(labels, 2),
        score=METRICS["f1"].total,
        generator=np.random.default_rng(0),
        groups=np.repeat(np.arange(300), 2),
        draws=400,
        **ITEMS,
    )
    assert twice.standard_error == pytest.approx(plain.standard_error, rel=1e-6)


# before a run


def test_detectable_before_is_two_quantiles_of_the_standard_error():
    # 0.1 / 200 a cell; se = sqrt(0.0005 * (1/10 + 1/4)) = 0.013229; t(9): 2.26216 and 0.88340
    expected = (2.262157 + 0.883404) * 0.0132288
    assert detectable_before(n_test=200, cells=10, n_train=800) == pytest.approx(expected, rel=1e-4)


def test_detectable_before_on_an_official_split_ignores_the_number_of_seeds():
    five = detectable_before(n_test=1000, cells=5, n_train=100, official=True, rope=0)
    assert five == detectable_before(n_test=1000, cells=50, n_train=100, official=True, rope=0)
    expected = math.sqrt(0.1 / 1000) * (stats.t.ppf(0.975, 999) + stats.t.ppf(0.8, 999))
    assert five == pytest.approx(expected)


def test_detectable_before_grows_with_the_methods_and_the_disagreement():
    base = detectable_before(n_test=200, cells=10, n_train=800)
    assert detectable_before(n_test=200, cells=10, n_train=800, compared=5) > base
    assert detectable_before(n_test=200, cells=10, n_train=800, disagreement=0.2) > base


def test_detectable_before_refuses_a_share_that_is_none():
    with pytest.raises(ValueError, match=r"disagreement must be in \(0, 1\], got disagreement=1.5"):
        detectable_before(n_test=200, cells=10, n_train=800, disagreement=1.5)


# across problems


def test_problems_that_agree_have_the_weighted_mean_and_knapps_bound():
    values, errors = [0.01, 0.011, 0.012], [0.01, 0.02, 0.01]
    found = random_effects(values, errors)
    weights = [1 / e**2 for e in errors]
    assert found.tau == 0
    assert found.mean == pytest.approx(np.dot(weights, values) / sum(weights))
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, 2) / math.sqrt(sum(weights)))
    assert (found.prediction_low, found.prediction_high) == (found.low, found.high)


def test_problems_that_differ_have_the_between_variance_that_makes_q_its_expectation():
    values, errors = np.array([0.10, -0.02, 0.05, 0.01, 0.2]), np.array([0.01, 0.02, 0.01, 0.03, 0.02])
    found = random_effects(values, errors)
    weights = 1 / (errors**2 + found.tau**2)
    mean = weights @ values / weights.sum()
    q = weights @ (values - mean) ** 2
    assert q == pytest.approx(4, rel=1e-6)
    assert found.mean == pytest.approx(mean)
    half = stats.t.ppf(0.975, 4) * math.sqrt(q / 4 / weights.sum())  # Hartung and Knapp
    assert found.low == pytest.approx(mean - half)
    wide = stats.t.ppf(0.975, 4) * math.sqrt(q / 4 / weights.sum() + found.tau**2)
    assert found.prediction_high == pytest.approx(mean + wide)


def test_equal_errors_give_the_plain_t_interval():
    values = np.random.default_rng(0).normal(0.1, 1, 12)
    found = random_effects(values, np.full(12, 0.01))
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6)


def test_a_method_that_changed_nothing_anywhere_has_a_point():
    found = random_effects([0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    assert (found.mean, found.low, found.prediction_high) == (0.0, 0.0, 0.0)


def test_one_problem_without_spread_does_not_take_all_the_weight():
    found = random_effects([0.0, 0.1, 0.2], [0.0, 0.01, 0.01])
    assert found.mean == pytest.approx(0.1, abs=0.01)


def test_one_problem_has_no_mean_over_problems():
    with pytest.raises(ValueError, match=r"differences and errors must be \(k,\) with k >= 2"):
        random_effects([0.1], [0.1])


def test_interval_over_problems_covers_the_mean():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(1000):
        errors = rng.uniform(0.5, 1.5, 6)
        found = random_effects(rng.normal(0, 1, 6) + errors * rng.normal(size=6), errors)
        hits += found.low <= 0 <= found.high
    assert 0.93 <= hits / 1000 <= 0.98  # nominal 0.95, three standard deviations are 0.02


def test_signed_rank_of_one_problem_has_its_closed_form():
    # helps unless w0^2 > 1/2, where w0 ~ Beta(1/2, 1) is the prior's weight: P = sqrt(sqrt(1/2))
    found = signed_rank([1.0], rope=0.1, generator=np.random.default_rng(0), draws=50_000)
    assert found["helps"] == pytest.approx(0.5**0.25, abs=0.007)
    assert found["equivalent"] == pytest.approx(1 - 0.5**0.25, abs=0.007)
    assert found["hurts"] == 0


def test_signed_rank_is_sure_of_many_clear_problems():
    rng = np.random.default_rng(0)
    assert signed_rank(np.full(20, 0.03), rope=0.005, generator=rng)["helps"] > 0.999
    assert signed_rank(np.full(20, -0.03), rope=0.005, generator=rng)["hurts"] > 0.999
    assert signed_rank(np.full(20, 0.001), rope=0.005, generator=rng)["equivalent"] > 0.999


def test_signed_rank_is_even_for_mirrored_problems():
    found = signed_rank([-0.03, 0.03, -0.02, 0.02], rope=0.0, generator=np.random.default_rng(0), draws=50_000)
    assert found["helps"] == pytest.approx(found["hurts"], abs=0.02)


def problem(metric, score, difference, error, *, rope=0.005, higher_is_better=True):
    methods = {
        "erm": {"score": score, "difference": 0.0, "verdict": "reference"},
        "mixup": {"score": score + difference, "difference": difference, "standard_error": error},
    }
    return {
        "metric": metric,
        "rope": rope,
        "higher_is_better": higher_is_better,
        "reference": "erm",
        "methods": methods,
    }


def test_across_problems_takes_shares_as_they_are():
    found = across_problems(
        {"a": problem("accuracy", 0.8, 0.02, 0.01), "b": problem("auc", 0.9, 0.01, 0.01)},
    )
    assert list(found) == ["mixup"]
    assert found["mixup"]["mean"] == pytest.approx(0.015)
    assert found["mixup"]["problems"] == 2
    assert sum(found["mixup"]["signed_rank"].values()) == pytest.approx(1)


def test_across_problems_turns_units_into_shares_of_the_references_score():
    rmse = problem("rmse", 20.0, -1.0, 0.2, rope=0.2, higher_is_better=False)  # 5 % better
    accuracy = problem("accuracy", 0.5, 0.025, 0.005)  # 5 % better
    assert across_problems({"a": rmse, "b": accuracy})["mixup"]["mean"] == pytest.approx(0.05)


def test_across_problems_leaves_out_what_is_not_known():
    unknown = problem("accuracy", 0.8, 0.02, None)
    known = problem("accuracy", 0.8, 0.02, 0.01)
    assert across_problems({"a": unknown, "b": known}) == {}
    assert across_problems({"a": unknown, "b": known, "c": known})["mixup"]["problems"] == 2


# false verdicts: the benchmark's simulation, a few hundred trials of it


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parents[2] / "benchmarks" / "null_calibration.py"
    spec = importlib.util.spec_from_file_location("null_calibration", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["null_calibration"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["null_calibration"]


@pytest.mark.parametrize("compared", [1, 5])
@pytest.mark.parametrize("setting", ["items", "training", "seeds", "mixed"])
@pytest.mark.parametrize("kind", ["resampled", "official"])
def test_equal_methods_are_rarely_told_apart(benchmark, kind, setting, compared):
    learners = next(one for one in benchmark.SETTINGS if one.name == setting)
    simulate = {"resampled": benchmark.simulated_resampled, "official": benchmark.simulated_official}[kind]
    rng, rates = np.random.default_rng(0), benchmark.Rates()
    for _ in range(200):
        rates.add(*benchmark.verdicts(simulate(rng, learners, compared, 200), compared, 200))
    # at a true rate of 5 %, 200 trials exceed 11 % once in 5,000 times
    assert rates.wrong / rates.trials <= 0.11


def test_a_naive_test_tells_equal_methods_apart_several_times_as_often(benchmark):
    learners = next(one for one in benchmark.SETTINGS if one.name == "items")
    rng, rates = np.random.default_rng(0), benchmark.Rates()
    for _ in range(200):
        rates.add(*benchmark.verdicts(benchmark.simulated_official(rng, learners, 1, 200), 1, 200))
    assert rates.naive > 0.25 * rates.trials
    assert rates.naive > 4 * rates.wrong
