"""MixupE's experiment on speech, published and measured side by side (Zou et al. 2023, arXiv:2212.13381, Table 5).

    python benchmarks/speech_table.py --out speech.jsonl --networks lenet             # the clips at hand
    python benchmarks/speech_table.py --out full.jsonl --folder speech_commands_v0.01 --device cuda

From the paper: normalised spectrograms of 161 x 101 cells, mixed behind the front end; LeNet and VGG-11, Adam at 1e-3,
cross-entropy, batches of 100, 20 epochs, alpha 0.2, eta 0.01, one lam a batch; error in %.  Not in the paper, and
decided here without a look at test scores:

* speakers are in one part only: training, validation or test.  A folder with Speech Commands' own lists
  (testing_list.txt, validation_list.txt) keeps that split, and a cell is a seed; other folders are split anew, five
  folds a round, with 15 % of the training side to validate, and a cell is a split;
* of the epochs the one with the lowest validation error counts, ties by validation cross-entropy, for all methods;
* in a cell all methods share initial weights, the order of batches and dropout's draws, so that
  differences are paired.

The clips at hand are a hundredth of the paper's 65,000, of other words: published errors stand beside to compare the
differences between methods by, not the errors.  Every fit is a line of `--out`; an interrupted run continues.
"""

import argparse
import json
import os
import time
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mixkit import AtSite, BetaPairs, Blend, Concatenated, Erm, Mix, Mixed, MixupE, MultiClass
from mixkit.comparison.problems import LoadOptions
from mixkit.comparison.splits import official_cells, resampled_cells
from mixkit.comparison.statistics import judge_official, judge_resampled
from mixkit.randomness import derived_generator, derived_seed
from mixkit_audio.backend import resample
from mixkit_audio.paper_networks import RATE, VGG11, LeNet
from mixkit_audio.problem import load_clips

METHODS = ("ERM", "Mixup", "MixupE")
NETWORKS = {"lenet": LeNet, "vgg11": VGG11}
PUBLISHED = {  # mean and standard deviation of the test error in % over five runs, in the order of METHODS
    "lenet": ((10.43, 0.052), (10.12, 0.041), (10.02, 0.042)),
    "vgg11": ((6.04, 0.059), (4.63, 0.047), (3.93, 0.050)),
}
ALPHA, ETA, BATCH, RATE_OF_LEARNING, FOLDS = 0.2, 0.01, 100, 1e-3, 5
BY_SPEAKER = r"^(?P<group>[^_]+)_nohash_"
SOURCES = {  # folder below --data -> how labels and speakers are read
    "speech_commands": LoadOptions(group_by=BY_SPEAKER),
    "fsdd": LoadOptions(label_from=r"^(?P<label>\d)_", group_by=r"^\d_(?P<group>[^_]+)_"),
}
POINTS = 0.5  # differences up to this are as good as none


class Fit(NamedTuple):
    """One trained network."""

    data_set: str
    network: str
    repeat: int
    fold: int
    method: str


class Speech:
    """A folder of clips at 16 kHz, and the cells in which methods are compared.

    Without an official split the clips are split in rounds of five folds, or of as many as there are speakers.
    """

    def __init__(self, path, options, cells):
        problem = load_clips(path, options)
        self.name, self.title, self.notes = problem.name, problem.title, problem.notes
        self.labels, self.groups = problem.labels, problem.groups
        self.task = MultiClass(len(problem.classes))
        self.targets = self.task.encode(torch.from_numpy(self.labels))
        self.waves = at_rate(problem.waves, problem.rate)
        self.official = problem.official is not None
        if self.official:
            self.cells = official_cells(problem.official, self.labels, self.groups, cells, classes=problem.classes)
        else:
            folds = FOLDS if self.groups is None else min(FOLDS, len(np.unique(self.groups)))
            kinds = {"folds": folds, "repeats": -(-cells // folds), "classes": problem.classes}
            self.cells = resampled_cells(self.labels, self.groups, **kinds)[:cells]

    def rows(self, rows):
        """Return waveforms (n, 1, T) and encoded labels of int64 rows (n,)."""
        waves = torch.from_numpy(self.waves[np.asarray(rows)]).float().div_(32768)
        return waves.unsqueeze(1), self.targets[torch.as_tensor(rows)]


def at_rate(waves, rate):
    """Return int16 clips (n, T) of `rate` at 16 kHz."""
    if rate == RATE:
        return waves
    parts = torch.from_numpy(waves).split(500)
    return torch.cat([resample(p.float(), rate, RATE).round().clamp(-32768, 32767).short() for p in parts]).numpy()


# --- training


def objective(model, task, method, generator):
    """Return what a method minimises."""
    if method == "ERM":
        return Erm(model, task)
    mix = Mix(Blend(), BetaPairs(ALPHA, per_sample=False))
    penalty = {"clean": Concatenated(), "penalty": MixupE(ETA)} if method == "MixupE" else {}
    return Mixed(model, task, mix, AtSite("frontend"), generator=generator, **penalty)


def logits(model, speech, rows, device):
    """Return the logits of rows, on the CPU."""
    model.eval()
    with torch.no_grad():
        parts = np.array_split(rows, -(-len(rows) // 250))
        return torch.cat([model(speech.rows(part)[0].to(device)).cpu() for part in parts])


def scores(speech, rows, found):
    """Return the error in % and the cross-entropy of rows, and which of them are wrong."""
    labels = torch.from_numpy(speech.labels[rows])
    wrong = speech.task.predict(found) != labels
    loss = float(speech.task.loss(found, speech.targets[torch.from_numpy(rows)]))
    return 100 * float(wrong.double().mean()), loss, rows[wrong.numpy()].tolist()


def train(speech, cell, network, method, *, epochs, device):
    """Train one network; return the test score of the epoch that is best on the validation rows, and times."""
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(cell.seed, 0))
        # on processors twice as fast as with channels first
        model = NETWORKS[network](speech.task.outputs).to(device, memory_format=torch.channels_last)
        what = objective(model, speech.task, method, derived_generator(cell.seed, 1)).to(device)
        optimizer = torch.optim.Adam(what.parameters(), lr=RATE_OF_LEARNING)
        order, training = derived_generator(cell.seed, 2), torch.from_numpy(cell.train)
        best, spent = None, 0.0
        for epoch in range(epochs):
            begun = time.perf_counter()
            what.train()
            for step, picked in enumerate(torch.randperm(len(training), generator=order).split(BATCH)):
                torch.manual_seed(derived_seed(cell.seed, 3, epoch, step))  # dropout's
                waves, targets = speech.rows(training[picked])
                optimizer.zero_grad()
                sum(what(waves.to(device), targets.to(device)).values()).backward()
                optimizer.step()
            spent += time.perf_counter() - begun
            error, loss, _ = scores(speech, cell.validation, logits(model, speech, cell.validation, device))
            if best is None or (error, loss) < (best["validation_error"], best["validation_loss"]):
                tested, _, wrong = scores(speech, cell.test, logits(model, speech, cell.test, device))
                best = {"validation_error": error, "validation_loss": loss, "epoch": epoch + 1, "error": tested}
                best["wrong"] = wrong
    return best | {"epoch_seconds": spent / epochs, "seconds": time.perf_counter() - start}


# --- running


class Store:
    """Results by fit, kept as JSON lines; the first line holds the settings."""

    def __init__(self, path, settings):
        self.path, self.results = path, {}
        found = path.read_text("utf-8") if path.exists() else ""
        text = found[: found.rfind("\n") + 1]  # what an interruption left of a last line goes
        lines = [json.loads(line) for line in text.splitlines()] or [{"settings": settings}]
        if lines[0] != {"settings": settings}:
            raise SystemExit(f"{path} holds results of {lines[0]}, not of {settings}; name another --out")
        if not text or text != found:  # else another run may be adding to it
            path.write_text(text or json.dumps(lines[0]) + "\n", "utf-8")
        for line in lines[1:]:
            self.results[Fit(*(line.pop(name) for name in Fit._fields))] = line

    def add(self, fit, result):
        """Keep the result of a fit."""
        self.results[fit] = result
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(fit._asdict() | result) + "\n")


def run(speeches, networks, store, *, epochs, device, seconds):
    """Train what the store lacks, cell by cell; nothing is begun after `seconds`."""
    start = time.perf_counter()
    for i in range(max((len(speech.cells) for speech in speeches), default=0)):
        for network in networks:
            for speech in (speech for speech in speeches if i < len(speech.cells)):
                cell = speech.cells[i]
                for method in METHODS:
                    fit = Fit(speech.name, network, cell.repeat, cell.fold, method)
                    if fit in store.results:
                        continue
                    if time.perf_counter() - start > seconds:
                        return
                    result = train(speech, cell, network, method, epochs=epochs, device=device)
                    store.add(fit, result)
                    print(f"{' '.join(map(str, fit))}: {result['error']:.2f} %, {result['seconds']:.0f} s", flush=True)


# --- reporting


def complete(results, speech, network):
    """Return (cell, method -> result) of the cells in which all methods are done."""
    found = []
    for cell in speech.cells:
        fits = {m: Fit(speech.name, network, cell.repeat, cell.fold, m) for m in METHODS}
        if all(fit in results for fit in fits.values()):
            found.append((cell, {m: results[fit] for m, fit in fits.items()}))
    return found


def judged(speech, cells, reference, method):
    """Return the verdict on the paired differences of the error in points."""
    rule = {"compared": 3, "rope": POINTS, "higher_is_better": False}
    if speech.official:
        test = cells[0][0].test

        def wrong(by_method, m):
            return 100.0 * np.isin(test, by_method[m]["wrong"])

        differences = np.stack([wrong(of, method) - wrong(of, reference) for _, of in cells])
        return judge_official(differences, groups=None if speech.groups is None else speech.groups[test], **rule)
    differences = [of[method]["error"] - of[reference]["error"] for _, of in cells]
    test = np.mean([len(cell.test) for cell, _ in cells])
    return judge_resampled(differences, n_train=len(speech.labels) - test, n_test=test, **rule)


def spread(values):
    """Return mean and standard deviation in words."""
    return f"{np.mean(values):.2f}" + (f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else "")


def report(results, speeches, networks):
    """Return the lines of the report."""
    lines = [
        "test error in %, mean ± standard deviation over cells (published: 65,000 clips of 30 words, five runs)",
        "",
    ]
    lines += ["| clips | network | cells | " + " | ".join(f"{m} published | measured" for m in METHODS) + " |"]
    lines += ["|---" * 9 + "|"]
    apart, costs = [], []
    for speech in speeches:
        for network in networks:
            cells = complete(results, speech, network)
            if not cells:
                continue
            errors = {m: [of[m]["error"] for _, of in cells] for m in METHODS}
            row = [f"{mean:.2f} ± {std:.2f} | {spread(errors[m])}" for m, (mean, std) in named(network)]
            lines.append(f"| {speech.name} | {network} | {len(cells)} | " + " | ".join(row) + " |")
            verdicts = [judged(speech, cells, a, b) for a, b in combinations(METHODS, 2)]
            apart.append(f"| {speech.name} | {network} | " + " | ".join(map(difference, verdicts)) + " |")
            costs.append(f"| {speech.name} | {network} | " + " | ".join(cost(cells, m) for m in METHODS) + " |")
    if not apart:
        return ["no cell is finished for all methods yet"]
    pairs = [f"{b} - {a}" for a, b in combinations(METHODS, 2)]
    lines += ["", "| clips | network | " + " | ".join(pairs) + " |", "|---" * 5 + "|", *apart]
    lines += ["", "| clips | network | " + " | ".join(f"{m}: seconds an epoch, best epoch" for m in METHODS) + " |"]
    return [*lines, "|---" * 5 + "|", *costs]


def named(network):
    """Return (method, published numbers) of a network."""
    return zip(METHODS, PUBLISHED[network], strict=True)


def difference(verdict):
    """Return a difference in points, its interval and the verdict in words."""
    if not np.isfinite([verdict.low, verdict.high]).all():
        return f"{verdict.difference:+.2f} ({verdict.verdict})"
    return f"{verdict.difference:+.2f} [{verdict.low:.2f}, {verdict.high:.2f}] ({verdict.verdict})"


def cost(cells, method):
    """Return medians in words."""
    seconds, epoch = (np.median([of[method][key] for _, of in cells]) for key in ("epoch_seconds", "epoch"))
    return f"{seconds:.1f}, {epoch:.0f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(os.environ.get("MIXKIT_DATA", "../shared/data"))
    parser.add_argument(
        "--data", type=Path, default=default, help="folder of the clips at hand (default: $MIXKIT_DATA)"
    )
    parser.add_argument("--data-sets", nargs="+", choices=list(SOURCES), default=list(SOURCES), metavar="NAME")
    parser.add_argument("--folder", type=Path, help="instead of these, a folder like Speech Commands'")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--seeds", type=int, default=10, help="cells: seeds of an official split, else splits")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--hours", type=float, default=float("inf"), help="begin no fit after this; 0: only report")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--out", type=Path, default=Path("speech.jsonl"), help="JSON lines; an interrupted run continues"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.folder:
        sources = {options.folder: SOURCES["speech_commands"]}
    else:
        sources = {options.data / name: SOURCES[name] for name in options.data_sets}
    store = Store(options.out, {"epochs": options.epochs})
    speeches = [Speech(path, how, options.seeds) for path, how in sources.items()]
    for speech in speeches:
        kind = "official split" if speech.official else "split by speaker"
        print("; ".join([speech.title, kind, *speech.notes]), flush=True)
    limits = {"epochs": options.epochs, "device": options.device, "seconds": 3600 * options.hours}
    run(speeches, options.networks, store, **limits)
    print("\n".join(["", *report(store.results, speeches, options.networks)]))


if __name__ == "__main__":
    main()
