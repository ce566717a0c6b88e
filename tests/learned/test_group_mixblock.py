"""The block of several samples (AdAutoMix): its formula in plain NumPy, symmetries, padding, precision."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from learned_parts import seeded

from mixkit import GroupMixBlock, LamConcatenated, LamIgnored


def lively(count=3, channels=6, **options):
    block = GroupMixBlock(channels, count=count, generator=seeded(), **options)
    with torch.no_grad():
        for parameter in block.parameters():
            if parameter.ndim > 1:
                parameter.mul_(100)
    return block


def group(count=3, size=2, length=5, channels=6, seed=0):
    generator = seeded(seed)
    shares = torch.rand(size, count, generator=generator) + 0.1
    return torch.randn(size, count, length, channels, generator=generator), shares / shares.sum(1, keepdim=True)


def array(x):
    return x.detach().double().numpy()


def standardised(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-8)


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def linear(module, x):
    return x @ array(module.weight).T + array(module.bias)


def published(block, tokens, lam, concatenated):
    """Return the weights (B, K, L), sample by sample, in float64."""
    scale = np.exp(float(block.log_scale.detach())) / len(block.queries[0].weight)
    result = []
    for samples, shares in zip(array(tokens), array(lam), strict=True):
        wide = [np.concatenate([z, np.full((len(z), 1), s)], 1) for z, s in zip(samples, shares, strict=True)]
        parts = wide if concatenated else samples
        keys = [standardised(linear(key, z)) for key, z in zip(block.keys, parts, strict=True)]
        scores = []
        for i, z in enumerate(parts):
            others = standardised(sum(key for j, key in enumerate(keys) if j != i))
            attention = softmax(scale * standardised(linear(block.queries[i], z)) @ others.T, 1)
            scores.append((attention @ linear(block.values[i], z))[:, 0])
        result.append(softmax(np.array(scores), 0))
    return np.array(result)


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("lam", [LamIgnored(), LamConcatenated()])
def test_the_weights_are_adautomix_s_formula(count, lam):
    block, (tokens, shares) = lively(count, lam=lam), group(count)
    expected = published(block, tokens, shares, isinstance(lam, LamConcatenated))
    np.testing.assert_allclose(array(block.score(tokens, shares).logits.softmax(1)), expected, rtol=1e-4, atol=1e-5)
    assert expected.std() > 0.05


@given(st.integers(2, 4), st.integers(1, 9), st.integers(0, 99))
def test_the_weights_of_the_samples_sum_to_one(count, length, seed):
    tokens, shares = group(count, length=length, seed=seed)
    scored = lively(count).score(tokens, shares)
    weights = scored.logits.softmax(1)
    assert weights.shape == (2, count, length)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, length))
    assert scored.align is None


def test_permuting_positions_permutes_weights():
    block, (tokens, shares) = lively(), group()
    p = torch.tensor([3, 1, 4, 0, 2])
    weights = block.score(tokens, shares).logits.softmax(1)
    torch.testing.assert_close(block.score(tokens[:, :, p], shares).logits.softmax(1), weights[:, :, p])
    assert not torch.allclose(weights[:, :, p], weights, atol=1e-3)


def test_padded_positions_are_as_if_they_were_not_there():
    block, (tokens, shares) = lively(), group(length=7)
    tokens[:, :, 4:] = 1e3
    real = (torch.arange(7) < 4).expand(2, 3, 7)
    padded = block.score(tokens, shares, real).logits[:, :, :4]
    torch.testing.assert_close(padded, block.score(tokens[:, :, :4], shares).logits)


def test_the_number_of_samples_is_checked():
    with pytest.raises(ValueError, match=r"tokens must be of 3 samples a mix, got 2; count is K"):
        lively(3).score(*group(2))
    with pytest.raises(ValueError, match="count must be at least 2, got count=1"):
        GroupMixBlock(6, count=1)
    with pytest.raises(ValueError, match="channels must be positive, got channels=0"):
        GroupMixBlock(0)
    with pytest.raises(ValueError, match="hidden must be at least 3, got hidden=1"):
        GroupMixBlock(6, hidden=1)


@pytest.mark.parametrize("size", [1e-12, 1e6, 1e12])
def test_tiny_and_huge_features_give_finite_weights_and_gradients(size):
    block, (tokens, shares) = GroupMixBlock(6, generator=seeded()), group()
    tokens = (tokens * size).requires_grad_()
    logits = block.score(tokens, shares).logits
    logits.softmax(1)[:, 0].sum().backward()
    assert bool(logits.isfinite().all())
    assert all(bool(p.grad.isfinite().all()) for p in [*block.parameters(), tokens])


def test_float32_is_kept_under_autocast():
    block, (tokens, shares) = lively(), group()
    plain = block.score(tokens, shares).logits
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(block.score(tokens, shares).logits, plain)
    assert block.score(tokens.double(), shares).logits.dtype == torch.float64


def test_every_map_of_the_block_learns_and_a_given_generator_repeats_it(global_state):
    before = global_state()
    block, twin = lively(), lively()
    assert global_state() == before
    assert all(torch.equal(a, b) for a, b in zip(block.parameters(), twin.parameters(), strict=True))
    tokens, shares = group()
    (block.score(tokens, shares).logits.softmax(1) * torch.rand(2, 3, 5)).sum().backward()
    learning = {name for name, p in block.named_parameters() if bool(p.grad.abs().sum() > 1e-6)}
    assert learning == dict(block.named_parameters()).keys()
    assert block.by_position
