"""What was drawn for one batch: plans, applied purely to inputs, masks, hidden features and targets alike.

A plan is a weighting: each element of the mixed tensor keeps a weight of its own sample and takes the rest from the
partner.  `Blend` weighs every element of a sample alike, `CutMix` weighs a box by 0; a chain composes such weightings.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from mixkit.pairing import Pairing


class Plan(Protocol):
    """What a policy drew for one batch; immutable."""

    @property
    def pairing(self) -> Pairing:
        """Partner and own share of the data, after correction to what was really kept."""
        ...

    def apply(self, x: Tensor) -> Tensor:
        """Mix `x` (B, ...); the caller's tensor is not changed."""
        ...

    def targets(self, t: Tensor) -> Tensor:
        """Mix `t` float (B, K, ...) by the label side's weights."""
        ...


@dataclass(frozen=True, eq=False)
class PairPlan(ABC):
    """A plan in which each sample takes from itself and from one partner.

    Attributes:
        pairing: partner and own share of the data.
        label_shares: float32 (B, 2), the weights of the own and of the partner's label; None: the data's shares.
    """

    pairing: Pairing
    label_shares: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pairing)

    @abstractmethod
    def kept(self) -> Tensor:
        """Return float32 (B, *grid): the own weight of each cell of the grid the plan was drawn for."""

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """Mix `x` (B, ...); the caller's tensor is not changed."""

    def targets(self, t: Tensor) -> Tensor:
        """Return float (B, K, ...): own share times `t` plus the other share times the partner's.

        Raises:
            ValueError: `t` is not float, or its length is not the plan's.
        """
        check_targets(t, len(self))
        own, other = (share.to(t.device).view(-1, *[1] * (t.ndim - 1)) for share in self.shares())
        partner = t[self.pairing.partner.to(t.device)]
        # a weight of zero hides the partner's label even if it is missing (NaN)
        return torch.where(own > 0, own * t, 0.0) + torch.where(other > 0, other * partner, 0.0)

    def shares(self) -> tuple[Tensor, Tensor]:
        """Return the label weights of sample and partner, float32 (B,) each."""
        if self.label_shares is None:
            return self.pairing.lam, 1 - self.pairing.lam
        return self.label_shares[:, 0], self.label_shares[:, 1]

    def relabel(self, own: Tensor, other: Tensor) -> "PairPlan":
        """Return this plan with label weights `own` and `other`, float32 (B,) each, instead of the data's shares."""
        return replace(self, label_shares=torch.stack([own, other], 1))


@dataclass(frozen=True, eq=False)
class BlendPlan(PairPlan):
    """Every element is lam times the sample's own plus (1 - lam) times the partner's.

    >>> plan = BlendPlan(Pairing(torch.tensor([1, 0]), torch.tensor([0.75, 1.0])))
    >>> plan.apply(torch.tensor([[0.0], [4.0]]))
    tensor([[1.],
            [4.]])
    """

    def kept(self) -> Tensor:
        """Return lam (B,): the grid is a single cell."""
        return self.pairing.lam

    def apply(self, x: Tensor) -> Tensor:
        """Blend `x` (B, ...); uint8 images are blended in float and rounded, half precision is blended in float32.

        Raises:
            ValueError: `x` holds integer codes, is no tensor, or has another length than the plan.
        """
        check_blendable(x)
        check_length(x, len(self))
        work = x if x.dtype in (torch.float32, torch.float64) or x.is_complex() else x.float()
        lam = self.pairing.lam.to(x.device).view(-1, *[1] * (x.ndim - 1))
        lam = lam.to(work.dtype)  # complex spectrograms too
        # torch.lerp is exact at both ends, so that lam = 1 is the identity bit for bit
        mixed = torch.lerp(work[self.pairing.partner.to(x.device)], work, lam)
        return mixed.round().to(x.dtype) if x.dtype == torch.uint8 else mixed.to(x.dtype)


@dataclass(frozen=True, eq=False)
class MaskPlan(PairPlan):
    """Cells of the last axes are the sample's own where `mask` is True and the partner's elsewhere.

    Attributes:
        mask: bool (B, *grid); applied to the last `mask.ndim - 1` axes of whatever is mixed: images (B, C, H, W),
            frames (B, C, T, H, W), label maps (B, H, W).
    """

    mask: Tensor = field(kw_only=True)

    def kept(self) -> Tensor:
        """Return the mask as float32 (B, *grid)."""
        return self.mask.float()

    def apply(self, x: Tensor) -> Tensor:
        """Paste the partner's cells into `x` (B, ..., *grid), of any dtype.

        Raises:
            ValueError: `x` has another length or grid than the plan was drawn for.
        """
        check_length(x, len(self))
        grid = tuple(self.mask.shape[1:])
        if x.ndim <= len(grid) or tuple(x.shape[-len(grid) :]) != grid:
            raise ValueError(
                f"x must end in the axes {grid} that the plan was drawn for, got shape {tuple(x.shape)}; "
                "draw a plan for this view or resize it first"
            )
        mask = self.mask.to(x.device).view(len(self), *[1] * (x.ndim - 1 - len(grid)), *grid)
        return torch.where(mask, x, x[self.pairing.partner.to(x.device)])


@dataclass(frozen=True, eq=False)
class ChainPlan:
    """Plans applied one after the other; labels follow the content through all of them.

    A later link may cover what an earlier one pasted, so that shares do not simply multiply: the share of every source
    is followed cell by cell (`compose`).

    Attributes:
        links: the plans in order.
        pairing: own share after all links; the partner is the source with the largest other share.
        label_weights: float32 (B, B), the weight of label j in row i.
    """

    links: tuple[PairPlan, ...]
    pairing: Pairing
    label_weights: Tensor

    def __len__(self) -> int:
        return len(self.pairing)

    def apply(self, x: Tensor) -> Tensor:
        """Mix `x` (B, ...) by every link in order."""
        for link in self.links:
            x = link.apply(x)
        return x

    def targets(self, t: Tensor) -> Tensor:
        """Return float (B, K, ...): each source's label times its share of the content."""
        check_targets(t, len(self))
        # source by source: a matrix product would spread one missing label (NaN) to all rows, and round under autocast
        shares, sources = self.label_weights.topk(min(len(self), 2 ** len(self.links)), dim=1)
        mixed = torch.zeros((), device=t.device)
        for share, source in zip(shares.to(t.device).T, sources.to(t.device).T, strict=True):
            weight = share.view(-1, *[1] * (t.ndim - 1))
            mixed = mixed + torch.where(weight > 0, weight * t[source], 0.0)
        return mixed

    @classmethod
    def compose(cls, links: Sequence[PairPlan]) -> "ChainPlan":
        """Return the chain of `links`, with the shares that really remain of every source."""
        data = source_shares(links)
        labels = data
        if any(link.label_shares is not None for link in links):
            labels = torch.eye(len(links[0]), dtype=torch.float32, device="cpu")
            for link in links:  # a link with label weights of its own mixes labels, whatever the content does
                own, other = link.shares()
                labels = own[:, None] * labels + other[:, None] * labels[link.pairing.partner]
        others = data.clone().fill_diagonal_(-1.0)
        pairing = Pairing(others.argmax(1), data.diagonal().clamp(0, 1).clone())
        return cls(tuple(links), pairing, labels)


def source_shares(links: Sequence[PairPlan]) -> Tensor:
    """Return float32 (B, B): the share of sample j in row i after all `links`, followed cell by cell."""
    nothing = Pairing.identity(len(links[0]))
    sources = [nothing.partner]  # each term of a mixed row: whose it is ...
    weights = [nothing.lam]  # ... and the weight of its cells, (B, *grid)
    for link in links:
        kept, partner = link.kept(), link.pairing.partner
        ndim = max(kept.ndim, weights[0].ndim)
        kept = align(kept, ndim)
        weights = [align(weight, ndim) for weight in weights]
        taken = [(1 - kept) * weight[partner] for weight in weights]
        sources += [source[partner] for source in sources]
        weights = [kept * weight for weight in weights] + taken
    shares = torch.zeros(len(nothing), len(nothing), dtype=torch.float32, device="cpu")
    for source, weight in zip(sources, weights, strict=True):
        shares.scatter_add_(1, source[:, None], weight.reshape(len(weight), -1).mean(1, keepdim=True))
    return shares


def align(weight: Tensor, ndim: int) -> Tensor:
    """Return `weight` (B, *grid) with single axes after the first until it has `ndim` axes."""
    return weight.view(len(weight), *[1] * (ndim - weight.ndim), *weight.shape[1:])


def check_blendable(x: Tensor) -> None:
    """Raise ValueError unless `x` is a tensor whose values may be averaged."""
    if not isinstance(x, Tensor):
        raise ValueError(
            f"Blend mixes tensors, got {type(x).__name__}; structures cannot be averaged: take a policy for them, "
            'or mix hidden features, with place=AtSite("name of a submodule")'
        )
    image = x.dtype == torch.uint8 and x.ndim >= 3
    if not (x.is_floating_point() or x.is_complex() or image):
        raise ValueError(
            f"Blend averages values, got {x.dtype} of shape {tuple(x.shape)}: codes cannot be averaged; "
            'mix what their embedding gives out, with place=AtSite("name of the embedding"), or convert to float'
        )


def check_length(x: Tensor, size: int) -> None:
    """Raise ValueError unless `x` has `size` rows."""
    if not isinstance(x, Tensor):
        raise ValueError(f"a plan mixes tensors, got {type(x).__name__}")
    if len(x) != size:
        raise ValueError(f"x must have the {size} rows that the plan was drawn for, got shape {tuple(x.shape)}")


def check_targets(t: Tensor, size: int) -> None:
    """Raise ValueError unless `t` is float with `size` rows and at least two axes."""
    if not (isinstance(t, Tensor) and t.is_floating_point() and t.ndim >= 2):
        what = f"{t.dtype} {tuple(t.shape)}" if isinstance(t, Tensor) else type(t).__name__
        raise ValueError(f"targets must be float of shape (B, K), got {what}; encode labels with task.encode")
    if len(t) != size:
        raise ValueError(f"targets must have the {size} rows that the plan was drawn for, got {tuple(t.shape)}")
