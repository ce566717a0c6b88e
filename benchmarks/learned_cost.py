"""What learned mixing costs: time and memory of AutoMix's steps as ratios of mixup's, side by side in one process.

    python benchmarks/learned_cost.py --rounds 12 --batch 64 --clock cpu

All objectives train a network of the same shape (the pre-activation ResNet-14 of step_cost.py), in rounds: each round
measures every one once, in an order drawn anew, so that a busy machine slows all of them alike.  A measurement is four
steps in a row, because the block of the lean forms learns every fourth.  Printed are medians of the rounds' ratios with
their quartiles, and the ratio of peak memories (`StepMemory`: on CUDA what the allocator reports; elsewhere parameters
with their gradients and moments, and the most that graphs keep at a time for the backward pass).
"""

import argparse
import copy
import time
from statistics import quantiles

import numpy as np
import torch
from step_cost import CLASSES, network, wait

from mixkit import (
    Alternating,
    AutoMix,
    BetaPairs,
    BetaSources,
    Blend,
    Concatenated,
    Erm,
    FromPair,
    GroupMixBlock,
    InBatch,
    LamMultiplied,
    LamPenalty,
    MapTokens,
    Mix,
    MixBlock,
    Mixed,
    MixedLoss,
    MixupE,
    MultiClass,
    NeckValue,
    Separate,
)
from mixkit.training.memory import StepMemory

STEPS = 4
STAGE, WIDTH = "4", 2  # the end of the last stage but one, and its channels in widths of the first
TOKENS = 64  # of its 16 x 16 positions, averaged: as many as the published form has on CIFAR


def objectives(model, task, channels):
    """Return the objectives by name, each with a copy of `model`."""
    mix = Mix(Blend(), BetaPairs(1.0))

    def automix(block=None, **options):
        block = MixBlock(channels) if block is None else block
        return AutoMix(
            copy.deepcopy(model),
            task,
            MapTokens(STAGE, channels, most_tokens=TOKENS),
            block,
            total_steps=1000,
            **options,
        )

    samix = MixBlock(channels, projection=FromPair(), value=NeckValue(), lam=LamMultiplied(0.25))
    lean = {"clean": InBatch(0.5), "clean_weight": 0.0}
    frozen = automix(**lean, freeze_after=0.3)
    frozen.steps = 500  # past the share of the training in which the block learns
    return {
        "erm": Erm(copy.deepcopy(model), task),
        "mixup": Mixed(copy.deepcopy(model), task, mix),
        "mixup + clean loss": Mixed(copy.deepcopy(model), task, mix, clean=Separate(), clean_weight=1.0),
        "automix": automix(),
        "automix+e": automix(penalty=MixupE(1e-3)),
        "samix": automix(samix, block_loss=MixedLoss(LamPenalty(variance=2.0))),
        "adautomix, K = 2": automix(GroupMixBlock(channels, count=2), block_loss=Alternating()),
        "adautomix, K = 3": automix(
            GroupMixBlock(channels, count=3),
            pairs=BetaSources(1.0, 3),
            block_loss=Alternating(),
            clean_weight=0.5,
            blend_weight=0.5,
        ),
        "clean rows concatenated": automix(clean=Concatenated()),
        "half of the batch clean": automix(**lean),
        "block every 4th step": automix(block_every=4),
        "automix-lean: both": automix(**lean, block_every=4),
        "lean, block from a quarter": automix(**lean, block_fraction=0.25),
        "lean, block frozen": frozen,
    }


def measure(objective, optimizer, batch, *, clock):
    """Return the seconds of `STEPS` training steps by `clock`."""
    wait(batch[0].device)
    start = clock()
    for _ in range(STEPS):
        sum(objective(*batch).values()).backward()
        optimizer.step()
        optimizer.zero_grad()
    wait(batch[0].device)
    return clock() - start


def peak(objective, batch):
    """Return the peak memory of `STEPS` training steps in bytes."""
    memory = StepMemory(objective, batch[0].device)
    memory.WATCHED_STEPS = STEPS
    for _ in range(STEPS):
        with memory.watching():
            sum(objective(*batch).values()).backward()
        objective.zero_grad()
    return memory.peak()


def optimizer_for(objective):
    """Return SGD with momentum, attached."""
    optimizer = torch.optim.SGD(objective.param_groups(), lr=1e-3, momentum=0.9)
    objective.attach(optimizer)
    return optimizer


AIMS = {  # name -> (over what, at most that many times its time, its memory)
    "mixup": ("erm", None, None),
    "mixup + clean loss": ("mixup", None, None),
    "automix": ("mixup", 3.1, 2.0),
    "automix+e": ("automix", 1.03, None),
    "samix": ("mixup", None, None),
    "adautomix, K = 2": ("mixup", None, None),
    "adautomix, K = 3": ("mixup", None, None),
    "clean rows concatenated": ("mixup", None, None),
    "half of the batch clean": ("mixup", None, None),
    "block every 4th step": ("mixup", None, None),
    "automix-lean: both": ("mixup", 1.5, 1.4),
    "lean, block from a quarter": ("mixup", 1.5, 1.4),
    "lean, block frozen": ("mixup", 1.5, 1.4),
}


def main():
    parser = argparse.ArgumentParser(description="Time and memory of learned mixing, as ratios.")
    parser.add_argument("--rounds", type=int, default=12, help="that count")
    parser.add_argument("--warmup", type=int, default=1, help="rounds that do not")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=16, help="channels of the first stage")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--amp", action="store_true", help="under autocast in bfloat16")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="what is measured; cpu: on one thread")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    device, task = torch.device(options.device), MultiClass(CLASSES)
    torch.manual_seed(0)
    candidates = objectives(network(options.width).to(device), task, WIDTH * options.width)
    candidates = {name: objective.to(device) for name, objective in candidates.items()}
    optimizers = {name: optimizer_for(objective) for name, objective in candidates.items()}
    labels = torch.randint(CLASSES, (options.batch,))
    batch = torch.randn(options.batch, 3, 32, 32, device=device), task.encode(labels).to(device)
    seconds, order = {name: [] for name in candidates}, np.random.default_rng(0)
    with torch.autocast(device.type, torch.bfloat16, enabled=options.amp):
        for index in range(options.warmup + options.rounds):
            for name in order.permutation(list(candidates)):
                taken = measure(candidates[name], optimizers[name], batch, clock=clock)
                if index >= options.warmup:
                    seconds[name].append(taken)
        memory = {name: peak(objective, batch) for name, objective in candidates.items()}

    where = f"{options.device}, {options.threads} threads, {options.clock} clock, torch {torch.__version__}"
    print(f"{options.rounds} rounds of {STEPS} steps, batch {options.batch}, {where}{', bf16' if options.amp else ''}")
    print(f"{'step':28}{'ms':>8}   {'time':>29}   {'aim':>7}   {'memory':>8}   {'aim':>7}")
    for name, (base, time_aim, memory_aim) in AIMS.items():
        ratios = np.array(seconds[name]) / np.array(seconds[base])
        low, middle, high = quantiles(ratios, n=4)
        shown = f"{middle:.2f} ({low:.2f}-{high:.2f}) x {base}"
        aims = [f"<= {aim}" if aim else "" for aim in (time_aim, memory_aim)]
        middle_ms = 1e3 * np.median(seconds[name]) / STEPS
        more = f"{memory[name] / memory[base]:.2f}"
        print(f"{name:28}{middle_ms:8.1f}   {shown:>29}   {aims[0]:>7}   {more:>8}   {aims[1]:>7}")


if __name__ == "__main__":
    main()
