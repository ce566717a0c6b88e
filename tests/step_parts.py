"""A small network, batches and objectives, shared by the tests of whole steps."""

import torch
from torch import nn

from mixkit import BetaPairs, Blend, Concatenated, InBatch, Mix, Mixed, MultiClass, Separate

TASK = MultiClass(3)
MIX = Mix(Blend(), BetaPairs(1.0, derange=True))
FORMS = [Concatenated(), Concatenated(0.25), InBatch(0.25), Separate()]


class Spy(nn.Module):
    """Passes its input on and keeps what it saw."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return x


def net(seed=0, dtype=torch.float32):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Flatten(), nn.Linear(48, 8), nn.Tanh(), nn.Linear(8, 3)]
    return nn.Sequential(*layers).to(dtype)


def batch(size=8, seed=0, dtype=torch.float32):
    torch_generator = torch.Generator().manual_seed(seed)
    x = torch.rand(size, 3, 4, 4, generator=torch_generator).to(dtype)
    return x, TASK.encode(torch.randint(3, (size,), generator=torch_generator))


def mixed(model=None, place=None, **options):
    options.setdefault("generator", torch.Generator().manual_seed(0))
    return Mixed(net() if model is None else model, TASK, options.pop("mix", MIX), place, **options)


def gradient(objective, *arguments):
    objective.zero_grad()
    sum(objective(*arguments).values()).backward()
    return torch.cat([p.grad.flatten() for p in objective.parameters()])
