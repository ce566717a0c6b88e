"""Features of nodes that say nothing but the degree: computed for graphs that were drawn, as for real ones."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class OneHotDegrees:
    """One-hot degrees 0 .. largest; nodes of a larger degree have the last column.

    Unlike `torch_geometric.transforms.OneHotDegree` it takes any degree: a drawn graph may have a larger one than all
    of the data set.

    Args:
        largest: at least 0.

    Raises:
        ValueError: largest is negative.

    >>> from torch_geometric.data import Data
    >>> OneHotDegrees(1)(Data(edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), num_nodes=3))
    tensor([[0., 1.],
            [0., 1.],
            [0., 1.]])
    """

    largest: int

    def __post_init__(self) -> None:
        if self.largest < 0:
            raise ValueError(f"largest must be at least 0, got largest={self.largest!r}")

    def __call__(self, data: Any) -> Tensor:
        """Return float32 (N, largest + 1) for a graph, or several in one."""
        return F.one_hot(degrees_of(data).clamp(max=self.largest), self.largest + 1).float()


@dataclass(frozen=True, eq=False)
class DegreeTable:
    """Features that were found to follow from the degree, whatever they are.

    Attributes:
        known: int64 (D,), the degrees that were seen, rising.
        rows: (D, F), their features.
    """

    known: Tensor
    rows: Tensor

    def __call__(self, data: Any) -> Tensor:
        """Return (N, F) for a graph, or several in one; a degree that was not seen has the features of the next lower.

        Below the lowest, those of the lowest.
        """
        place = torch.searchsorted(self.known, degrees_of(data), right=True) - 1
        return self.rows[place.clamp(min=0)]

    @classmethod
    def found(cls, data: Any) -> "DegreeTable | None":
        """Return the table if all nodes of one degree have the same features and not all nodes do, else None."""
        x: Tensor | None = data.x
        if x is None or not len(x):
            return None
        known, place = torch.unique(degrees_of(data), return_inverse=True)
        rows = x.new_zeros(len(known), x.shape[1])
        rows[place] = x  # any of the nodes of a degree
        same = torch.equal(rows[place], x) and not torch.equal(x, x[:1].expand_as(x))
        return cls(known, rows) if same else None


def degrees_of(data: Any) -> Tensor:
    """Return the number of neighbours of each node, int64 (N,); loops and repeated edges count as they are."""
    return torch.bincount(data.edge_index[1], minlength=data.num_nodes)
