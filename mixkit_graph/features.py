"""How nodes become numbers: labels one-hot, attributes standardised, degrees one-hot where a node has nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mixkit.comparison.problems import DataError
from mixkit_graph.graphs import GraphSet

MOST_DEGREES = 64


@dataclass(frozen=True)
class NodeFeatures:
    """Features of nodes, fitted on training graphs: columns for labels, degrees, attributes, and a constant 1.

    Attributes:
        values: for each label of a node the values that have a column: those of training graphs.
        known: for each label the values that the whole data set has; one without a column is all zeros.
        mean: centre of each attribute.
        scale: positive scale of each attribute.
        max_degree: degrees 0 .. max_degree have a column each, the last one also holds what is above; None: degrees
            have no columns, because nodes have labels or attributes.
    """

    values: tuple[tuple[int, ...], ...]
    known: tuple[tuple[int, ...], ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    max_degree: int | None

    @classmethod
    def fit(cls, graphs: GraphSet, rows: Tensor) -> "NodeFeatures":
        """Fit on graphs `rows` (B,)."""
        nodes = graphs.nodes_of(rows)
        labels, attributes = graphs.node_labels, graphs.attributes[nodes].double()
        plain = labels.shape[1] == 0 and attributes.shape[1] == 0
        mean = attributes.mean(0)
        scale = (attributes - mean).square().mean(0).sqrt()
        return cls(
            values=tuple(tuple(column.unique().tolist()) for column in labels[nodes].T),
            known=tuple(tuple(column.unique().tolist()) for column in labels.T),
            mean=tuple(mean.tolist()),
            scale=tuple(torch.where(scale > 0, scale, 1.0).tolist()),
            max_degree=min(int(graphs.degrees[nodes].max()), MOST_DEGREES) if plain else None,
        )

    @property
    def width(self) -> int:
        """F, the number of columns."""
        return self.one_hot_width + len(self.mean) + 1

    @property
    def one_hot_width(self) -> int:
        """The number of columns of labels and degrees."""
        return sum(map(len, self.values)) + (0 if self.max_degree is None else self.max_degree + 1)

    def encode(self, graphs: GraphSet) -> "EncodedNodes":
        """Encode all nodes of `graphs`, once for many batches.

        Raises:
            DataError: the nodes of these graphs have other labels or attributes.
        """
        self._check(graphs)
        columns, offset = [], 0
        for values, labels in zip(self.values, graphs.node_labels.T, strict=True):
            columns.append(_columns(labels, values, offset, absent=self.one_hot_width))
            offset += len(values)
        if self.max_degree is not None:
            columns.append(graphs.degrees.clamp(max=self.max_degree))
        hot = torch.stack(columns, 1) if columns else torch.empty(len(graphs.attributes), 0, dtype=torch.long)
        standard = (graphs.attributes - torch.tensor(self.mean)) / torch.tensor(self.scale)
        return EncodedNodes(hot, torch.cat([standard, torch.ones(len(standard), 1)], 1), self.one_hot_width)

    def card(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "values": [list(values) for values in self.values],
            "known": [list(values) for values in self.known],
            "mean": list(self.mean),
            "scale": list(self.scale),
            "max_degree": self.max_degree,
        }

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> "NodeFeatures":
        """Rebuild what `card` described."""
        return cls(
            values=tuple(map(tuple, card["values"])),
            known=tuple(map(tuple, card["known"])),
            mean=tuple(card["mean"]),
            scale=tuple(card["scale"]),
            max_degree=card["max_degree"],
        )

    def _check(self, graphs: GraphSet) -> None:
        """Raise DataError unless nodes have the labels and attributes that were fitted."""
        has = (graphs.node_labels.shape[1], graphs.attributes.shape[1])
        if has != (len(self.values), len(self.mean)):
            raise DataError(
                f"nodes must have {len(self.values)} labels and {len(self.mean)} attributes each, as in training, "
                f"got {has[0]} and {has[1]}; give data of the same kind"
            )
        for position, (known, labels) in enumerate(zip(self.known, graphs.node_labels.T, strict=True)):
            new = sorted(set(labels.unique().tolist()) - set(known))
            if new:
                raise DataError(
                    f"node labels must be among {list(known)} in column {position}, as in training, got {new[0]}; "
                    "leave out the graphs that have others"
                )


@dataclass(frozen=True, eq=False)
class EncodedNodes:
    """All nodes of a `GraphSet`, encoded; kept small until a batch is asked for.

    Attributes:
        hot: int64 (N, C), in each of C categorical parts the column that is 1; `width` where none is.
        numeric: float32 (N, M), what is already a number.
        width: number of one-hot columns.
    """

    hot: Tensor
    numeric: Tensor
    width: int

    def features(self, nodes: Tensor) -> Tensor:
        """Return the features of some nodes, float32 (n, width + M)."""
        # one column more takes the ones of values that have no column
        one_hot = torch.zeros(len(nodes), self.width + 1).scatter_(1, self.hot[nodes], 1.0)
        return torch.cat([one_hot[:, : self.width], self.numeric[nodes]], 1)


def _columns(labels: Tensor, values: tuple[int, ...], offset: int, *, absent: int) -> Tensor:
    """Return each label's column: offset plus its position in the sorted `values`, or `absent`."""
    table = torch.tensor(values, dtype=torch.long)
    place = torch.searchsorted(table, labels.contiguous()).clamp(max=max(len(values) - 1, 0))
    return torch.where(table[place] == labels, place + offset, absent)
