"""What mixing sound costs: every mixer beside the mel front end, and beside torch-audiomentations' `Mix`.

    python benchmarks/audio_speed.py --repeats 60
    pip install --target peers --no-deps torch-audiomentations torch-pitch-shift julius primePy
    PYTHONPATH=peers python benchmarks/audio_speed.py --repeats 60

A batch of 128 one-second clips at 16 kHz; mixers of waveforms take the clips, those of features their log-mel
spectrogram (40 bins, 101 frames), of which the front end is the first row of the table.  Labels are mixed as well.  All
run in one process, in rounds: each round measures every one once, in an order drawn anew, so that a busy machine slows
all of them alike.  Printed are medians of the rounds' ratios, with their quartiles.  The default clock leaves out the
time in which another process ran; it counts all threads together.
"""

import argparse
import time
import warnings
from statistics import quantiles

import numpy as np
import torch

from mixkit import BetaPairs, Blend, Mix
from mixkit_audio import (
    AWeighted,
    BandMix,
    LogMel,
    LogPower,
    MixTraining,
    PowerMix,
    Rms,
    SnrPairs,
    SpectrogramMix,
    StyleMix,
    Union,
    WaveMix,
)

RATE, CLASSES = 16_000, 12
AIM = 0.25  # of the front end's time
PEER = "torch-audiomentations, Mix"
ALIKE = "WaveMix, rms, 0 to 5 dB, union"  # does the same as the peer


def mixers():
    """Return (name -> mix of waveforms, name -> mix of log-mel features)."""
    pairs = BetaPairs(0.4)
    waves = {
        "WaveMix": Mix(WaveMix(), pairs),
        "WaveMix, rms": Mix(WaveMix(level=Rms()), pairs),
        "WaveMix, A-weighted": Mix(WaveMix(level=AWeighted(RATE)), pairs),
        "WaveMix, partner later": Mix(WaveMix(late=0.3), pairs),
        ALIKE: Mix(WaveMix(level=Rms(), normalize="own", law=Union()), SnrPairs(0.0, 5.0, pairs)),
        "MixTraining, 1 or 2 words": MixTraining(),
        "MixTraining, 1 to 3 words": MixTraining(words=(1, 2, 3)),
    }
    features = {
        "Blend": Mix(Blend(), pairs),
        "SpectrogramMix, power": Mix(SpectrogramMix("log"), pairs),
        "SpectrogramMix, power, gain-aware": Mix(SpectrogramMix("log", gain_aware=True), pairs),
        "SpectrogramMix, mean": Mix(SpectrogramMix("log", law="mean"), pairs),
        "PowerMix": Mix(PowerMix(LogPower(torch.zeros(1), torch.ones(1), LogMel.floor)), pairs),
        "BandMix": Mix(BandMix(), pairs),
        "StyleMix": Mix(StyleMix(), pairs),
    }
    return waves, features


def mixing(mix, inputs, targets):
    """Return what draws and mixes one batch."""
    generator = torch.Generator().manual_seed(0)

    def once():
        plan = mix.draw(inputs, targets, generator)
        return plan.apply(inputs), plan.targets(targets)

    return once


def peer(clips, targets):
    """Return what mixes one batch with the other library, or why there is nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torch_audiomentations.augmentations.mix import Mix as Theirs  # noqa: PLC0415 - may be missing
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return None, f"{PEER}: left out, {type(error).__name__}: {error}; this file's first lines say how to install it"
    theirs = Theirs(0.0, 5.0, "union", p=1.0, sample_rate=RATE, target_rate=1, output_type="dict")
    framed = targets[:, None, None]  # it takes (B, channels, frames, classes)
    return lambda: theirs(samples=clips, targets=framed), ""


def measured(candidates, clock, *, repeats, warmup):
    """Return name -> seconds, an array over rounds."""
    seconds = {name: [] for name in candidates}
    order = np.random.default_rng(0)
    for index in range(warmup + repeats):
        for name in order.permutation(list(candidates)):
            start = clock()
            candidates[name]()
            if index >= warmup:
                seconds[name].append(clock() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def ratio(own, other):
    """Return the median of ratios and their quartiles in words."""
    low, middle, high = quantiles(own / other, n=4)
    return f"{middle:.3f} ({low:.3f}-{high:.3f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=60, help="rounds that count")
    parser.add_argument("--warmup", type=int, default=5, help="rounds that do not")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="cpu", help="what is measured; cpu: on one thread")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    draw = torch.Generator().manual_seed(0)
    clips = 0.1 * torch.randn(options.batch, 1, RATE, generator=draw)
    targets = torch.eye(CLASSES)[torch.randint(CLASSES, (options.batch,), generator=draw)]
    front = LogMel(RATE)
    features, (of_waves, of_features) = front(clips), mixers()
    candidates = {"front end": lambda: front(clips)}
    candidates |= {name: mixing(mix, clips, targets) for name, mix in of_waves.items()}
    candidates |= {name: mixing(mix, features, targets) for name, mix in of_features.items()}
    theirs, reason = peer(clips, targets)
    if theirs is not None:
        candidates[PEER] = theirs
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    with torch.no_grad():
        seconds = measured(candidates, clock, repeats=options.repeats, warmup=options.warmup)

    where = f"{options.threads} threads, {options.clock} clock, torch {torch.__version__}"
    print(f"{options.repeats} rounds, batch of {options.batch} clips of 1 s at {RATE:,} Hz, {where}\n")
    print(f"| mixer | of | ms | x front end (aim: below {AIM}) | x {PEER} |\n" + "|---" * 5 + "|")
    for name, taken in seconds.items():
        kind = "features" if name in of_features else "waveforms"
        beside = ratio(taken, seconds[PEER]) if PEER in seconds and kind == "waveforms" else ""
        front_end = "" if name == "front end" else ratio(taken, seconds["front end"])
        print(f"| {name} | {kind} | {1e3 * np.median(taken):.2f} | {front_end} | {beside} |")
    print(f"\n{reason}" if reason else f"\n{ALIKE!r} does what {PEER} does: the ratio of those two is the fair one")


if __name__ == "__main__":
    main()
