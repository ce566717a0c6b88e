"""The block learns where the information is: a planted pattern is kept of both samples, better than by random boxes."""

import pytest
import torch
from learned_parts import seeded, total
from torch import nn

from mixkit import (
    AutoMix,
    BetaPairs,
    CutMix,
    FromPair,
    LamMultiplied,
    LamPenalty,
    MapTokens,
    MixBlock,
    MixedLoss,
    MultiClass,
    NeckValue,
    Pairing,
)

SIDE, PATCH, CLASSES = 16, 4, 4
TASK = MultiClass(CLASSES)
PATTERNS = torch.randint(2, (CLASSES, PATCH, PATCH), generator=seeded(7)) * 2.0 - 1


def pictures(size, generator):
    """Return noise with a class's pattern somewhere, the classes, and where the patterns are (B, 16, 16)."""
    classes = torch.randint(CLASSES, (size,), generator=generator)
    corners = torch.randint(SIDE - PATCH + 1, (size, 2), generator=generator)
    offsets = torch.arange(SIDE)[None, :, None] - corners[:, None, :]  # (B, 16, 2): row and column inside the patch
    inside = (offsets >= 0) & (offsets < PATCH)
    where = inside[:, :, None, 0] & inside[:, None, :, 1]
    row, column = offsets.clamp(0, PATCH - 1).unbind(2)
    pattern = PATTERNS[classes[:, None, None], row[:, :, None], column[:, None, :]]
    noise = 0.5 * torch.randn(size, SIDE, SIDE, generator=generator)
    return (noise + 1.2 * pattern * where)[:, None], classes, where.float()


def network():
    def stage(inside, outside, stride):
        return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())

    with torch.random.fork_rng():
        torch.manual_seed(0)
        pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, CLASSES)]
        return nn.Sequential(stage(1, 12, 1), stage(12, 24, 2), stage(24, 32, 1), *pooled)


def learned_mixing(block, steps=120, **options):
    """Train with learned mixing and return the objective."""
    objective = AutoMix(
        network(),
        TASK,
        MapTokens("1", 24),
        block,
        pairs=BetaPairs(2.0, derange=True),
        generator=seeded(),
        block_rate=1e-2,
        total_steps=120,
        **options,
    )
    optimizer = torch.optim.AdamW(objective.param_groups(), lr=4e-3)
    objective.attach(optimizer)
    stream = seeded(1)
    for _ in range(steps):
        x, classes, _ = pictures(32, stream)
        optimizer.zero_grad()
        total(objective(x, TASK.encode(classes))).backward()
        optimizer.step()
    return objective


def kept(own, where, partner):
    """Return how much of both patterns own weights (B, 16, 16) keep, the mean over pairs; patterns have 16 pixels."""
    return ((own * where).mean() + ((1 - own) * partner).mean()).item() * SIDE**2 / PATCH**2 / 2


def compared(objective):
    """Return what the block's masks keep of the patterns of fresh pictures, and what boxes of the same shares keep."""
    x, classes, where = pictures(512, seeded(2))
    with torch.no_grad():
        plan = objective.plan(x, TASK.encode(classes))
    own = plan.spread(plan.logits, x.shape).softmax(1)[:, 0, 0]
    partner, rows = plan.sources.index[:, 1].contiguous(), ~plan.blended
    boxes = CutMix().draw(x, Pairing(partner, own.mean((1, 2))), seeded(3)).mask.float()
    return tuple(kept(weights[rows], where[rows], where[partner][rows]) for weights in (own, boxes))


def automix_block():
    return MixBlock(24, generator=seeded())


def samix_block():
    return MixBlock(24, projection=FromPair(), value=NeckValue(), lam=LamMultiplied(0.25), generator=seeded())


def test_a_block_that_has_learned_nothing_keeps_half():
    learned, boxes = compared(learned_mixing(automix_block(), steps=0))
    assert learned == pytest.approx(0.5, abs=0.02)
    assert boxes == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
def test_automix_learns_to_keep_the_patterns_of_both_samples():
    learned, boxes = compared(learned_mixing(automix_block()))
    assert learned > boxes + 0.1


@pytest.mark.slow
def test_samix_learns_to_keep_the_patterns_of_both_samples():
    learned, boxes = compared(learned_mixing(samix_block(), block_loss=MixedLoss(LamPenalty(variance=2.0))))
    assert learned > boxes + 0.1
