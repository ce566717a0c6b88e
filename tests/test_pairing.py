"""Partners and shares: exact Beta draws, uniform partners, one cycle, refusals."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mixkit import BetaPairs, OtherClassPairs, Pairing, SimilarPairs
from mixkit.pairing import random_cycle
from mixkit.randomness import derived_generator

ALPHAS = [1e-3, 1e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 10.0, 100.0, 1e3]
N = 20_000
DKW = np.sqrt(np.log(2 / 1e-6) / (2 * N))  # the empirical law is off by more with a probability below 1e-6


def shares(alpha, seed=0):
    return BetaPairs(alpha)(torch.zeros(N, 1), torch.Generator().manual_seed(seed)).lam.numpy()


@pytest.mark.parametrize("alpha", ALPHAS)
def test_shares_follow_the_beta_law_in_body_and_tails(alpha):
    law = stats.beta(alpha, alpha)
    # down to 1e-37 near 0; near 1 float32 resolves 6e-8
    points = np.concatenate([10.0 ** np.arange(-37, -1, 4), law.ppf(np.linspace(0.02, 0.98, 49)), [1 - 1e-3, 1 - 1e-6]])
    points = points[(points > 1e-37) & (points < 1 - 9e-7)]
    drawn = np.sort(shares(alpha))
    empirical = np.searchsorted(drawn, points, side="right") / N
    assert np.abs(empirical - law.cdf(points)).max() < DKW


@pytest.mark.parametrize("alpha", ALPHAS)
def test_shares_rounded_to_zero_and_one_are_as_many_as_float32_makes_them(alpha):
    law, drawn = stats.beta(alpha, alpha), shares(alpha)
    assert abs((drawn == 1).mean() - law.sf(1 - 2.0**-25)) < DKW
    assert abs((drawn == 0).mean() - law.cdf(2.0**-150)) < DKW
    assert np.isfinite(drawn).all()


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 100.0])  # below, float32 rounds a percent of them to 1
def test_shares_pass_a_kolmogorov_smirnov_test(alpha):
    assert stats.kstest(shares(alpha, seed=1), stats.beta(alpha, alpha).cdf).pvalue > 1e-3


@pytest.mark.parametrize("alpha", ALPHAS)
def test_expected_partner_share_is_twice_the_mean_of_lam_times_one_minus_lam(alpha):
    lam = shares(alpha).astype(np.float64)
    products = 2 * lam * (1 - lam)
    for pairs in (BetaPairs(alpha), SimilarPairs(alpha, bandwidth=1.0), OtherClassPairs(alpha)):
        assert abs(products.mean() - pairs.expected_partner_share) < 5 * products.std() / np.sqrt(N) + 1e-9
    # Zou et al. 2023, section 3.2: the mean of 1 - lam under Beta(alpha + 1, alpha)
    assert BetaPairs(alpha).expected_partner_share == pytest.approx(1 - stats.beta(alpha + 1, alpha).mean())


@given(size=st.integers(2, 60), seed=st.integers(0, 999))
def test_a_derangement_is_one_cycle_through_everybody(size, seed):
    partner = random_cycle(size, torch.Generator().manual_seed(seed)).tolist()
    seen, at = set(), 0
    while at not in seen:
        seen.add(at)
        assert partner[at] != at
        at = partner[at]
    assert len(seen) == size


def test_a_single_sample_is_its_own_partner(generator):
    one = torch.zeros(1, 3)
    for pairs in (BetaPairs(1.0), BetaPairs(1.0, derange=True), SimilarPairs(1.0, 1.0), OtherClassPairs(1.0)):
        assert pairs(one, generator).partner.tolist() == [0]


@pytest.mark.parametrize(("derange", "kinds"), [(False, 24), (True, 6)])
def test_partners_are_uniform_over_permutations_or_cycles(derange, kinds, generator):
    pairs, draws = BetaPairs(1.0, derange=derange), 4800
    counts = Counter(tuple(pairs(torch.zeros(4, 1), generator).partner.tolist()) for _ in range(draws))
    assert set(counts) <= set(permutations(range(4)))
    assert len(counts) == kinds
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_one_shared_lam_is_drawn_a_batch_if_asked_for(generator):
    lam = BetaPairs(1.0, per_sample=False)(torch.zeros(16, 1), generator).lam
    assert lam.unique().numel() == 1
    assert BetaPairs(1.0)(torch.zeros(16, 1), generator).lam.unique().numel() == 16


def test_similar_partners_are_drawn_with_the_odds_of_c_mixup(generator):
    targets, bandwidth, draws = torch.tensor([[0.0], [0.5], [1.5], [1.6]]), 0.7, 4000
    y = targets.double().numpy()
    odds = np.exp(-((y - y.T) ** 2) / (2 * bandwidth**2))
    np.fill_diagonal(odds, 0)
    odds /= odds.sum(1, keepdims=True)
    pairs = SimilarPairs(1.0, bandwidth)
    picked = np.stack([pairs(targets, generator).partner.numpy() for _ in range(draws)])
    for row in range(4):
        assert picked[:, row].tolist().count(row) == 0
        frequency = np.bincount(picked[:, row], minlength=4) / draws
        assert np.abs(frequency - odds[row]).max() < 5 * np.sqrt(0.25 / draws)


def test_a_missing_label_does_not_draw_everybody_to_itself(generator):
    targets = torch.tensor([[float("nan")], [0.0], [0.1], [5.0], [5.1]])
    pairs = SimilarPairs(1.0, bandwidth=0.05)
    partners = torch.stack([pairs(targets, generator).partner for _ in range(20)])
    assert partners[:, 1:].tolist() == [[2, 1, 4, 3]] * 20
    assert (partners[:, 0] != 0).all()


def test_other_class_partners_are_uniform_among_other_classes(generator):
    targets = torch.eye(3)[[0, 0, 1, 2]]
    picked = torch.stack([OtherClassPairs(1.0)(targets, generator).partner for _ in range(4000)])
    assert set(picked[:, 0].tolist()) == {2, 3}
    assert set(picked[:, 2].tolist()) == {0, 1, 3}
    assert abs((picked[:, 0] == 2).double().mean() - 0.5) < 0.05
    assert OtherClassPairs(1.0)(torch.eye(3)[[1, 1]], generator).partner.tolist() == [1, 0]  # one class only


def test_draws_need_neither_the_default_device_nor_the_default_dtype(generator):
    before = [pairs(torch.eye(4), generator) for pairs in (BetaPairs(1.0), BetaPairs(1.0, derange=True))]
    generator.manual_seed(0)
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        after = [
            pairs(torch.eye(4, device="cpu"), generator) for pairs in (BetaPairs(1.0), BetaPairs(1.0, derange=True))
        ]
        SimilarPairs(1.0, 1.0)(torch.eye(4, device="cpu"), generator)
        assert Pairing.identity(3).lam.tolist() == [1.0] * 3
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a.partner, b.partner)
        assert torch.equal(a.lam, b.lam)


def test_derived_generators_differ_by_every_key_and_repeat():
    keys = [(0,), (0, 0), (0, 1), (1, 0), (2**32,), (2**32, 0), (2**62, 5)]
    assert len({derived_generator(*key).initial_seed() for key in keys}) == len(keys)
    assert derived_generator(3, 4).initial_seed() == derived_generator(3, 4).initial_seed()


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("make", [BetaPairs, OtherClassPairs, lambda alpha: SimilarPairs(alpha, 1.0)])
def test_alpha_must_be_positive(alpha, make):
    with pytest.raises(ValueError, match=r"alpha must be positive, got alpha="):
        make(alpha)


def test_bandwidth_must_be_positive():
    with pytest.raises(ValueError, match=r"bandwidth must be positive, got bandwidth=0"):
        SimilarPairs(1.0, 0)


@pytest.mark.parametrize(
    ("partner", "lam", "message"),
    [
        ([0.0, 1.0], [1.0, 1.0], r"partner must be int64 of shape \(B,\), got torch.float32"),
        ([0, 2], [1.0, 1.0], r"partner must index the batch of 2, got \[0, 2\]"),
        ([0, -1], [1.0, 1.0], r"partner must index the batch of 2, got \[0, -1\]"),
        ([0, 1], [1.0], r"lam must be float32 of shape \(2,\), got torch.float32 \(1,\)"),
        ([0, 1], [1, 1], r"lam must be float32 of shape \(2,\), got torch.int64"),
        ([0, 1], [1.0, 1.1], r"lam must be in \[0, 1\], got"),
        ([0, 1], [float("nan"), 1.0], r"lam must be in \[0, 1\], got"),
    ],
)
def test_a_pairing_refuses_what_it_cannot_be(partner, lam, message):
    with pytest.raises(ValueError, match=message):
        Pairing(torch.tensor(partner), torch.tensor(lam))
