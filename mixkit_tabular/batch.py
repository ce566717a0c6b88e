"""The inputs of a table's network: numbers and category codes of the same rows, side by side."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TableBatch:
    """Preprocessed rows.

    Codes are never averaged: mixing acts where the network has turned them into numbers (`AtSite("embed")`).

    Attributes:
        numeric: float32 (B, n_numeric); may have no columns.
        codes: int64 (B, n_categorical), 0 where a category is missing or unknown; may have no columns.

    >>> rows = TableBatch(torch.zeros(3, 2), torch.zeros(3, 1, dtype=torch.int64))
    >>> len(rows), len(rows.rows(torch.tensor([2, 0])))
    (3, 2)
    """

    numeric: Tensor
    codes: Tensor

    def __post_init__(self) -> None:
        if self.numeric.dim() != 2 or self.codes.dim() != 2 or len(self.numeric) != len(self.codes):
            raise ValueError(
                "numeric and codes must be matrices with the same rows, "
                f"got {tuple(self.numeric.shape)} and {tuple(self.codes.shape)}"
            )
        if not self.numeric.is_floating_point() or self.codes.dtype != torch.int64:
            raise ValueError(f"numeric must be float and codes int64, got {self.numeric.dtype}, {self.codes.dtype}")

    def __len__(self) -> int:
        return len(self.numeric)

    def to(self, device: torch.device | str) -> "TableBatch":
        """Return the rows on a device."""
        return TableBatch(self.numeric.to(device), self.codes.to(device))

    def rows(self, index: Tensor) -> "TableBatch":
        """Return the rows at int64 `index` (M,)."""
        return TableBatch(self.numeric[index], self.codes[index])
