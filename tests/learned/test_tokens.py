"""Token sites: feature maps of one to three axes and vectors in spans; weights back to what is mixed."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from learned_parts import seeded, sources

from mixkit import MapTokens, SpanTokens
from mixkit.mixblock import Scored
from mixkit.tokens import Tokens, averaged

SPANS = [0, 2, 1, 0, 2, 2]


def logits_on(site, grid, shape, seed=0, size=2):
    """Return logits (B, 2, *grid), and what the site makes of them for things of `shape`."""
    logits = torch.randn(size, 2, *grid, generator=seeded(seed))
    tokens = Tokens(torch.zeros(size, math.prod(grid), site.channels), None, grid)
    plan = site.plan(sources([1, 0], [0.5, 0.5]), Scored(logits.flatten(2)), tokens)
    return logits, plan.spread(plan.logits, torch.Size(shape))


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=3), st.integers(1, 2))
def test_weights_are_repeated_over_blocks_of_pixels(sides, middle):
    grid, factors = zip(*sides, strict=True)
    shape = (2, *[3] * middle, *(side * factor for side, factor in sides))
    logits, resized = logits_on(MapTokens("a", 4), grid, shape)
    for i in range(2):
        for k in range(2):
            expected = np.kron(logits[i, k].numpy(), np.ones(factors))
            np.testing.assert_array_equal(resized[i, k].reshape(expected.shape).numpy(), expected)
    assert resized.shape == (2, 2, *[1] * middle, *shape[-len(grid) :])


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 13), st.integers(1, 13))
def test_any_map_fits_any_picture_and_keeps_the_values_of_its_cells(height, width, tall, wide):
    for smooth in (False, True):
        logits, resized = logits_on(MapTokens("a", 4, smooth=smooth), (height, width), (2, 3, tall, wide))
        assert resized.shape == (2, 2, 1, tall, wide)
        low, high = logits.amin((2, 3), keepdim=True)[:, :, None], logits.amax((2, 3), keepdim=True)[:, :, None]
        assert bool(((resized >= low - 1e-5) & (resized <= high + 1e-5)).all())
        if not smooth:
            assert bool(np.isin(resized.numpy(), logits.numpy()).all())


def test_cells_that_do_not_divide_the_pixels_are_shared_out_alike_at_both_ends():
    logits, resized = logits_on(MapTokens("a", 4), (3,), (2, 1, 5))
    assert torch.equal(resized[:, :, 0], logits[:, :, [0, 0, 1, 2, 2]])


def test_smooth_weights_are_interpolated_and_repeated_ones_are_not():
    logits, resized = logits_on(MapTokens("a", 4, smooth=True), (4,), (2, 1, 8))
    z = logits[0, 0].numpy()
    expected = np.interp((np.arange(8) + 0.5) / 2 - 0.5, np.arange(4), z)
    np.testing.assert_allclose(resized[0, 0, 0].numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sides", [(6,), (4, 6), (2, 3, 4)])
def test_tokens_are_the_map_s_positions_in_order(sides):
    maps = torch.randn(2, 5, *sides)
    tokens = MapTokens("a", 5).tokens(maps, None)
    assert tokens.grid == sides
    assert tokens.real is None
    for number, position in enumerate(np.ndindex(*sides)):
        assert torch.equal(tokens.values[:, number], maps[(slice(None), slice(None), *position)])


@pytest.mark.parametrize("shape", [(2, 5), (2, 4, 3, 3), (2, 5, 1, 1, 1, 1)])
def test_features_that_are_no_maps_of_these_channels_are_refused(shape):
    with pytest.raises(ValueError, match=r"features at 'a' must be maps \(B, 5, \.\.\.\) with one to three axes, got"):
        MapTokens("a", 5).tokens(torch.zeros(shape), None)


def test_what_is_mixed_must_have_the_map_s_axes():
    with pytest.raises(ValueError, match=r"x must have 2 axes behind the batch's and channels', got shape \(2, 8\)"):
        logits_on(MapTokens("a", 4), (2, 2), (2, 8))


@pytest.mark.parametrize(
    ("sides", "most", "grid"),
    [
        ((32, 32), 1024, (32, 32)),
        ((64, 32), 1024, (32, 16)),
        ((33, 33), 1024, (16, 16)),
        ((40, 101), 1024, (20, 50)),
        ((1, 5000), 64, (1, 64)),
        ((5000,), 1024, (1000,)),
        ((8, 8, 8), 64, (4, 4, 4)),
        ((7, 7), 1, (1, 1)),
    ],
)
def test_large_maps_are_averaged_to_at_most_so_many_tokens(sides, most, grid):
    tokens = MapTokens("a", 2, most_tokens=most).tokens(torch.rand(1, 2, *sides), None)
    assert tokens.grid == grid
    assert tokens.values.shape[1] == math.prod(grid) <= most


def test_averaging_is_over_windows_that_cover_the_map():
    maps = torch.randn(2, 3, 4, 6)
    halves = averaged(maps, torch.Size((2, 3)))
    expected = maps.numpy().reshape(2, 3, 2, 2, 3, 2).mean((3, 5))
    np.testing.assert_allclose(halves.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(averaged(maps, torch.Size((4, 6))), maps)
    uneven = averaged(torch.arange(5.0).view(1, 1, 5), torch.Size((2,)))
    assert uneven.flatten().tolist() == [1.0, 3.0]  # 0 1 2 and 2 3 4


@pytest.mark.parametrize("arguments", [{"channels": 0}, {"channels": 3, "most_tokens": 0}])
def test_sizes_of_map_tokens_must_be_positive(arguments):
    with pytest.raises(ValueError, match=r"(channels|most_tokens) must be positive, got (channels|most_tokens)=0"):
        MapTokens("a", **arguments)


def test_a_span_s_token_is_a_linear_map_of_its_channels():
    site = SpanTokens("a", SPANS, channels=4, generator=seeded())
    x = torch.randn(5, 6)
    values = site.tokens(x, None).values
    weight, bias = site.weight.detach().numpy(), site.bias.detach().numpy()
    members = {0: [0, 3], 1: [2], 2: [1, 4, 5]}
    for span, channels in members.items():
        expected = x[:, channels].numpy() @ weight[span, : len(channels)] + bias[span]
        np.testing.assert_allclose(values[:, span].detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    assert values.shape == (5, 3, 4)


def test_channels_of_other_spans_do_not_reach_a_token():
    site = SpanTokens("a", SPANS, channels=4, generator=seeded())
    x = torch.randn(1, 6, requires_grad=True)
    site.tokens(x, None).values[0, 1].sum().backward()
    assert x.grad.ne(0).tolist() == [[False, False, True, False, False, False]]


def test_a_span_s_weight_goes_to_all_its_channels():
    site = SpanTokens("a", SPANS, generator=seeded())
    logits = torch.tensor([[[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]])
    plan = site.plan(sources([0], [0.5]), Scored(logits), Tokens(torch.zeros(1, 3, 16), None, (3,)))
    spread = plan.spread(plan.logits, torch.Size((1, 6)))
    assert spread[0, 0].tolist() == [1.0, 3.0, 2.0, 1.0, 3.0, 3.0]
    torch.testing.assert_close(plan.apply(torch.ones(1, 6)), torch.ones(1, 6))
    with pytest.raises(ValueError, match=r"x must have shape \(B, 6\), got \(1, 5\)"):
        plan.apply(torch.ones(1, 5))


@pytest.mark.parametrize("span_of", [[], [1, 2], [0, 2], [-1, 0]])
def test_spans_must_be_numbered_from_zero_on(span_of):
    with pytest.raises(ValueError, match=r"span_of must number the spans 0, 1, \.\.\., got"):
        SpanTokens("a", span_of)


def test_vectors_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"features at 'a' must be vectors \(B, 6\), got \(2, 5\)"):
        SpanTokens("a", SPANS).tokens(torch.zeros(2, 5), None)


def test_rows_that_are_samples_can_be_named():
    site = SpanTokens("a", SPANS, rows=lambda inputs: inputs, generator=seeded())
    x = torch.randn(5, 6)
    tokens = site.tokens(x, torch.tensor([4, 1])).values
    torch.testing.assert_close(tokens, SpanTokens("a", SPANS, generator=seeded()).tokens(x, None).values[[4, 1]])


def test_spans_are_float32_under_autocast_and_repeated_by_their_generator(global_state):
    before = global_state()
    site, twin = (SpanTokens("a", SPANS, generator=seeded()) for _ in "12")
    fresh = SpanTokens("a", SPANS)
    assert global_state() == before
    assert torch.equal(site.weight, twin.weight)
    assert torch.equal(site.bias, twin.bias)
    assert not torch.equal(site.weight, fresh.weight)
    x = torch.randn(5, 6)
    plain = site.tokens(x, None).values
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(site.tokens(x, None).values, plain)
        assert site.tokens(x.bfloat16(), None).values.dtype == torch.float32
    assert site.tokens(x.double(), None).values.dtype == torch.float64


def test_nothing_of_spans_but_their_maps_is_in_a_checkpoint():
    assert set(SpanTokens("a", SPANS).state_dict()) == {"weight", "bias"}
    assert not MapTokens("a", 4).state_dict()


def test_sites_work_whatever_torch_s_default_device_and_dtype_are():
    torch.set_default_device("meta")
    torch.set_default_dtype(torch.float64)
    try:
        site = SpanTokens("a", SPANS, generator=seeded())
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert {(p.device.type, p.dtype) for p in site.parameters()} == {("cpu", torch.float32)}
    assert torch.equal(site.weight, SpanTokens("a", SPANS, generator=seeded()).weight)
