"""A box of another clip's bins and frames: CutMix on spectrograms of unequal lengths."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from mixkit.pairing import Pairing
from mixkit_audio.band_mix import BandPlan, as_spectrograms, cell_share
from mixkit_audio.label_laws import LabelLaw, Share


@dataclass(frozen=True)
class BoxMix:
    """A box of the partner in each spectrogram (CutMix, Yun et al. 2019, arXiv:1905.04899, eqs. 1-2).

    Takes (B, F, T), (B, C, F, T) or `Clips` of them, in any domain.  A box of 1 - lam of the area up to the longer
    clip's end is centred uniformly there, so that padding is not cut for nothing; the label follows the cells that are
    the sample's own among all that are no padding.  `mixkit.CutMix` is the same for clips of one length.

    Args:
        label: from two labels to the label of the mix.

    >>> pairing = Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 1.0]))
    >>> plan = BoxMix().draw(torch.zeros(2, 40, 101), pairing, torch.Generator().manual_seed(0))
    >>> bool(plan.mask[1].all()), round(float(plan.mask[0].float().mean() - plan.pairing.lam[0]), 6)
    (True, 0.0)
    """

    label: LabelLaw = field(default_factory=Share)

    def draw(self, inputs: Any, pairing: Pairing, generator: Generator) -> BandPlan:
        """Return the plan of one box a clip.

        Raises:
            ValueError: `inputs` are no spectrograms, or lengths differ.
        """
        clips = as_spectrograms(inputs, len(pairing))
        bins, frames = clips.values.shape[-2:]
        lengths = clips.lengths.cpu()
        longest = torch.maximum(lengths, lengths[pairing.partner])
        side = (1 - pairing.lam.double()).sqrt()
        draw = torch.rand(len(pairing), 2, generator=generator, dtype=torch.float64, device="cpu")
        rows = stretch(torch.full_like(longest, bins), side, draw[:, 0], bins)
        columns = stretch(longest, side, draw[:, 1], frames)
        mask = ~(rows[:, :, None] & columns[:, None, :])
        return BandPlan(Pairing(pairing.partner, cell_share(mask, lengths, pairing.partner)), mask, lengths, self.label)


def stretch(lengths: Tensor, share: Tensor, place: Tensor, size: int) -> Tensor:
    """Return bool (B, size): True in a stretch of `share` of each length around `place` of it, clipped at its ends."""
    wide = (lengths * share).floor()
    low = (place * lengths).floor() - (wide / 2).floor()
    cells = torch.arange(size, device="cpu")
    inside = (cells >= low[:, None]) & (cells < (low + wide)[:, None])
    return inside & (cells < lengths[:, None])
