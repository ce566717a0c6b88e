"""Tokens of clips for learned mixing: what stands out from the rest of its clip."""

from typing import Any

import torch
from torch import Tensor

from mixkit.tokens import MapTokens, Tokens


class ClipTokens(MapTokens):
    """`MapTokens` whose tokens have mean 0 in each channel, and deviation 1 over all channels, in each clip.

    Behind a ReLU all moments of a clip have most in common: queries and keys of them are all alike, and a value that
    reads them moves all weights of a clip together, until one of the two samples is all that is left of a mix.

    NOTE[DIFF] The papers give the features as they are to the block.

    >>> features = 5 + torch.rand(2, 48, 8)
    >>> values = ClipTokens("stage2", 48).tokens(features, None).values
    >>> bool(values.mean(1).abs().max() < 1e-5), bool((values.square().mean((1, 2)) - 1).abs().max() < 1e-4)
    (True, True)
    """

    def tokens(self, features: Tensor, inputs: Any) -> Tokens:
        """Return (B, positions, C), in float32 or better; zeros of a clip that is the same throughout.

        Raises:
            ValueError: the features are no maps of C channels.
        """
        found = super().tokens(features, inputs)
        with torch.autocast(features.device.type, enabled=False):
            values = found.values.to(torch.promote_types(features.dtype, torch.float32))
            values = values - values.mean(1, keepdim=True)
            values = values / values.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1e-6)
        return found._replace(values=values)
