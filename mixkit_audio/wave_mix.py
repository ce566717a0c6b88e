"""Mixing waveforms: convex, gain-aware (between-class) and at a given signal-to-noise ratio, with lengths."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from mixkit.pairing import Pairing, PairSampler
from mixkit.plan import check_targets
from mixkit.randomness import numpy_generator
from mixkit_audio.clips import Clips, as_clips, check_float, like, padded_with, per_clip
from mixkit_audio.label_laws import Heard, LabelLaw, Share
from mixkit_audio.levels import Level, real_part

PER_DB = math.log(10) / 20
"""Logits of an amplitude share per decibel: SNR = 20 log10(r / (1 - r)) = logit(r) / PER_DB."""
Normalize = Literal["none", "power", "peak", "own"]
Length = Literal["max", "own", "min"]


@dataclass(frozen=True)
class SnrPairs:
    """Partners as `partners` draws them, lam such that own and partner stand at a ratio of `low` to `high` decibels.

    lam = sigmoid(SNR ln(10) / 20); with a gain-aware `WaveMix(level=...)` the components of the mix have that ratio
    exactly.  The ratio is uniform in decibels, one a clip.

    Args:
        low: smallest signal-to-noise ratio in dB.
        high: largest.
        partners: draws who mixes with whom; its lam is not used.

    Raises:
        ValueError: low is above high, or one of them is not finite.

    >>> from mixkit import BetaPairs
    >>> pairing = SnrPairs(0.0, 0.0, BetaPairs(1.0))(torch.zeros(3, 2), torch.Generator().manual_seed(0))
    >>> pairing.lam
    tensor([0.5000, 0.5000, 0.5000])
    """

    low: float
    high: float
    partners: PairSampler

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ValueError(f"low and high must be finite decibels in order, got low={self.low!r}, high={self.high!r}")

    @property
    def expected_partner_share(self) -> float:
        """2 E[lam (1 - lam)], in closed form: the integral of lam (1 - lam) over logits is lam."""
        low, high = self.low * PER_DB, self.high * PER_DB
        ends = [1 / (1 + math.exp(-x)) for x in (low, high)]
        return 2 * ends[0] * (1 - ends[0]) if low == high else 2 * (ends[1] - ends[0]) / (high - low)

    def __call__(self, targets: Tensor, generator: Generator) -> Pairing:
        """Draw for `targets` float (B, K)."""
        partner = self.partners(targets, generator).partner
        ratio = numpy_generator(generator).uniform(self.low, self.high, len(targets))
        return Pairing(partner, torch.from_numpy(ratio * PER_DB).sigmoid().float())


@dataclass(frozen=True)
class UniformPairs:
    """Partners as `partners` draws them, lam uniform: the ratio of between-class learning.

    Args:
        partners: draws who mixes with whom, e.g. `OtherClassPairs(1.0)`; its lam is not used.
        low: smallest lam.
        high: largest.

    Raises:
        ValueError: low and high are not in order in [0, 1].
    """

    partners: PairSampler
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"low and high must be in order in [0, 1], got low={self.low!r}, high={self.high!r}")

    @property
    def expected_partner_share(self) -> float:
        """2 E[lam (1 - lam)]."""
        mean = (self.low + self.high) / 2
        square = (self.low**2 + self.low * self.high + self.high**2) / 3
        return 2 * (mean - square)

    def __call__(self, targets: Tensor, generator: Generator) -> Pairing:
        """Draw for `targets` float (B, K)."""
        partner = self.partners(targets, generator).partner
        lam = numpy_generator(generator).uniform(self.low, self.high, len(targets))
        return Pairing(partner, torch.from_numpy(lam).float())


@dataclass(frozen=True, eq=False)
class WavePlan:
    """What was drawn for one batch of waveforms: amplitudes of each clip and its partner, an offset, a label law.

    Attributes:
        pairing: partner, and the own share as the label sees it.
        own: float (B,), amplitude of the own clip.
        other: float (B,), amplitude of the partner.
        offset: int64 (B,), samples by which the partner is late.
        size: samples of what was drawn for.
        lengths: int64 (B,), valid samples of each clip.
        length: of the result, see `WaveMix`.
        limit: whether a mix is turned down to a peak of 1.
        law: from labels and shares to the label.
    """

    pairing: Pairing
    own: Tensor
    other: Tensor
    offset: Tensor
    size: int
    lengths: Tensor
    length: Length
    limit: bool
    law: LabelLaw

    def __len__(self) -> int:
        return len(self.pairing)

    def apply(self, x: Any) -> Any:
        """Mix waveforms (B, ..., T), a tensor or `Clips`; the caller's are not changed.

        Raises:
            ValueError: another number of clips or samples than the plan was drawn for, or whole numbers.
        """
        clips = as_clips(x)
        check_float(clips.values, "WaveMix")
        if len(clips) != len(self) or clips.values.shape[-1] != self.size:
            raise ValueError(
                f"x must be ({len(self)}, ..., {self.size}) that the plan was drawn for, "
                f"got {tuple(clips.values.shape)}"
            )
        values = real_part(clips)
        theirs = later(values.index_select(0, self.pairing.partner.to(values.device)), self.offset)
        # in place on what was just made: passes over memory are what this costs
        mixed = (per_clip(self.own, values) * values).addcmul_(per_clip(self.other, values), theirs)
        lengths = self.result_lengths().to(clips.lengths.device)
        mixed = padded_with(mixed, lengths, 0.0)
        if self.limit:
            peak = mixed.abs().flatten(1).amax(1).clamp_min(1.0).view(-1, *[1] * (mixed.ndim - 1))
            mixed = mixed / torch.where(per_clip(self.pairing.lam, values) == 1, 1.0, peak)
        return like(x, Clips(mixed.to(clips.values.dtype), lengths))

    def result_lengths(self) -> Tensor:
        """Return int64 (B,): valid samples of each mix; a clip that nothing is mixed into keeps its own."""
        theirs = self.offset.to(self.lengths.device) + self.lengths[self.pairing.partner.to(self.lengths.device)]
        theirs = theirs.clamp(max=self.size)
        chosen = {
            "max": torch.maximum(self.lengths, theirs),
            "min": torch.minimum(self.lengths, theirs),
            "own": self.lengths,
        }[self.length]
        alone = (self.pairing.lam == 1).to(self.lengths.device)
        return torch.where(alone, self.lengths, chosen)

    def targets(self, t: Tensor) -> Tensor:
        """Mix `t` float (B, K), or (B, K, frames) where the partner's label moves with its offset."""
        check_targets(t, len(self))
        other = t[self.pairing.partner.to(t.device)]
        lengths = self.lengths.cpu()
        theirs = lengths[self.pairing.partner]
        result = self.result_lengths().cpu()
        sounding = torch.stack([torch.minimum(lengths, result), (result - self.offset).clamp_min(0).minimum(theirs)], 1)
        if t.ndim == 2:
            # a partner that begins behind the end of the mix is not heard
            own, audible = (sounding > 0).unbind(1)
            return self.law(t, other, _on(Heard(self.pairing.lam, own, audible, sounding.float()), t))
        frames = t.shape[2]
        centres = (torch.arange(frames) + 0.5) * self.size / frames  # of the frames, in samples
        own = centres[None] < torch.minimum(lengths, result)[:, None]
        late = self.offset[:, None]
        audible = (centres[None] >= late) & (centres[None] < torch.minimum(late[:, 0] + theirs, result)[:, None])
        steps = (self.offset.double() * frames / self.size).round().long()
        share = self.pairing.lam[:, None].expand(-1, frames)
        return self.law(t, later(other, steps), _on(Heard(share, own, audible, sounding.float()), t))


@dataclass(frozen=True)
class WaveMix:
    """Two sounds at once: waveforms (B, T), (B, C, T) or `Clips` of them; the policy for `Mix`.

    Without `level` amplitudes are lam and 1 - lam, mixup on waveforms; how loud each component is in the mix then
    depends on how loud the clips are, and real keywords differ by 9 dB (standard deviation).  With `level` the
    amplitude of each is corrected by its level, between-class learning (Tokozume et al. 2018, arXiv:1711.10282, eq. 2):

        logit t = logit lam + (G_other - G_own) ln(10) / 20,    x = t x_own + (1 - t) x_other,

    which is the same as mixing at a signal-to-noise ratio of 20 log10(lam / (1 - lam)): see `SnrPairs`.

    NOTE[DIFF] Computed in logits: exact for all lam in [0, 1].  Where one of two clips is digital silence, at the
    level's floor, amplitudes are not corrected: a word would be turned down by tens of decibels and keep its label.

    Args:
        level: estimates levels, `Rms()` or `AWeighted(rate)`; None: amplitudes are not corrected.
        normalize: "power" divides by sqrt(t^2 + (1 - t)^2), so that two clips of one level give that level; "own" keeps
            the own clip as loud as it was; "peak" turns a mix down that would exceed 1; "none".  None: "power" with
            `level`, else "none".
        length: of the result where clips differ: "max", "own" or "min".
        late: largest share of the clip's length by which a partner may begin later, uniformly drawn; it is cut at the
            end.
        law: from two labels to the label of the mix.

    Raises:
        ValueError: an argument is out of range.

    >>> from mixkit import BetaPairs, Mix
    >>> from mixkit_audio.levels import Rms
    >>> mix = Mix(WaveMix(level=Rms()), SnrPairs(-5.0, 5.0, BetaPairs(1.0)))
    >>> waves = torch.randn(4, 16000)
    >>> mix.draw(waves, torch.eye(4), torch.Generator().manual_seed(0)).apply(waves).shape
    torch.Size([4, 16000])
    """

    level: Level | None = None
    normalize: Normalize | None = None
    length: Length = "max"
    late: float = 0.0
    law: LabelLaw = field(default_factory=Share)

    def __post_init__(self) -> None:
        if self.normalize not in (None, "none", "power", "peak", "own"):
            raise ValueError(f'normalize must be "none", "power", "peak" or "own", got {self.normalize!r}')
        if self.length not in ("max", "own", "min"):
            raise ValueError(f'length must be "max", "own" or "min", got {self.length!r}')
        if not 0 <= self.late < 1:
            raise ValueError(f"late must be in [0, 1), got late={self.late!r}")

    def draw(self, inputs: Any, pairing: Pairing, generator: Generator) -> WavePlan:
        """Return the plan for waveforms.

        Raises:
            ValueError: `inputs` are no waveforms in floating point, or lengths differ.
        """
        clips = as_clips(inputs)
        check_float(clips.values, "WaveMix")
        if len(clips) != len(pairing):
            raise ValueError(f"inputs must be {len(pairing)} clips, got shape {tuple(clips.values.shape)}")
        own, other = self.amplitudes(clips, pairing)
        size = clips.values.shape[-1]
        offset = torch.zeros(len(pairing), dtype=torch.int64)
        if self.late:
            uniform = torch.rand(len(pairing), generator=generator, dtype=torch.float64, device="cpu")
            offset = (uniform * self.late * size).long()
        return WavePlan(
            pairing, own, other, offset, size, clips.lengths, self.length, self.normalize == "peak", self.law
        )

    def amplitudes(self, clips: Clips, pairing: Pairing) -> tuple[Tensor, Tensor]:
        """Return the amplitudes (B,) of each clip and of its partner."""
        lam = pairing.lam.to(clips.values.device).double()
        if self.level is None:
            own, other = lam, 1 - lam
        else:
            levels = self.level(clips).double()
            theirs = levels[pairing.partner.to(levels.device)]
            silent = torch.minimum(levels, theirs) <= self.level.floor  # nothing that a word could be compared with
            shift = torch.where(silent, 0.0, theirs - levels) * PER_DB
            logit = lam.logit()
            own, other = (logit + shift).sigmoid(), (-logit - shift).sigmoid()
        wanted = self.normalize or ("none" if self.level is None else "power")
        if wanted == "power":
            power = (own.square() + other.square()).sqrt()
            own, other = own / power, other / power
        elif wanted == "own":
            other, own = other / own.clamp_min(1e-6), torch.ones_like(own)
        return own.float(), other.float()


def later(x: Tensor, steps: Tensor) -> Tensor:
    """Return `x` (B, ..., T) with each row moved by its own number of steps towards the end, zeros before."""
    if not bool(steps.any()):
        return x
    size, most = x.shape[-1], int(steps.max())
    # a view (B, C, most + 1, T) of what is there after 0, 1, ... steps, the last of them first
    windows = torch.nn.functional.pad(x.flatten(1, -2) if x.ndim > 2 else x[:, None], (most, 0)).unfold(2, size, 1)
    rows = torch.arange(len(x), device=x.device)
    return windows[rows, :, (most - steps).to(x.device)].reshape(x.shape)


def _on(heard: Heard, t: Tensor) -> Heard:
    """Return what is heard on the device of the targets."""
    move: Callable[[Tensor], Tensor] = lambda x: x.to(t.device)  # noqa: E731 - shorter than a function beside it
    return Heard(move(heard.share), move(heard.own), move(heard.other), move(heard.lengths))
