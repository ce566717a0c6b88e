"""`MixupAugmented`: any scikit-learn estimator, fitted on its rows and on mixed pairs of them."""

from collections.abc import Callable
from copy import deepcopy
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier, is_regressor
from sklearn.utils import Tags, check_array, check_consistent_length, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, has_fit_parameter, validate_data

from mixkit_tabular.row_pairs import draw_bases, draw_lam, draw_partners, draw_similar, random_generator
from mixkit_tabular.row_tables import append_blended, append_mixed, append_rows, as_table, as_targets
from mixkit_tabular.rows import FROM_DTYPE, CategoricalFeatures, FloatArray, IntArray, RowPairs, column_mixing, mix_rows

LABELS = ("auto", "weights", "draw")


def _inner_has(name: str) -> Callable[["MixupAugmented"], bool]:
    def check(augmented: "MixupAugmented") -> bool:
        getattr(getattr(augmented, "estimator_", augmented.estimator), name)  # its AttributeError names the estimator
        return True

    return check


class MixupAugmented(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Fit a clone of `estimator` on the rows given and on mixes of pairs of them.

    A mixed row of base i and partner j has the numbers lam * x_i + (1 - lam) * x_j and each category from one of the
    two (`MixupResampler` says all).  A classifier takes no soft labels, so that a mixed row either appears twice, as
    y_i with weight lam and as y_j with weight 1 - lam, which for any loss linear in the weight is exactly the loss of
    the soft label, or once with a label drawn with these probabilities.  For regression its target is interpolated.

    With `sample_weight` w, base rows come evenly, partners in proportion to w, and the weights of a mixed row are
    multiplied by its base row's w; rows of weight 0 have no part in any mix.

    Args:
        estimator: a classifier or regressor; with several outputs too.  A pipeline or a search takes no
            `sample_weight` of its own, hence gets drawn labels: rather put `MixupAugmented` inside.
        factor: round(factor * n) pairs are added; 0 is the estimator alone.
        alpha: lam ~ Beta(alpha, alpha), folded to at least one half.
        label: for classifiers. "weights", "draw", or "auto": weights where `fit` takes `sample_weight`, else draw.
        bandwidth: for regressors. None draws partners uniformly; a number draws those with similar targets more often,
            by a Gaussian kernel whose width is this many standard deviations of y (C-Mixup).
        categorical_features: "from_dtype" (object, text, category and bool columns), or a list of names or positions.
        random_state: of the pairs: None, an int, a `RandomState` or a `numpy.random.Generator`.  The estimator's own is
            left as it is.

    Attributes:
        estimator_: the fitted clone; predictions, scores and `classes_` are its own.
        label_: "weights", "draw", or for regressors "blend".
        n_features_in_: number of columns.
        feature_names_in_: names of the columns, where all are strings.

    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = np.array([[0.0], [1.0], [4.0], [5.0]]), ["low", "low", "high", "high"]
    >>> augmented = MixupAugmented(LogisticRegression(), random_state=0).fit(X, y)
    >>> augmented.label_, augmented.predict([[0.5], [4.5]]).tolist()
    ('weights', ['low', 'high'])
    """

    def __init__(
        self,
        estimator: Any,
        *,
        factor: float = 1.0,
        alpha: float = 0.4,
        label: str = "auto",
        bandwidth: float | None = None,
        categorical_features: CategoricalFeatures = FROM_DTYPE,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.factor = factor
        self.alpha = alpha
        self.label = label
        self.bandwidth = bandwidth
        self.categorical_features = categorical_features
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MixupAugmented":
        """Draw the pairs and fit a clone of the estimator.

        Args:
            X: DataFrame or array (n, columns); it is not changed.
            y: targets (n,) or (n, outputs).
            sample_weight: (n,), not negative.

        Returns:
            The estimator itself.

        Raises:
            ValueError: a parameter is out of its range, the estimator takes no weights but needs them, X is sparse or
                empty, y is missing or has another length, a weight is negative or all are zero.
        """
        label = self._label(sample_weight is not None)
        table, targets = self._checked(X, y)
        weights = _checked_weights(sample_weight, table)
        generator = random_generator(self.random_state)
        pairs = self._pairs(_matrix(targets) if label == "blend" else None, weights, generator)
        mixed = mix_rows(table, pairs, column_mixing(table, self.categorical_features), generator)
        labelled, shares = _labelled(label, pairs, generator)
        rows = append_mixed(table, *[mixed] * len(labelled))
        answers = append_blended(targets, pairs) if label == "blend" else append_rows(targets, *labelled)
        shared = np.concatenate([weights, *(weights[pairs.base] * share for share in shares)])
        given = {} if sample_weight is None and label != "weights" else {"sample_weight": shared}
        self.estimator_ = clone(self.estimator).fit(rows, answers, **given)
        self.label_ = label
        return self

    @property
    def classes_(self) -> Any:
        """The fitted classifier's classes."""
        return self.estimator_.classes_

    @available_if(_inner_has("predict"))  # type: ignore[untyped-decorator]  # scikit-learn ships no types
    def predict(self, X: Any) -> Any:
        """Return the fitted estimator's predictions for X."""
        check_is_fitted(self)
        return self.estimator_.predict(X)

    @available_if(_inner_has("predict_proba"))  # type: ignore[untyped-decorator]  # scikit-learn ships no types
    def predict_proba(self, X: Any) -> Any:
        """Return the fitted estimator's probabilities for X."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(_inner_has("predict_log_proba"))  # type: ignore[untyped-decorator]  # scikit-learn ships no types
    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of the fitted estimator's probabilities for X."""
        check_is_fitted(self)
        return self.estimator_.predict_log_proba(X)

    @available_if(_inner_has("decision_function"))  # type: ignore[untyped-decorator]  # scikit-learn ships no types
    def decision_function(self, X: Any) -> Any:
        """Return the fitted estimator's decision values for X."""
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    @available_if(_inner_has("score"))  # type: ignore[untyped-decorator]  # scikit-learn ships no types
    def score(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Return the fitted estimator's score on X and y."""
        check_is_fitted(self)
        given = {} if sample_weight is None else {"sample_weight": sample_weight}
        return self.estimator_.score(X, y, **given)

    def __sklearn_tags__(self) -> Tags:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        for name in ("estimator_type", "classifier_tags", "regressor_tags", "target_tags", "input_tags"):
            setattr(tags, name, deepcopy(getattr(inner, name)))
        tags.input_tags.sparse = False
        tags.non_deterministic = inner.non_deterministic
        return tags

    def _label(self, weighted: bool) -> str:
        if self.label not in LABELS:
            raise ValueError(f"label must be one of {list(LABELS)}, got {self.label!r}")
        if not (is_classifier(self.estimator) or is_regressor(self.estimator)):
            raise ValueError(f"estimator must be a classifier or a regressor, got {self.estimator!r}")
        takes = has_fit_parameter(self.estimator, "sample_weight")
        if not takes and (weighted or (is_classifier(self.estimator) and self.label == "weights")):
            raise ValueError(
                f"the fit of {type(self.estimator).__name__} takes no sample_weight; leave sample_weight out and use "
                "label='draw', or put MixupAugmented inside the pipeline or search, around its last step"
            )
        if is_regressor(self.estimator):
            return "blend"
        if self.label == "auto":
            return "weights" if takes else "draw"
        return self.label

    def _checked(self, X: Any, y: Any) -> tuple[Any, Any]:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        table = as_table(X)
        validate_data(self, table, skip_check_array=True)  # remembers number and names of the columns
        check_consistent_length(table, y)
        targets = as_targets(y)
        if is_regressor(self.estimator):  # as floats: rounding to whole numbers would be of no use to a regressor
            targets = check_array(targets, dtype=np.float64, ensure_2d=False, allow_nd=False, input_name="y")
        return table, targets

    def _pairs(self, targets: FloatArray | None, weights: FloatArray, generator: np.random.Generator) -> RowPairs:
        if isinstance(self.factor, bool) or not isinstance(self.factor, Real) or not 0 <= float(self.factor) < np.inf:
            raise ValueError(f"factor must be a number from 0, got factor={self.factor!r}")
        rows: IntArray = np.flatnonzero(weights > 0)
        base = draw_bases(rows, round(float(self.factor) * len(rows)), generator)
        if self.bandwidth is None or targets is None:
            partner = draw_partners(base, rows, weights, generator)
        else:
            partner = draw_similar(base, rows, weights, generator, targets=targets, bandwidth=self.bandwidth)
        return RowPairs(base, partner, draw_lam(self.alpha, len(base), generator))


def _labelled(label: str, pairs: RowPairs, generator: np.random.Generator) -> tuple[list[IntArray], list[FloatArray]]:
    """Return, for each appearance of the mixed rows, whose labels they have and their shares of the weight (M,)."""
    whole = np.ones(len(pairs))
    if label == "weights":
        return [pairs.base, pairs.partner], [pairs.lam, 1 - pairs.lam]
    if label == "draw":
        return [np.where(generator.random(len(pairs)) < pairs.lam, pairs.base, pairs.partner)], [whole]
    return [pairs.base], [whole]


def _checked_weights(sample_weight: Any, table: Any) -> FloatArray:
    weights: npt.NDArray[np.float64] = _check_sample_weight(sample_weight, table, dtype=np.float64)
    if (weights < 0).any():
        raise ValueError(f"sample_weight must not be negative, got {weights.min()}")
    if not weights.any():
        raise ValueError("sample_weight must not be zero for all rows")
    return weights


def _matrix(targets: FloatArray) -> FloatArray:
    return targets.reshape(len(targets), -1)
