"""Blend and CutMix: where boxes lie, how large they are, what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixkit import Blend, CutMix, Pairing


def boxes(lam, grid, seed=0):
    """Return bool (B, *grid), True where the partner was pasted, for samples that are the number i."""
    size = len(lam)
    x = torch.arange(float(size)).view(-1, 1, *[1] * len(grid)).expand(size, 1, *grid)
    pairing = Pairing((torch.arange(size) + 1) % size, torch.as_tensor(lam, dtype=torch.float32))
    plan = CutMix().draw(x, pairing, torch.Generator().manual_seed(seed))
    return (plan.apply(x) != x)[:, 0], plan.pairing.lam


@given(
    lam=st.lists(st.floats(0, 1, width=32), min_size=2, max_size=5),
    grid=st.lists(st.integers(1, 9), min_size=1, max_size=2),
    seed=st.integers(0, 999),
)
def test_a_cut_is_one_box_no_larger_than_asked_for(lam, grid, seed):
    pasted, kept = boxes(lam, grid, seed)
    for row, share in zip(pasted, lam, strict=True):
        sides = np.floor(np.array(grid) * (1 - np.float64(np.float32(share))) ** (1 / len(grid)))
        spans = [row.flatten() if row.ndim == 1 else row.any(1 - axis) for axis in range(row.ndim)]
        assert row.sum() == np.prod([int(span.sum()) for span in spans])  # the product of its spans: no holes
        for span, side in zip(spans, sides, strict=True):
            hits = span.nonzero().flatten()
            assert len(hits) <= side
            if len(hits):
                assert hits[-1] - hits[0] + 1 == len(hits)
    torch.testing.assert_close(kept, 1 - pasted.flatten(1).double().mean(1).float())


def test_unclipped_boxes_have_the_area_of_the_paper_and_uniform_centres():
    pasted, kept = boxes([0.75] * 4000, (16, 16))  # sides of sqrt(0.25) * 16 = 8
    heights, widths = pasted.any(2).sum(1), pasted.any(1).sum(1)
    assert int(heights.max()) == int(widths.max()) == 8
    assert kept.min() == 0.75
    # centres 0..15, rows centre - 4 ... centre + 3: clipped at the top for 4 of them, at the bottom for 3
    assert abs((heights < 8).double().mean() - 7 / 16) < 0.04
    first, last = pasted[:, 0].any(1), pasted[:, -1].any(1)
    assert abs(first.double().mean() - 5 / 16) < 0.04  # centres 0 ... 4
    assert abs(last.double().mean() - 4 / 16) < 0.04  # centres 12 ... 15


def test_frames_of_a_video_lose_the_same_box(generator, rotate):
    x = torch.rand(4, 3, 5, 8, 8)
    mixed = CutMix().draw(x, rotate(4, 0.5), generator).apply(x)
    changed = (mixed != x).all(1)
    assert bool(changed.any())
    assert torch.equal(changed, changed[:, :1].expand_as(changed))


def test_a_plan_drawn_for_images_mixes_their_label_maps_and_crops_of_the_same_grid(generator, rotate):
    images, maps = torch.rand(4, 3, 8, 8), torch.arange(4).view(4, 1, 1).expand(4, 8, 8)
    plan = CutMix().draw(images, rotate(4, 0.5), generator)
    mixed = plan.apply(maps)
    assert mixed.dtype == torch.int64
    torch.testing.assert_close((mixed == maps).double().mean((1, 2)).float(), plan.pairing.lam)


def test_uint8_images_blend_in_float_and_are_rounded(rotate, generator):
    x = torch.tensor([0, 255, 3, 250], dtype=torch.uint8).view(4, 1, 1)
    plan = Blend().draw(x, rotate(4, 0.5), generator)
    assert plan.apply(x).flatten().tolist() == [128, 129, 126, 125]  # half to even; 255 + 3 does not overflow


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            torch.zeros(2, 3, dtype=torch.int64),
            r"Blend averages values, got torch.int64 of shape \(2, 3\): .*AtSite",
        ),
        (torch.zeros(2, 3, dtype=torch.uint8), r"Blend averages values, got torch.uint8"),
        (torch.zeros(2, 3, 4, dtype=torch.bool), r"Blend averages values, got torch.bool"),
        ([torch.zeros(3)] * 2, r"Blend mixes tensors, got list; structures cannot be averaged: .*AtSite"),
        (torch.zeros(3, 3), r"x must have the 2 rows that the plan was drawn for, got shape \(3, 3\)"),
    ],
)
def test_blend_refuses_what_has_no_mean(inputs, message, generator, rotate):
    with pytest.raises(ValueError, match=message):
        Blend().draw(inputs, rotate(2, 0.5), generator)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros(2, 3), r"CutMix needs inputs \(B, C, ...\) with axes to cut along, got shape \(2, 3\); use Blend"),
        ({"x": 1}, r"a plan mixes tensors, got dict"),
        (torch.zeros(3, 3, 3), r"x must have the 2 rows"),
    ],
)
def test_cutmix_refuses_what_it_cannot_cut(inputs, message, generator, rotate):
    with pytest.raises(ValueError, match=message):
        CutMix().draw(inputs, rotate(2, 0.5), generator)
