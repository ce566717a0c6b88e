"""Arithmetic of consecutive pieces: where they start, which elements they have, on any device."""

import torch
from torch import Tensor


def ranges(first: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return first[0], first[0] + 1, ..., `counts[0]` of them, then those from first[1] on, and whose each is.

    >>> ranges(torch.tensor([5, 0, 9]), torch.tensor([2, 0, 3]))
    (tensor([ 5,  6,  9, 10, 11]), tensor([0, 0, 2, 2, 2]))
    """
    ends = counts.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    owner = torch.arange(len(counts), device=counts.device).repeat_interleave(counts, output_size=total)
    return torch.arange(total, device=counts.device) + (first - ends + counts).index_select(0, owner), owner


def starts(owner: Tensor, count: int) -> Tensor:
    """Return where the elements of each of `count` owners start, and where the last ones end; `owner` ascends.

    >>> starts(torch.tensor([0, 0, 2]), 3)
    tensor([0, 2, 2, 3])
    """
    return torch.searchsorted(owner, torch.arange(count + 1, device=owner.device))  # a count takes much longer


def pointers(counts: Tensor) -> Tensor:
    """Return where each of consecutive pieces starts, and where the last one ends."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
