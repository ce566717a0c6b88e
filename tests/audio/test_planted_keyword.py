"""The block learns when the word is spoken: a planted tone is kept of both clips, better than by random boxes."""

import numpy as np
import pytest
import torch

pytest.importorskip("mixkit_audio", reason="needs the extra mixkit[audio]", exc_type=ImportError)

from mixkit import AutoMix, FromPair, LamPrior, MixBlock
from mixkit.randomness import derived_generator
from mixkit_audio import AudioProblem, ClipTokens

RATE, LENGTH, BURST, HOP = 8000, 4800, 960, 80
PITCHES = np.array([400.0, 800.0, 1400.0, 2200.0])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def clips(count, seed):
    """Return clips of noise with a faint tone somewhere, its pitch as the class, and the frames it is in (n, 61)."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(4, size=count)
    start = draw.integers(LENGTH - BURST, size=(count, 1))
    time = np.arange(LENGTH)
    tone = np.sin(2 * np.pi * PITCHES[labels, None] * time / RATE + draw.uniform(0, 6, (count, 1)))
    heard = (time >= start) & (time < start + BURST)
    waves = 0.02 * tone * heard + 0.05 * draw.standard_normal((count, LENGTH))
    middles = np.arange(0, LENGTH + 1, HOP)
    problem = AudioProblem(
        name="planted",
        title="planted",
        waves=np.round(waves * 32767).astype(np.int16),
        rate=RATE,
        labels=labels,
        classes=("a", "b", "c", "d"),
    )
    return problem, torch.from_numpy((middles >= start) & (middles < start + BURST)).float()


def learned_mixing(steps):
    """Train with learned mixing as the problem wires it and return the objective."""
    problem, _ = clips(1024, seed=1)
    prepared = problem.prepare(np.arange(1024))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = prepared.model()
    objective = AutoMix(
        model,
        prepared.task,
        prepared.tokens(model, derived_generator(0)),
        MixBlock(48, projection=FromPair(), lam=LamPrior(), generator=seeded()),
        prepared.place,
        block_rate=1e-2,
        generator=seeded(),
        total_steps=250,
    )
    optimizer, stream = torch.optim.AdamW(objective.param_groups(), lr=5e-3), seeded(1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 250)
    objective.attach(optimizer)
    for _ in range(steps):
        rows = torch.randint(1024, (32,), generator=stream)
        optimizer.zero_grad()
        sum(objective(prepared.batch(rows), prepared.targets[rows]).values()).backward()
        optimizer.step()
        schedule.step()
    return objective


def kept(own, where, partner, counted):
    """Return how much of both tones the own weights (n, 61) keep, the mean over pairs."""
    both = (own * where).sum(1) / where.sum(1) + ((1 - own) * partner).sum(1) / partner.sum(1)
    return float(both[counted].mean()) / 2


def compared(objective):
    """Return what weights keep of the tones of fresh clips, and what boxes of the same shares keep."""
    problem, where = clips(400, seed=2)
    prepared = problem.prepare(np.arange(400))
    plan = objective.plan(prepared.batch(torch.arange(400)), prepared.targets)
    own = plan.spread(plan.logits, torch.Size([400, 1, 40, 61])).softmax(1)[:, 0, 0, 0]
    partner = where[plan.sources.index[:, 1]]
    apart = ((where * partner).sum(1) == 0) & ~plan.blended  # tones at one moment cannot both be kept
    width = ((1 - own.mean(1)) * 61).round()[:, None]
    start = (torch.rand(400, 1, generator=seeded(3)) * (62 - width)).floor()
    frames = torch.arange(61)
    boxes = 1 - ((frames >= start) & (frames < start + width)).float()
    return tuple(kept(weights, where, partner, apart) for weights in (own, boxes))


def test_a_block_that_has_learned_nothing_keeps_half_of_the_tones():
    learned, boxes = compared(learned_mixing(0))
    assert learned == pytest.approx(0.5, abs=0.02)
    assert boxes == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
def test_the_tones_of_both_clips_are_kept_better_than_by_random_boxes():
    learned, boxes = compared(learned_mixing(250))
    assert learned > boxes + 0.09  # with tokens that are not centred it gets 0.05


def test_what_is_common_to_a_clip_does_not_reach_the_block():
    features = torch.rand(3, 6, 9, generator=seeded())
    louder = 4 * features + torch.rand(3, 6, 1, generator=seeded(1)) * 7
    tokens = ClipTokens("stage2", 6)
    torch.testing.assert_close(tokens.tokens(features, None).values, tokens.tokens(louder, None).values)


def test_a_clip_that_is_the_same_throughout_has_tokens_of_zero():
    values = ClipTokens("stage2", 6).tokens(torch.full((2, 6, 9), 0.5, dtype=torch.bfloat16), None).values
    assert values.dtype == torch.float32
    assert not bool(values.any())
