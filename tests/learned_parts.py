"""A small network with a feature map, batches and AutoMix objectives, shared by the tests of learned mixing."""

from collections import OrderedDict

import torch
from torch import nn

from mixkit import AutoMix, BetaPairs, MapTokens, MixBlock, MultiClass, Pairing, Sources

TASK = MultiClass(3)
OWN_SEED = 5  # of blocks


class Fixed:
    """Shares and partners that are given, not drawn."""

    expected_partner_share = 0.25

    def __init__(self, partner, lam):
        self.partner, self.lam = partner, lam

    def __call__(self, targets, generator):
        lam = torch.as_tensor(self.lam, dtype=torch.float32).expand(len(targets)).clone()
        partner = (torch.arange(len(targets)) + 1) % len(targets) if self.partner is None else self.partner
        return Pairing(partner, lam)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def net(seed=0, *, norm=True, classes=3):
    """Return a network whose submodule "stage" gives out maps (B, 6, 4, 4) for pictures (B, 3, 8, 8)."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        stage = [nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6) if norm else nn.Identity(), nn.ReLU()]
        parts = {"stage": nn.Sequential(*stage), "pool": nn.AdaptiveAvgPool2d(2), "flat": nn.Flatten()}
        parts["head"] = nn.Linear(24, classes)
    return nn.Sequential(OrderedDict(parts))


def batch(size=8, seed=0, task=TASK):
    generator = seeded(seed)
    x = torch.randn(size, 3, 8, 8, generator=generator)
    return x, task.encode(torch.randint(3, (size,), generator=generator))


def automix(model=None, *, task=TASK, block=None, tokens=None, **options):
    """Return a small AutoMix objective with seeded weights and draws."""
    options.setdefault("generator", seeded())
    options.setdefault("pairs", BetaPairs(2.0, derange=True))
    options.setdefault("total_steps", 20)
    return AutoMix(
        net() if model is None else model,
        task,
        MapTokens("stage", 6) if tokens is None else tokens,
        MixBlock(6, generator=seeded(OWN_SEED)) if block is None else block,
        **options,
    )


def total(terms):
    return torch.stack(list(terms.values())).sum()


def trained(objective, steps=3, optimizer=None, **data):
    """Take a few steps with SGD and return the optimizer."""
    if optimizer is None:
        optimizer = torch.optim.SGD(objective.param_groups(), lr=0.1, momentum=0.9)
        objective.attach(optimizer)
    for step in range(steps):
        optimizer.zero_grad()
        total(objective(*batch(seed=step, **data))).backward()
        optimizer.step()
    return optimizer


def sources(partner, lam):
    """Return sources of two from lists."""
    return Sources.of(Pairing(torch.tensor(partner), torch.tensor(lam, dtype=torch.float32)))


def lively_block(channels=6, seed=0, **options):
    """Return a block whose weights are large enough for its weights of samples to differ."""
    block = MixBlock(channels, generator=seeded(seed), **options)
    with torch.no_grad():
        for parameter in block.parameters():
            if parameter.ndim > 1:
                parameter.mul_(100)
    return block


def two_samples(size=3, length=5, other=None, channels=6, seed=0):
    generator = seeded(seed)
    own = torch.randn(size, length, channels, generator=generator)
    return own, torch.randn(size, other or length, channels, generator=generator), torch.rand(size, generator=generator)
