"""What a mix of two clips is called: laws from two labels and their shares to the label of the mix."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Heard:
    """What a law looks at besides labels.

    Attributes:
        share: float32 (B,) or (B, frames), the own clip's share.
        own: bool (B,) or (B, frames), where the own clip sounds at all.
        other: the same of the partner.
        lengths: float32 (B, 2), how long the own clip and the partner sound in the mix.
    """

    share: Tensor
    own: Tensor
    other: Tensor
    lengths: Tensor


class LabelLaw(Protocol):
    """Labels of a mix."""

    def __call__(self, own: Tensor, other: Tensor, heard: Heard) -> Tensor:
        """Return targets of the shape of `own` and `other`, float (B, K) or (B, K, frames)."""
        ...


@dataclass(frozen=True)
class Share:
    """Labels weighted by the clips' shares: mixup and between-class learning."""

    def __call__(self, own: Tensor, other: Tensor, heard: Heard) -> Tensor:
        """Return share * own + (1 - share) * other; where a clip does not sound, the other one's label alone."""
        share = torch.where(heard.other, torch.where(heard.own, heard.share, 0.0), 1.0)
        return weighted(own, other, across(share, own))


@dataclass(frozen=True)
class Overlap:
    """`Share`, with shares in proportion to how long each clip sounds as well: l n1 / (l n1 + (1 - l) n2).

    Of labels with frames, this is the share of the frames in which both sound.
    """

    def __call__(self, own: Tensor, other: Tensor, heard: Heard) -> Tensor:
        """Return the mix of labels."""
        first, second = heard.lengths.to(own.device).unbind(1)
        share = heard.share.to(own.device)
        lengths = [n.view(-1, *[1] * (share.ndim - 1)) for n in (first, second)]
        mine, theirs = share * lengths[0], (1 - share) * lengths[1]
        total = mine + theirs
        share = torch.where(total > 0, mine / torch.where(total > 0, total, 1.0), share)
        return Share()(own, other, replace(heard, share=share))


@dataclass(frozen=True)
class Union:
    """Every label of both clips is fully on, however loud: Mix-Training (Shi et al. 2023, arXiv:2305.17706).

    Args:
        least: clips with a smaller share than this are not heard, and their labels stay off.

    Raises:
        ValueError: least is not in [0, 0.5].
    """

    least: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.least <= 0.5:
            raise ValueError(f"least must be in [0, 0.5], got least={self.least!r}")

    def __call__(self, own: Tensor, other: Tensor, heard: Heard) -> Tensor:
        """Return the larger of both labels."""
        share = heard.share
        mine = across((heard.own & (share > 0) & (share >= self.least)), own)
        theirs = across((heard.other & (share < 1) & (1 - share >= self.least)), own)
        return torch.maximum(torch.where(mine, own, 0.0), torch.where(theirs, other, 0.0))


@dataclass(frozen=True)
class Original:
    """The own label stays: the partner is a disturbance."""

    def __call__(self, own: Tensor, other: Tensor, heard: Heard) -> Tensor:
        """Return `own`."""
        return own


@dataclass(frozen=True)
class Absorbing:
    """A law for data with classes of nothing in particular: silence, background, unknown.

    Such a class is the absence of the others: mixed with a clip of another class it adds no label and takes none.
    Where the other clip is not in the mix at all, `law` alone decides.

    Args:
        law: for all other pairs, and for two clips of such classes.
        classes: positions of those classes among the K labels.

    Raises:
        ValueError: no classes, or negative ones.

    >>> heard = Heard(torch.tensor([0.5]), torch.tensor([True]), torch.tensor([True]), torch.ones(1, 2))
    >>> silence, yes = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    >>> Absorbing(Share(), (0,))(silence, yes, heard)
    tensor([[0., 1., 0.]])
    """

    law: LabelLaw
    classes: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.classes or min(self.classes) < 0:
            raise ValueError(f"classes must name at least one position, got classes={self.classes}")

    def __call__(self, own: Tensor, other: Tensor, heard: Heard) -> Tensor:
        """Return the mix of labels, or that of the one clip which is more than background."""
        if max(self.classes) >= own.shape[1]:
            raise ValueError(f"classes must be below the {own.shape[1]} labels, got classes={self.classes}")
        mixed = self.law(own, other, heard)
        mine, theirs = (self._background(labels).unsqueeze(1) for labels in (own, other))
        # a clip that nothing was mixed into keeps its label, background or not
        mixed = torch.where(mine & ~theirs & across(heard.other & (heard.share < 1), own), other, mixed)
        return torch.where(theirs & ~mine & across(heard.own & (heard.share > 0), own), own, mixed)

    def _background(self, labels: Tensor) -> Tensor:
        """Return bool (B, ...): most of the label is a background class."""
        total = labels.sum(1)
        return labels[:, list(self.classes)].sum(1) > 0.5 * total


def across(share: Tensor, targets: Tensor) -> Tensor:
    """Return a share (B,) or (B, frames) with the axes of targets (B, K) or (B, K, frames).

    Raises:
        ValueError: frames of share and targets differ.
    """
    share = share.to(targets.device)
    if share.ndim == 1:
        return share.view(-1, *[1] * (targets.ndim - 1))
    if targets.ndim == 2:
        raise ValueError(f"targets must have frames for a share with frames, got shape {tuple(targets.shape)}")
    return share.unsqueeze(1)


def weighted(own: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Return share * own + (1 - share) * other; a share of 0 hides a missing label (NaN)."""
    return torch.where(share > 0, share * own, 0.0) + torch.where(share < 1, (1 - share) * other, 0.0)
