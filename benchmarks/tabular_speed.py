"""How long the estimators take: a default fit of 10,000 rows x 50 columns, and rows predicted a second.

    python benchmarks/tabular_speed.py --rows 10000 --columns 50 --predict 200000

The data are generated: numbers, of which three matter, and noise.  A fit uses one thread whatever is set; predictions
of many rows use the threads that are there (--threads).  Absolute times: run it where nothing else runs.
"""

import argparse
import time

import numpy as np
import torch

from mixkit_tabular import MixupClassifier, MixupRegressor


def generated(rows, columns, seed):
    """Return numbers (rows, columns) and what follows from three of them."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(rows, columns))
    return features, features[:, 0] * features[:, 1] + np.sin(features[:, 2]) + draw.normal(size=rows) / 2


def main():
    """Fit and predict, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--predict", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    features, values = generated(args.rows, args.columns, 0)
    new, _ = generated(args.predict, args.columns, 1)
    print(f"{args.rows:,} rows x {args.columns} columns, {args.threads} threads, torch {torch.__version__}")
    print("| estimator | fit, s | rows predicted a second | mixed by |")
    print("|---|---|---|---|")
    for name, model, target in (
        ("MixupClassifier()", MixupClassifier(random_state=0), (values > 0).astype(int)),
        ('MixupClassifier(method="mixup")', MixupClassifier(method="mixup", random_state=0), (values > 0).astype(int)),
        ("MixupRegressor()", MixupRegressor(random_state=0), values),
    ):
        started = time.perf_counter()
        model.fit(features, target)
        fit = time.perf_counter() - started
        times = []
        for _ in range(5):
            started = time.perf_counter()
            model.predict(new)
            times.append(time.perf_counter() - started)
        speed = args.predict / float(np.median(times))
        print(f"| `{name}` | {fit:.1f} | {speed:,.0f} | {model.mixing_report_.method} |", flush=True)


if __name__ == "__main__":
    main()
