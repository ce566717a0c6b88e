"""MixupE's accurate forms and the released versions against a double backward pass, BatchNorm in training included."""

import copy

import pytest
import torch
from penalty_oracle import (
    ETA,
    SHARE,
    TASKS,
    assert_same_with_gradients,
    data,
    double_backward_q,
    mlp,
    rows,
    step,
)
from torch import nn

from mixkit import FiniteDifference, ForwardMode, MixupE
from mixkit.penalties import Fast

RELEASED = {  # (name, penalty, law on q in the released code, error detached); tau cuts some of the rows
    "version1": (MixupE.version1(ETA, threshold=0.0), lambda q: torch.where(q < 0, q, 0.0), True),
    "version2": (MixupE.version2(ETA), torch.abs, True),
    "accurate": (MixupE(ETA, ForwardMode()), torch.abs, False),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", RELEASED)
def test_accurate_versions_agree_with_a_double_backward_pass(name, task):
    penalty, law, detach = RELEASED[name]
    net, (x, targets) = mlp(), data(task)
    q = double_backward_q(net, x, targets, task, detach_error=detach)
    assert 0 < int((q < 0).sum()) < len(q)
    expected = ETA * SHARE * law(q).sum() / len(x)
    assert_same_with_gradients(penalty(step(task, net(x), targets, model=net, inputs=x)), expected, net)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("detach", [False, True])
def test_finite_differences_agree_with_a_double_backward_pass(task, detach):
    net, (x, targets) = mlp(), data(task)
    expected = ETA * SHARE * double_backward_q(net, x, targets, task, detach_error=detach).abs().mean()
    penalty = MixupE(ETA, FiniteDifference(1e-6, detach_error=detach))
    value = penalty(step(task, net(x), targets, model=net, inputs=x))
    assert_same_with_gradients(value, expected, net, rtol=1e-6)


def test_fast_and_accurate_agree_without_biases_on_centred_data():
    net, (x, targets) = mlp(bias=False), data(TASKS[0])
    x = x - x.mean(0)
    s = step(TASKS[0], net(x), targets, model=net, inputs=x)
    torch.testing.assert_close(Fast()(s), ForwardMode()(s), rtol=1e-9, atol=1e-9)
    biased = mlp(bias=True)
    s = step(TASKS[0], biased(x), targets, model=biased, inputs=x)
    assert (Fast()(s) - ForwardMode()(s)).abs().max().item() > 1e-3


@pytest.mark.parametrize("estimator", [ForwardMode, FiniteDifference])
def test_the_mean_input_can_be_given(estimator):
    net, (x, targets) = mlp(), data(TASKS[0])
    s = step(TASKS[0], net(x), targets, model=net, inputs=x)
    torch.testing.assert_close(estimator(mean=x.mean(0))(s), estimator()(s))
    assert not torch.allclose(estimator(mean=torch.zeros(4))(s), estimator()(s))


# --- BatchNorm in training -----------------------------------------------------------------------------------------


class NormBySecondHalf(nn.Module):
    """BatchNorm whose statistics come from the second half of the batch only."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        axes = [0, *range(2, x.ndim)]
        other = x[len(x) // 2 :]
        mean, variance = other.mean(axes, keepdim=True), other.var(axes, correction=0, keepdim=True)
        shape = [1, -1, *[1] * (x.ndim - 2)]
        scaled = (x - mean) / (variance + self.norm.eps).sqrt()
        return scaled * self.norm.weight.view(shape) + self.norm.bias.view(shape)


def conv_net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3),
        ).double()  # fmt: skip


def with_constant_statistics(net):
    """Return a function of x that normalises by the statistics of the batch, taken as constants."""
    twin = nn.Sequential(*(NormBySecondHalf(m) if isinstance(m, nn.modules.batchnorm._BatchNorm) else m for m in net))

    def run(x):
        return twin(torch.cat([x, x.detach()]))[: len(x)]

    return run


@pytest.mark.parametrize(("estimator", "rtol"), [(ForwardMode(), 1e-9), (FiniteDifference(1e-6), 1e-4)])
def test_batchnorm_statistics_count_as_constants(estimator, rtol):
    net, task = conv_net(), TASKS[0]
    x = torch.randn(6, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    targets = rows(task, 6)[1]
    oracle = double_backward_q(with_constant_statistics(copy.copy(net)), x, targets, task, detach_error=False)
    assert oracle.abs().min().item() > 1e-3
    value = MixupE(ETA, estimator)(step(task, net(x), targets, model=net, inputs=x))
    assert_same_with_gradients(value, ETA * SHARE * oracle.abs().mean(), net, rtol=rtol)


@pytest.mark.parametrize("estimator", [ForwardMode(), FiniteDifference()])
def test_accurate_forms_update_running_averages_once_and_spare_the_graph_of_the_clean_pass(estimator):
    net = conv_net()
    x, targets = torch.randn(6, 1, 8, 8, dtype=torch.float64), rows(TASKS[0], 6)[1]
    logits = net(x)
    penalty = MixupE(ETA, estimator)(step(TASKS[0], logits, targets, model=net, inputs=x))
    assert net[1].num_batches_tracked == 2
    (logits.sum() + penalty).backward()
