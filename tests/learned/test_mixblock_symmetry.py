"""The Mix Block's symmetries: permuted tokens, padding, pooling, and what its attention maps."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from learned_parts import lively_block, seeded, two_samples

from mixkit import (
    FromEach,
    FromPair,
    LinearValue,
    NeckValue,
    Shared,
)

CROSS = [Shared(), FromEach()]  # own tokens attend to the partner's, whatever their order
PAIRED = [{"projection": FromPair()}, {"value": LinearValue(on_pair=True)}, {"value": NeckValue(on_pair=True)}]


@pytest.mark.parametrize("projection", CROSS)
@pytest.mark.parametrize("most_tokens", [1024, 4])
@given(seed=st.integers(0, 999))
def test_permuting_own_tokens_permutes_weights_and_permuting_the_partner_s_changes_nothing(
    projection, most_tokens, seed
):
    block = lively_block(projection=projection, most_tokens=most_tokens)
    own, other, lam = two_samples(length=9, other=11, seed=seed)
    p, q = torch.randperm(9, generator=seeded(seed)), torch.randperm(11, generator=seeded(seed))
    weights = block(own, other, lam)
    torch.testing.assert_close(block(own[:, p], other, lam), weights[:, p])
    torch.testing.assert_close(block(own, other[:, q], lam), weights)
    assert not torch.allclose(weights[:, p], weights, atol=1e-3) or bool((p == torch.arange(9)).all())


@pytest.mark.parametrize("options", PAIRED)
@pytest.mark.parametrize("most_tokens", [1024, 4])
def test_a_block_of_pairs_permutes_with_both(options, most_tokens):
    block = lively_block(most_tokens=most_tokens, **options)
    own, other, lam = two_samples(length=9)
    p = torch.randperm(9, generator=seeded())
    weights = block(own, other, lam)
    torch.testing.assert_close(block(own[:, p], other[:, p], lam), weights[:, p])
    assert not torch.allclose(block(own, other[:, p], lam), weights, atol=1e-3)


@pytest.mark.parametrize("projection", CROSS)
@pytest.mark.parametrize("most_tokens", [1024, 4])
@given(kept=st.integers(1, 9), filling=st.sampled_from([0.0, 1.0, 1e4]))
def test_a_padded_token_of_the_partner_is_as_if_it_were_not_there(projection, most_tokens, kept, filling):
    block = lively_block(projection=projection, most_tokens=most_tokens)
    own, other, lam = two_samples(length=5, other=9)
    other[:, kept:] = filling
    real = (torch.arange(9) < kept).expand(3, 9)
    own_real = torch.ones(3, 5, dtype=torch.bool)
    padded = block(own, other, lam, own_real, real)
    dropped = block(own, other[:, :kept], lam)
    torch.testing.assert_close(padded, dropped)


@pytest.mark.parametrize("most_tokens", [1024, 3])
def test_padding_of_the_own_sample_leaves_the_weights_of_real_tokens(most_tokens):
    block = lively_block(most_tokens=most_tokens)
    own, other, lam = two_samples(length=5, other=3)
    padded = torch.cat([own, torch.full((3, 4, 6), 7.0)], 1)
    real = (torch.arange(9) < 5).expand(3, 9)
    weights = block(padded, other, lam, real, torch.ones(3, 3, dtype=torch.bool))
    torch.testing.assert_close(weights[:, :5], block(own, other, lam))


def test_a_partner_of_padding_only_gives_finite_weights_and_gradients():
    block = lively_block()
    own, other, lam = two_samples()
    real = torch.zeros(3, 5, dtype=torch.bool)
    weights = block(own, other, lam, None, real)
    weights.sum().backward()
    assert bool(weights.isfinite().all())
    assert all(bool(p.grad.isfinite().all()) for p in block.parameters())


@pytest.mark.parametrize("length", [4, 5, 8, 9, 17])
def test_pooled_tokens_of_one_run_share_a_weight_and_few_tokens_are_not_pooled(length):
    plain, pooled = lively_block(), lively_block(most_tokens=4)
    own, other, lam = two_samples(length=length)
    weights = pooled(own, other, lam)
    if length <= 4:
        assert torch.equal(weights, plain(own, other, lam))
    for row in weights.detach():
        assert len(row.unique()) <= 4
    assert weights.shape == (3, length)


def test_pooling_changes_nothing_where_all_tokens_of_a_run_are_alike():
    own, other, lam = two_samples(length=4)
    plain = lively_block()(own, other, lam)
    pooled = lively_block(most_tokens=4)(own.repeat_interleave(3, 1), other.repeat(1, 3, 1), lam)
    torch.testing.assert_close(pooled, plain.repeat_interleave(3, 1))


def test_attention_maps_the_partner_s_tokens_onto_the_own_ones():
    block = lively_block()
    own, other, lam = two_samples(length=5, other=7)
    align = block.attend(own, other, lam, None, None)[1]
    ones = torch.ones(3, 7, 1)
    torch.testing.assert_close(align(ones), torch.ones(3, 5, 1))
    real = (torch.arange(7) < 4).expand(3, 7)
    padded = block.attend(own, other, lam, None, real)[1]
    marks = torch.zeros(3, 7, 1)
    marks[:, 4:] = 1.0
    assert float(padded(marks).abs().max().detach()) == 0.0  # nothing of the padding is seen
    assert bool((align(marks) > 0).all())
