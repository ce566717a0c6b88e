"""How often the verdicts of a comparison are wrong: `python benchmarks/null_calibration.py`.

Methods that are equal by construction are compared, and every "helps" or "hurts" is false.  The chance that a
comparison of M methods with a reference holds any of them must stay at or below 6 %.  Beside it: the same for a paired
t-test over the same runs (what seeds x folds are usually put through, here even with Bonferroni's correction), and,
for simulated methods of which one really is better, how often that is found.

Simulated learners: an item is classified rightly if the sum of its difficulty (shared by all methods), of what this
method makes of this item, of what the training set adds, of the seed and of a draw of its own is positive.  The
last part of the table shows where the correction for resampled splits ends: learners that owe more to the accident of
their training set than to everything else, which no real learner here comes near.

Real learners on scikit-learn's digits, in two ways of being equal:

* seeds: the same learner under different names, hence with different seeds;
* views: each digit is turned and mirrored at random, and every method sees only some pixels, which are another method's
  pixels turned and mirrored.  The methods err on different items, learn from different rows, and are exactly
  equally good over all digits that might be drawn.  On an official split the training set holds every turn of its
  digits, so that they are equally good for that training set, too.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy import special, stats
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier

from mixkit.comparison.problems import Split
from mixkit.comparison.splits import official_cells, resampled_cells
from mixkit.comparison.statistics import Verdict, judge_official, judge_resampled

FOLDS, REPEATS, SEEDS, ROPE, LIMIT = 5, 2, 5, 0.005, 0.06
COMPARED = (1, 5)
GAINS = (0.0, 0.02, 0.05)
FALSE = ("helps", "hurts")
HEAD = f"{'design':38s} {'trials':>6s} {'false':>9s} {'naive':>9s} {'equiv.':>9s} {'found +2':>10s} {'found +5':>10s}"


@dataclass(frozen=True)
class Learners:
    """Standard deviations of what makes an item's outcome, beside its difficulty of standard deviation 1.

    Attributes:
        name: of the setting.
        item: of a method's own way with an item.
        training: of the training set's part if that has 160 rows; it comes from the rows trained on, so that training
            sets that share rows share it, and falls with the root of their number, as errors of estimates do.
        seed: of a run's part, the same for all items.
        draw: of a run's part, new for each item.
        sizes: rows of the data sets.
        accuracy: of all methods but a better one.
        gain: what the better one, method 1, adds to the accuracy.
    """

    name: str
    item: float
    training: float
    seed: float
    draw: float
    sizes: tuple[int, ...] = (200, 1000)
    accuracy: float = 0.85
    gain: float = 0.0

    def right(self, rng, difficulty, fixed, runs=()) -> np.ndarray:
        """Whether each (method, *runs, item) is right; `fixed` (methods, items) is the same in all runs."""
        methods, accuracies = len(fixed), np.full(len(fixed), self.accuracy)
        accuracies[1] += self.gain
        noise = self.seed * rng.normal(size=(methods, *runs, 1))
        noise = noise + self.draw * rng.normal(size=(methods, *runs, len(difficulty)))
        scale = np.sqrt(1 + fixed.var() + self.seed**2 + self.draw**2)
        shift = (special.ndtri(accuracies) * scale)[:, None] + fixed + difficulty
        return shift.reshape(methods, *[1] * len(runs), -1) + noise > 0


SETTINGS = (
    Learners("items", item=0.6, training=0.1, seed=0.02, draw=0.2),
    Learners("training", item=0.2, training=0.6, seed=0.02, draw=0.2),
    Learners("seeds", item=0.1, training=0.1, seed=0.2, draw=0.3),
    Learners("mixed", item=0.4, training=0.3, seed=0.08, draw=0.4),
    Learners("alike", item=0.03, training=0.02, seed=0.005, draw=0.03, sizes=(5000,)),
)
STRAINED = (Learners("strained", item=0.0, training=1.5, seed=0.0, draw=0.1, sizes=(1000,)),)


def simulated_resampled(rng, learners: Learners, compared: int, items: int) -> np.ndarray:
    """Accuracies (methods, cells) over repeated K folds of one data set."""
    features = rng.normal(size=(items, 8)) / np.sqrt(8)
    influence = rng.normal(size=(compared + 1, items))  # what a row does to a method that is trained on it
    difficulty, own = rng.normal(size=items), learners.item * rng.normal(size=(compared + 1, items))
    everything, scores = influence @ features, []
    for _ in range(REPEATS):
        for test in np.array_split(rng.permutation(items), FOLDS):
            learnt = everything - influence[:, test] @ features[test]  # from the training rows
            effect = learnt @ features[test].T * np.sqrt(8 * 160) / (items - len(test))
            fixed = own[:, test] + learners.training * effect
            scores.append(learners.right(rng, difficulty[test], fixed).mean(-1))
    return np.stack(scores, axis=1)


def simulated_official(rng, learners: Learners, compared: int, items: int) -> np.ndarray:
    """Right or wrong (methods, seeds, items) on one test set; what the training set adds belongs to the method."""
    own = np.hypot(learners.item, learners.training) * rng.normal(size=(compared + 1, items))
    return learners.right(rng, rng.normal(size=items), own, runs=(SEEDS,)).astype(np.float64)


def turned(images: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Images (n, 8, 8) turned by 90 degrees `turns` % 4 times, then mirrored if `turns` >= 4."""
    every = np.stack([np.rot90(images, k % 4, (1, 2))[:, :, :: 1 if k < 4 else -1] for k in range(8)])
    return every[turns, np.arange(len(images))]


VIEWS = turned(np.tile(np.arange(64).reshape(1, 8, 8), (8, 1, 1)), np.arange(8)).reshape(8, 64)
PIXELS = np.random.default_rng(0).permutation(64)[:24]


class RandomFeatures:
    """Ridge regression on a random hidden layer: the smallest network that has a seed."""

    def __init__(self, seed: int) -> None:
        self.rng, self.ridge = np.random.default_rng(seed), RidgeClassifier(alpha=10.0)

    def hidden(self, x):
        """The hidden layer."""
        return np.maximum(x @ self.weights, 0)

    def fit(self, x, y):
        """Draw the layer and fit the rest."""
        self.weights = self.rng.normal(size=(x.shape[1], 64))
        self.ridge.fit(self.hidden(x), y)
        return self

    def predict(self, x):
        """Classes."""
        return self.ridge.predict(self.hidden(x))


def tree(seed: int):
    """Grow a tree that looks at a few random pixels for each of its splits."""
    return DecisionTreeClassifier(max_features="sqrt", min_samples_leaf=2, random_state=seed)


def mlp(seed: int):
    """Train a small network for some epochs."""
    return MLPClassifier((24,), max_iter=12, batch_size=16, learning_rate_init=0.01, random_state=seed)


LEARNERS: dict[str, Callable[[int], object]] = {"random-features": RandomFeatures, "tree": tree, "mlp": mlp}


def predicted(learner, cell, x, y, views: bool) -> np.ndarray:
    """Right or wrong (methods, test rows) for every method trained on a cell."""
    train, found = np.sort(np.concatenate([cell.train, cell.validation])), []
    for method in range(1 + max(COMPARED)):
        columns = VIEWS[method][PIXELS] if views else slice(None)
        model = learner(int(np.random.SeedSequence([cell.seed, method]).generate_state(1)[0]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a dozen epochs are what is wanted
            model.fit(x[train][:, columns], y[train])
        found.append(model.predict(x[cell.test][:, columns]) == y[cell.test])
    return np.stack(found)


def digits(rng, views: bool, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """A random part of the digits, turned and mirrored if methods are views."""
    images, labels = load_digits(return_X_y=True)
    while True:
        chosen = rng.choice(len(labels), rows, replace=False)
        if np.bincount(labels[chosen], minlength=10).min() >= FOLDS:
            break
    x, turns = images[chosen].reshape(-1, 8, 8) / 16, rng.integers(0, 8, rows) if views else np.zeros(rows, int)
    return turned(x, turns).reshape(rows, 64), labels[chosen]


def real_resampled(rng, learner, views: bool, rows: int = 200) -> np.ndarray:
    """Accuracies (methods, cells) of real learners over resampled splits."""
    x, y = digits(rng, views, rows)
    cells = resampled_cells(y, None, FOLDS, REPEATS, seed=int(rng.integers(2**31)))
    return np.stack([predicted(learner, cell, x, y, views).mean(1) for cell in cells], axis=1)


def real_official(rng, learner, views: bool, train: int = 80, test: int = 300) -> np.ndarray:
    """Right or wrong (methods, seeds, items) of real learners on one split."""
    x, y = digits(rng, False, train + test)
    own, labels = x[:train].reshape(-1, 8, 8), y[:train]
    if views:
        own = np.concatenate([turned(own, np.full(train, k)) for k in range(8)])
        labels = np.tile(labels, 8)
        x[train:] = turned(x[train:].reshape(-1, 8, 8), rng.integers(0, 8, test)).reshape(test, 64)
    x, y = np.concatenate([own.reshape(-1, 64), x[train:]]), np.concatenate([labels, y[train:]])
    split = Split(np.arange(len(labels)), None, np.arange(len(labels), len(y)))
    cells = official_cells(split, y, None, SEEDS, seed=int(rng.integers(2**31)))
    return np.stack([predicted(learner, cell, x, y, views) for cell in cells], axis=1).astype(np.float64)


def verdicts(results: np.ndarray, compared: int, rows: int) -> tuple[list[Verdict], list[bool]]:
    """Verdicts and naive test results of methods 1..compared against method 0."""
    official = results.ndim == 3
    differences = results[1 : compared + 1] - results[0]
    runs = differences.mean(-1) if official else differences
    with np.errstate(invalid="ignore", divide="ignore"):
        t = runs.mean(-1) / (runs.std(-1, ddof=1) / np.sqrt(runs.shape[-1]))
    naive = np.abs(t) > special.stdtrit(runs.shape[-1] - 1, 1 - 0.025 / compared)
    if official:
        found = [judge_official(one, compared=compared, rope=ROPE) for one in differences]
    else:
        sizes = {"n_train": rows * (1 - 1 / FOLDS), "n_test": rows / FOLDS}
        found = [judge_resampled(one, **sizes, compared=compared, rope=ROPE) for one in differences]
    return found, list(naive)


@dataclass
class Rates:
    """Counts over trials of one design."""

    trials: int = 0
    wrong: int = 0
    naive: int = 0
    equivalent: int = 0
    judged: int = 0
    found: int = 0

    def add(self, found: list[Verdict], naive: list[bool]) -> None:
        """Count one comparison."""
        self.trials += 1
        self.wrong += any(one.verdict in FALSE for one in found)
        self.naive += any(naive)
        self.equivalent += sum(one.verdict == "equivalent" for one in found)
        self.judged += len(found)
        self.found += found[0].verdict == "helps"


Row = tuple[str, list[Rates]]


def simulated(trials: int, seed: int, settings: tuple[Learners, ...]) -> Iterator[Row]:
    """Rates under equality, and with one method better by each gain, for every simulated design."""
    for kind, simulate in (("resampled", simulated_resampled), ("official", simulated_official)):
        if kind == "official" and settings == STRAINED:
            continue  # one training set: the question doesn't arise
        for learners, compared in product(settings, COMPARED):
            for rows in learners.sizes:
                rates = [Rates() for _ in GAINS]
                for gain, one in zip(GAINS, rates, strict=True):
                    rng = np.random.default_rng([seed, rows, compared])
                    # power needs no more than a few hundred trials: no limit rests on it
                    for _ in range(trials if gain == 0 else min(trials, 400)):
                        results = simulate(rng, replace(learners, gain=gain), compared, rows)
                        one.add(*verdicts(results, compared, rows))
                yield f"{kind:9s} {learners.name:8s} {rows:5d} rows  M={compared}", rates


def real(trials: int, seed: int) -> Iterator[Row]:
    """Rates of real learners that are equal."""
    for kind, run, rows in (("resampled", real_resampled, 200), ("official", real_official, 300)):
        for name, learner in LEARNERS.items():
            for views in (False, True):
                rng = np.random.default_rng([seed, views])
                rates = {compared: Rates() for compared in COMPARED}
                # a network takes many times as long
                for _ in range(trials if name != "mlp" else trials // 10):
                    results = run(rng, learner, views)
                    for compared in COMPARED:
                        rates[compared].add(*verdicts(results, compared, rows))
                for compared in COMPARED:
                    label = f"{kind:9s} {name}, {'views' if views else 'seeds'}"
                    yield f"{label:33s} M={compared}", [rates[compared]]


def line(label: str, rates: Rates, powers: list[Rates]) -> str:
    """One row of the table."""
    share = [rates.wrong / rates.trials, rates.naive / rates.trials, rates.equivalent / rates.judged]
    cells = [f"{label:38s}", f"{rates.trials:6d}", *(f"{100 * one:7.1f} %" for one in share)]
    return " ".join([*cells, *(f"{100 * one.found / one.trials:8.0f} %" for one in powers)])


def over(rates: Rates) -> bool:
    """Whether the limit is broken: by more than chance where there are too few trials to tell 5 from 7 %."""
    chance = stats.binom.ppf(0.99, rates.trials, LIMIT) if rates.trials < 2000 else LIMIT * rates.trials
    return bool(rates.wrong > chance)


def main() -> int:
    """Print the table; 1 if a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2500, help="of each simulated design; 0: none")
    parser.add_argument("--real-trials", type=int, default=200, help="of each design with real learners; 0: none")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    trials, seed, started, broken = arguments.trials, arguments.seed, time.monotonic(), 0
    parts = (
        ("Simulated learners", trials and simulated(trials, seed, SETTINGS), True),
        ("Real learners on digits", arguments.real_trials and real(arguments.real_trials, seed), True),
        ("Beyond the correction's reach (no limit)", trials and simulated(min(trials, 1000), seed, STRAINED), False),
    )
    for title, rows, limited in parts:
        if not rows:
            continue
        print(f"\n{title}\n{HEAD}")
        for label, (rates, *powers) in rows:
            broken += (bad := limited and over(rates))
            print(line(label, rates, powers), " <-- over the limit" if bad else "", flush=True)
    print(f"\n{broken} designs over the limit of {100 * LIMIT:.0f} %; {time.monotonic() - started:.0f} s")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
