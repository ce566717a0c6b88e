"""How much each column of a table tells about the target: mutual information, for Feat-Mix."""

import numpy as np
import numpy.typing as npt
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from torch import Generator, Tensor

from mixkit.randomness import numpy_generator
from mixkit.tasks import MultiClass, Task
from mixkit_tabular.batch import TableBatch
from mixkit_tabular.network import ColumnEmbedding

MOST_ROWS = 5_000
"""Mutual information is estimated from at most so many rows, drawn at random."""


def mutual_information(
    rows: TableBatch, targets: Tensor, task: Task, embed: ColumnEmbedding, generator: Generator
) -> tuple[float, ...]:
    """Return the mutual information of each column with the target in nats, numbers first, then categories.

    A number's gaps are part of it: what the mark tells is added.  Several targets are averaged.

    Args:
        rows: training rows, preprocessed.
        targets: float (n, K), encoded.
        task: what they mean.
        embed: knows the columns; the order is that of `embed.span_of()`.
        generator: draws the rows, and the noise that scikit-learn adds against ties.
    """
    draw = numpy_generator(generator)
    picked = np.sort(draw.permutation(len(targets))[:MOST_ROWS])
    table = np.concatenate([rows.numeric[picked].double().numpy(), rows.codes[picked].numpy()], axis=1)
    discrete = np.arange(table.shape[1]) >= embed.values  # marks and codes
    seed = int(draw.integers(2**31))
    told = np.mean([_told(table, column, discrete, seed) for column in _columns(targets[picked], task)], axis=0)
    numbers, marks, categories = np.split(told, np.cumsum([embed.values, len(embed.marked)]))
    np.add.at(numbers, list(embed.marked), marks)
    wide = np.asarray(embed.cardinalities, np.int64) > 1  # the others have no channels
    return (*numbers.tolist(), *categories[wide].tolist())


def _columns(targets: Tensor, task: Task) -> list[npt.NDArray[np.generic]]:
    """Return what is told about: class codes, or each target on its own."""
    if isinstance(task, MultiClass):
        return [targets.argmax(1).numpy()]
    return [column.double().numpy() for column in targets.T]


def _told(
    table: npt.NDArray[np.float64], target: npt.NDArray[np.generic], discrete: npt.NDArray[np.bool_], seed: int
) -> npt.NDArray[np.float64]:
    few = len(np.unique(target)) <= max(2, len(target) // 10)
    information = mutual_info_classif if few else mutual_info_regression
    labels = np.unique(target, return_inverse=True)[1] if few else target
    neighbors = max(1, min(3, len(target) - 1))
    found: npt.NDArray[np.float64] = information(
        table, labels, discrete_features=discrete, n_neighbors=neighbors, random_state=seed
    )
    return found
