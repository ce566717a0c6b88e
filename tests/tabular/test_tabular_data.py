"""The real tables of the data folder: each loads, prepares and passes the network."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mixkit.comparison.problems import LoadOptions
from mixkit_tabular import ADAPTER

FOLDER = Path(os.environ.get("MIXKIT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "tabular"
# file, --target (None: the last attribute), rows, numeric and categorical columns, classes (0: regression)
TABLES = [
    ("abalone.arff", None, 4177, 7, 1, 0),
    ("arrhythmia.arff", None, 452, 198, 64, 13),
    ("balance.scale.arff", None, 625, 4, 0, 3),
    ("churn.csv.gz", "churn", 5000, 15, 4, 2),
    ("cmc.arff", None, 1473, 2, 7, 3),
    ("concrete.csv.gz", "strength", 1030, 8, 0, 0),
    ("letter.arff", None, 20000, 16, 0, 26),
    ("mfeat-fourier.csv.gz", "digit", 2000, 76, 0, 10),
    ("mfeat-karhunen.csv.gz", "-1", 2000, 64, 0, 10),
    ("mfeat-morphological.csv.gz", "6", 2000, 6, 0, 10),
    ("optdigits.arff", None, 5620, 62, 0, 10),
    ("yacht.csv.gz", "resistance", 308, 6, 0, 0),
]


@pytest.mark.data
@pytest.mark.parametrize("expected", TABLES, ids=[table[0] for table in TABLES])
def test_a_real_table_loads_as_what_it_is(expected):
    file, target, rows, numeric, categorical, classes = expected
    if not (FOLDER / file).is_file():
        pytest.skip(f"there is no {FOLDER / file}; name the folder with MIXKIT_DATA")
    assert ADAPTER.recognises(FOLDER / file)
    problem = ADAPTER.load(FOLDER / file, LoadOptions(target=target))
    assert len(problem.labels) == len(problem.features) == rows
    assert (len(problem.roles.numeric), len(problem.roles.categorical)) == (numeric, categorical)
    assert len(problem.classes) == classes
    prepared = problem.prepare(np.arange(0, rows, 2))
    inputs = prepared.batch(torch.arange(64))
    logits = prepared.model()(inputs)
    assert logits.shape == (64, max(classes, 1))
    assert bool(logits.isfinite().all())
    assert prepared.show(inputs, 0).startswith("<table")


@pytest.mark.data
def test_the_row_id_of_churn_is_no_feature():
    if not (FOLDER / "churn.csv.gz").is_file():
        pytest.skip(f"there is no {FOLDER / 'churn.csv.gz'}; name the folder with MIXKIT_DATA")
    problem = ADAPTER.load(FOLDER / "churn.csv.gz", LoadOptions(target="churn"))
    assert "rownames" not in problem.features
    assert any("'rownames'" in note for note in problem.notes)
