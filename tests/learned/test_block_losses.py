"""What trains a block: the tie to lam, the teacher's loss, two aims in turn; all by hand."""

import math

import numpy as np
import pytest
import torch
from learned_parts import TASK, sources

from mixkit import Alternating, LamPenalty, MixedLoss, MultiClass, MultiLabel, Sources
from mixkit.block_losses import BlockStep
from mixkit.tokens import LearnedPlan, WeightedMean

OWN = [[0.9, 0.5], [0.2, 0.4], [0.5, 0.5]]  # own weights of three samples at two cells: means 0.7, 0.3, 0.5
LAM = [0.5, 0.5, 0.45]
TARGETS = torch.eye(3)
MIXED = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 1.0, 3.0]])
CLEAN = torch.tensor([[3.0, 0.0, 0.0], [0.0, 2.0, 1.0], [0.0, -1.0, 1.0]])


def plan(own=OWN, lam=LAM, drawn=None):
    own = torch.tensor(own)
    drawn = sources([1, 2, 0], lam) if drawn is None else drawn
    return LearnedPlan(
        drawn, torch.stack([own, 1 - own], 1).log(), drawn.lam, spread=lambda z, shape: z, combine=WeightedMean()
    )


def step(**options):
    made = {"plan": plan(), "mixed": MIXED, "clean": CLEAN, "targets": TARGETS, "weights": None, "task": TASK}
    return BlockStep(**{**made, "steps": 0, "progress": 0.0, **options})


def cross_entropy(logits, target):
    logits = np.asarray(logits, dtype=float)
    return float(-(np.asarray(target) * (logits - np.log(np.exp(logits).sum()))).sum())


def mixed_losses(lam=LAM):
    partner = [1, 2, 0]
    targets = [share * TARGETS[i].numpy() + (1 - share) * TARGETS[partner[i]].numpy() for i, share in enumerate(lam)]
    return [cross_entropy(logits, target) for logits, target in zip(MIXED.numpy(), targets, strict=True)]


def test_the_tie_to_lam_is_what_is_beyond_the_margin_sample_by_sample():
    # means are 0.7, 0.3, 0.5: off by 0.2, 0.2, 0.05; signs must not cancel
    assert LamPenalty()(step()).item() == pytest.approx(0.1 * (0.1 + 0.1 + 0.0) / 3)
    assert LamPenalty(weight=2.0, margin=0.0)(step()).item() == pytest.approx(2 * (0.2 + 0.2 + 0.05) / 3)
    assert LamPenalty(weight=0.0)(step()).item() == 0.0


def test_the_variance_is_rewarded():
    variances = [np.var(own) for own in OWN]
    expected = 0.1 * ((0.1 - 2 * variances[0]) + (0.1 - 2 * variances[1]) + 0.0) / 3
    assert LamPenalty(variance=2.0)(step()).item() == pytest.approx(expected)


@pytest.mark.parametrize(("progress", "factor"), [(0.0, 1.0), (0.5, 0.5), (0.25, 0.5 + math.sqrt(0.125)), (1.0, 0.0)])
def test_the_tie_decays_by_half_a_cosine_if_asked(progress, factor):
    whole = LamPenalty()(step(progress=progress)).item()
    assert LamPenalty(decay=True)(step(progress=progress)).item() == pytest.approx(whole * factor, abs=1e-8)


def test_the_tie_pulls_the_mean_weight_towards_lam():
    logits = torch.zeros(1, 2, 3, requires_grad=True)
    drawn = sources([0], [0.9])
    tied = LearnedPlan(drawn, logits, drawn.lam, spread=lambda z, shape: z, combine=WeightedMean())
    LamPenalty()(step(plan=tied, mixed=MIXED[:1], targets=TARGETS[:1])).backward()
    assert bool((logits.grad[0, 0] < 0).all())  # down the gradient the own weight grows
    assert bool((logits.grad[0, 1] > 0).all())


def test_a_sample_counts_in_the_tie_by_the_weight_of_its_mixed_label():
    weights = torch.tensor([1.0, 0.0, 2.0])
    mass = [0.5 * 1 + 0.5 * 0, 0.5 * 0 + 0.5 * 2, 0.45 * 2 + 0.55 * 1]
    off = [0.2, 0.2, 0.05]
    expected = sum(m * o for m, o in zip(mass, off, strict=True)) / sum(mass)
    assert LamPenalty(1.0, 0.0)(step(weights=weights)).item() == pytest.approx(expected)
    missing = TARGETS.clone()
    missing[1] = torch.nan
    mass = [0.5, 0.5, 1.0]
    expected = sum(m * o for m, o in zip(mass, off, strict=True)) / sum(mass)
    assert LamPenalty(1.0, 0.0)(step(targets=missing)).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["weight", "margin", "variance"])
@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_numbers_of_the_tie_must_not_be_negative(name, value):
    with pytest.raises(ValueError, match=f"{name} must be non-negative, got {name}="):
        LamPenalty(**{name: value})


def test_the_block_minimises_the_teacher_s_loss_and_the_tie():
    terms = MixedLoss(LamPenalty(weight=0.5))(step())
    assert terms.keys() == {"block", "lam"}
    assert terms["block"].item() == pytest.approx(np.mean(mixed_losses()))
    assert terms["lam"].item() == pytest.approx(0.5 * 0.2 / 3)
    assert not MixedLoss().needs_clean_logits


def test_missing_labels_and_weights_reach_the_teacher_s_loss():
    missing = TARGETS.clone()
    missing[2] = torch.nan
    losses = [  # rows 1 and 2 keep one label each, with its share as weight
        mixed_losses()[0],
        0.5 * cross_entropy(MIXED[1], TARGETS[1]),
        0.55 * cross_entropy(MIXED[2], TARGETS[0]),
    ]
    value = MixedLoss()(step(targets=missing))["block"].item()
    assert value == pytest.approx(sum(losses) / (1 + 0.5 + 0.55), rel=1e-5)
    nothing = MixedLoss()(step(weights=torch.zeros(3)))
    assert [float(term) for term in nothing.values()] == [0.0, 0.0]


def test_the_loss_is_the_task_s_own():
    task = MultiLabel(3)
    targets = torch.tensor([[1.0, 1, 0], [0, 0, 1], [0, 1, 1]])
    value = MixedLoss()(step(task=task, targets=targets))["block"]
    mixed = torch.tensor(LAM)[:, None] * targets + (1 - torch.tensor(LAM)[:, None]) * targets[[1, 2, 0]]
    torch.testing.assert_close(value, torch.nn.functional.binary_cross_entropy_with_logits(MIXED, mixed))


def cosine(a, b):
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def similarity():
    """Return the mean similarity by hand."""
    partner = [1, 2, 0]
    return np.mean(
        [LAM[i] * cosine(MIXED[i], CLEAN[i]) + (1 - LAM[i]) * cosine(MIXED[i], CLEAN[partner[i]]) for i in range(3)]
    )


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_adversarial_steps_raise_the_loss_and_keep_the_meaning(beta):
    expected = -beta * np.mean(mixed_losses()) - (1 - beta) * similarity()
    terms = Alternating(beta)(step())
    assert terms.keys() == {"block"}
    assert terms["block"].item() == pytest.approx(expected, rel=1e-5)


def test_the_released_sign_gives_the_meaning_up():
    expected = -0.3 * np.mean(mixed_losses()) + 0.7 * similarity()
    assert Alternating.released()(step())["block"].item() == pytest.approx(expected, rel=1e-5)
    assert Alternating.released(0.1).beta == 0.1
    assert Alternating().similarity == 1.0


@pytest.mark.parametrize(("every", "kinds"), [(2, "acacac"), (3, "aacaac")])
def test_adversarial_and_cooperative_steps_take_turns(every, kinds):
    cooperative = np.mean(mixed_losses())
    for steps, kind in enumerate(kinds):
        value = Alternating(every=every)(step(steps=steps))["block"].item()
        assert (value == pytest.approx(cooperative)) == (kind == "c")


def test_similarity_of_three_samples_by_hand():
    index = torch.tensor([[0, 1, 2], [1, 2, 2], [2, 0, 1]])
    lam = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.4, 0.0], [0.1, 0.2, 0.7]])
    drawn = Sources(index, lam)
    learned = LearnedPlan(drawn, torch.zeros(3, 3, 2), lam, spread=lambda z, shape: z, combine=WeightedMean())
    expected = np.mean(
        [sum(lam[i, k].item() * cosine(MIXED[i], CLEAN[index[i, k]]) for k in range(3)) for i in range(3)]
    )
    made = step(plan=learned)
    assert Alternating().similarity_of(made).item() == pytest.approx(expected, rel=1e-5)
    targets = [sum(lam[i, k].item() * TARGETS[index[i, k]].numpy() for k in range(3)) for i in range(3)]
    loss = np.mean([cross_entropy(logits, target) for logits, target in zip(MIXED, targets, strict=True)])
    assert Alternating(0.4)(made)["block"].item() == pytest.approx(-0.4 * loss - 0.6 * expected, rel=1e-5)


def test_a_sample_counts_in_the_similarity_by_the_weight_of_its_mixed_label():
    weights = torch.tensor([1.0, 0.0, 0.0])
    mass, partner = [0.5, 0.0, 0.55], [1, 2, 0]
    values = [LAM[i] * cosine(MIXED[i], CLEAN[i]) + (1 - LAM[i]) * cosine(MIXED[i], CLEAN[partner[i]]) for i in (0, 2)]
    expected = (mass[0] * values[0] + mass[2] * values[1]) / (mass[0] + mass[2])
    assert Alternating().similarity_of(step(weights=weights)).item() == pytest.approx(expected, rel=1e-5)


def test_similarity_of_logits_that_are_zero_is_finite():
    mixed = torch.zeros(3, 3, requires_grad=True)
    value = Alternating().similarity_of(step(mixed=mixed))
    value.backward()
    assert value.item() == 0.0
    assert bool(mixed.grad.isfinite().all())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta": 1.5}, r"beta must be in \[0, 1\], got beta=1.5"),
        ({"beta": float("nan")}, r"beta must be in \[0, 1\], got beta=nan"),
        ({"every": 1}, "every must be at least 2, got every=1"),
        ({"similarity": 0.5}, "similarity must be 1.0 or -1.0, got similarity=0.5"),
    ],
)
def test_wrong_alternations_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Alternating(**arguments)


def test_gradients_reach_the_logits_of_the_plan_in_every_loss():
    for loss in (MixedLoss(LamPenalty(variance=2.0)), Alternating(), Alternating.released()):
        logits = torch.zeros(3, 2, 3).requires_grad_()
        drawn = sources([1, 2, 0], [0.9, 0.2, 0.4])
        learned = LearnedPlan(drawn, logits, drawn.lam, spread=lambda z, shape: z, combine=WeightedMean())
        mixed = learned.apply(CLEAN)  # as if the teacher were the identity
        sum(loss(step(plan=learned, mixed=mixed, task=MultiClass(3))).values()).backward()
        assert bool(logits.grad.isfinite().all())
        assert bool(logits.grad.abs().sum((1, 2)).gt(0).all())
