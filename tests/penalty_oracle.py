"""What penalties are checked against: the formulas in NumPy, and a double backward pass; small nets and batches."""

import numpy as np
import torch
from torch import nn

from mixkit import BetaPairs, MultiClass, MultiLabel, Regression
from mixkit.penalties import Step
from mixkit.plan import BlendPlan, Pairing

ETA, ALPHA = 0.3, 0.4
SHARE = ALPHA / (2 * ALPHA + 1)
TASKS = [MultiClass(3), MultiLabel(3), Regression((0.0,) * 3, (1.0,) * 3)]


def step(task, logits, targets, *, model=None, inputs=None, weights=None):
    """Return a step of clean rows."""
    share = BetaPairs(ALPHA).expected_partner_share
    plan = BlendPlan(Pairing.identity(len(logits)))
    return Step(model or nn.Identity(), inputs, logits, targets, weights, plan, task, share)


def rows(task, size=7, seed=0):
    """Return float64 logits with gradient and soft targets of the task's kind."""
    torch_generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(size, 3, dtype=torch.float64, generator=torch_generator)
    targets = torch.rand(size, 3, dtype=torch.float64, generator=torch_generator)
    if isinstance(task, MultiClass):
        targets = targets / targets.sum(1, keepdim=True)
    return logits.requires_grad_(), targets


def link(task, f):
    """Return g(f) in numpy."""
    if isinstance(task, MultiClass):
        e = np.exp(f - f.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)
    return 1 / (1 + np.exp(-f)) if isinstance(task, MultiLabel) else f


def q_hat(task, logits, targets):
    """Return eq. 5 in numpy, by the loss's own reduction over K."""
    f, y = logits.detach().numpy(), targets.numpy()
    q = ((y - link(task, f)) * f).sum(1)
    return q if isinstance(task, MultiClass) else q / 3


def double_backward_q(net, x, targets, task, *, detach_error):
    """Return (g(f) - y) . J (mean - x), with J v from two backward passes; the loss's own reduction over K."""
    x = x.clone().requires_grad_()
    f = net(x)
    u = torch.zeros_like(f, requires_grad=True)
    (pulled,) = torch.autograd.grad(f, x, u, create_graph=True)
    (jv,) = torch.autograd.grad(pulled, u, (x.mean(0) - x).detach(), create_graph=True)
    g = {MultiClass: lambda: f.softmax(1), MultiLabel: f.sigmoid, Regression: lambda: f}[type(task)]()
    error = (g - targets) / (1 if isinstance(task, MultiClass) else 3)
    return ((error.detach() if detach_error else error) * jv).sum(1)


def mlp(*, bias=True, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 8, bias=bias), nn.ReLU(), nn.Linear(8, 3, bias=bias)).double()


def data(task, size=6):
    x = torch.randn(size, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return x, rows(task, size)[1]


def gradients(value, net):
    parameters = list(net.parameters())
    return torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True, materialize_grads=True)


def assert_same_with_gradients(value, expected, net, *, rtol=1e-9):
    torch.testing.assert_close(value, expected, rtol=rtol, atol=rtol)
    for own, oracle in zip(gradients(value, net), gradients(expected, net), strict=True):
        torch.testing.assert_close(own, oracle, rtol=10 * rtol, atol=10 * rtol)
