"""From features to tokens and from weights to a plan: what a Mix Block needs to know about a kind of data.

A `TokenSite` names the submodule whose output (or input) the teacher's features are, makes tokens of them, and turns
the block's weights into a plan.  `MapTokens` is for feature maps, `SpanTokens` for vectors whose channels belong
together in spans (columns of a table); adapters bring their own for other structures.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from mixkit.mixblock import Scored
from mixkit.pairing import Pairing, Sources
from mixkit.placement import Placement
from mixkit.plan import check_blendable, check_length, check_targets
from mixkit.randomness import fresh_generator


class Tokens(NamedTuple):
    """Tokens of a batch.

    Attributes:
        values: (B, L, C).
        real: bool (B, L), False where a token is padding; None: all are real.
        grid: the shape whose cells the L tokens are, in order.
        layout: what the site's plan has to know beside this about where tokens came from.
    """

    values: Tensor
    real: Tensor | None
    grid: tuple[int, ...]
    layout: object = None


class Combine(Protocol):
    """How weighted samples become one."""

    def __call__(self, parts: Sequence[Tensor], log_weights: Tensor) -> Tensor:
        """Return (B, ...) of K `parts` (B, ...) with `log_weights` (B, K, ...), broadcastable to the parts.

        Weights of 0 are minus infinity there, only where no gradient is needed.
        """
        ...


@dataclass(frozen=True)
class WeightedMean:
    """The sum of weight times sample."""

    def __call__(self, parts: Sequence[Tensor], log_weights: Tensor) -> Tensor:
        """Return the weighted mean."""
        weights = log_weights.exp()
        return sum((weights[:, k] * part for k, part in enumerate(parts[1:], 1)), start=weights[:, 0] * parts[0])


@dataclass(frozen=True, eq=False)
class LearnedPlan:
    """A plan of soft weights: at each cell the K samples are weighed by a softmax.

    Attributes:
        sources: which samples, and their shares.
        logits: float32 (B, K, *grid); differentiable.
        labels: float32 (B, K), weights of the samples' labels.
        spread: (logits, shape of what is mixed) -> logits that broadcast to it, (B, K, ...).
        combine: how weighted samples become one.
        real: bool (B, *grid), False where a cell is padding; None: all are real.
        blended: bool (B,), rows that are blended by their shares, whatever the logits say; None: no row is.
    """

    sources: Sources
    logits: Tensor
    labels: Tensor
    spread: Callable[[Tensor, torch.Size], Tensor]
    combine: Combine
    real: Tensor | None = None
    blended: Tensor | None = None

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def pairing(self) -> Pairing:
        """The own share that was drawn, and the partner of the largest share."""
        return self.sources.pairing

    def apply(self, x: Tensor) -> Tensor:
        """Mix `x` (B, ...); half precision is mixed in float32.

        Raises:
            ValueError: `x` holds integers, is no tensor, or has another length than the plan.
        """
        check_blendable(x)
        if x.dtype == torch.uint8:  # through which the block could not learn
            raise ValueError("learned weights mix float inputs, got torch.uint8; convert pictures to float first")
        check_length(x, len(self))
        work = x if x.dtype in (torch.float32, torch.float64) or x.is_complex() else x.float()
        index = self.sources.index.to(x.device)
        parts = [work, *(work[index[:, k]] for k in range(1, index.shape[1]))]
        log_weights = self._blend(self.spread(self.logits, x.shape).log_softmax(1)).to(work.real.dtype)
        return self.combine(parts, log_weights).to(x.dtype)

    def targets(self, t: Tensor) -> Tensor:
        """Return float (B, K, ...): each source's label times its weight."""
        check_targets(t, len(self))
        index, labels = self.sources.index.to(t.device), self.labels.to(t.device)
        mixed = torch.zeros((), device=t.device)
        for k in range(index.shape[1]):
            weight = labels[:, k].view(-1, *[1] * (t.ndim - 1))
            # a weight of zero hides a label even if it is missing (NaN)
            mixed = mixed + torch.where(weight > 0, weight * t[index[:, k]], 0.0)
        return mixed

    def weights(self) -> Tensor:
        """Return (B, K, *grid): the weight of each sample at each cell, summing to 1 over K."""
        return self._blend(self.logits.log_softmax(1)).exp()

    def _blend(self, log_weights: Tensor) -> Tensor:
        """Return `log_weights` (B, K, ...) with the log shares in the rows that are blended."""
        if self.blended is None:
            return log_weights
        axes = [1] * (log_weights.ndim - 2)
        shares = self.sources.lam.to(log_weights).log().view(*log_weights.shape[:2], *axes)
        return torch.where(self.blended.to(log_weights.device).view(-1, 1, *axes), shares, log_weights)

    def shares(self) -> Tensor:
        """Return (B, K): the mean weight of each sample over real cells."""
        return mean_over_cells(self.weights(), self.real)

    def variance(self) -> Tensor:
        """Return (B,): the variance of the own weight over real cells."""
        own = self.weights()[:, :1]
        mean = mean_over_cells(own, self.real)
        return mean_over_cells((own - mean.view(len(own), 1, *[1] * (own.ndim - 2))).square(), self.real)[:, 0]

    def blend(self, rows: Tensor) -> "LearnedPlan":
        """Return the plan in which the rows that are True in `rows` (B,) are blended by their shares, as in mixup."""
        return replace(self, blended=rows if self.blended is None else self.blended | rows)

    def label_by_weights(self) -> "LearnedPlan":
        """Return the plan whose labels follow the mean weights instead of the drawn shares."""
        return replace(self, labels=self.shares().detach())


def mean_over_cells(values: Tensor, real: Tensor | None) -> Tensor:
    """Return the mean of `values` (B, K, *grid) over the cells that are real, (B, K)."""
    if real is None:
        return values.flatten(2).mean(2)
    mask = real.flatten(1)[:, None].to(values)
    return (values.flatten(2) * mask).sum(2) / mask.sum(2).clamp(min=1)


class TokenSite(nn.Module, ABC):
    """Where tokens come from and what weights of them mean; abstract.

    Attributes:
        site: the submodule whose output the features are, or its input with "name:input".
        channels: C of the tokens.
        common_grid: whether position i means the same in all samples, as `FromPair` and `GroupMixBlock` need.
        place: where samples must be mixed by these tokens' plans, which learned mixing prefers to where other methods
            mix; None: wherever those do.
    """

    common_grid = True
    place: Placement | None = None

    def __init__(self, site: str, channels: int) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels must be positive, got {channels=}")
        self.site = site
        self.channels = channels

    @abstractmethod
    def tokens(self, features: Tensor, inputs: Any) -> Tokens:
        """Return the tokens of `features`, which passed the site when the model ran on `inputs`."""

    @abstractmethod
    def plan(self, sources: Sources, scored: Scored, tokens: Tokens) -> LearnedPlan:
        """Return the plan of what a block `scored` on the `tokens`; labels follow the shares drawn."""


class MapTokens(TokenSite):
    """Feature maps (B, C, *grid): a token a position; weights are resized to the last axes of what is mixed.

    For pictures (B, C, H, W), spectrograms, and sequences (B, C, T), whose weights are shared by all other axes.  Maps
    of more positions than `most_tokens` are averaged over small windows first.

    Args:
        site: name of the submodule, e.g. "layer3"; the papers take the last stage but one.
        channels: C of its maps.
        smooth: weights are interpolated linearly (SAMix) instead of repeated (AutoMix).
        combine: how weighted samples become one; in the power domain for spectrograms.
        most_tokens: of a map.

    >>> tokens = MapTokens("layer3", 16).tokens(torch.rand(2, 16, 4, 4), None)
    >>> tokens.values.shape, tokens.grid
    (torch.Size([2, 16, 16]), (4, 4))
    """

    def __init__(
        self,
        site: str,
        channels: int,
        *,
        smooth: bool = False,
        combine: Combine | None = None,
        most_tokens: int = 1024,
    ) -> None:
        super().__init__(site, channels)
        if most_tokens < 1:
            raise ValueError(f"most_tokens must be positive, got {most_tokens=}")
        self.smooth = smooth
        self.combine: Combine = WeightedMean() if combine is None else combine
        self.most_tokens = most_tokens

    def tokens(self, features: Tensor, inputs: Any) -> Tokens:
        """Return (B, positions, C).

        Raises:
            ValueError: the features are no maps of C channels.
        """
        if not 3 <= features.ndim <= 5 or features.shape[1] != self.channels:
            raise ValueError(
                f"features at {self.site!r} must be maps (B, {self.channels}, ...) with one to three axes, "
                f"got {tuple(features.shape)}; give MapTokens a site of maps and its channels"
            )
        grid = features.shape[2:]
        if math.prod(grid) > self.most_tokens:
            step = 2
            while math.prod(max(1, side // step) for side in grid) > self.most_tokens:
                step += 1
            grid = torch.Size(max(1, side // step) for side in grid)
            features = averaged(features, grid)
        return Tokens(features.flatten(2).transpose(1, 2), None, tuple(grid))

    def plan(self, sources: Sources, scored: Scored, tokens: Tokens) -> LearnedPlan:
        """Return the plan; see `TokenSite.plan`."""
        logits = scored.logits.view(*scored.logits.shape[:2], *tokens.grid)
        return LearnedPlan(sources, logits, sources.lam, self._resize, self.combine)

    def _resize(self, logits: Tensor, shape: torch.Size) -> Tensor:
        """Return logits (B, K, 1, ..., *sides) for things of `shape` (B, ..., *sides)."""
        axes = logits.ndim - 2
        if len(shape) <= axes:
            raise ValueError(f"x must have {axes} axes behind the batch's and channels', got shape {tuple(shape)}")
        size = list(shape[-axes:])
        if self.smooth:
            resized = F.interpolate(logits, size, mode=SMOOTH[axes], align_corners=False)
        else:
            resized = F.interpolate(logits, size, mode="nearest-exact")
        return resized.view(*resized.shape[:2], *[1] * (len(shape) - 1 - axes), *size)


class PatchTokens(MapTokens):
    """Token lists (B, P + L, C) of vision transformers: P leading ones (class, registers) are left out, L are patches.

    Args:
        site: name of the submodule that gives out the tokens, e.g. "blocks.5".
        channels: C.
        grid: the patches' grid; its product is L.
        leading: P.
        smooth: as of `MapTokens`.
        combine: as of `MapTokens`.
        most_tokens: as of `MapTokens`.

    >>> PatchTokens("blocks.5", 16, (4, 4)).tokens(torch.rand(2, 17, 16), None).grid
    (4, 4)
    """

    def __init__(
        self,
        site: str,
        channels: int,
        grid: tuple[int, ...],
        *,
        leading: int = 1,
        smooth: bool = False,
        combine: Combine | None = None,
        most_tokens: int = 1024,
    ) -> None:
        super().__init__(site, channels, smooth=smooth, combine=combine, most_tokens=most_tokens)
        if not 1 <= len(grid) <= 3 or min(grid) < 1 or leading < 0:
            raise ValueError(
                f"grid must have one to three positive sides and leading must not be negative, got {grid=}, {leading=}"
            )
        self.grid = grid
        self.leading = leading

    def tokens(self, features: Tensor, inputs: Any) -> Tokens:
        """Return (B, patches, C).

        Raises:
            ValueError: the features are no lists of that many tokens of C channels.
        """
        count = self.leading + math.prod(self.grid)
        if features.ndim != 3 or features.shape[1:] != (count, self.channels):
            raise ValueError(
                f"features at {self.site!r} must be tokens (B, {count}, {self.channels}), {self.leading} of them "
                f"leading, got {tuple(features.shape)}"
            )
        maps = features[:, self.leading :].transpose(1, 2)
        return super().tokens(maps.reshape(len(features), self.channels, *self.grid), inputs)


SMOOTH = {1: "linear", 2: "bilinear", 3: "trilinear"}


def averaged(maps: Tensor, grid: torch.Size) -> Tensor:
    """Return maps (B, C, *grid): means over windows that cover `maps` (B, C, ...)."""
    for axis, size in enumerate(grid, 2):  # windows are boxes: one axis after the other
        flat = maps.movedim(axis, -1)
        maps = F.adaptive_avg_pool1d(flat.flatten(1, -2), size).view(*flat.shape[:-1], size).movedim(-1, axis)
    return maps


class SpanTokens(TokenSite):
    """Vectors (B, D) whose channels belong together in spans: a token a span, mapped to common channels.

    Each span has a linear map and a bias of its own, learned with the block, so that spans of unequal width compare and
    a span keeps its identity.  Weights go to all channels of the span.

    Args:
        site: name of the submodule that gives out the vectors.
        span_of: for each of the D channels, the number of its span, 0 ... L - 1, in any order.
        channels: C of the tokens.
        combine: how weighted samples become one.
        rows: inputs -> int64 indices of the site's rows that are samples; None: all.
        generator: draws the initial maps; None: from fresh entropy.

    Raises:
        ValueError: spans are not numbered 0 ... L - 1.

    >>> spans = SpanTokens("embed", [0, 0, 1], channels=4, generator=torch.Generator().manual_seed(0))
    >>> spans.tokens(torch.rand(5, 3), None).values.shape
    torch.Size([5, 2, 4])
    """

    index: Tensor
    span_of: Tensor
    filled: Tensor

    def __init__(
        self,
        site: str,
        span_of: Sequence[int],
        *,
        channels: int = 16,
        combine: Combine | None = None,
        rows: Callable[[Any], Tensor] | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(site, channels)
        spans = sorted(set(span_of))
        if not spans or spans != list(range(len(spans))):
            raise ValueError(f"span_of must number the spans 0, 1, ..., got {spans[:10]}")
        generator = fresh_generator() if generator is None else generator
        members = [[d for d, span in enumerate(span_of) if span == j] for j in spans]
        width = max(map(len, members))
        self.combine: Combine = WeightedMean() if combine is None else combine
        self.rows = rows
        self.register_buffer("span_of", torch.tensor(list(span_of), device="cpu"), persistent=False)
        padded = [own + [0] * (width - len(own)) for own in members]
        self.register_buffer("index", torch.tensor(padded, device="cpu"), persistent=False)
        filled = [[float(i < len(own)) for i in range(width)] for own in members]
        self.register_buffer("filled", torch.tensor(filled, device="cpu"), persistent=False)
        weight = torch.randn(len(spans), width, channels, generator=generator, dtype=torch.float32, device="cpu")
        bias = torch.randn(len(spans), channels, generator=generator, dtype=torch.float32, device="cpu")
        self.weight = nn.Parameter(weight / width**0.5)
        self.bias = nn.Parameter(bias)

    def tokens(self, features: Tensor, inputs: Any) -> Tokens:
        """Return (B, spans, C), in float32 or better.

        Raises:
            ValueError: the features are no vectors of D channels.
        """
        if features.ndim != 2 or features.shape[1] != len(self.span_of):
            raise ValueError(
                f"features at {self.site!r} must be vectors (B, {len(self.span_of)}), got {tuple(features.shape)}"
            )
        if self.rows is not None:
            features = features[self.rows(inputs).to(features.device)]
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(torch.promote_types(features.dtype, torch.float32))
            spans = features[:, self.index] * self.filled.to(features.dtype)
            values = torch.einsum("blw,lwc->blc", spans, self.weight.to(features.dtype)) + self.bias.to(features.dtype)
        return Tokens(values, None, (len(self.index),))

    def plan(self, sources: Sources, scored: Scored, tokens: Tokens) -> LearnedPlan:
        """Return the plan; see `TokenSite.plan`."""
        return LearnedPlan(sources, scored.logits, sources.lam, self._spread, self.combine)

    def _spread(self, logits: Tensor, shape: torch.Size) -> Tensor:
        """Return logits (B, K, D) for vectors of `shape` (B, D)."""
        if len(shape) != 2 or shape[1] != len(self.span_of):
            raise ValueError(f"x must have shape (B, {len(self.span_of)}), got {tuple(shape)}")
        return logits[:, :, self.span_of]
