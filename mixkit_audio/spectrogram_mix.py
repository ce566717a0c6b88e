"""Mixing spectrograms: as sounds add up, in the power domain, or as a mean of what the features are."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from mixkit.pairing import Pairing
from mixkit.plan import check_targets
from mixkit_audio.clips import Clips, along_time, as_clips, check_float, like, padded_with, per_clip
from mixkit_audio.label_laws import Heard, LabelLaw, Share
from mixkit_audio.wave_mix import PER_DB

Domain = Literal["power", "magnitude", "log", "db"]
Law = Literal["power", "mean"]
DOMAINS = ("power", "magnitude", "log", "db")
PER_DECIBEL = math.log(10) / 10
"""Natural logarithm of power per decibel."""
FLOOR = 1e-10
"""Power below which a clip counts as silent when levels are compared."""


@dataclass(frozen=True, eq=False)
class SpectrogramPlan:
    """What was drawn for one batch of spectrograms: amplitudes of each clip and its partner, a label law.

    Attributes:
        pairing: partner, and the own share as the label sees it.
        own: float (B,), amplitude of the own clip; power is weighted by its square.
        other: float (B,), amplitude of the partner.
        size: frames of what was drawn for, padding among them.
        lengths: int64 (B,), valid frames.
        mix: the policy.
    """

    pairing: Pairing
    own: Tensor
    other: Tensor
    size: int
    lengths: Tensor
    mix: "SpectrogramMix"

    def __len__(self) -> int:
        return len(self.pairing)

    def apply(self, x: Any) -> Any:
        """Mix spectrograms (B, ..., F, T), a tensor or `Clips`; the caller's are not changed.

        Raises:
            ValueError: another number of clips than the plan was drawn for, or whole numbers.
        """
        clips = as_clips(x)
        check_float(clips.values, "SpectrogramMix")
        if len(clips) != len(self):
            raise ValueError(f"x must hold the {len(self)} clips that the plan was drawn for, got {len(clips)}")
        values = clips.values.to(torch.promote_types(clips.values.dtype, torch.float32))
        partner = self.pairing.partner.to(values.device)
        valid = along_time(clips.valid(), values.ndim)
        mixed = self._mixed(values, values[partner], valid, valid[partner])
        # a clip that keeps all of itself stays as it is, bit for bit
        mixed = torch.where(per_clip(self.pairing.lam, values) == 1, values, mixed)
        theirs = clips.lengths[self.pairing.partner.to(clips.lengths.device)]
        longer = torch.maximum(clips.lengths, theirs)
        lengths = torch.where((self.pairing.lam == 1).to(longer.device), clips.lengths, longer)
        if isinstance(x, Clips):
            mixed = torch.where(along_time(Clips(mixed, lengths).valid(), mixed.ndim), mixed, self.mix.padding())
        return like(x, Clips(mixed.to(clips.values.dtype), lengths))

    def _mixed(self, own: Tensor, other: Tensor, valid: Tensor, others_valid: Tensor) -> Tensor:
        """Return the mix in the features' own domain; what is padding in one clip is silence there."""
        domain = self.mix.domain
        if self.mix.law == "mean":
            lam = per_clip(self.pairing.lam, own)
            silence = self.mix.padding()
            return lam * torch.where(valid, own, silence) + (1 - lam) * torch.where(others_valid, other, silence)
        a, b = per_clip(self.own, own), per_clip(self.other, own)
        if domain in ("power", "magnitude"):
            exponent = 1 if domain == "power" else 2
            first = torch.where(valid, own, 0.0) ** exponent * a.square()
            second = torch.where(others_valid, other, 0.0) ** exponent * b.square()
            # the square root has no slope at 0: it is taken of 1 there, and 0 put in its place
            total = first + second
            some = total > 0
            return total if exponent == 1 else torch.where(some, torch.where(some, total, 1.0).sqrt(), 0.0)
        scale = 1.0 if domain == "log" else PER_DECIBEL
        first = torch.where(valid & (a > 0), own * scale + 2 * a.clamp_min(1e-30).log(), -torch.inf)
        second = torch.where(others_valid & (b > 0), other * scale + 2 * b.clamp_min(1e-30).log(), -torch.inf)
        return added(first, second, self.mix.padding() * scale) / scale

    def targets(self, t: Tensor) -> Tensor:
        """Mix `t` float (B, K) or (B, K, frames) by the label law."""
        check_targets(t, len(self))
        other = t[self.pairing.partner.to(t.device)]
        lengths = self.lengths.cpu()
        theirs = lengths[self.pairing.partner]
        share, own, others = self.pairing.lam, lengths > 0, theirs > 0
        if t.ndim == 3:
            frames = t.shape[2]
            centres = (torch.arange(frames) + 0.5) * self.size / frames
            share = share[:, None].expand(-1, frames)
            own, others = centres[None] < lengths[:, None], centres[None] < theirs[:, None]
        sounding = torch.stack([lengths, theirs], 1).float()
        where = t.device
        return self.mix.label(t, other, Heard(share.to(where), own.to(where), others.to(where), sounding.to(where)))


@dataclass(frozen=True)
class SpectrogramMix:
    """Two sounds at once, on spectrograms (B, F, T), (B, C, F, T) or `Clips` of them; the policy for `Mix`.

    `law="power"` mixes what the mixed waveform would have: power a^2 P_own + b^2 P_other (cross terms have mean 0) for
    amplitudes a = lam and b = 1 - lam.  On logarithms that is logaddexp(S_own + 2 log a, S_other + 2 log b), about
    1 dB (rms) from the features of the mixed waveform.  `law="mean"` is the weighted mean of the features as they are:
    of logarithms a geometric mean, loud only where both clips are, as in the mixup paper's experiment.

    Args:
        domain: what the features are: "power", "magnitude", "log" (natural logarithm of power) or "db" (10 log10 of
            power).  It is never guessed.  Normalise after mixing; `LogPower` mixes normalised features.
        law: "power" or "mean".
        gain_aware: amplitudes are corrected by the clips' levels, as in between-class learning, so that components
            stand at 20 log10(lam / (1 - lam)) decibels; for `law="power"`.
        pad: what padding holds; needed for `Clips` of logarithms or decibels, e.g. log(1e-6).  0 in the other domains.
        label: from two labels to the label of the mix.

    Raises:
        ValueError: an argument is out of range, or they contradict each other.

    >>> pairing = Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 1.0]))
    >>> log_power = torch.tensor([[[0.0]], [[0.0]]])
    >>> plan = SpectrogramMix("log").draw(log_power, pairing, torch.Generator())
    >>> plan.apply(log_power).exp().flatten()  # half of the amplitude of each: a quarter of its power, twice
    tensor([0.5000, 1.0000])
    """

    domain: Domain
    law: Law = "power"
    gain_aware: bool = False
    pad: float | None = None
    label: LabelLaw = field(default_factory=Share)

    def __post_init__(self) -> None:
        if self.domain not in DOMAINS:
            raise ValueError(f"domain must be one of {', '.join(DOMAINS)}, got domain={self.domain!r}")
        if self.law not in ("power", "mean"):
            raise ValueError(f'law must be "power" or "mean", got law={self.law!r}')
        if self.gain_aware and self.law == "mean":
            raise ValueError('gain_aware must be False with law="mean", which has no amplitudes')
        if self.pad is not None and self.domain in ("power", "magnitude") and self.pad != 0:
            raise ValueError(f"pad must be 0 or None for domain={self.domain!r}, got pad={self.pad!r}")

    def padding(self) -> float:
        """Return what padding holds; of logarithms the quietest there is where none was given."""
        if self.pad is not None or self.domain in ("power", "magnitude"):
            return self.pad or 0.0
        return math.log(FLOOR) if self.domain == "log" else 10 * math.log10(FLOOR)

    def draw(self, inputs: Any, pairing: Pairing, generator: Generator) -> SpectrogramPlan:
        """Return the plan for spectrograms.

        Raises:
            ValueError: `inputs` are no spectrograms, lengths differ, negative power, or `pad` is missing.
        """
        clips = as_clips(inputs)
        check_float(clips.values, "SpectrogramMix")
        if clips.values.ndim < 3 or len(clips) != len(pairing):
            raise ValueError(
                f"inputs must be {len(pairing)} spectrograms (B, ..., F, T), got shape {tuple(clips.values.shape)}"
            )
        if isinstance(inputs, Clips) and self.pad is None and self.domain in ("log", "db"):
            raise ValueError(
                f"pad must say what padding holds for domain={self.domain!r}, got None; "
                "e.g. the logarithm of what is added to power"
            )
        values = clips.values
        if self.domain in ("power", "magnitude") and values.device.type == "cpu" and bool((values < 0).any()):
            raise ValueError(
                f"{self.domain} must not be negative, got {float(values.min()):.3g}; are the features logarithms "
                '(domain="log") or decibels (domain="db")?'
            )
        lam = pairing.lam.to(values.device).double()
        own, other = lam, 1 - lam
        if self.gain_aware:
            levels = 10 * power_of(clips, self.domain).clamp_min(FLOOR).log10()
            shift = (levels[pairing.partner.to(levels.device)] - levels) * PER_DB
            own, other = (lam.logit() + shift).sigmoid(), (-lam.logit() - shift).sigmoid()
            norm = (own.square() + other.square()).sqrt()
            own, other = own / norm, other / norm
        return SpectrogramPlan(pairing, own.float(), other.float(), values.shape[-1], clips.lengths, self)


def power_of(clips: Clips, domain: Domain) -> Tensor:
    """Return the mean power (B,) over channels, bins and valid frames, in double precision."""
    power = clips.values.to(torch.promote_types(clips.values.dtype, torch.float32))
    if domain == "magnitude":
        power = power.square()
    elif domain in ("log", "db"):
        power = (power if domain == "log" else power * PER_DECIBEL).exp()
    power = padded_with(power, clips.lengths, 0.0)
    cells = math.prod(power.shape[1:-1])
    total = power.flatten(1).sum(1, dtype=torch.float64)
    return total / (clips.lengths.to(power.device) * cells).clamp_min(1)


def added(first: Tensor, second: Tensor, silence: float) -> Tensor:
    """Return logaddexp with finite slopes where one or both are minus infinity; `silence` where both are."""
    nothing = (first == -torch.inf) & (second == -torch.inf)
    larger = torch.maximum(first, second)
    gap = torch.minimum(first, second) - torch.where(nothing, 0.0, larger)
    # exp(-inf) is 0 with a slope of 0 as well
    mixed = torch.where(nothing, 0.0, larger) + torch.where(gap == -torch.inf, 0.0, _safe(gap).exp().log1p())
    return torch.where(nothing, silence, mixed)


def _safe(gap: Tensor) -> Tensor:
    return torch.where(gap == -torch.inf, 0.0, gap)
