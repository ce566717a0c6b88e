"""`MixupRegressor`: a network for tables, trained with mixed rows, as a scikit-learn estimator."""

from typing import Any, Self

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils import Tags

from mixkit_tabular.coding import Coding, ValueCoding
from mixkit_tabular.estimator import FloatArray, TableEstimator


class MixupRegressor(RegressorMixin, TableEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Predicts values, one or several a row, with a network that is trained on mixed rows.

    Mixing can wreck a regression whose target bends sharply, so `method="auto"` mixes only if that is better on inner
    splits than not mixing, and `mixing_report_` says what was chosen and why.  Data, network, arguments and
    reproducibility are those of `MixupClassifier`, without `class_weight`; methods for regression include "c-mixup".

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(80, 2))
    >>> model = MixupRegressor(method="erm", members=1, epochs=60, random_state=0).fit(X, 3 * X[:, 0] + 100)
    >>> bool(abs(model.predict([[1.0, 0.0]])[0] - 103) < 1)
    True
    """

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Go over these rows once, at a constant learning rate.

        The first call fits the preprocessing and the scale of the target.

        Args:
            X: (n, columns).
            y: (n,) or (n, K).
            sample_weight: (n,), non-negative.

        Raises:
            ValueError: as `fit`.
        """
        return self._passed(X, y, sample_weight, None)

    def predict(self, X: Any) -> FloatArray:
        """Return values float64 (n,), or (n, K) if `fit` saw several targets."""
        logits = self._logits(X)
        coding = self._state.coding
        assert isinstance(coding, ValueCoding)
        values: FloatArray = coding.task.predict(torch.from_numpy(logits)).numpy()
        return np.ascontiguousarray(values[:, 0]) if coding.flat else values

    def _coding(self, y: Any) -> Coding:
        return ValueCoding.learned(y)

    def __sklearn_tags__(self) -> Tags:
        """Return what scikit-learn needs to know: several targets are fine."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
