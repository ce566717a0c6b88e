"""Resampling side by side: nothing, class weights, copies, SMOTE, and mixed rows, before boosting and a linear model.

    python benchmarks/resampling.py DATA/tabular

DATA/tabular holds churn.csv.gz, cmc.arff, balance.scale.arff, abalone.arff, yacht.csv.gz and concrete.csv.gz; SMOTE
comes from imbalanced-learn.  Every way meets the same splits, repeats of stratified folds, and only training rows are
resampled.  Printed as Markdown are mean scores on the untouched test folds; a star marks a difference to `nothing`
whose 95 % interval by Student's t leaves out 0, with the standard error of Nadeau and Bengio (2003) for overlapping
training rows.  With so many cells some stars are luck: no correction is made for their number.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE, SMOTENC, RandomOverSampler
from imblearn.pipeline import make_pipeline
from scipy.stats import t as student
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score, root_mean_squared_error
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mixkit_tabular.augmented import MixupAugmented
from mixkit_tabular.readers import read_table
from mixkit_tabular.resampler import MixupResampler

WAYS = (
    "nothing",
    "class weights",
    "every row twice",
    "copies",
    "SMOTE",
    "mixed, same class",
    "mixed, any class",
    "augmented, weights",
    "augmented, drawn",
)


def frame_of(path, target, without=()):
    frame = read_table(path).frame.drop(columns=list(without))
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].astype("category")
    return frame.drop(columns=target), frame[target]


def class_tables(folder):
    yield "churn", *frame_of(folder / "churn.csv.gz", "churn", without=["rownames"])
    yield "cmc", *frame_of(folder / "cmc.arff", "Contraceptive_method_used")
    yield "balance-scale", *frame_of(folder / "balance.scale.arff", "class")
    X, rings = frame_of(folder / "abalone.arff", "Class_Rings")
    yield "abalone, rings > 14", X, (rings > 14).map({True: "old", False: "young"})


def model(kind, class_weight=None):
    if kind == "boosting":
        return HistGradientBoostingClassifier(max_iter=100, class_weight=class_weight, random_state=0)
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_include="category")),
        remainder=StandardScaler(),
    )
    return make_pipeline(encode, LogisticRegression(max_iter=2000, class_weight=class_weight))


def smote(X, seed):
    categorical = list(X.select_dtypes("category").columns)
    return SMOTENC(categorical, random_state=seed) if categorical else SMOTE(random_state=seed)


def fitted(way, kind, X, y, seed):
    if way.startswith("augmented"):
        label = "weights" if way.endswith("weights") else "draw"
        if kind == "boosting":
            return MixupAugmented(model(kind), label=label, random_state=seed).fit(X, y)
        # the linear model's own preprocessing comes before mixing, since a pipeline takes no weights
        encode, linear = (step for _, step in model(kind).steps)
        return make_pipeline(encode, MixupAugmented(linear, label=label, random_state=seed)).fit(X, y)
    samplers = {
        "copies": RandomOverSampler(random_state=seed),
        "SMOTE": smote(X, seed),
        "mixed, same class": MixupResampler(random_state=seed),
        "mixed, any class": MixupResampler(partners="any_class", random_state=seed),
    }
    if way == "every row twice":  # what the augmented ones add in number, without mixing
        return model(kind).fit(pd.concat([X, X]), pd.concat([y, y]))
    if way in samplers:
        return model(kind).fit(*samplers[way].fit_resample(X, y))
    return model(kind, "balanced" if way == "class weights" else None).fit(X, y)


def class_scores(estimator, X, y):
    probabilities, classes = estimator.predict_proba(X), list(estimator.classes_)
    several = {"multi_class": "ovr", "labels": classes} if len(classes) > 2 else {}
    return {
        "balanced accuracy": balanced_accuracy_score(y, estimator.predict(X)),
        "ROC AUC": roc_auc_score(y, probabilities if several else probabilities[:, 1], **several),
        "log loss": log_loss(y, probabilities, labels=classes),
    }


def starred(values, baseline, test_share):
    """Return the mean of `values`, starred where its difference to `baseline` is beyond chance."""
    difference, n = np.subtract(values, baseline), len(values)
    error = difference.std(ddof=1) * np.sqrt(1 / n + test_share / (1 - test_share))
    beyond = abs(difference.mean()) > student.ppf(0.975, n - 1) * error and error > 0
    return f"{np.mean(values):.3f}{'*' if beyond else ''}"


def compare_classes(folder, folds, repeats):
    for kind in ("boosting", "linear"):
        lines = {way: [] for way in WAYS}
        names, took = [], dict.fromkeys(WAYS, 0.0)
        for name, X, y in class_tables(folder):
            names.append(name)
            cells = {way: [] for way in WAYS}
            splits = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=0).split(X, y)
            for seed, (train, test) in enumerate(splits):
                for way in WAYS:
                    start = time.perf_counter()
                    estimator = fitted(way, kind, X.iloc[train], y.iloc[train], seed)
                    took[way] += time.perf_counter() - start
                    cells[way].append(class_scores(estimator, X.iloc[test], y.iloc[test]))
            for way in WAYS:
                scores, base = pd.DataFrame(cells[way]), pd.DataFrame(cells["nothing"])
                lines[way].append(" / ".join(starred(scores[m], base[m], 1 / folds) for m in scores))
        print(f"\n{kind}: balanced accuracy / ROC AUC / log loss\n")
        print("| rows added | " + " | ".join(names) + " | time of fits |\n" + "|---" * (len(names) + 2) + "|")
        for way in WAYS:
            print(f"| {way} | " + " | ".join(lines[way]) + f" | {took[way]:.0f} s |", flush=True)


def compare_numbers(folder, folds, repeats):
    models = {
        "boosting": HistGradientBoostingRegressor(random_state=0),
        "forest": RandomForestRegressor(50, random_state=0),
    }
    # the smallest alpha gives copies: as many rows as with mixing, without mixing
    ways = {
        "nothing": None,
        "every row twice": {"alpha": 1e-6},
        "mixed, any partners": {},
        "mixed, similar partners": {"bandwidth": 0.1},
    }
    print("\nregression: root mean squared error\n")
    print("| rows added | model | yacht | concrete |\n|---|---|---|---|")
    tables = [
        frame_of(folder / "yacht.csv.gz", "resistance"),
        frame_of(folder / "concrete.csv.gz", "strength"),
    ]
    for kind, inner in models.items():
        base = []
        for way, options in ways.items():
            shown = []
            for i, (X, y) in enumerate(tables):
                values = []
                splits = RepeatedKFold(n_splits=folds, n_repeats=repeats, random_state=0).split(X)
                for seed, (train, test) in enumerate(splits):
                    rows, targets = X.iloc[train], y.iloc[train]
                    if options is not None:
                        rows, targets = MixupResampler(random_state=seed, **options).fit_resample(rows, targets)
                    values.append(root_mean_squared_error(y.iloc[test], inner.fit(rows, targets).predict(X.iloc[test])))
                base += [values] if options is None else []
                shown.append(starred(values, base[i], 1 / folds))
            print(f"| {way} | {kind} | {' | '.join(shown)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Found unknown categories")
    compare_numbers(options.folder, options.folds, options.repeats)
    compare_classes(options.folder, options.folds, options.repeats)


if __name__ == "__main__":
    main()
