"""`MixupResampler`: synthetic rows in imbalanced-learn's manner, for classes and for numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import type_of_target

from mixkit_tabular.row_pairs import draw_bases, draw_lam, draw_partners, draw_similar, random_generator
from mixkit_tabular.row_tables import append_blended, append_mixed, append_rows, as_table, as_targets
from mixkit_tabular.rows import FROM_DTYPE, CategoricalFeatures, IntArray, RowPairs, column_mixing, mix_rows

PARTNERS = ("same_class", "any_class")
TASKS = ("auto", "classification", "regression")


class MixupResampler(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Add rows that are mixes of two: fills small classes, or enlarges a table with numbers as targets.

    Each new row has one base row and one partner.  Numbers become lam * base + (1 - lam) * partner, whole ones rounded
    to their dtype; cells that can't be interpolated (categories, texts, truth values, or a number where the other
    one is missing) are the base row's with probability lam; dates are the base row's.  lam ~ Beta(alpha, alpha),
    folded to at least one half.

    A class of one row has no partner of its own class: with `partners="same_class"` its new rows are copies.

    Fitting keeps nothing, so there are no fitted attributes; works as a step of imbalanced-learn's `Pipeline`.

    Args:
        sampling_strategy: how many rows are added.
            "auto": classification fills every class up to the largest; regression adds as many rows as there are.
            A number f: round(f * n) rows, base rows from all classes alike.  (In imbalanced-learn a number is a ratio
            of two classes instead.)
            A dict from class to wanted count, new rows included; classes it does not name stay as they are.
        partners: classification only. "same_class" mixes inside a class, like SMOTE but without neighbours;
            "any_class" draws the partner from all other rows and gives the new row the class of its base row.
        alpha: of the Beta law, positive; 1 is uniform between one half and one, smaller stays nearer the base row.
        bandwidth: regression only. None draws partners uniformly; a number draws those with similar targets more
            often, by a Gaussian kernel whose width is this many standard deviations of y (C-Mixup).
        categorical_features: "from_dtype" (object, text, category and bool columns), or a list of names or positions.
        task: "auto" takes numbers that are not whole as regression and all else as classes; say "regression" where
            the targets are whole numbers that stand for amounts.
        random_state: None, an int, a `RandomState` or a `numpy.random.Generator`.  The same int gives the same rows.

    >>> frame = pd.DataFrame({"size": [1.0, 2.0, 3.0, 9.0, 8.0], "colour": ["red", "red", "blue", "blue", "blue"]})
    >>> rows, classes = MixupResampler(random_state=0).fit_resample(frame, ["a", "a", "a", "b", "b"])
    >>> rows.iloc[5].to_dict(), str(classes[5])
    ({'size': 8.7..., 'colour': 'blue'}, 'b')
    """

    def __init__(
        self,
        *,
        sampling_strategy: str | float | Mapping[Any, int] = "auto",
        partners: str = "same_class",
        alpha: float = 1.0,
        bandwidth: float | None = None,
        categorical_features: CategoricalFeatures = FROM_DTYPE,
        task: str = "auto",
        random_state: Any = None,
    ) -> None:
        self.sampling_strategy = sampling_strategy
        self.partners = partners
        self.alpha = alpha
        self.bandwidth = bandwidth
        self.categorical_features = categorical_features
        self.task = task
        self.random_state = random_state

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Return the rows of X followed by the new ones, and the targets of all.

        Args:
            X: DataFrame or array (n, columns).  It is not changed, and its rows come out first, as they were.
            y: targets (n,) or (n, 1), for regression also (n, outputs): Series, DataFrame, array, list, `Categorical`.

        Returns:
            X (n + M, columns) and y (n + M, ...) in the types and dtypes given; lists become arrays, and indexes count
            from 0, since new rows have no labels of their own.

        Raises:
            ValueError: a parameter is out of its range, a wanted count is below what is there, X is sparse, empty or
                not a table, y has missing values or another length.
        """
        _check_choice("partners", self.partners, PARTNERS)
        _check_choice("task", self.task, TASKS)
        table, targets = as_table(X), as_targets(y)
        _check_targets(targets, len(table))
        columns = column_mixing(table, self.categorical_features)
        generator = random_generator(self.random_state)
        if self._is_regression(targets):
            pairs = self._pairs_of_numbers(_matrix(targets), generator)
            new_targets = append_blended(targets, pairs)
        else:
            pairs = self._pairs_of_classes(_classes(targets), generator)
            new_targets = append_rows(targets, pairs.base)
        return append_mixed(table, mix_rows(table, pairs, columns, generator)), new_targets

    def _is_regression(self, targets: Any) -> bool:
        if self.task == "auto":
            return _type(targets).startswith("continuous")
        return self.task == "regression"

    def _pairs_of_numbers(self, targets: npt.NDArray[np.float64], generator: np.random.Generator) -> RowPairs:
        size, strategy = len(targets), self.sampling_strategy
        if isinstance(strategy, Mapping):
            raise ValueError(
                f"sampling_strategy must be 'auto' or a number for regression, got {strategy!r}; "
                "for classes that are numbers say task='classification'"
            )
        rows, weights = np.arange(size), np.ones(size)
        base = draw_bases(rows, size if strategy == "auto" else _share(strategy, size), generator)
        if self.bandwidth is None:
            partner = draw_partners(base, rows, weights, generator)
        else:
            partner = draw_similar(base, rows, weights, generator, targets=targets, bandwidth=self.bandwidth)
        return RowPairs(base, partner, draw_lam(self.alpha, len(base), generator))

    def _pairs_of_classes(self, classes: "_Classes", generator: np.random.Generator) -> RowPairs:
        size = len(classes.codes)
        if isinstance(self.sampling_strategy, Mapping) or self.sampling_strategy == "auto":
            missing = _missing(self.sampling_strategy, classes)
            base = np.concatenate(
                [draw_bases(classes.rows(k), count, generator) for k, count in enumerate(missing)], dtype=np.int64
            )
        else:
            base = draw_bases(np.arange(size), _share(self.sampling_strategy, size), generator)
        partner = base.copy()
        if self.partners == "any_class":
            partner = draw_partners(base, np.arange(size), np.ones(size), generator)
        else:
            for k in range(len(classes.labels)):
                own = classes.codes[base] == k
                partner[own] = draw_partners(base[own], classes.rows(k), np.ones(size), generator)
        return RowPairs(base, partner, draw_lam(self.alpha, len(base), generator))


@dataclass(frozen=True, eq=False)
class _Classes:
    codes: IntArray  # (n,), positions in labels
    labels: list[Any]

    def rows(self, code: int) -> IntArray:
        return np.flatnonzero(self.codes == code)


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}, got {value!r}")


def _check_targets(targets: Any, size: int) -> None:
    if targets.ndim not in (1, 2) or len(targets) != size:
        raise ValueError(f"y must have one entry for each of the {size} rows of X, got shape {targets.shape}")
    missing = int(np.sum(np.asarray(pd.isna(targets))))
    if missing:
        raise ValueError(f"y must not have missing values, got {missing}; leave those rows out")
    plain = np.asarray(targets)
    if plain.dtype.kind == "f" and not np.isfinite(plain).all():
        raise ValueError(f"y must be finite, got {int((~np.isfinite(plain)).sum())} infinite values")


def _type(targets: Any) -> str:
    plain = np.asarray(targets)
    if plain.dtype == object and all(isinstance(value, float) for value in plain.flat):
        plain = plain.astype(np.float64)
    return "words" if plain.dtype.kind not in "biuf" else str(type_of_target(plain))


def _matrix(targets: Any) -> npt.NDArray[np.float64]:
    try:
        numbers = np.asarray(targets, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("y must hold numbers for regression; say task='classification' for classes") from None
    return numbers.reshape(len(numbers), -1)


def _classes(targets: Any) -> _Classes:
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets.iloc[:, 0] if isinstance(targets, pd.DataFrame) else targets[:, 0]
    if targets.ndim == 2:
        raise ValueError(
            f"y must be one column of classes, got shape {targets.shape}; for several outputs use MixupAugmented"
        )
    codes, labels = pd.factorize(targets)
    return _Classes(codes.astype(np.int64), labels.tolist())


def _missing(strategy: str | Mapping[Any, int], classes: _Classes) -> list[int]:
    """Return how many rows each class lacks."""
    counts = np.bincount(classes.codes, minlength=len(classes.labels)).tolist()
    if isinstance(strategy, str):
        return [max(counts) - count for count in counts]
    unknown = [name for name in strategy if name not in classes.labels]
    if unknown:
        raise ValueError(f"sampling_strategy must name classes of y, got {unknown}; the classes are {classes.labels}")
    wanted = [strategy.get(label, count) for label, count in zip(classes.labels, counts, strict=True)]
    for label, want, count in zip(classes.labels, wanted, counts, strict=True):
        if isinstance(want, bool) or int(want) != want or want < count:
            raise ValueError(
                f"sampling_strategy must want a whole number of rows, at least those present, "
                f"got {want!r} for class {label!r} of {count}; leave rows out beforehand to have fewer"
            )
    return [int(want) - count for want, count in zip(wanted, counts, strict=True)]


def _share(strategy: Any, size: int) -> int:
    if isinstance(strategy, bool) or not isinstance(strategy, Real) or not 0 <= float(strategy) < np.inf:
        raise ValueError(f"sampling_strategy must be 'auto', a number from 0 or a dict, got {strategy!r}")
    return round(float(strategy) * size)
