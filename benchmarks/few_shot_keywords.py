"""New words from a few clips: pre-train on base words, fine-tune on 5, 10 or 15 clips of each new one.

    python benchmarks/few_shot_keywords.py --folder ../shared/data/speech_commands --seeds 10

The recipe of few-shot keyword spotting with Mix-Training (Yuan et al. 2024, arXiv:2407.06078), from the kit's pieces:

1. train a network on the base words, plainly or with `MixTraining`;
2. `shots(labels, 5, generator)` chooses clips of the new words, `with_new_head(network, classes)` gives the network a
   last layer for them;
3. train that on the chosen clips, plainly or with `MixTraining`.

In a cell (a seed) half of the words are base words and half are new, drawn anew; speakers are drawn into a training and
a test part of three fifths and two fifths.  Base words and chosen clips are of training speakers, scores of the new
words by test speakers: accuracy, and two words at once at one level, both of which have to be the two most probable.
In a cell all variants share words, speakers, chosen clips (5 are among 10), initial weights and the pairs of words that
are tested.  "none" for the first phase is a network with random weights, trained on the chosen clips alone.

NOTE[DIFF] The paper pre-trains on 960 hours of LibriSpeech; here it is a few hundred clips of five words, so that what
is measured is the recipe, not the paper's numbers.  Plain training is softmax cross-entropy, Mix-Training the mean of
binary ones, as in its paper.
"""

import argparse
import os
import time
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mixkit import AtInputs, Erm, Mixed, MultiClass, MultiLabel
from mixkit.comparison.problems import LoadOptions
from mixkit.comparison.statistics import judge_resampled
from mixkit.randomness import derived_generator, derived_seed
from mixkit_audio import MixTraining
from mixkit_audio.few_shot import shots, with_new_head
from mixkit_audio.problem import load_clips
from mixkit_audio.word_tests import all_found, partners, together

SHOTS = (5, 10, 15)
FIRST, SECOND = ("none", "plain", "mix-training"), ("plain", "mix-training")
STEPS = {"first": 200, "second": 60}
RATES = {"first": 2e-3, "second": 1e-3}
BATCH = 32
SCORES = ("accuracy", "two words, 0 dB")


class Cell(NamedTuple):
    """Rows of a seed; labels are positions among the base words, or among the new ones."""

    seed: int
    base: torch.Tensor
    base_labels: torch.Tensor
    pool: torch.Tensor
    pool_labels: torch.Tensor
    test: torch.Tensor
    test_labels: torch.Tensor


def cell_of(problem, seed):
    """Draw words and speakers."""
    draw = np.random.default_rng(derived_seed(seed, 0))
    words = draw.permutation([code for code, name in enumerate(problem.classes) if not name.startswith("_")])
    base, new = np.split(words, [len(words) // 2])
    speakers = draw.permutation(np.unique(problem.groups))
    tested = np.isin(problem.groups, speakers[: 2 * len(speakers) // 5])

    def rows(kinds, where):
        found = np.flatnonzero(np.isin(problem.labels, kinds) & where)
        position = {code: i for i, code in enumerate(kinds.tolist())}
        return torch.from_numpy(found), torch.tensor([position[code] for code in problem.labels[found].tolist()])

    return Cell(seed, *rows(base, ~tested), *rows(new, ~tested), *rows(new, tested))


def train(model, prepared, rows, labels, *, kind, phase, seed):
    """Train `model` on rows, plainly or with Mix-Training, for a fixed number of steps with a cosine schedule."""
    classes, steps = int(labels.max()) + 1, STEPS[phase]
    if kind == "plain":
        task = MultiClass(classes)
        objective = Erm(model, task)
    else:
        task, draws = MultiLabel(classes, exclusive=True), derived_generator(seed, 1)
        objective = Mixed(model, task, MixTraining(), AtInputs(), generator=draws, total_steps=steps)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=RATES[phase])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    targets, order, shifts = task.encode(labels), derived_generator(seed, 2), derived_generator(seed, 3)
    objective.train()
    left = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(left) < min(BATCH, len(rows)):
            left = torch.cat([left, torch.randperm(len(rows), generator=order)])
        picked, left = left[:BATCH], left[BATCH:]
        inputs = prepared.augment(prepared.batch(rows[picked]), shifts)
        optimizer.zero_grad()
        sum(objective(inputs, targets[picked]).values()).backward()
        optimizer.step()
        schedule.step()
    return model


def scored(model, prepared, cell):
    """Return accuracy and the share of pairs of words that are both found, in %, on the clips of test speakers."""
    clips, labels = prepared.batch(cell.test), cell.test_labels
    index = partners(labels, 2, derived_generator(cell.seed, 4))
    model.eval()
    with torch.no_grad():
        accuracy = (model(clips).argmax(1) == labels).double().mean()
        both = all_found(model(together(clips, index, 0.0)), labels[index])
    return 100 * float(accuracy), 100 * both


def run_cell(problem, seed):
    """Return (first phase, second phase, shots) -> scores of one cell."""
    cell = cell_of(problem, seed)
    prepared = problem.prepare(cell.base.numpy())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, 5))
        fresh = prepared.model()
    bases = {"none": fresh}
    for kind in FIRST[1:]:
        network = with_new_head(fresh, int(cell.base_labels.max()) + 1, derived_generator(seed, 6))
        bases[kind] = train(network, prepared, cell.base, cell.base_labels, kind=kind, phase="first", seed=seed)
    found = {}
    for count in SHOTS:
        chosen = shots(cell.pool_labels, count, derived_generator(seed, 7))
        rows, labels = cell.pool[chosen], cell.pool_labels[chosen]
        for first, second in product(FIRST, SECOND):
            network = with_new_head(bases[first], int(labels.max()) + 1, derived_generator(seed, 8))
            train(network, prepared, rows, labels, kind=second, phase="second", seed=derived_seed(seed, count))
            found[first, second, count] = scored(network, prepared, cell)
    return found, (len(cell.base) + len(cell.pool), len(cell.test))


def report(cells, sizes):
    """Return the lines of the report: scores, and paired differences to plain training in both phases."""
    lines = [f"{len(cells)} cells; mean ± standard deviation in %", ""]
    for i, score in enumerate(SCORES):
        lines += [f"| {score}: first phase | second phase | " + " | ".join(f"{n} clips" for n in SHOTS) + " |"]
        lines += ["|---" * 5 + "|"]
        for first, second in product(FIRST, SECOND):
            values = [[cell[first, second, n][i] for cell in cells] for n in SHOTS]
            row = " | ".join(f"{np.mean(v):.1f} ± {np.std(v, ddof=1):.1f}" for v in values)
            lines.append(f"| {first} | {second} | {row} |")
        lines.append("")
    train_rows, test_rows = np.mean(sizes, 0)
    lines += ["difference to plain, plain in points, with its interval (all five others compared)", ""]
    lines += [
        "| score | first phase | second phase | " + " | ".join(f"{n} clips" for n in SHOTS) + " |",
        "|---" * 6 + "|",
    ]
    for (i, score), (first, second) in product(enumerate(SCORES), product(FIRST, SECOND)):
        if (first, second) == ("plain", "plain"):
            continue
        row = []
        for n in SHOTS:
            apart = [cell[first, second, n][i] - cell["plain", "plain", n][i] for cell in cells]
            v = judge_resampled(apart, n_train=train_rows, n_test=test_rows, compared=5, rope=0.5)
            row.append(f"{v.difference:+.1f} [{v.low:.1f}, {v.high:.1f}] {v.verdict}")
        lines.append(f"| {score} | {first} | {second} | " + " | ".join(row) + " |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(os.environ.get("MIXKIT_DATA", "../shared/data")) / "speech_commands"
    parser.add_argument("--folder", type=Path, default=default, help="a folder like Speech Commands'")
    parser.add_argument("--group-by", default=r"^(?P<group>[^_]+)_nohash_", help="takes the speaker from file names")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    problem = load_clips(options.folder, LoadOptions(group_by=options.group_by))
    cells, sizes, start = [], [], time.perf_counter()
    for seed in range(options.seeds):
        found, size = run_cell(problem, seed)
        cells.append(found)
        sizes.append(size)
        print(f"seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    print("\n".join(["", problem.title, *report(cells, sizes)]))


if __name__ == "__main__":
    main()
