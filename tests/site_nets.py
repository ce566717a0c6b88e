"""Networks whose middle is reached in many ways, for the tests of sites."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mixkit import BetaPairs, Blend, Mix, Mixed, MultiClass

TASK = MultiClass(3)
MIX = Mix(Blend(), BetaPairs(1.0, derange=True))


class Net(nn.Module):
    """An encoder, a middle and a head; subclasses route `middle` differently."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.encoder, self.middle, self.head = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.through(torch.tanh(self.encoder(x)))))

    def through(self, h):
        return self.middle(h)


class Twice(Net):
    def through(self, h):
        return self.middle(torch.relu(self.middle(h)))


class Residual(Net):
    def through(self, h):
        return h + self.middle(h)


class Reentrant(Net):
    def through(self, h):
        return checkpoint(self.middle, h, use_reentrant=True)


class NotReentrant(Net):
    def through(self, h):
        return checkpoint(self.middle, h, use_reentrant=False)


class Unused(Net):
    def through(self, h):
        return h


class Sometimes(Net):
    skip = False

    def through(self, h):
        return h if self.skip else self.middle(h)


class Windows(Net):
    """Runs the middle on two halves of every sample, as rows of their own."""

    def through(self, h):
        return self.middle(h.repeat_interleave(2, 0)).view(-1, 2, 8).mean(1)


class Keyword(Net):
    def __init__(self):
        super().__init__()
        self.middle = nn.Bilinear(8, 8, 8)

    def through(self, h):
        return self.middle(input1=h, input2=h)


class Recurrent(Net):
    def __init__(self):
        super().__init__()
        self.middle = nn.GRU(8, 8, batch_first=True)

    def through(self, h):
        return self.middle(h[:, None])[0][:, 0]


def batch(size=6):
    torch_generator = torch.Generator().manual_seed(0)
    return torch.randn(size, 4, generator=torch_generator), TASK.encode(torch.arange(size) % 3)


def mixed(model, place, **options):
    return Mixed(model, TASK, MIX, place, generator=torch.Generator().manual_seed(0), **options)


def logits_at(place, model, *, lam=None, size=6):
    """Return what a placement gives out: mixed logits, clean logits, the plan."""
    x, t = batch(size)
    mix = MIX

    def draw(mixable):
        plan = mix.draw(mixable, t, torch.Generator().manual_seed(0))
        return plan if lam is None else type(plan)(type(plan.pairing)(plan.pairing.partner, torch.full((size,), lam)))

    return place.on(model)(x, draw, torch.arange(size), size=size, generator=torch.Generator().manual_seed(0))
