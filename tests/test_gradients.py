"""Blended targets have the gradient of blended losses: weights, class weights, missing labels, smoothing, chains."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mixkit import BetaPairs, Blend, Chain, CutMix, Mix, MultiClass, MultiLabel, Regression
from mixkit.mixed import mix_targets
from mixkit.plan import BlendPlan

CLASS_WEIGHTS = st.sampled_from([None, (1.0, 5.0, 0.25), (0.0, 1.0, 2.0)])
MIXES = [
    Mix(Blend(), BetaPairs(1.0)),
    Mix(CutMix(), BetaPairs(1.0)),
    Mix(Blend(), BetaPairs(0.3), probability=0.5),
    Chain([Mix(CutMix(), BetaPairs(1.0)), Mix(Blend(), BetaPairs(1.0))]),
]


@st.composite
def tasks(draw):
    smoothing = draw(st.sampled_from([0.0, 0.1]))
    weights = draw(CLASS_WEIGHTS)
    return draw(
        st.sampled_from(
            [
                MultiClass(3, smoothing, weights),
                MultiLabel(3, False, smoothing, weights),
                MultiLabel(3, True, smoothing, weights),
                Regression((1.0, 2.0, 3.0), (2.0, 1.0, 0.5)),
            ]
        )
    )


def labels_for(task, size, missing, torch_generator):
    """Return labels of the task's kind; with `missing`, some are."""
    gone = torch.rand(size, 3, generator=torch_generator) < (0.4 if missing else 0.0)
    if isinstance(task, Regression):
        return torch.randn(size, 3, generator=torch_generator)
    if isinstance(task, MultiLabel) and not task.exclusive:
        return torch.randint(2, (size, 3), generator=torch_generator).float().masked_fill(gone, torch.nan)
    return torch.randint(3, (size,), generator=torch_generator).masked_fill(gone[:, 0], -100)


def blended(task, logits, targets, weights, shares):
    """Return the mean by weight of share_ij * loss(logits_i, target_j), written out."""
    known = ~targets.isnan()
    weight = known.double() * (1 if weights is None else weights.view(len(targets), -1))
    t = torch.where(known, targets, 0.0).double()
    class_weights = getattr(task, "class_weights", None) or getattr(task, "label_weights", None) or (1.0,) * 3
    weight = weight * torch.tensor(class_weights, dtype=torch.float64)
    total = mass = torch.zeros((), dtype=torch.float64)
    for j in range(len(targets)):
        if isinstance(task, MultiClass):
            losses, masses = -(weight[j] * t[j]) * F.log_softmax(logits, 1), (weight[j] * t[j]).expand_as(logits)
        elif isinstance(task, MultiLabel):
            bce = -t[j] * F.logsigmoid(logits) - (1 - t[j]) * F.logsigmoid(-logits)
            losses, masses = weight[j] * bce / 3, (weight[j] / 3).expand_as(logits)
        else:
            losses, masses = weight[j] * (logits - t[j]) ** 2 / 3, (weight[j] / 3).expand_as(logits)
        total = total + (shares[:, j] * losses.sum(1)).sum()
        mass = mass + (shares[:, j] * masses.sum(1)).sum()
    return total / mass if mass > 0 else total


@given(
    task=tasks(),
    size=st.integers(1, 9),
    mix=st.sampled_from(MIXES),
    weighting=st.sampled_from(["none", "(B,)", "(B, K)", "some zero"]),
    missing=st.booleans(),
    seed=st.integers(0, 999),
)
def test_blended_targets_give_the_gradient_of_blended_losses(*, task, size, mix, weighting, missing, seed):
    torch_generator = torch.Generator().manual_seed(seed)
    targets = task.encode(labels_for(task, size, missing, torch_generator))
    weights = torch.rand(size, *[3] * (weighting == "(B, K)"), generator=torch_generator) * 3
    if weighting == "some zero":
        weights = weights * (torch.rand(size, generator=torch_generator) < 0.5)
    weights = None if weighting == "none" else weights
    logits = torch.randn(size, 3, dtype=torch.float64, generator=torch_generator, requires_grad=True)
    plan = mix.draw(torch.rand(size, 1, 4, 5), targets, torch_generator)
    shares = plan.targets(torch.eye(size)).double()

    loss = task.loss(logits, *mix_targets(plan, targets, weights))
    expected = blended(task, logits, targets, weights, shares)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (loss, expected)]
    torch.testing.assert_close(*gradients, atol=2e-6, rtol=2e-5)
    if not isinstance(task, Regression):  # the squared loss differs by a constant
        torch.testing.assert_close(loss, expected, atol=2e-6, rtol=2e-5)


@given(task=tasks(), size=st.integers(2, 8), mix=st.sampled_from(MIXES), seed=st.integers(0, 999))
def test_a_sample_without_weight_teaches_nothing_through_its_partners_either(task, size, mix, seed):
    torch_generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, 3, generator=torch_generator, requires_grad=True)
    plan = mix.draw(torch.rand(size, 1, 4, 5), torch.zeros(size, 3), torch_generator)
    weights = torch.ones(size)
    weights[0] = 0.0
    gradients = []
    for _ in range(2):  # two labellings that differ in the sample without weight only
        labels = labels_for(task, size, False, torch.Generator().manual_seed(1))
        labels[0] = labels_for(task, 8, False, torch_generator)[3]
        targets = task.encode(labels)
        gradients.append(torch.autograd.grad(task.loss(logits, *mix_targets(plan, targets, weights)), logits)[0])
    if not isinstance(task, Regression):
        missing = targets.clone()
        missing[0] = torch.nan
        gradients.append(torch.autograd.grad(task.loss(logits, *mix_targets(plan, missing, None)), logits)[0])
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("task", [MultiClass(3), MultiLabel(3), Regression((0.0,) * 3, (1.0,) * 3)])
@pytest.mark.parametrize("own", [0.3, 1.0])
def test_equal_weights_say_the_same_as_none_also_for_relabelled_plans(task, own, rotate):
    # an accelerator always takes the form with weights, so as not to look at values
    plan = BlendPlan(rotate(4, 0.3)).relabel(torch.full((4,), own), torch.full((4,), 0.7))
    logits, targets = torch.randn(4, 3), torch.rand(4, 3)
    plain = task.loss(logits, *mix_targets(plan, targets, None))
    torch.testing.assert_close(task.loss(logits, *mix_targets(plan, targets, torch.ones(4))), plain)


@given(size=st.integers(1, 6), frames=st.integers(1, 4), weighted=st.booleans(), seed=st.integers(0, 99))
def test_frames_blend_as_the_mean_of_their_losses(size, frames, weighted, seed):
    torch_generator = torch.Generator().manual_seed(seed)
    task = MultiClass(3)
    codes = torch.randint(-1, 3, (size, frames), generator=torch_generator)
    targets = task.encode(codes.where(codes >= 0, -100))
    weights = torch.rand(size, generator=torch_generator) if weighted else None
    logits = torch.randn(size, 3, frames, dtype=torch.float64, generator=torch_generator, requires_grad=True)
    plan = Mix(Blend(), BetaPairs(1.0)).draw(torch.rand(size, 2), targets, torch_generator)
    loss = task.loss(logits, *mix_targets(plan, targets, weights))

    shares, log_p = plan.targets(torch.eye(size)).double(), F.log_softmax(logits, 1)
    weight = torch.ones(size) if weights is None else weights
    picked = torch.stack(
        [-log_p.gather(1, codes[j].clamp_min(0).expand(size, 1, frames))[:, 0] for j in range(size)], 1
    )
    share = shares[:, :, None] * (weight[:, None] * (codes >= 0)).double()
    expected = (share * picked).sum() / share.sum() if share.sum() > 0 else (share * picked).sum()
    torch.testing.assert_close(loss, expected, atol=2e-6, rtol=2e-5)
