"""What `MixupClassifier` and `MixupRegressor` share: fitting, predicting logits, saving, loading."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from mixkit.comparison.problems import DataError, IntArray
from mixkit.comparison.validation import with_validation
from mixkit.randomness import derived_seed, fresh_generator
from mixkit.training.loop import constant
from mixkit_tabular.arguments import candidate_from, options_from
from mixkit_tabular.choosing import WITHOUT, MixingReport, choose, strata
from mixkit_tabular.coding import Coding, required
from mixkit_tabular.columns import Roles
from mixkit_tabular.fitting import Options, Rows, fit_network, predict_logits
from mixkit_tabular.frames import as_frame, choose_roles
from mixkit_tabular.remembering import Remembering
from mixkit_tabular.saved import State
from mixkit_tabular.telling import Telling

CHOICE, TRAINING, HELD_OUT = 31, 32, 33  # streams derived from a fit's seed
SEEN = ("n_features_in_", "feature_names_in_")
FloatArray = npt.NDArray[np.float64]


class TableEstimator(Remembering, ABC):
    """A network for tables that is trained with mixed rows; abstract.

    Subclasses say what the target means, and document the arguments.

    Attributes:
        network_: the trained network.
        preprocessor_: turns rows into what it takes.
        roles_: columns by kind, and notes on what was left out.
        mixing_report_: how rows were mixed, and why; print it.
        history_: a record an epoch: loss, and the validation loss where there are validation rows.
        best_epoch_: the epoch whose weights the network has.
        n_features_in_: number of columns seen in `fit`.
        feature_names_in_: their names, where all are text.
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
        categorical_features: str | Sequence[str | int] = "from_dtype",
        early_stopping: bool = False,
        patience: int = 20,
        warm_start: bool = False,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.mix_alpha = mix_alpha
        self.eta = eta
        self.mix_until = mix_until
        self.members = members
        self.width = width
        self.depth = depth
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.categorical_features = categorical_features
        self.early_stopping = early_stopping
        self.patience = patience
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @abstractmethod
    def _coding(self, y: Any) -> Coding:
        """Return how a target is coded that was not seen before."""

    def _class_weights(self, coding: Coding, labels: npt.NDArray[Any]) -> FloatArray:
        """Return a weight a row (n,) that comes with its label."""
        return np.ones(len(labels))

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation: Any = None, groups: Any = None) -> Self:
        """Fit the network; if that fails, an earlier fit stays as it was.

        Args:
            X: (n, columns): a dataframe, array or nested lists; missing values are NaN, None or NA.
            y: (n,) or (n, K).
            sample_weight: (n,), non-negative; rows of weight 0 are left out.
            validation: (X, y) that is not trained on: the epoch with the smallest loss on it is kept, and
                `method="auto"` judges on it.
            groups: (n,) labels of rows that belong together and are never torn apart by an inner split.

        Raises:
            ValueError: data or an argument cannot be used; the message says why and names a way out.
            FloatingPointError: the training diverged.
        """
        old = self._state if self.warm_start and self.__sklearn_is_fitted__() else None
        with self._unharmed():
            options = options_from(self.get_params(deep=False))
            check_same_network(options, old)
            rows, coding = self._rows(X, y, sample_weight, groups, old=old)
            picked, held = np.arange(len(rows)), None
            if validation is not None:
                rows, held = self._joined(rows, coding, validation)
            with Telling(self.verbose, type(self).__name__) as telling:
                self._state = self._trained(rows, picked, held, coding, options=options, old=old, telling=telling)
        return self

    def _trained(
        self,
        rows: Rows,
        picked: IntArray,
        held: IntArray | None,
        coding: Coding,
        *,
        options: Options,
        old: State | None,
        telling: Telling,
    ) -> State:
        """Choose how to mix, set rows aside if asked for, train."""
        seed = self._seed()
        candidate = candidate_from(self.get_params(deep=False))
        if candidate is None:
            candidate, report = choose(
                rows, picked, options, seed=derived_seed(seed, CHOICE), validation=held, told=telling.says
            )
        else:
            report = MixingReport(str(candidate), "as asked for")
        if held is None and self.early_stopping:
            generator = np.random.default_rng(derived_seed(seed, HELD_OUT))
            picked, held = with_validation(picked, strata(rows), rows.groups, generator)
        telling.says(f"training with {candidate}")
        fitted = fit_network(
            rows,
            picked,
            candidate,
            options,
            seed=derived_seed(seed, TRAINING),
            validation=held,
            start=None if old is None else old.fitted,
            stop=report.stop if held is None else 1.0,
            told=telling.epochs,
        )
        return State(fitted, coding, rows.roles, report)

    def _passed(self, X: Any, y: Any, sample_weight: Any, first: Coding | None) -> Self:
        """Go over the rows once, at a constant learning rate; `method="auto"` mixes nothing here."""
        old = self._state if self.__sklearn_is_fitted__() else None
        with self._unharmed():
            options = options_from(self.get_params(deep=False))
            check_same_network(options, old)
            options = replace(options, recipe={**options.recipe, "epochs": 1}, schedule=constant)
            rows, coding = self._rows(X, y, sample_weight, None, old=old, first=first)
            candidate, passes = candidate_from(self.get_params(deep=False)) or WITHOUT, 0 if old is None else old.passes
            seed = derived_seed(self._seed(), TRAINING, passes)
            start = None if old is None else old.fitted
            fitted = fit_network(rows, np.arange(len(rows)), candidate, options, seed=seed, start=start)
            reason = "partial_fit does not try methods" if self.method == "auto" else "as asked for"
            report = MixingReport(str(candidate), reason)
            self._state = State(fitted, coding, rows.roles, report, passes + 1)
        return self

    def _rows(
        self, X: Any, y: Any, sample_weight: Any, groups: Any, *, old: State | None, first: Coding | None = None
    ) -> tuple[Rows, Coding]:
        """Return checked rows of positive weight, and how their target is coded."""
        required(y)
        frame = as_frame(self, X, reset=old is None)
        check_consistent_length(frame, y)
        coding = old.coding if old is not None else first or self._coding(y)
        labels = coding.code(y)
        weights = _check_sample_weight(sample_weight, frame, dtype=np.float64, ensure_non_negative=True)
        weights = weights * self._class_weights(coding, labels)
        kept = weights > 0
        if not kept.any():
            raise ValueError("sample_weight must have a positive weight, got zero weights in all rows")
        codes = None
        if groups is not None:
            check_consistent_length(frame, groups)
            codes = group_codes(groups)[kept]
        frame = frame[kept].reset_index(drop=True)
        roles = old.roles if old is not None else self._roles(frame)
        return Rows(frame, roles, labels[kept], coding.task, weights[kept], codes), coding

    def _roles(self, frame: pd.DataFrame) -> Roles:
        """Return columns by kind.

        Raises:
            ValueError: none can be used.
        """
        roles = choose_roles(frame, self.categorical_features, named=hasattr(self, "feature_names_in_"))
        if len(frame) == 1:
            raise ValueError("X must have at least 2 rows of positive weight, got 1 sample")
        if not roles.numeric and not roles.categorical:
            raise ValueError(
                f"X must have a usable column, got none; {'; '.join(roles.notes)}; "
                "name columns in categorical_features to use them as categories"
            )
        return roles

    def _joined(self, rows: Rows, coding: Coding, validation: Any) -> tuple[Rows, IntArray]:
        """Return `rows` with those of an explicit validation set behind them, and their positions."""
        if not (isinstance(validation, tuple | list) and len(validation) == 2) or any(x is None for x in validation):
            raise ValueError(f"validation must be a pair (X, y), got {type(validation).__name__}")
        frame, labels = as_frame(self, validation[0], reset=False), coding.code(validation[1])
        check_consistent_length(frame, labels)
        own = None if rows.groups is None else rows.groups.max() + 1 + np.arange(len(frame))
        joined = Rows(
            pd.concat([rows.frame, frame], ignore_index=True),
            rows.roles,
            np.concatenate([rows.labels, labels]),
            rows.task,
            np.concatenate([rows.weights, self._class_weights(coding, labels)]),
            None if rows.groups is None or own is None else np.concatenate([rows.groups, own]),
        )
        return joined, np.arange(len(rows), len(joined))

    def _seed(self) -> int:
        """Return a seed from `random_state`; None gives fresh entropy and leaves NumPy's global generator alone."""
        if self.random_state is None:
            return fresh_generator().initial_seed() % 2**63
        return int(check_random_state(self.random_state).randint(2**31))

    @contextmanager
    def _unharmed(self) -> Iterator[None]:
        """Put what scikit-learn noted about the columns back if fitting fails; errors about data are ValueErrors."""
        before = {name: getattr(self, name) for name in SEEN if hasattr(self, name)}
        try:
            yield
        except BaseException as error:
            for name in SEEN:
                self.__dict__.pop(name, None)
            self.__dict__.update(before)
            if isinstance(error, DataError):
                raise ValueError(str(error)) from error
            raise

    def _logits(self, X: Any) -> FloatArray:
        """Return logits float64 (n, K) for new rows."""
        check_is_fitted(self)
        frame = as_frame(self, X, reset=False)
        try:
            return predict_logits(self._state.fitted, frame, self.device)
        except DataError as error:
            raise ValueError(str(error)) from error


def group_codes(groups: Any) -> IntArray:
    """Return int64 (n,) codes of group labels.

    Raises:
        ValueError: they are not (n,), or one is missing.
    """
    labels = column_or_1d(np.asarray(groups))
    if pd.isna(labels).any():
        raise ValueError("groups must have no gaps, got a missing one; give such rows groups of their own")
    codes: IntArray = pd.factorize(labels)[0].astype(np.int64)
    return codes


def check_same_network(options: Options, old: State | None) -> None:
    """Raise ValueError if training is to go on with a network of another size than it began with."""
    for name, value in options.network.items():
        if old is not None and value != old.fitted.card[name]:
            raise ValueError(
                f"{name} must be {old.fitted.card[name]!r} as in the first fit, got {value!r}; "
                "clone the estimator to begin anew"
            )
