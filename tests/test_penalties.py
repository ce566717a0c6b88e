"""Penalties against the paper's formulas in float64; weights, missing labels, precision, refusals."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from penalty_oracle import (
    ETA,
    SHARE,
    TASKS,
    assert_same_with_gradients,
    data,
    gradients,
    mlp,
    q_hat,
    rows,
    step,
)
from scipy.special import lambertw
from torch import nn

from mixkit import BetaPairs, FiniteDifference, ForwardMode, MixupE, MultiClass, Regression
from mixkit.penalties import Absolute, Fast, Signed, Step


@pytest.mark.parametrize("task", TASKS)
def test_mixupe_is_equation_7_of_the_paper(task):
    logits, targets = rows(task)
    expected = ETA * SHARE * np.abs(q_hat(task, logits, targets)).mean()
    assert MixupE(ETA)(step(task, logits, targets)).item() == pytest.approx(expected, rel=1e-12)


def test_mixupe_is_listing_1_of_the_supplement_with_its_gradient():
    logits, targets = rows(TASKS[0])
    b = targets - logits.softmax(1)  # not detached
    listing = SHARE * (logits * b).sum(1).abs().sum() / len(logits)
    penalty = MixupE(ETA)(step(TASKS[0], logits, targets))
    torch.testing.assert_close(penalty, ETA * listing)
    torch.testing.assert_close(*(torch.autograd.grad(value, logits)[0] for value in (penalty, ETA * listing)))


@given(
    size=st.integers(1, 8), classes=st.integers(2, 12), scale=st.sampled_from([0.1, 3.0, 30.0]), seed=st.integers(0, 99)
)
def test_the_residual_is_entropy_minus_cross_entropy(size, classes, scale, seed):
    torch_generator = torch.Generator().manual_seed(seed)
    f = scale * torch.randn(size, classes, dtype=torch.float64, generator=torch_generator)
    y = torch.rand(size, classes, dtype=torch.float64, generator=torch_generator)
    y = y / y.sum(1, keepdim=True)
    log_p = f - f.logsumexp(1, keepdim=True)
    expected = -(log_p.exp() * log_p).sum(1) + (y * log_p).sum(1)
    torch.testing.assert_close(MultiClass(classes).residual(f, y), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(((y - f.softmax(1)) * f).sum(1), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("classes", [2, 3, 5, 10, 100, 1000])
def test_the_residual_is_bounded_by_lambert_w(classes):
    bound = lambertw((classes - 1) / np.e).real
    margins = torch.linspace(-5, 15, 4001, dtype=torch.float64)
    f = torch.zeros(4001, classes, dtype=torch.float64)
    f[:, 0] = margins
    q = MultiClass(classes).residual(f, torch.eye(classes, dtype=torch.float64)[[0] * 4001])
    assert float(q.max()) == pytest.approx(bound, abs=1e-4)
    assert float(margins[q.argmax()]) == pytest.approx(1 + bound, abs=0.01)
    rows = 50 * torch.randn(500, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert float(MultiClass(classes).residual(rows, rows.softmax(1)).max()) < bound
    assert bool((MultiClass(classes).residual(rows, torch.eye(classes).double()[[0] * 500]) <= bound + 1e-12).all())


def test_the_penalty_vanishes_as_alpha_goes_to_zero():
    logits, targets = rows(TASKS[0])
    step_ = step(TASKS[0], logits, targets)
    values = []
    for alpha in (1.0, 1e-1, 1e-2, 1e-3):
        share = BetaPairs(alpha).expected_partner_share
        tiny = Step(step_.model, None, logits, targets, None, step_.plan, step_.task, share)
        values.append(MixupE(ETA)(tiny).item() / share)
        assert share <= alpha
    assert values == pytest.approx([values[0]] * 4)


@pytest.mark.parametrize("threshold", [0.1, 1.0])
def test_version_3_subtracts_the_residual_below_its_threshold(threshold):
    logits, targets = rows(TASKS[0], size=40)
    q = q_hat(TASKS[0], logits, targets)
    expected = -ETA * SHARE * q[q < threshold].sum() / 40
    penalty = MixupE.version3(ETA, threshold)(step(TASKS[0], logits, targets))
    assert penalty.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_version_4_has_the_gradient_of_the_clean_loss(task):
    logits, targets = rows(task)
    penalty = MixupE.version4(ETA)(step(task, logits, targets))
    assert penalty.item() == pytest.approx(-ETA * SHARE * q_hat(task, logits, targets).mean(), rel=1e-9)
    half = 0.5 if isinstance(task, Regression) else 1.0  # its residual is that of half the squared error
    expected = torch.autograd.grad(half * ETA * SHARE * task.loss(logits, targets), logits)[0]
    torch.testing.assert_close(torch.autograd.grad(penalty, logits)[0], expected)


# --- weights, precision, refusals ----------------------------------------------------------------------------------

FORMS = [
    MixupE(ETA),
    MixupE(ETA, ForwardMode()),
    MixupE(ETA, FiniteDifference(1e-5)),
    MixupE.version1(ETA, 0.0),
    MixupE.version3(ETA, 0.2),
    MixupE.version4(ETA),
]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("penalty", FORMS)
def test_a_sample_of_weight_two_counts_as_twice_the_sample(penalty, task):
    net, (x, targets) = mlp(), data(task)
    mean = x.mean(0)  # twice the sample would move the batch's own mean
    if not isinstance(penalty.estimator, Fast):
        penalty = MixupE(ETA, copy.copy(penalty.estimator), penalty.law)
        object.__setattr__(penalty.estimator, "mean", mean)
    twice = [0, 0, 1, 2, 3, 4, 5]
    weights = torch.tensor([2.0, 1, 1, 1, 1, 1])
    value = penalty(step(task, net(x), targets, model=net, inputs=x, weights=weights))
    expected = penalty(step(task, net(x[twice]), targets[twice], model=net, inputs=x[twice]))
    assert_same_with_gradients(value, expected, net, rtol=1e-6)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("penalty", FORMS)
def test_samples_without_weight_or_label_have_no_part_in_a_penalty(penalty, task):
    net, (x, targets) = mlp(), data(task)
    missing = targets.clone()
    missing[2] = torch.nan
    weights = torch.ones(6).scatter(0, torch.tensor([2]), 0.0)
    values = []
    for t, w in (
        (missing, None),
        (targets, weights),
        (targets.roll(1, 0).where(weights[:, None] == 0, targets), weights),
    ):
        logits = net(x)
        values.append(penalty(step(task, logits, t, model=net, inputs=x, weights=w)))
        (gradient,) = torch.autograd.grad(values[-1], logits, retain_graph=True, allow_unused=True)
        assert gradient is None or not bool(gradient[2].any())
    assert_same_with_gradients(values[1], values[0], net)
    assert_same_with_gradients(values[2], values[0], net)
    nothing = penalty(step(task, net(x), targets * torch.nan, model=net, inputs=x))
    assert nothing == 0
    assert not any(bool(g.any()) for g in gradients(nothing, net))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("penalty", [FORMS[0], FORMS[4], FORMS[5]])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_huge_logits_in_half_precision_give_finite_penalties(penalty, task, dtype):
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 3.0], [1e4, 1e4, 1e4]], dtype=dtype, requires_grad=True)
    targets = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]])
    value = penalty(step(task, logits, targets))
    assert value.dtype == torch.float32
    value.backward()
    assert bool(logits.grad.isfinite().all())
    exact = penalty(step(task, logits.detach().double(), targets.double()))
    torch.testing.assert_close(value.detach().double(), exact, rtol=1e-5, atol=2e-3)


def noisy(x):
    return x + torch.rand(len(x), 1)


class Noise(nn.Module):
    def forward(self, x):
        return noisy(x)


@pytest.mark.parametrize(
    "noise", [nn.Dropout(0.5), Noise(), nn.TransformerEncoderLayer(8, 2, 8, dropout=0.1, batch_first=True)]
)
def test_finite_differences_refuse_a_model_that_draws_random_numbers(noise):
    net, x, targets = (
        nn.Sequential(nn.Linear(4, 8), noise, nn.Linear(8, 3)),
        torch.rand(6, 4),
        torch.eye(3)[[0, 1, 2] * 2],
    )
    s = step(TASKS[0], net(x), targets, model=net, inputs=x)
    with pytest.raises(ValueError, match=r"needs a model without active dropout .*; use ForwardMode\(\)"):
        FiniteDifference()(s)
    if isinstance(noise, nn.Dropout):
        net.eval()
        assert bool(FiniteDifference()(s).isfinite().all())


def test_finite_differences_refuse_half_precision():
    net, x, targets = nn.Linear(4, 3), torch.rand(6, 4), torch.eye(3)[[0, 1, 2] * 2]
    with torch.autocast("cpu", torch.bfloat16):
        s = step(TASKS[0], net(x), targets, model=net, inputs=x)
        with pytest.raises(ValueError, match=r"needs logits in float32 or better, got torch.bfloat16; use ForwardMode"):
            FiniteDifference()(s)


@pytest.mark.parametrize("inputs", [torch.zeros(6, 4, dtype=torch.int64), None, {"x": 1}])
@pytest.mark.parametrize("estimator", [ForwardMode(), FiniteDifference()])
def test_accurate_forms_refuse_inputs_without_a_mean(estimator, inputs):
    logits, targets = rows(TASKS[0], 6)
    with pytest.raises(ValueError, match=r"the accurate form of MixupE needs float inputs, got .*; use the fast one"):
        estimator(step(TASKS[0], logits, targets, inputs=inputs))


@pytest.mark.parametrize("eta", [-1.0, float("nan"), float("inf")])
def test_eta_must_be_non_negative_and_finite(eta):
    with pytest.raises(ValueError, match=r"eta must be non-negative and finite, got eta="):
        MixupE(eta)


def test_a_step_size_must_be_positive():
    with pytest.raises(ValueError, match=r"step_size must be positive, got step_size=0"):
        FiniteDifference(0)


def test_laws_say_what_they_sum():
    q = torch.tensor([-2.0, 0.5, 3.0])
    assert Absolute()(q).tolist() == [2.0, 0.5, 3.0]
    assert Signed(-1.0, 1.0)(q).tolist() == [2.0, -0.5, 0.0]
    assert Signed(1.0)(q).tolist() == [-2.0, 0.5, 3.0]
