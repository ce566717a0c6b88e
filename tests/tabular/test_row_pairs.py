"""Which rows mix: lam, partners by weight and by similar targets against their laws, random states."""

import numpy as np
import pytest

from mixkit_tabular.row_pairs import draw_lam, draw_partners, draw_similar, random_generator


def test_lam_is_at_least_one_half_and_has_the_folded_beta_mean():
    lam = draw_lam(1.0, 20_000, np.random.default_rng(0))
    assert lam.min() >= 0.5
    assert lam.mean() == pytest.approx(0.75, abs=0.004)  # uniform between one half and one
    assert draw_lam(1e-3, 1000, np.random.default_rng(0)).mean() > 0.99
    with pytest.raises(ValueError, match="alpha must be positive, got alpha=0"):
        draw_lam(0, 3, np.random.default_rng(0))


def test_nobody_is_its_own_partner_and_partners_follow_the_weights():
    rows, weights = np.array([0, 2, 3, 4]), np.array([1.0, 0.0, 1.0, 2.0, 5.0])
    base = np.repeat(rows, 5000)
    partner = draw_partners(base, rows, weights, np.random.default_rng(0))
    assert not (partner == base).any()
    assert 1 not in partner
    counts = np.bincount(partner[base == 3], minlength=5) / 5000
    np.testing.assert_allclose(counts, np.array([1, 0, 1, 0, 5]) / 7, atol=0.028)  # four standard errors


def test_a_row_alone_is_its_own_partner():
    assert draw_partners(np.array([3, 3]), np.array([3]), np.ones(5), np.random.default_rng(0)).tolist() == [3, 3]


@pytest.mark.parametrize(
    ("targets", "bandwidth"),
    [
        (np.array([[0.0], [2.0], [2.0], [40.0]]), 0.1),  # the last is out of reach: its law is worked out over all rows
        (np.array([[0.3, 1.0], [0.5, -1.0], [0.2, 0.4], [-0.4, 0.0]]), 0.7),
    ],
    ids=["an outlier", "two outputs"],
)
def test_similar_partners_follow_the_kernel(targets, bandwidth):
    base, weights = np.repeat(np.arange(4), 8000), np.array([1.0, 1.0, 2.0, 1.0])
    generator = np.random.default_rng(0)
    partner = draw_similar(base, np.arange(4), weights, generator, targets=targets, bandwidth=bandwidth)
    scaled = targets / targets.std(0) / bandwidth
    for row in range(4):
        logits = np.log(weights) - ((scaled - scaled[row]) ** 2).sum(1) / 2
        logits[row] = -np.inf
        law = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        counts = np.bincount(partner[base == row], minlength=4) / 8000
        np.testing.assert_allclose(counts, law, atol=0.023)  # four standard errors


def test_similar_partners_of_equal_targets_are_any():
    partner = draw_similar(
        np.zeros(3000, np.int64),
        np.arange(4),
        np.ones(4),
        np.random.default_rng(0),
        targets=np.ones((4, 1)),
        bandwidth=1,
    )
    np.testing.assert_allclose(np.bincount(partner) / 3000, [0, 1 / 3, 1 / 3, 1 / 3], atol=0.035)


@pytest.mark.parametrize("state", [-1, "seed", 1.5, True])
def test_what_is_no_random_state_is_refused(state):
    with pytest.raises(ValueError, match="random_state must be None, an int from 0, a RandomState or a Generator"):
        random_generator(state)


def test_random_states_of_every_kind_are_taken(global_state):
    before = global_state()
    generator = np.random.default_rng(1)
    assert random_generator(generator) is generator
    draws = [random_generator(np.random.RandomState(3)).random() for _ in range(2)]
    assert draws[0] == draws[1]
    assert random_generator(None).random() != random_generator(None).random()
    assert random_generator(np.int64(4)).random() == random_generator(4).random()
    assert global_state() == before
