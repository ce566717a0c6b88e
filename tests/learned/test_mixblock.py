"""The Mix Block: AutoMix's and SAMix's formulas in plain NumPy, symmetries, padding, pooling, precision."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from learned_parts import lively_block, seeded, two_samples

from mixkit import (
    FromEach,
    FromPair,
    LamConcatenated,
    LamIgnored,
    LamMultiplied,
    LamPrior,
    LinearValue,
    MixBlock,
    NeckValue,
    Shared,
)
from mixkit.mixblock import LARGEST_SCALE

CROSS = [Shared(), FromEach()]  # own tokens attend to the partner's, whatever their order
PAIRED = [{"projection": FromPair()}, {"value": LinearValue(on_pair=True)}, {"value": NeckValue(on_pair=True)}]
LAMS = [LamIgnored(), LamConcatenated(), LamMultiplied(0.25), LamPrior()]


def standardised(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-8)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def array(x):
    return x.detach().double().numpy()


def linear(module, x):
    return x @ array(module.weight).T + (0 if module.bias is None else array(module.bias))


def scale_of(block):
    return np.exp(float(block.log_scale.detach())) / len(block.projection.query.weight)


def published_own_weights(block, own, other, lam, concatenated=False):
    """Return AutoMix's own weights, sample by sample and position by position, in float64."""
    own, other, result = array(own), array(other), []
    if concatenated:
        share = np.broadcast_to(array(lam)[:, None, None], (*own.shape[:2], 1))
        own = np.concatenate([own, share], 2)
        other = np.concatenate([other, np.broadcast_to(1 - share[:, :1], (*other.shape[:2], 1))], 2)
    for z, w in zip(own, other, strict=True):
        queries = standardised(linear(block.projection.query, z))
        keys = standardised(linear(block.projection.key, w))
        values = linear(block.value, w)[:, 0]
        scale = scale_of(block)
        partner = [sum(a * v for a, v in zip(softmax(scale * keys @ q), values, strict=True)) for q in queries]
        result.append([1 - 1 / (1 + np.exp(-a)) for a in partner])
    return np.array(result)


@pytest.mark.parametrize("projection", CROSS)
@pytest.mark.parametrize("lam", [LamIgnored(), LamConcatenated()])
def test_the_weights_are_automix_s_formula(projection, lam):
    block, arguments = lively_block(projection=projection, lam=lam), two_samples(length=5, other=7)
    expected = published_own_weights(block, *arguments, concatenated=isinstance(lam, LamConcatenated))
    np.testing.assert_allclose(array(block(*arguments)), expected, rtol=2e-5, atol=2e-6)
    assert expected.std() > 0.05


def test_one_projection_is_shared_unless_each_has_its_own():
    shared, each = lively_block(), lively_block(projection=FromEach())
    assert shared.projection.query is shared.projection.key
    assert not torch.equal(each.projection.query.weight, each.projection.key.weight)


def test_the_scale_starts_at_one_over_the_root_of_the_hidden_channels():
    block = MixBlock(32, lam=LamIgnored(), generator=seeded())
    assert block.projection.query.weight.shape == (16, 32)  # the papers' reduction of 2
    assert float(block.log_scale.detach().exp()) / 16 == pytest.approx(1 / 16**0.5)


def test_samix_attends_over_pairs_and_reads_a_neck_of_the_partner():
    block = lively_block(projection=FromPair(), value=NeckValue(), lam=LamMultiplied(0.25))
    own, other, lam = two_samples()
    first, second = block.value[0], block.value[3]
    expected = []
    share = array(lam)[:, None, None]
    r = [(4 / 3 * s**3 - 2 * s**2 + 1.25 * s) / (0.25 + 1 / 3) for s in (share, 1 - share)]
    for z, w in zip(array(own) * (1 + r[0]), array(other) * (1 + r[1]), strict=True):
        pair = np.concatenate([z, w], 1)
        queries, keys = (standardised(linear(m, pair)) for m in (block.projection.query, block.projection.key))
        hidden = standardised(linear(first, w))
        values = linear(second, np.where(hidden > 0, hidden, np.exp(hidden) - 1))[:, 0]
        attention = softmax(scale_of(block) * queries @ keys.T)
        expected.append(1 - 1 / (1 + np.exp(-attention @ values)))
    np.testing.assert_allclose(array(block(own, other, lam)), np.array(expected), rtol=2e-5, atol=2e-6)


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.sampled_from(LAMS), st.integers(0, 99))
def test_weights_lie_between_zero_and_one_and_the_two_sum_to_one(size, length, other, lam, seed):
    block = lively_block(lam=lam, seed=seed)
    own, partner, shares = two_samples(size, length, other, seed=seed)
    weights = block(own, partner, shares)
    assert weights.shape == (size, length)
    assert bool(((weights > 0) & (weights < 1)).all())
    if length == other:
        scored = block.score(torch.stack([own, partner], 1), torch.stack([shares, 1 - shares], 1))
        both = scored.logits.softmax(1)
        torch.testing.assert_close(both.sum(1), torch.ones(size, length))
        torch.testing.assert_close(both[:, 0], weights)


@pytest.mark.parametrize("options", PAIRED)
def test_pairs_refuse_samples_of_unequal_length(options):
    block = MixBlock(6, generator=seeded(), **options)
    with pytest.raises(ValueError, match=r"FromPair and on_pair need tokens on one grid, got \(3, 5, 6\) and \(3, 7,"):
        block(*two_samples(other=7))
    assert block.by_position
    assert not MixBlock(6, value=NeckValue(), projection=FromEach()).by_position


@pytest.mark.parametrize(
    ("own", "other", "lam", "message"),
    [
        ((3, 5, 4), (3, 5, 6), 3, r"tokens must be \(B, L, 6\), got \(3, 5, 4\)"),
        ((3, 6), (3, 5, 6), 3, r"tokens must be \(B, L, 6\)"),
        ((3, 5, 6), (2, 5, 6), 3, r"must have one length, got 3, 2 and \(3,\)"),
        ((3, 5, 6), (3, 5, 6), 2, r"must have one length, got 3, 3 and \(2,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(own, other, lam, message):
    with pytest.raises(ValueError, match=message):
        MixBlock(6)(torch.zeros(own), torch.zeros(other), torch.zeros(lam))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, "channels must be positive, got channels=0"),
        (
            {"channels": 4, "hidden": 2},
            "hidden must be at least 3, got hidden=2: two standardised numbers are 1 and -1",
        ),
        ({"channels": 4, "most_tokens": 0}, "most_tokens must be positive, got most_tokens=0"),
    ],
)
def test_sizes_must_be_positive(arguments, message):
    with pytest.raises(ValueError, match=message):
        MixBlock(**arguments)


@pytest.mark.parametrize("options", [{}, {"value": NeckValue()}, {"projection": FromPair()}])
@pytest.mark.parametrize("channels", [2, 4])
def test_few_channels_still_learn_where_to_look(options, channels):
    block = lively_block(channels, **options)
    (block(*two_samples(channels=channels)) * torch.linspace(-1, 1, 5)).sum().backward()
    weight = block.projection.query.weight
    # two standardised channels would be 1 and -1 and have no gradient
    assert float(weight.grad.norm()) > 1e-3 * float(block.log_scale.grad.abs())
    assert len(weight) == 8


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_dropout_of_a_neck_must_be_a_proportion(dropout):
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got dropout="):
        NeckValue(dropout=dropout)


def test_dropout_of_a_neck_acts_in_training_only():
    block = lively_block(value=NeckValue(dropout=0.5))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert not torch.equal(block(*two_samples()), block(*two_samples()))
    block.eval()
    assert torch.equal(block(*two_samples()), block(*two_samples()))


@pytest.mark.parametrize("options", [{}, *PAIRED])
@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize("size", [1e-12, 1e6, 1e12])
def test_tiny_and_huge_features_give_finite_weights_and_gradients(options, lam, size):
    block = MixBlock(6, lam=lam, generator=seeded(), **options)
    own, other, shares = two_samples()
    own, other = (own * size).requires_grad_(), (other * size).requires_grad_()
    shares[:2] = torch.tensor([0.0, 1.0])
    weights = block(own, other, shares)
    weights.sum().backward()
    assert bool(weights.isfinite().all())
    assert all(bool(p.grad.isfinite().all()) for p in [*block.parameters(), own, other])


def test_a_huge_learned_scale_is_bounded():
    block = lively_block()
    own, other, lam = two_samples()
    with torch.no_grad():
        block.log_scale.fill_(1e4)
    bounded = block(own, other, lam)
    with torch.no_grad():
        block.log_scale.fill_(float(np.log(LARGEST_SCALE)))
    torch.testing.assert_close(bounded, block(own, other, lam))


def test_float32_is_kept_under_autocast_and_float64_throughout():
    block = lively_block()
    own, other, lam = two_samples()
    plain = block(own, other, lam)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(block(own, other, lam), plain)
        half = block(own.bfloat16(), other.bfloat16(), lam)
    assert half.dtype == plain.dtype == torch.float32
    torch.testing.assert_close(half, block(own.bfloat16().float(), other.bfloat16().float(), lam))
    double = block(own.double(), other.double(), lam)
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), plain)


def test_a_given_generator_makes_the_same_block_and_global_ones_are_left_alone(global_state):
    before = global_state()
    first, second, third = (MixBlock(6, generator=seeded(seed)) for seed in (3, 3, 4))
    fresh = MixBlock(6, projection=FromPair(), value=NeckValue())
    assert global_state() == before
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.value.weight, third.value.weight)
    assert not torch.equal(fresh.value[0].weight, MixBlock(6, value=NeckValue()).value[0].weight)


def test_initial_weights_are_small_normal_numbers_and_biases_zero():
    block = MixBlock(64, generator=seeded())
    weight = block.projection.query.weight
    assert float(weight.std().detach()) == pytest.approx(0.01, rel=0.05)
    assert float(weight.mean().detach()) == pytest.approx(0.0, abs=0.001)
    assert not bool(block.projection.query.bias.any() | block.value.bias.any())
    with torch.no_grad():
        weights = block(*two_samples(channels=64))
    torch.testing.assert_close(weights, torch.full_like(weights, 0.5), atol=0.05, rtol=0)  # grey at the start
