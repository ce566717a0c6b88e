"""How lam enters a Mix Block: published values, fixed points, and what the block's weights become."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from learned_parts import seeded

from mixkit import FromPair, GroupMixBlock, LamConcatenated, LamIgnored, LamMultiplied, LamPrior, MixBlock, NeckValue


def r(k, *lam):
    return LamMultiplied(k).rescaled(torch.tensor(lam, dtype=torch.float64)).tolist()


@pytest.mark.parametrize(("k", "value"), [(0.0, 0.244), (0.25, 0.182), (1.0, 0.136), (None, 0.1)])
def test_the_rescale_has_its_published_values(k, value):
    assert r(k, 0.1)[0] == pytest.approx(value, abs=5e-4)


def test_the_rescale_is_the_cubic_formula():
    lam, k = np.linspace(0, 1, 11), 0.4
    np.testing.assert_allclose(r(k, *lam), (4 / 3 * lam**3 - 2 * lam**2 + (k + 1) * lam) / (k + 1 / 3), atol=1e-12)


@given(st.floats(0, 1), st.floats(0, 50))
def test_the_rescale_is_antisymmetric_about_a_half_and_grows(lam, k):
    low, high = r(k, lam, 1 - lam)
    assert low + high == pytest.approx(1, abs=1e-9)
    ends = r(k, 0.0, 0.5, 1.0)
    assert ends == pytest.approx([0.0, 0.5, 1.0], abs=1e-9)
    grid = r(k, *np.linspace(0, 1, 21))
    assert all(b - a >= -1e-9 for a, b in pairwise(grid))


def test_a_large_k_is_the_identity_and_a_small_one_is_flat_in_the_middle():
    assert r(1e6, 0.3)[0] == pytest.approx(0.3, abs=1e-5)
    slope = (r(0.0, 0.51)[0] - r(0.0, 0.49)[0]) / 0.02
    assert slope == pytest.approx(0.0, abs=2e-3)


@pytest.mark.parametrize("k", [-0.1, float("nan")])
def test_a_negative_k_is_refused(k):
    with pytest.raises(ValueError, match="k must be non-negative or None, got k="):
        LamMultiplied(k)


def test_embeddings_change_tokens_as_they_say():
    tokens, lam = torch.ones(2, 3, 4), torch.tensor([0.25, 1.0])
    assert torch.equal(LamIgnored().embed(tokens, lam), tokens)
    wide = LamConcatenated().embed(tokens, lam)
    assert wide.shape == (2, 3, 5)
    assert wide[:, :, 4].tolist() == [[0.25] * 3, [1.0] * 3]
    assert torch.equal(wide[:, :, :4], tokens)
    assert LamMultiplied(None).embed(tokens, lam)[:, 0, 0].tolist() == [1.25, 2.0]


def test_the_partner_s_tokens_carry_the_partner_s_share():
    block = MixBlock(4, lam=LamConcatenated(), generator=seeded())
    with torch.no_grad():
        block.value.weight.copy_(torch.tensor([[0.0, 0, 0, 0, 1]]))  # reads the lam channel and nothing else
    own, other = block(torch.zeros(1, 3, 4), torch.zeros(1, 3, 4), torch.tensor([0.2]))[0, :2]
    assert float(own.detach()) == float(other.detach()) == pytest.approx(1 / (1 + np.exp(0.8)))


@pytest.mark.parametrize("lam", [LamIgnored(), LamConcatenated(), LamMultiplied(), LamPrior()])
@pytest.mark.parametrize("options", [{}, {"projection": FromPair(), "value": NeckValue()}])
def test_only_a_prior_moves_the_weights_of_a_block_whose_value_is_zero(lam, options):
    block = MixBlock(6, lam=lam, generator=seeded(), **options)
    for parameter in block.value.parameters():
        torch.nn.init.zeros_(parameter)
    shares = torch.tensor([0.1, 0.5, 0.75])
    weights = block(torch.rand(3, 5, 6), torch.rand(3, 5, 6), shares)
    expected = shares if isinstance(lam, LamPrior) else torch.full((3,), 0.5)
    torch.testing.assert_close(weights, expected[:, None].expand(3, 5))


def test_a_prior_blends_several_samples_by_their_shares():
    block = GroupMixBlock(6, count=3, lam=LamPrior(), generator=seeded())
    for value in block.values:
        torch.nn.init.zeros_(value.weight)
    shares = torch.tensor([[0.2, 0.3, 0.5], [0.9, 0.1, 0.0]])
    weights = block.score(torch.rand(2, 3, 4, 6), shares).logits.softmax(1)
    torch.testing.assert_close(weights, shares[:, :, None].expand(2, 3, 4), atol=2e-4, rtol=0)


def test_a_prior_is_finite_at_both_ends_with_its_gradient():
    block = MixBlock(6, lam=LamPrior(), generator=seeded())
    weights = block(torch.rand(2, 5, 6), torch.rand(2, 5, 6), torch.tensor([0.0, 1.0]))
    weights.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in block.parameters())
    torch.testing.assert_close(weights[:, 0], torch.tensor([0.0, 1.0]), atol=2e-4, rtol=0)
    scored = block.score(torch.rand(2, 2, 5, 6), torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert bool(scored.logits.isfinite().all())


def test_embeddings_keep_half_precision():
    tokens, lam = torch.rand(2, 3, 4, dtype=torch.bfloat16), torch.rand(2)
    for embedding in (LamIgnored(), LamConcatenated(), LamMultiplied(), LamPrior()):
        assert embedding.embed(tokens, lam).dtype == torch.bfloat16
        assert embedding.embed(tokens, lam).shape[2] == 4 + embedding.extra
