"""Pooling a long list of tokens for attention, in a way that does not depend on their order."""

from typing import NamedTuple

import torch
from torch import Tensor


class Runs(NamedTuple):
    """Tokens grouped into runs of equal length along a ranking.

    Attributes:
        run: int64 (B, L), which run a token belongs to.
        members: (B, P), how many real tokens a run has.
        weight: (B, L), 1 for real tokens and 0 for padding.
    """

    run: Tensor
    members: Tensor
    weight: Tensor

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean of `x` (B, L, D) in each run, (B, P, D); 0 where a run holds padding only."""
        index = self.run[:, :, None].expand(x.shape)
        sums = x.new_zeros(len(x), self.members.shape[1], x.shape[2])
        sums = sums.scatter_add(1, index, x * self.weight[:, :, None].to(x.dtype))
        return sums / self.members.clamp(min=1)[:, :, None].to(x.dtype)

    def spread(self, y: Tensor) -> Tensor:
        """Return (B, L, D): each token's row of `y` (B, P, D)."""
        return y.gather(1, self.run[:, :, None].expand(*self.run.shape, y.shape[2]))

    @property
    def real(self) -> Tensor:
        """Bool (B, P): which runs hold a real token."""
        return self.members > 0


def runs_by(score: Tensor, real: Tensor | None, most: int) -> Runs:
    """Return at most `most` runs of tokens of similar `score` (B, L); padding comes last.

    Ranking by a score, not by position, keeps what is computed from the runs independent of the tokens' order.
    """
    size, length = score.shape
    weight = torch.ones_like(score) if real is None else real.to(score.dtype)
    ranked = score.detach() if real is None else score.detach().masked_fill(~real, float("inf"))
    order = ranked.argsort(dim=1, stable=True)
    each = -(-length // most)
    places = (torch.arange(length, device=score.device) // each).expand(size, length)
    run = torch.empty_like(order).scatter(1, order, places)
    members = score.new_zeros(size, -(-length // each)).scatter_add(1, run, weight)
    return Runs(run, members, weight)
