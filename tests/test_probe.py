"""A probed, hooked or copied model is left as it was."""

import copy
import random

import numpy as np
import pytest
import torch
from site_nets import (
    Net,
    batch,
    mixed,
)
from torch import nn

from mixkit import AtSite, MixupE


class Noisy(Net):
    """Draws from every global generator and keeps running statistics, some of them frozen."""

    def __init__(self):
        super().__init__()
        self.norm, self.frozen = nn.BatchNorm1d(8), nn.BatchNorm1d(8)
        self.frozen.eval()
        self.trained = []

    def train(self, mode=True):
        self.trained.append(mode)
        return super().train(mode)

    def through(self, h):
        h = self.frozen(self.norm(self.middle(h)))
        return nn.functional.dropout(h, 0.1, self.training) + 0 * (random.random() + np.random.rand())  # noqa: NPY002 - what models do


def test_a_probe_leaves_no_trace_in_the_model_or_in_global_generators(global_state):
    net = Noisy()
    net.trained = []
    net.head.weight.grad = torch.ones(3, 8)
    hooked = []
    net.head.weight.register_hook(hooked.append)
    net.head.weight.register_post_accumulate_grad_hook(hooked.append)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    versions = {name: (value.data_ptr(), value._version) for name, value in net.state_dict(keep_vars=True).items()}
    x, t = batch()

    states = []

    class Recording(AtSite):
        def on(self, model):
            placed = super().on(model)
            return lambda inputs, draw, clean, **rest: placed(inputs, stop, clean, **rest)

    def stop(_):
        states.append(global_state())
        raise KeyboardInterrupt  # the probe is over, the step has not begun

    start = global_state()
    with pytest.raises(KeyboardInterrupt):
        mixed(net, Recording("middle"))(x, t)
    assert states == [start]
    assert {name: (v.data_ptr(), v._version) for name, v in net.state_dict(keep_vars=True).items()} == versions
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(net.head.weight.grad, torch.ones(3, 8))
    assert [p.grad for p in net.middle.parameters()] == [None, None]
    assert hooked == []
    assert net.trained == []
    assert (net.training, net.norm.training, net.frozen.training) == (True, True, False)


def test_hooks_are_inert_outside_a_step_in_evaluation_and_in_copies():
    net, (x, t) = Net(), batch()
    plain = net(x)
    objective = mixed(net, AtSite("middle"), penalty=MixupE(0.1))
    teacher = copy.deepcopy(net)
    objective(x, t)
    assert torch.equal(net(x), plain)
    assert torch.equal(teacher(x), plain)
    objective.eval()(x, t)
    seen = []
    net.middle.register_forward_hook(lambda module, args, output: seen.append(torch.equal(teacher(x), plain)))
    objective.train()(x, t)  # also while the original's hook acts
    assert seen == [True]


def test_a_hook_is_installed_once_and_several_objectives_share_a_model():
    net, (x, t) = Net(), batch()
    first, second = mixed(net, AtSite("middle")), mixed(net, AtSite("middle"))
    assert len(net.middle._forward_hooks) == 2
    alone = mixed(Net(), AtSite("middle"))
    for _ in range(3):
        expected = alone(x, t)["mixed"]
        torch.testing.assert_close(first(x, t)["mixed"], expected)
        torch.testing.assert_close(second(x, t)["mixed"], expected)
    assert len(net.middle._forward_hooks) == 2


def test_an_error_inside_the_model_leaves_no_plan_behind():
    net, (x, t) = Net(), batch()
    objective = mixed(net, AtSite("middle"))
    objective(x, t)
    with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied"):
        objective(x[:, :2], t)
    torch.testing.assert_close(net(x), Net()(x))


def test_a_frozen_model_part_and_inputs_with_gradients_are_fine():
    net, (x, t) = Net(), batch()
    net.encoder.requires_grad_(False)
    x.requires_grad_()
    objective = mixed(net, AtSite("middle"))
    terms = objective(x, t)
    assert x.grad is None
    sum(terms.values()).backward()
    assert bool(x.grad.any())
