"""What one training step costs: ERM, mixup and every form of MixupE, side by side in one process.

    python benchmarks/step_cost.py --repeats 40 --batch 64 --threads 1

All objectives train a network of the same shape, one step after the other, in rounds: each round measures every one
once, in an order drawn anew, so that a busy machine slows all of them alike.  Printed are medians of the rounds'
ratios, with their quartiles.  A step is forward, backward and optimizer step (SGD with momentum) on images 3x32x32.
On a machine with other work take --clock cpu: it leaves out the time in which another process ran.
"""

import argparse
import copy
import time
from itertools import pairwise
from statistics import quantiles

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mixkit import (
    BetaPairs,
    Blend,
    Concatenated,
    Erm,
    FiniteDifference,
    ForwardMode,
    InBatch,
    Mix,
    Mixed,
    MixupE,
    MultiClass,
)

CLASSES = 10


class Block(nn.Module):
    """Two 3x3 convolutions behind batch normalisation, and a path around them (pre-activation ResNet)."""

    def __init__(self, width_in, width, stride):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(width_in), nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, 1, 1, bias=False)
        plain = stride == 1 and width_in == width
        self.around = nn.Identity() if plain else nn.Conv2d(width_in, width, 1, stride, bias=False)

    def forward(self, x):
        """Return the block of x (B, C, H, W)."""
        h = F.relu(self.norm1(x))
        return self.around(x) + self.conv2(F.relu(self.norm2(self.conv1(h))))


def network(width):
    """Return a pre-activation ResNet-14 for images 3x32x32."""
    widths = [width, width, width, 2 * width, 2 * width, 4 * width, 4 * width]
    blocks = [Block(a, b, 2 if a != b else 1) for a, b in pairwise(widths)]
    tail = [
        nn.BatchNorm2d(widths[-1]),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(widths[-1], CLASSES),
    ]
    return nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), *blocks, *tail)


def objectives(model, task):
    """Return the objectives by name, each with a copy of `model`."""
    mix = Mix(Blend(), BetaPairs(1.0))

    def mixed(penalty=None, clean=None):
        return Mixed(copy.deepcopy(model), task, mix, penalty=penalty, clean=clean)

    return {
        "erm": Erm(copy.deepcopy(model), task),
        "mixup": mixed(),
        "mixupe": mixed(MixupE(1e-3), Concatenated()),
        "mixupe-quarter": mixed(MixupE(1e-3), Concatenated(0.25)),
        "mixupe-inbatch": mixed(MixupE(1e-3), InBatch(0.25)),
        "mixupe, forward mode": mixed(MixupE(1e-3, ForwardMode())),
        "mixupe, finite difference": mixed(MixupE(1e-3, FiniteDifference())),
    }


def measure(objective, optimizer, inputs, targets, *, clock):
    """Return the seconds of one training step by `clock`."""
    wait(inputs.device)
    start = clock()
    loss = sum(objective(inputs, targets).values())
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    wait(inputs.device)
    return clock() - start


def wait(device):
    """Wait until `device` has done everything it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rounds(options):
    """Return name -> seconds of a step, an array over rounds."""
    device, task = torch.device(options.device), MultiClass(CLASSES)
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    torch.manual_seed(0)
    candidates = objectives(network(options.width).to(device), task)
    optimizers = {name: torch.optim.SGD(o.param_groups(), lr=1e-3, momentum=0.9) for name, o in candidates.items()}
    inputs = torch.randn(options.batch, 3, 32, 32, device=device)
    targets = task.encode(torch.randint(CLASSES, (options.batch,))).to(device)
    seconds = {name: [] for name in candidates}
    order = np.random.default_rng(0)
    for index in range(options.warmup + options.repeats):
        for name in order.permutation(list(candidates)):
            taken = measure(candidates[name], optimizers[name], inputs, targets, clock=clock)
            if index >= options.warmup:
                seconds[name].append(taken)
    return {name: np.array(values) for name, values in seconds.items()}


AIMS = [  # what, over what, at most
    ("mixup", "erm", 1.03),
    ("mixupe", "mixup", 2.1),
    ("mixupe-quarter", "mixup", 1.3),
    ("mixupe-inbatch", "mixup", 1.03),
    ("mixupe, forward mode", "mixup", None),
    ("mixupe, finite difference", "mixup", None),
]


def main():
    parser = argparse.ArgumentParser(description="What one training step costs, as ratios.")
    parser.add_argument("--repeats", type=int, default=40, help="rounds that count")
    parser.add_argument("--warmup", type=int, default=3, help="rounds that do not")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=16, help="channels of the first stage")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="what is measured; cpu: on one thread")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    seconds = rounds(options)

    where = f"{options.device}, {options.threads} threads, {options.clock} clock, torch {torch.__version__}"
    print(f"{options.repeats} rounds, batch {options.batch}, {where}")
    print(f"{'step':28}{'ms':>8}   {'ratio':>28}   {'aim':>7}")
    print(f"{'erm':28}{1e3 * np.median(seconds['erm']):8.1f}")
    for name, base, aim in AIMS:
        low, middle, high = quantiles(seconds[name] / seconds[base], n=4)
        ratio = f"{middle:.2f} ({low:.2f}-{high:.2f}) x {base}"
        print(f"{name:28}{1e3 * np.median(seconds[name]):8.1f}   {ratio:>28}   {'' if aim is None else f'<= {aim}':>7}")


if __name__ == "__main__":
    main()
