"""mixkit's estimators beside what users would pick instead: same folds, default settings, ranks and times.

    python benchmarks/tabular_side_by_side.py ../shared/data/tabular --out side_by_side.jsonl

Data: the tables of the folder named, and those of scikit-learn.  Estimators: `MixupClassifier` and `MixupRegressor` as
shipped (method="auto"), without mixing, and as an ensemble of eight without; scikit-learn's MLP, gradient boosting
(HGB), forest and linear model, behind the imputation, scaling and one-hot columns that each needs; and RealMLP-TD of
pytabkit where that is installed.  Nothing is tuned, nothing is chosen by test rows.

Every finished fit is a line of the file; a run that was interrupted goes on where it stopped.  Printed are mean scores
(accuracy, or R^2), log loss, ranks over data sets, and the time to fit.  Ranks order what was measured; whether two
estimators differ is for `mixkit.compare` to say.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mixkit.comparison.problems import LoadOptions
from mixkit_tabular import MixupClassifier, MixupRegressor
from mixkit_tabular.problem import load

FILES = {
    "balance-scale": ("balance.scale.arff", None),
    "cmc": ("cmc.arff", None),
    "arrhythmia": ("arrhythmia.arff", None),
    "abalone": ("abalone.arff", None),
    "mfeat-fourier": ("mfeat-fourier.csv.gz", "digit"),
    "mfeat-karhunen": ("mfeat-karhunen.csv.gz", "digit"),
    "mfeat-morph": ("mfeat-morphological.csv.gz", "digit"),
    "churn": ("churn.csv.gz", "churn"),
    "yacht": ("yacht.csv.gz", "resistance"),
    "concrete": ("concrete.csv.gz", "strength"),
    "optdigits": ("optdigits.arff", None),
    "letter": ("letter.arff", None),
}
OWN = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast-cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "diabetes": datasets.load_diabetes,
}
MIXED, NEURAL = "mixkit", ("mixkit", "mixkit, erm", "mixkit, 8 members, erm", "MLP", "RealMLP-TD")


def tables(folder):
    """Yield (name, features, target, whether it is classes), small ones first."""
    found = []
    for name, (file, target) in FILES.items():
        problem = load(folder / file, LoadOptions(target=target))
        features = problem.features.copy()
        for column in problem.roles.categorical:
            features[column] = features[column].astype(object)
        found.append((name, features, problem.labels, bool(problem.classes)))
    for name, loader in OWN.items():
        features, target = loader(return_X_y=True, as_frame=True)
        found.append((name, features, target.to_numpy(), name != "diabetes"))
    return sorted(found, key=lambda one: one[1].size)


def dense(model):
    """Return a model behind imputation, scaling and one-hot columns."""
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_exclude="number")),
    )
    return make_pipeline(columns, model)


def estimators(classes, seed):
    """Return name -> a fresh estimator."""
    mixup = MixupClassifier if classes else MixupRegressor
    found = {
        "mixkit": mixup(random_state=seed),
        "mixkit, erm": mixup(method="erm", random_state=seed),
        "mixkit, 8 members, erm": mixup(method="erm", members=8, random_state=seed),
        "MLP": dense((MLPClassifier if classes else MLPRegressor)(random_state=seed)),
        "HGB": (HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor)(random_state=seed),
        "forest": dense((RandomForestClassifier if classes else RandomForestRegressor)(random_state=seed)),
        "linear": dense(LogisticRegression(max_iter=1000) if classes else Ridge()),
    }
    try:
        from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor  # noqa: PLC0415 - a peer that few have
    except ImportError:
        return found
    peer = RealMLP_TD_Classifier if classes else RealMLP_TD_Regressor
    return {**found, "RealMLP-TD": dense_if_missing(peer(device="cpu", random_state=seed, n_threads=1))}


def dense_if_missing(model):
    """Return RealMLP behind imputation: it takes categories as they come, but no missing numbers."""
    columns = make_column_transformer(
        (SimpleImputer(strategy="median"), make_column_selector(dtype_include="number")),
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    return make_pipeline(columns.set_output(transform="pandas"), model)


def fitted_scores(name, model, train, test, classes):
    """Return scores and times of one fit; gradient boosting gets its categories as such."""
    (features, target), (new, truth) = train, test
    if name == "HGB":
        levels = {c: pd.CategoricalDtype(sorted(features[c].dropna().unique())) for c in text_columns(features)}
        features, new = features.astype(levels), new.astype(levels)
        model.set_params(categorical_features="from_dtype")
    started = time.perf_counter()
    model.fit(features, target)
    fit_seconds = time.perf_counter() - started
    started = time.perf_counter()
    predicted = model.predict(new)
    record = {"fit_seconds": fit_seconds, "predict_seconds": time.perf_counter() - started}
    if classes:
        record["score"] = float(np.mean(predicted == truth))
        labels = np.unique(target)
        record["log_loss"] = float(log_loss(truth, model.predict_proba(new).clip(1e-7, 1), labels=labels))
    else:
        predicted = np.asarray(predicted).reshape(-1)
        record["score"] = float(1 - np.square(truth - predicted).sum() / np.square(truth - truth.mean()).sum())
        record["rmse"] = float(np.sqrt(np.square(truth - predicted).mean()))
    if hasattr(model, "mixing_report_"):
        record["mixing"] = model.mixing_report_.method
    return record


def text_columns(features):
    """Return the names of columns that are no numbers."""
    return [name for name in features.columns if not pd.api.types.is_numeric_dtype(features[name])]


def run(args, done, file):
    """Fit what is missing and append it to the file."""
    for name, features, target, classes in tables(args.folder):
        if args.only and name not in args.only:
            continue
        large = len(features) > args.few_rows
        repeats = 1 if large else args.repeats
        for repeat in range(repeats):
            split = (StratifiedKFold if classes else KFold)(args.folds, shuffle=True, random_state=repeat)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # arrhythmia has classes of fewer rows than folds
                cells = list(split.split(features, target))[: 1 if large else None]
            for fold, (train, test) in enumerate(cells):
                known = np.isin(target[test], np.unique(target[train])) if classes else np.full(len(test), True)
                test = test[known]  # noqa: PLW2901 - a class without a training row cannot be predicted by anyone
                for method, model in estimators(classes, repeat * args.folds + fold).items():
                    key = (name, method, repeat, fold)
                    if key in done or (args.methods and method not in args.methods):
                        continue
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", ConvergenceWarning)
                        warnings.simplefilter("ignore", UserWarning)  # unknown categories in a fold; Lightning's hints
                        record = fitted_scores(
                            method,
                            model,
                            (features.iloc[train], target[train]),
                            (features.iloc[test], target[test]),
                            classes,
                        )
                    record |= {"data": name, "rows": len(features), "columns": features.shape[1], "classes": classes}
                    record |= {"method": method, "repeat": repeat, "fold": fold}
                    file.write(json.dumps(record) + "\n")
                    file.flush()


def report(records):
    """Print tables of scores, log losses, ranks and times in Markdown."""
    frame = pd.DataFrame(records)
    methods = [m for m in estimators(True, 0) if m in set(frame.method)] or sorted(set(frame.method))
    methods += [m for m in sorted(set(frame.method)) if m not in methods]
    complete = frame.groupby("data").method.nunique() == len(methods)
    names = [n for n in frame.sort_values(["rows"]).data.unique() if complete[n]]
    print(f"{len(names)} tables, {len(frame)} fits; accuracy or R^2 in %, mean over the cells of a table\n")
    print("| table | rows | cells | " + " | ".join(methods) + " | auto chose |")
    print("|" + "---|" * (len(methods) + 4))
    scores = frame.pivot_table(index="data", columns="method", values="score").loc[names, methods]
    for name in names:
        part = frame[frame.data == name]
        cells = part.groupby("method").size().min()
        best = scores.loc[name].max()
        line = [f"**{100 * s:.1f}**" if s == best else f"{100 * s:.1f}" for s in scores.loc[name]]
        chosen = part[part.method == MIXED].mixing.value_counts()
        says = ", ".join(f"{method} {count}" for method, count in chosen.items())
        print(f"| {name} | {part.rows.iloc[0]:,} | {cells} | " + " | ".join(line) + f" | {says} |")
    neural = [m for m in NEURAL if m in methods]
    seconds = frame[frame.data.isin(names)].pivot_table(index="data", columns="method", values="fit_seconds")
    loss = frame[frame.classes & frame.data.isin(names)].pivot_table(index="data", columns="method", values="log_loss")
    lines = {
        "mean score": [f"{100 * s:.2f}" for s in scores.mean()],
        "mean rank": [f"{r:.2f}" for r in scores.rank(axis=1, ascending=False).mean()],
        "mean rank among nets": [
            f"{scores[neural].rank(axis=1, ascending=False).mean()[m]:.2f}" if m in neural else "" for m in methods
        ],
        "log loss, mean": [f"{v:.3f}" for v in loss[methods].mean()],
        "log loss, mean rank": [f"{v:.2f}" for v in loss[methods].rank(axis=1).mean()],
        "seconds to fit, median": [f"{v:.1f}" for v in seconds[methods].median()],
    }
    for what, cells in lines.items():
        print(f"| {what} | | | " + " | ".join(cells) + " | |")


def main():
    """Fit, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the tables are")
    parser.add_argument("--out", type=Path, default=Path("side_by_side.jsonl"))
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--few-rows", type=int, default=3000, help="of larger tables only the first fold is run")
    parser.add_argument("--only", nargs="*", help="names of tables")
    parser.add_argument("--methods", nargs="*", help="names of estimators")
    parser.add_argument("--report", action="store_true", help="only print what is there")
    args = parser.parse_args()
    lines = args.out.read_text("utf-8").splitlines() if args.out.exists() else []
    records = [json.loads(line) for line in lines]
    if not args.report:
        done = {(r["data"], r["method"], r["repeat"], r["fold"]) for r in records}
        with args.out.open("a", encoding="utf-8") as file:
            run(args, done, file)
        records = [json.loads(line) for line in args.out.read_text("utf-8").splitlines()]
    report(records)


if __name__ == "__main__":
    main()
