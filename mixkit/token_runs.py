"""Pooling a long list of tokens for attention, in a way that depends on neither their order nor their padding."""

from typing import NamedTuple

import torch
from torch import Tensor


class Runs(NamedTuple):
    """Tokens grouped into runs along a ranking, in each sample of equal length but for the last.

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


def scores(tokens: Tensor) -> Tensor:
    """Return a number for each token of `tokens` (B, L, C), (B, L): nothing learned, so that runs follow the features.

    It is the mean over channels, but for a slight tilt: tokens of one mean (labels of nodes, one-hot) differ in it.
    """
    channels = tokens.shape[2]
    tilt = 1 + 0.01 * torch.arange(channels, device=tokens.device).cos()
    return tokens.detach() @ (tilt / channels).to(tokens.dtype)


def runs_by(score: Tensor, real: Tensor | None, most: int) -> Runs:
    """Return at most `most` runs of tokens of similar `score` (B, L); padding comes last.

    Ranking by a score, not by position, keeps what is computed from the runs independent of the tokens' order; how
    long runs are is decided sample by sample, from its real tokens.
    """
    size, length = score.shape
    weight = torch.ones_like(score) if real is None else real.to(score.dtype)
    ranked = score.detach() if real is None else score.detach().masked_fill(~real, float("inf"))
    order = ranked.argsort(dim=1, stable=True)
    rank = torch.arange(length, device=score.device).expand(size, length)
    tokens = torch.tensor(length, device="cpu") if real is None else real.sum(1, keepdim=True)
    each = (-(-tokens // most)).clamp(min=1)
    count = -(-length // -(-length // most)) if real is None else min(length, most)
    places = (rank // each).clamp(max=count - 1)
    run = torch.empty_like(order).scatter(1, order, places)
    members = score.new_zeros(size, count).scatter_add(1, run, weight)
    return Runs(run, members, weight)
