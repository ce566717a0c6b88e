"""`MixupResampler` refuses what it can't resample: the argument, what it got and the way out are in the message."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from mixkit_tabular.resampler import MixupResampler

FRAME = pd.DataFrame({"x": np.arange(12) * 1.5, "kind": pd.Categorical(list("abc") * 4)})
CLASSES = np.array(["many"] * 7 + ["some"] * 4 + ["one"])


@pytest.mark.parametrize(
    ("options", "rows", "targets", "message"),
    [
        ({}, FRAME, CLASSES[:5], "y must have one entry for each of the 12 rows of X, got shape"),
        ({}, FRAME, None, "y must have one entry for each of the 12 rows of X, got shape"),
        ({}, FRAME, ["a", None] * 6, "y must not have missing values, got 6"),
        ({}, FRAME, [0.5, np.nan] * 6, "y must not have missing values, got 6"),
        ({}, FRAME, [0.5, np.inf] * 6, "y must be finite, got 6 infinite values"),
        ({}, FRAME[:0], CLASSES[:0], r"X must have rows and columns, got shape \(0, 2\)"),
        ({}, np.zeros((0, 2)), [], r"0 sample\(s\)"),
        ({}, np.zeros(12), CLASSES, "Reshape your data"),
        ({}, FRAME, np.stack([CLASSES, CLASSES], 1), "y must be one column of classes"),
        ({}, sparse.csr_array(np.eye(12)), CLASSES, "X must be dense, got sparse data; use X.toarray()"),
        ({"task": "ranking"}, FRAME, CLASSES, "task must be one of .* got 'ranking'"),
        ({"task": "regression"}, FRAME, CLASSES, "y must hold numbers for regression"),
        ({"partners": "near"}, FRAME, CLASSES, "partners must be one of .* got 'near'"),
        ({"alpha": 0.0}, FRAME, CLASSES, "alpha must be positive, got alpha=0.0"),
        ({"bandwidth": -1.0}, FRAME, np.linspace(0, 1, 12), "bandwidth must be positive, got bandwidth=-1.0"),
        ({"sampling_strategy": -0.5}, FRAME, CLASSES, "must be 'auto', a number from 0 or a dict, got -0.5"),
        ({"sampling_strategy": "minority"}, FRAME, CLASSES, "must be 'auto', a number .* got 'minority'"),
        ({"sampling_strategy": np.nan}, FRAME, CLASSES, "must be 'auto', a number from 0 or a dict, got nan"),
        ({"sampling_strategy": {"few": 9}}, FRAME, CLASSES, r"must name classes of y, got \['few'\]; the classes are"),
        ({"sampling_strategy": {"many": 3}}, FRAME, CLASSES, "got 3 for class 'many' of 7; leave rows out beforehand"),
        ({"sampling_strategy": {"one": 2.5}}, FRAME, CLASSES, "must want a whole number of rows, .* got 2.5"),
        ({"sampling_strategy": {0.5: 9}}, FRAME, np.linspace(0, 1, 12), "must be 'auto' or a number for regression"),
    ],
)
def test_what_can_not_be_resampled_is_refused(options, rows, targets, message):
    with pytest.raises(ValueError, match=message):
        MixupResampler(**options).fit_resample(rows, targets)


def test_sparse_columns_are_refused_by_name():
    frame = pd.DataFrame({"x": [0.0, 1.0], "thin": pd.arrays.SparseArray([0, 1])})
    with pytest.raises(ValueError, match=r"got sparse columns \['thin'\]; use X.sparse.to_dense"):
        MixupResampler().fit_resample(frame, ["a", "b"])


def test_tables_of_other_libraries_are_refused_with_a_way_out():
    arrow = pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match=r"X must be a pandas DataFrame or an array, got Table; use X.to_pandas\(\)"):
        MixupResampler().fit_resample(arrow.table({"x": [1.0, 2.0]}), ["a", "b"])
