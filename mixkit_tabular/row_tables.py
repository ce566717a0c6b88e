"""Rows and targets as they were given: checked, and made longer in their own types."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_array

from mixkit_tabular.rows import ColumnMixing, IntArray, RowPairs, column_values, mix_column


def as_table(X: Any) -> Any:
    """Return X if it is a DataFrame, else as a 2-D array (n, columns) of its own dtype, missing values allowed.

    Raises:
        ValueError: X is sparse, has no rows or columns, or is a table of another library.
    """
    if sparse.issparse(X):
        raise ValueError("X must be dense, got sparse data; use X.toarray(), or reduce the columns before mixing")
    if isinstance(X, pd.DataFrame):
        if X.empty:
            raise ValueError(f"X must have rows and columns, got shape {X.shape}")
        held = [str(name) for name, dtype in X.dtypes.items() if isinstance(dtype, pd.SparseDtype)]
        if held:
            raise ValueError(f"X must be dense, got sparse columns {held}; use X.sparse.to_dense()")
        return X
    if hasattr(X, "to_pandas"):  # the one method that polars, pyarrow and others share
        raise ValueError(f"X must be a pandas DataFrame or an array, got {type(X).__name__}; use X.to_pandas()")
    return check_array(X, dtype=None, ensure_all_finite=False)


def append_mixed(table: Any, *mixed: Any) -> Any:
    """Return the rows of a DataFrame or array followed by those of further ones with the same columns."""
    if isinstance(table, pd.DataFrame):
        return pd.concat([table, *mixed], ignore_index=True)
    return np.concatenate([table, *mixed])


def append_rows(targets: Any, *further: IntArray) -> Any:
    """Return targets, a Series, DataFrame or (extension) array, followed by those of the rows `further`."""
    rows = np.concatenate([np.arange(len(targets)), *further])
    if isinstance(targets, pd.Series | pd.DataFrame):
        return targets.iloc[rows].reset_index(drop=True)
    return targets[rows]


def append_blended(targets: Any, pairs: RowPairs) -> Any:
    """Return targets of numbers followed by the interpolated ones of `pairs`, in their type and dtypes."""
    if isinstance(targets, pd.DataFrame):
        columns = {i: append_blended(targets.iloc[:, i], pairs) for i in range(targets.shape[1])}
        return pd.DataFrame(columns).set_axis(targets.columns, axis=1)
    if isinstance(targets, pd.Series):
        return pd.Series(append_blended(column_values(targets), pairs), name=targets.name)
    extended = append_rows(targets, pairs.base)
    always = np.ones(len(pairs), dtype=bool)
    for column in np.ndindex(targets.shape[1:]):
        extended[len(targets) :, *column] = mix_column(targets[:, *column], pairs, ColumnMixing.BLEND, always)
    return extended


def as_targets(y: Any) -> Any:
    """Return targets as they are if pandas knows them, else as an array."""
    if isinstance(y, pd.Series | pd.DataFrame | pd.api.extensions.ExtensionArray):
        return y
    return np.asarray(y)
