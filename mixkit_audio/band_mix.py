"""Bands of frequency and time from another clip (SpecMix), and the mixing of frequency statistics (MixStyle)."""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mixkit.pairing import Pairing
from mixkit.plan import check_targets
from mixkit_audio.clips import Clips, along_time, as_clips, check_float, like, per_clip
from mixkit_audio.label_laws import Heard, LabelLaw, Share


@dataclass(frozen=True, eq=False)
class BandPlan:
    """Cells that stay and cells that come from the partner.

    Attributes:
        pairing: partner, and the share of valid cells that are the sample's own.
        mask: bool (B, F, T), True where the own cell stays.
        lengths: int64 (B,), valid frames.
        label: from two labels to the label of the mix.
    """

    pairing: Pairing
    mask: Tensor
    lengths: Tensor
    label: LabelLaw

    def __len__(self) -> int:
        return len(self.pairing)

    def apply(self, x: Any) -> Any:
        """Paste the partner's cells into (B, ..., F, T), a tensor or `Clips`; the caller's are not changed.

        Raises:
            ValueError: another number of clips, bins or frames than the plan was drawn for.
        """
        clips = as_clips(x)
        values = clips.values
        if len(clips) != len(self) or values.ndim < 3 or values.shape[-2:] != self.mask.shape[1:]:
            raise ValueError(
                f"x must be ({len(self)}, ..., {self.mask.shape[1]}, {self.mask.shape[2]}) that the plan was drawn "
                f"for, got {tuple(values.shape)}"
            )
        mask = self.mask.to(values.device).view(len(self), *[1] * (values.ndim - 3), *self.mask.shape[1:])
        # from the untouched clips: bands that overlap never bring in a third one
        mixed = torch.where(mask, values, values[self.pairing.partner.to(values.device)])
        theirs = clips.lengths[self.pairing.partner.to(clips.lengths.device)]
        whole = self.mask.flatten(1).all(1).to(theirs.device)
        return like(x, Clips(mixed, torch.where(whole, clips.lengths, torch.maximum(clips.lengths, theirs))))

    def targets(self, t: Tensor) -> Tensor:
        """Mix `t` float (B, K) by the share of cells, or (B, K, frames) by the share of each frame's cells."""
        check_targets(t, len(self))
        partner = self.pairing.partner
        other, lengths = t[partner.to(t.device)], self.lengths.cpu()
        sounding = torch.stack([lengths, lengths[partner]], 1).float()
        share, own, others = self.pairing.lam, lengths > 0, lengths[partner] > 0
        if t.ndim == 3:
            frames, size = t.shape[2], self.mask.shape[2]
            share = F.adaptive_avg_pool1d(self.mask.float().mean(1, keepdim=True), frames).squeeze(1)
            centres = (torch.arange(frames) + 0.5) * size / frames
            own, others = centres[None] < lengths[:, None], centres[None] < lengths[partner][:, None]
        heard = Heard(*(x.to(t.device) for x in (share, own, others, sounding)))
        return self.label(t, other, heard)


@dataclass(frozen=True)
class BandMix:
    """Bands of another clip's bins and frames: SpecMix (Kim et al. 2021, arXiv:2108.03020); the policy for `Mix`.

    Takes spectrograms (B, F, T), (B, C, F, T) or `Clips` of them, in any domain.  The label follows the cells that are
    the sample's own among all that are no padding; bands may overlap, and cells are counted once.

    How much is mixed is drawn here; of the pairing's lam only 1 matters, which keeps a clip as it is.

    NOTE[DIFF] The released code draws 0 to 2 bands an axis, so that one clip in nine stays as it is, and bands of
    fixed width; here at least one band is drawn.

    Args:
        frequency: largest number of bands of bins; 0: only of frames (TimeMix).
        time: largest number of bands of frames; 0: only of bins (FreqMix), which keeps words whole.
        width: largest width of a band as a share of its axis, in (0, 1).
        label: from two labels to the label of the mix.

    Raises:
        ValueError: an argument is out of range.

    >>> pairing = Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 1.0]))
    >>> plan = BandMix(time=0).draw(torch.zeros(2, 40, 101), pairing, torch.Generator().manual_seed(0))
    >>> bool((plan.mask[0] == plan.mask[0][:, :1]).all()), bool(plan.mask[1].all())
    (True, True)
    """

    frequency: int = 2
    time: int = 2
    width: float = 0.3
    label: LabelLaw = field(default_factory=Share)

    def __post_init__(self) -> None:
        if self.frequency < 0 or self.time < 0 or self.frequency + self.time == 0:
            raise ValueError(
                "frequency and time must not be negative, and not both 0, "
                f"got frequency={self.frequency!r}, time={self.time!r}"
            )
        if not 0 < self.width < 1:
            raise ValueError(f"width must be in (0, 1), got width={self.width!r}")

    def draw(self, inputs: Any, pairing: Pairing, generator: Generator) -> BandPlan:
        """Return the plan of bands for spectrograms.

        Raises:
            ValueError: `inputs` are no spectrograms, or lengths differ.
        """
        clips = as_spectrograms(inputs, len(pairing))
        size, bins, frames = len(pairing), *clips.values.shape[-2:]
        counts = self._counts(size, generator)
        lengths = clips.lengths.cpu()
        rows = bands(
            counts[:, 0], torch.full((size,), bins), generator, most=self.frequency, width=self.width, size=bins
        )
        longest = torch.maximum(lengths, lengths[pairing.partner])
        columns = bands(counts[:, 1], longest, generator, most=self.time, width=self.width, size=frames)
        mask = ~(rows[:, :, None] | columns[:, None, :])
        mask |= (pairing.lam == 1)[:, None, None]
        return BandPlan(Pairing(pairing.partner, cell_share(mask, lengths, pairing.partner)), mask, lengths, self.label)

    def _counts(self, size: int, generator: Generator) -> Tensor:
        """Return int64 (B, 2): bands of bins and of frames, at least one in all."""
        shape = (self.frequency + 1) * (self.time + 1) - 1
        drawn = 1 + torch.randint(shape, (size,), generator=generator, device="cpu")  # 0 would be no band
        return torch.stack([drawn // (self.time + 1), drawn % (self.time + 1)], 1)


def as_spectrograms(inputs: Any, size: int) -> Clips:
    """Return `inputs` as clips.

    Raises:
        ValueError: they are not `size` spectrograms.
    """
    clips = as_clips(inputs)
    if clips.values.ndim < 3 or len(clips) != size:
        raise ValueError(f"inputs must be {size} spectrograms (B, ..., F, T), got shape {tuple(clips.values.shape)}")
    return clips


def bands(counts: Tensor, lengths: Tensor, generator: Generator, *, most: int, width: float, size: int) -> Tensor:
    """Return bool (B, size): True inside each row's own number of bands, of uniform width and place."""
    inside = torch.zeros(len(counts), size, dtype=torch.bool, device="cpu")
    cells = torch.arange(size, device="cpu")
    for band in range(most):
        draw = torch.rand(len(counts), 2, generator=generator, dtype=torch.float64, device="cpu")
        wide = (1 + draw[:, 0] * (width * lengths)).floor().minimum(lengths.double())
        start = (draw[:, 1] * (lengths - wide + 1)).floor()
        hit = (cells >= start[:, None]) & (cells < (start + wide)[:, None])
        inside |= hit & (counts > band)[:, None]
    return inside


def cell_share(mask: Tensor, lengths: Tensor, partner: Tensor) -> Tensor:
    """Return float32 (B,): own valid cells over all valid cells of the mix."""
    frames = torch.arange(mask.shape[2], device="cpu")[None]
    own = (mask & (frames < lengths[:, None])[:, None]).flatten(1).sum(1).double()
    other = (~mask & (frames < lengths[partner][:, None])[:, None]).flatten(1).sum(1).double()
    total = own + other
    whole = mask.flatten(1).all(1)
    return torch.where(whole | (total == 0), 1.0, own / total.clamp_min(1)).float()


@dataclass(frozen=True, eq=False)
class StylePlan:
    """Statistics of each bin moved towards the partner's; the label stays.

    Attributes:
        pairing: partner, and the own share of the statistics.
    """

    pairing: Pairing

    def __len__(self) -> int:
        return len(self.pairing)

    def apply(self, x: Any) -> Any:
        """Mix the statistics of (B, ..., F, T), a tensor or `Clips`; the caller's are not changed."""
        clips = as_clips(x)
        check_float(clips.values, "StyleMix")
        if len(clips) != len(self):
            raise ValueError(f"x must hold the {len(self)} clips that the plan was drawn for, got {len(clips)}")
        values = clips.values.to(torch.promote_types(clips.values.dtype, torch.float32))
        valid = along_time(clips.valid(), values.ndim)
        count = valid.sum(-1, keepdim=True).clamp_min(1)
        mean = torch.where(valid, values, 0.0).sum(-1, keepdim=True) / count
        centred = torch.where(valid, values - mean, 0.0)
        spread = (centred.square().sum(-1, keepdim=True) / count + 1e-6).sqrt()
        lam, partner = per_clip(self.pairing.lam, values), self.pairing.partner.to(values.device)
        lam = torch.where(valid.any(-1, keepdim=True)[partner], lam, 1.0)  # no frames, no statistics
        new_mean, new_spread = (torch.lerp(stat[partner], stat, lam.expand_as(stat)) for stat in (mean, spread))
        mixed = torch.where(valid & (lam < 1), centred / spread * new_spread + new_mean, values)
        return like(x, clips.holding(mixed.to(clips.values.dtype)))

    def targets(self, t: Tensor) -> Tensor:
        """Return `t`: what is said does not depend on the channel."""
        check_targets(t, len(self))
        return t


@dataclass(frozen=True)
class StyleMix:
    """Each bin takes a mean and a deviation over time between its own and the partner's: MixStyle by frequency.

    Zhou et al. 2021 (arXiv:2104.02008, eqs. 3-6), with statistics of bins instead of channels as for audio (Kim et al.
    2022, arXiv:2206.12513): it mixes recording conditions and keeps the label.  For spectrograms in "log" or "db".

    >>> pairing = Pairing(torch.tensor([1, 0]), torch.tensor([0.0, 1.0]))
    >>> features = torch.tensor([[[0.0, 2.0]], [[10.0, 30.0]]])
    >>> StyleMix().draw(features, pairing, torch.Generator()).apply(features)[0].round()
    tensor([[10., 30.]])
    """

    def draw(self, inputs: Any, pairing: Pairing, generator: Generator) -> StylePlan:
        """Return the plan for spectrograms.

        Raises:
            ValueError: `inputs` are no spectrograms, or lengths differ.
        """
        clips = as_clips(inputs)
        if clips.values.ndim < 3 or len(clips) != len(pairing):
            raise ValueError(
                f"inputs must be {len(pairing)} spectrograms (B, ..., F, T), got shape {tuple(clips.values.shape)}"
            )
        return StylePlan(pairing)
