"""`MixupClassifier`: a network for tables, trained with mixed rows, as a scikit-learn estimator."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils import Tags, compute_class_weight

from mixkit_tabular.coding import ClassCoding, Coding, learn_classes
from mixkit_tabular.estimator import FloatArray, TableEstimator


class MixupClassifier(ClassifierMixin, TableEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Classifies rows of tables with a network that is trained on mixed rows.

    Binary, multi-class, and multi-label for an indicator matrix `y` (n, K).  Takes data as they come: numbers,
    categories (object, category, string, bool), missing values in both; a category that training did not see counts as
    missing.  The network is a multilayer perceptron behind numerical embeddings; with `members=8` a parameter-efficient
    ensemble of eight, which often predicts better and takes several times as long.

    `method="auto"` mixes only if that is better on inner splits than not mixing, and `mixing_report_` says what was
    chosen and why.  The same `random_state` gives the same network bit for bit on the CPU; no global generator is
    touched.

    Args:
        method: "auto", or a method for tables that `mixkit methods` lists, e.g. "mixup", "mixupe", "erm" (no mixing).
        mix_alpha: both parameters of the Beta law of lam; None: the method's default.
        eta: weight of MixupE's penalty, for methods that have one; None: the method's default.
        mix_until: share of the training after which nothing is mixed any more; None: the method's default.
        members: size of a parameter-efficient ensemble (TabM, arXiv:2410.24210); 1 is a single network.
        width: units of a layer; None: by the number of rows.
        depth: number of layers.
        dropout: share of units dropped in training.
        epochs: None: by the number of rows.
        batch_size: None: by the number of rows.
        learning_rate: at the start of a cosine schedule; None: by task and number of rows.
        weight_decay: None: 0.01.
        class_weight: {label: weight}, or "balanced" for weights inverse to the classes' frequencies; multiplies
            `sample_weight`.  Not for multi-label.
        categorical_features: "from_dtype", or names or positions of the columns that are categories.
        early_stopping: set 15 % of the rows aside and keep the epoch with the smallest loss on them.
        patience: epochs without a smaller validation loss after which training stops.
        warm_start: `fit` goes on from the network of the last one.
        device: "cpu", "cuda", "cuda:1", "mps" or "auto".
        random_state: an int, a `RandomState`, or None for fresh entropy.
        verbose: 1 shows what is tried and a bar of epochs, on stderr.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(80, 3))
    >>> y = np.where(X[:, 0] > 0, "up", "down")
    >>> model = MixupClassifier(method="mixup", members=1, epochs=20, random_state=0).fit(X, y)
    >>> model.predict([[2.0, 0.0, 0.0], [-2.0, 0.0, 0.0]]).tolist()
    ['up', 'down']
    >>> print(model.mixing_report_)
    mixup: as asked for
    """

    def __init__(
        self,
        *,
        method: str = "auto",
        mix_alpha: float | None = None,
        eta: float | None = None,
        mix_until: float | None = None,
        members: int = 1,
        width: int | None = None,
        depth: int = 3,
        dropout: float = 0.15,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        class_weight: Mapping[Any, float] | str | None = None,
        categorical_features: str | Sequence[str | int] = "from_dtype",
        early_stopping: bool = False,
        patience: int = 20,
        warm_start: bool = False,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            method=method,
            mix_alpha=mix_alpha,
            eta=eta,
            mix_until=mix_until,
            members=members,
            width=width,
            depth=depth,
            dropout=dropout,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            categorical_features=categorical_features,
            early_stopping=early_stopping,
            patience=patience,
            warm_start=warm_start,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """Labels of the classes (K,), sorted; for multi-label 0 ... K - 1."""
        coding = self._known.coding
        return coding.classes if isinstance(coding, ClassCoding) else np.arange(coding.task.outputs)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go over these rows once, at a constant learning rate.

        The first call fits the preprocessing and takes the classes from `classes`, or from `y`.

        Args:
            X: (n, columns).
            y: (n,), or (n, K) for multi-label.
            classes: all labels that will come, needed in the first call if `y` lacks some.
            sample_weight: (n,), non-negative.

        Raises:
            ValueError: as `fit`, and for a class that the first call did not know.
        """
        first = None if classes is None else ClassCoding.learned(classes)
        return self._passed(X, y, sample_weight, first)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the likeliest class (n,), or int64 (n, K) of 0 and 1 for multi-label."""
        logits = self._logits(X)
        coding = self._state.coding
        if isinstance(coding, ClassCoding):
            labels: npt.NDArray[Any] = coding.classes[logits.argmax(1)]
            return labels
        return (logits > 0).astype(np.int64)

    def predict_proba(self, X: Any) -> FloatArray:
        """Return probabilities of the classes, or of each label being on, float64 (n, K)."""
        logits = torch.from_numpy(self._logits(X))
        return self._state.coding.task.probabilities(logits).numpy()

    def predict_log_proba(self, X: Any) -> FloatArray:
        """Return logarithms of the probabilities, float64 (n, K)."""
        logits = torch.from_numpy(self._logits(X))
        if isinstance(self._state.coding, ClassCoding):
            return logits.log_softmax(1).numpy()
        return torch.nn.functional.logsigmoid(logits).numpy()

    def decision_function(self, X: Any) -> FloatArray:
        """Return the log-odds of the second class (n,) for two classes, else logits float64 (n, K)."""
        logits = self._logits(X)
        if isinstance(self._state.coding, ClassCoding) and logits.shape[1] == 2:
            odds: FloatArray = logits[:, 1] - logits[:, 0]
            return odds
        return logits

    def _coding(self, y: Any) -> Coding:
        return learn_classes(y)

    def _class_weights(self, coding: Coding, labels: npt.NDArray[Any]) -> FloatArray:
        if self.class_weight is None:
            return np.ones(len(labels))
        if not isinstance(coding, ClassCoding):
            raise ValueError(f"class_weight must be None for multi-label targets, got {self.class_weight!r}")
        if not isinstance(self.class_weight, Mapping) and self.class_weight != "balanced":
            raise ValueError(f'class_weight must be a dict, "balanced" or None, got {self.class_weight!r}')
        present = np.unique(labels)
        weights = compute_class_weight(self.class_weight, classes=coding.classes[present], y=coding.classes[labels])
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise ValueError(f"class_weight must hold non-negative numbers, got {self.class_weight!r}")
        found: FloatArray = weights[np.searchsorted(present, labels)].astype(np.float64)
        return found

    def _arguments(self) -> dict[str, Any]:
        arguments = super()._arguments()
        if isinstance(self.class_weight, Mapping):  # JSON's keys are text only
            arguments["class_weight"] = [
                [key.item() if isinstance(key, np.generic) else key, float(weight)]
                for key, weight in self.class_weight.items()
            ]
        return arguments

    @classmethod
    def _from_arguments(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        weights = arguments["class_weight"]
        return {**arguments, "class_weight": dict(weights) if isinstance(weights, list) else weights}

    def __sklearn_tags__(self) -> Tags:
        """Return what scikit-learn needs to know: multi-label targets are fine."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
