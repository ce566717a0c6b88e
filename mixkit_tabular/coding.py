"""Targets as users bring them <-> what a task encodes: class labels, labels that are on or off, values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse
import torch
from sklearn.utils import assert_all_finite, check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from mixkit.tasks import MultiClass, MultiLabel, Regression, Task

LARGEST = 1e150  # the squares of larger values overflow
Array = npt.NDArray[Any]


class Coding(Protocol):
    """How a target is coded; immutable."""

    @property
    def task(self) -> Task:
        """What the logits mean."""
        ...

    def code(self, y: Any) -> Array:
        """Return (n,) or (n, K) as the task encodes it.

        Raises:
            ValueError: `y` is of another kind, or holds what was not there in `fit`.
        """
        ...

    def card(self) -> dict[str, Any]:
        """Return a description that JSON can hold and `coding_from_card` reads back."""
        ...


@dataclass(frozen=True, eq=False)
class ClassCoding:
    """One class of K.

    Attributes:
        classes: (K,) sorted labels, of any type that can be sorted.
    """

    classes: Array

    @classmethod
    def learned(cls, y: Any) -> Self:
        """Return the coding of the labels `y` (n,)."""
        classes = np.unique(class_labels(y))
        if len(classes) < 2:
            raise ValueError(f"y must have two classes or more, got one class, {classes.tolist()[0]!r}")
        if classes.dtype.kind in "mM":
            raise ValueError(
                f"y must have labels that are text, numbers or truth values, got {classes.dtype}; "
                "y.astype(str) makes them text"
            )
        return cls(classes)

    @property
    def task(self) -> MultiClass:
        """Softmax over the classes."""
        return MultiClass(len(self.classes))

    def code(self, y: Any) -> Array:
        """Return int64 (n,) positions in `classes`."""
        labels = class_labels(y)
        try:
            position = np.searchsorted(self.classes, labels).clip(max=len(self.classes) - 1)
            wrong = self.classes[position] != labels
        except TypeError:  # text where numbers were, or the other way round
            wrong, position = np.ones(len(labels), np.bool_), np.zeros(len(labels), np.int64)
        if wrong.any():
            raise ValueError(f"y must hold classes of the first fit, got {labels[wrong].tolist()[0]!r}")
        return position.astype(np.int64)

    def card(self) -> dict[str, Any]:
        """Return labels and their type.

        Raises:
            ValueError: a label is neither text nor a number nor a truth value.
        """
        values = self.classes.tolist()
        wrong = [value for value in values if not isinstance(value, str | int | float | bool)]
        if wrong:
            raise ValueError(f"class labels must be text, numbers or truth values to be saved, got {wrong[0]!r}")
        return {"classes": values, "dtype": self.classes.dtype.str}


@dataclass(frozen=True)
class LabelCoding:
    """K labels that are on or off.

    Attributes:
        count: K.
    """

    count: int

    @classmethod
    def learned(cls, y: Any) -> Self:
        """Return the coding of the indicator matrix `y` (n, K)."""
        return cls(indicators(y).shape[1])

    @property
    def task(self) -> MultiLabel:
        """A sigmoid a label."""
        return MultiLabel(self.count)

    def code(self, y: Any) -> Array:
        """Return float64 (n, K) of 0 and 1."""
        found = indicators(y)
        if found.shape[1] != self.count:
            raise ValueError(f"y must have {self.count} labels as in the first fit, got {found.shape[1]}")
        return found

    def card(self) -> dict[str, Any]:
        """Return the number of labels."""
        return {"labels": self.count}


@dataclass(frozen=True)
class ValueCoding:
    """K real values.

    Attributes:
        task: knows their means and scales.
        flat: whether they came as (n,).
    """

    task: Regression
    flat: bool

    @classmethod
    def learned(cls, y: Any) -> Self:
        """Return the coding of the values `y` (n,) or (n, K), scaled by their mean and standard deviation."""
        found = values(y)
        return cls(Regression.fitted(torch.from_numpy(found)), found.ndim == 1)

    def code(self, y: Any) -> Array:
        """Return float64 (n, K)."""
        found = values(y)
        if found.size // len(found) != self.task.outputs:
            raise ValueError(f"y must have {self.task.outputs} values a row as in the first fit, got {found.shape}")
        return found.reshape(len(found), -1)

    def card(self) -> dict[str, Any]:
        """Return means and scales."""
        return {"mean": list(self.task.mean), "scale": list(self.task.scale), "flat": self.flat}


def coding_from_card(card: Mapping[str, Any]) -> Coding:
    """Return the coding that `card` describes."""
    if "classes" in card:
        return ClassCoding(np.array(card["classes"], dtype=np.dtype(card["dtype"])))
    if "labels" in card:
        return LabelCoding(card["labels"])
    return ValueCoding(Regression(tuple(card["mean"]), tuple(card["scale"])), card["flat"])


def learn_classes(y: Any) -> Coding:
    """Return the coding of a classification target.

    Raises:
        ValueError: `y` is missing, of another kind, or has one class only.
    """
    required(y)
    shape = y.shape if scipy.sparse.issparse(y) else np.asarray(y).shape
    if len(shape) != 2 or shape[1] == 1:
        return ClassCoding.learned(y)
    several = type_of_target(y, input_name="y") == "multilabel-indicator"
    return LabelCoding.learned(y) if several else ClassCoding.learned(y)


def class_labels(y: Any) -> Array:
    """Return labels (n,) after scikit-learn's checks; objects that are all numbers or truth values become those."""
    required(y)
    labels: Array = column_or_1d(y if scipy.sparse.issparse(y) else np.asarray(y), warn=True)
    if labels.dtype.kind == "O":
        labels = pd.Series(labels, dtype=object).infer_objects().to_numpy()
    if labels.dtype.kind == "O":
        kinds = {str if isinstance(label, str) else type(label) for label in labels.tolist()}
        if len(kinds) > 1:
            names = sorted(kind.__name__ for kind in kinds)
            raise ValueError(f"y must have labels of one type, got {', '.join(names)}; y.astype(str) makes them text")
    check_classification_targets(labels)
    return labels


def indicators(y: Any) -> Array:
    """Return float64 (n, K) of 0 and 1."""
    required(y)
    if type_of_target(y, input_name="y") != "multilabel-indicator":
        raise ValueError(f"y must be an indicator matrix (n, K) of 0 and 1, got {type_of_target(y)}")
    dense = y.toarray() if scipy.sparse.issparse(y) else np.asarray(y)
    found: Array = dense.astype(np.float64)
    return found


def values(y: Any) -> Array:
    """Return float64 (n,) or (n, K)."""
    required(y)
    if not scipy.sparse.issparse(y) and (kind := np.asarray(y).dtype).kind in "mM":
        raise ValueError(f"y must hold numbers, got {kind}; say it in numbers, such as days since a date")
    try:
        found: Array = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", copy=True)
    except OverflowError:
        raise ValueError(f"y must be below {LARGEST:g} in magnitude, got a larger integer; rescale it") from None
    if found.ndim > 2:
        raise ValueError(f"y must be (n,) or (n, K), got shape {found.shape}")
    if found.ndim == 2 and found.shape[1] == 1:
        found = column_or_1d(found, warn=True)
    largest = float(np.abs(found).max())
    if largest > LARGEST:
        raise ValueError(f"y must be below {LARGEST:g} in magnitude, got {largest:g}; rescale it")
    return found


def required(y: Any) -> None:
    """Raise ValueError if there is no target, or one with infinite or missing values."""
    if y is None:
        raise ValueError("this estimator requires y to be passed, but the target y is None")
    if scipy.sparse.issparse(y):
        return
    found = np.asarray(y)
    if found.dtype.kind == "f":
        assert_all_finite(found, input_name="y")
    elif found.dtype.kind in "OmM" and np.any(pd.isna(found)):
        raise ValueError("Input y contains NaN or None; drop those rows")  # these don't sort among labels
