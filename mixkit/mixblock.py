"""The learnable mixers: `MixBlock` for two samples (AutoMix, SAMix), `GroupMixBlock` for several (AdAutoMix).

They look at tokens (patches of a picture or spectrogram, columns, nodes) and say how much of each sample a mix takes at
each token.  The options of the published variants are small objects: where queries and keys come from (`Shared`,
`FromEach`, `FromPair`), what the attention reads (`LinearValue`, `NeckValue`), how lam enters (`mixkit.lam_embedding`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from mixkit.lam_embedding import LamConcatenated, LamEmbedding, LamIgnored
from mixkit.randomness import fresh_generator
from mixkit.token_runs import Runs, runs_by, scores

LARGEST_SCALE = 100.0  # of queries times keys: keeps the softmax's gradients alive
INIT_STD = 0.01


class Scored(NamedTuple):
    """What a block says about a batch of mixes.

    Attributes:
        logits: float32 (B, K, L); their softmax over K are the weights of the K samples at each token of the first.
        align: (B, L, D) of the second sample's tokens -> (B, L, D), what the first's tokens see of them; None where the
            block has no such map.
    """

    logits: Tensor
    align: Callable[[Tensor], Tensor] | None = None


class TokenMixer(nn.Module, ABC):
    """A module that weighs samples token by token; abstract."""

    channels: int
    """Of the tokens."""
    by_position: bool
    """Whether tokens of the same position in both samples belong together, as in pictures but not in graphs."""

    @abstractmethod
    def score(self, tokens: Tensor, lam: Tensor, real: Tensor | None = None) -> Scored:
        """Return the weights' logits.

        Args:
            tokens: (B, K, L, C), the samples of each mix, the own one first.
            lam: (B, K), their shares.
            real: bool (B, K, L), False where a token is padding; None: all are real.
        """


class Linear(nn.Module):
    """A linear map of tokens in float32 or better; weights from N(0, 0.01^2), as in the papers, by a given generator.

    Args:
        inside: channels in.
        outside: channels out.
        generator: draws the weights.
        bias: whether there is one; starts at 0.
    """

    def __init__(self, inside: int, outside: int, generator: Generator, *, bias: bool = True) -> None:
        super().__init__()
        weight = torch.randn(outside, inside, generator=generator, dtype=torch.float32, device="cpu")
        self.weight = nn.Parameter(weight * INIT_STD)
        self.bias = nn.Parameter(torch.zeros(outside, dtype=torch.float32, device="cpu")) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., inside) -> (..., outside)."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class Projection(Protocol):
    """Where queries and keys come from; a frozen dataclass."""

    @property
    def by_position(self) -> bool:
        """Whether tokens of the same position are put together."""
        ...

    def build(self, channels: int, hidden: int, generator: Generator) -> nn.Module:
        """Return a module (own (B, L, C), other (B, L', C)) -> queries (B, L, hidden), keys (B, L', hidden)."""
        ...


@dataclass(frozen=True)
class Shared:
    """One projection of both: queries of the own tokens, keys of the partner's (AutoMix)."""

    by_position: bool = False

    def build(self, channels: int, hidden: int, generator: Generator) -> nn.Module:
        """Return the module."""
        projection = Linear(channels, hidden, generator)
        return OfEach(projection, projection)


@dataclass(frozen=True)
class FromEach:
    """A projection of the own tokens for queries, another of the partner's for keys."""

    by_position: bool = False

    def build(self, channels: int, hidden: int, generator: Generator) -> nn.Module:
        """Return the module."""
        return OfEach(Linear(channels, hidden, generator), Linear(channels, hidden, generator))


@dataclass(frozen=True)
class FromPair:
    """Two projections of the pair, own and partner's channels side by side at each position (SAMix)."""

    by_position: bool = True

    def build(self, channels: int, hidden: int, generator: Generator) -> nn.Module:
        """Return the module."""
        return OfPair(Linear(2 * channels, hidden, generator), Linear(2 * channels, hidden, generator))


class OfEach(nn.Module):
    """Queries of the own tokens and keys of the partner's."""

    def __init__(self, query: nn.Module, key: nn.Module) -> None:
        super().__init__()
        self.query = query
        self.key = key

    def forward(self, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries and keys."""
        return self.query(own), self.key(other)


class OfPair(OfEach):
    """Queries and keys of the pair."""

    def forward(self, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries and keys."""
        pair = torch.cat([own, other], 2)
        return self.query(pair), self.key(pair)


class Value(Protocol):
    """What the attention reads; a frozen dataclass."""

    @property
    def on_pair(self) -> bool:
        """Whether it is read off the pair instead of the partner."""
        ...

    def build(self, channels: int, generator: Generator) -> nn.Module:
        """Return a module (B, L, channels) -> (B, L, 1)."""
        ...


@dataclass(frozen=True)
class LinearValue:
    """A linear value (AutoMix).

    Args:
        on_pair: of own and partner's channels side by side; else of the partner's.
    """

    on_pair: bool = False

    def build(self, channels: int, generator: Generator) -> nn.Module:
        """Return the module."""
        return Linear(channels, 1, generator)


@dataclass(frozen=True)
class NeckValue:
    """Two layers with half the channels, at least 8, and ELU between them (SAMix).

    NOTE[DIFF] Normalised by each token's channels instead of BatchNorm: masks do not depend on the rest of the batch,
    and padding does not count.

    Args:
        on_pair: of own and partner's channels side by side.  The released configurations read the partner's only, which
            is the default.
        dropout: of the value while training; 0.1 on ImageNet, 0 on CIFAR.

    Raises:
        ValueError: dropout is not in [0, 1).
    """

    on_pair: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got dropout={self.dropout!r}")

    def build(self, channels: int, generator: Generator) -> nn.Module:
        """Return the module."""
        hidden = half_of(channels)
        layers = [
            Linear(channels, hidden, generator, bias=False),
            Standardized(),
            nn.ELU(),
            Linear(hidden, 1, generator, bias=False),
        ]
        return nn.Sequential(*layers, *([nn.Dropout(self.dropout)] if self.dropout else []))


class Standardized(nn.Module):
    """Each token's channels at mean 0 and deviation 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., C) -> the same shape."""
        return F.layer_norm(x, x.shape[-1:], eps=1e-8)  # tokens may be small


class MixBlock(TokenMixer):
    """Weights of two samples at each token, by cross-attention between them (AutoMix, arXiv:2103.13027).

    A position of the own sample attends to the partner's positions, A = softmax(s q . k), reads the value there and
    takes sigmoid(A v) of the partner, the rest of itself: weights of the two are in (0, 1) and sum to 1.  Permuting the
    own tokens permutes the weights; permuting the partner's changes nothing, unless queries, keys or values come from
    the pair.

    Everything happens in float32 or better, also under autocast.  Above `most_tokens` tokens, those of similar value
    are averaged before they attend.

    NOTE[DIFF] Queries and keys have mean 0 and deviation 1 over their channels and a learned scale s, which starts at
    the papers' 1 / sqrt(hidden): logits stay bounded, where the released code clamps overflows.

    Args:
        channels: C of the tokens.
        hidden: channels of queries and keys, at least 3; None: half of C, at least 8.
        projection: where queries and keys come from: `Shared()`, `FromEach()`, `FromPair()`.
        value: what is read: `LinearValue()`, `NeckValue()`, each also `on_pair`.
        lam: how lam enters: `LamConcatenated()`, the released code's for ImageNet; `LamIgnored()`, its for CIFAR, where
            weights follow lam by the losses only; `LamMultiplied(k)`, `LamPrior()`.
        most_tokens: L above which tokens are pooled; attention needs memory for L^2 numbers a sample.
        generator: draws the initial weights; None: from fresh entropy.

    Raises:
        ValueError: a number is not positive.

    >>> block = MixBlock(8, generator=torch.Generator().manual_seed(0))
    >>> weights = block(torch.rand(2, 5, 8), torch.rand(2, 7, 8), torch.tensor([0.3, 0.6]))
    >>> weights.shape, bool(((weights > 0) & (weights < 1)).all())
    (torch.Size([2, 5]), True)
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int | None = None,
        projection: Projection = Shared(),
        value: Value = LinearValue(),
        lam: LamEmbedding = LamConcatenated(),  # noqa: B008 - frozen
        most_tokens: int = 1024,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        hidden = half_of(channels) if hidden is None else hidden
        check_sizes(channels=channels, most_tokens=most_tokens)
        check_hidden(hidden)
        generator = fresh_generator() if generator is None else generator
        wide = channels + lam.extra
        self.lam = lam
        self.most_tokens = most_tokens
        self.by_position = projection.by_position or value.on_pair
        self.value_on_pair = value.on_pair
        self.channels = channels
        self.projection = projection.build(wide, hidden, generator)
        self.value = value.build(wide * (1 + value.on_pair), generator)
        self.log_scale = nn.Parameter(torch.tensor(hidden**0.5, dtype=torch.float32, device="cpu").log())

    def forward(
        self, own: Tensor, other: Tensor, lam: Tensor, own_real: Tensor | None = None, other_real: Tensor | None = None
    ) -> Tensor:
        """Return the own weights (B, L), float32 or better, in (0, 1); the partner's are the rest to 1.

        Args:
            own: (B, L, C).
            other: (B, L', C).
            lam: (B,), the own share.
            own_real: bool (B, L), False where a token is padding; None: all are real.
            other_real: bool (B, L').

        Raises:
            ValueError: shapes do not fit.
        """
        return torch.sigmoid(-self.attend(own, other, lam, own_real, other_real)[0])

    def score(self, tokens: Tensor, lam: Tensor, real: Tensor | None = None) -> Scored:
        """Return the logits 0 and the partner's score; see `TokenMixer.score`."""
        own_real, other_real = (None, None) if real is None else (real[:, 0], real[:, 1])
        score, align = self.attend(tokens[:, 0], tokens[:, 1], lam[:, 0], own_real, other_real)
        return Scored(torch.stack([torch.zeros_like(score), score], 1), align)

    def attend(
        self, own: Tensor, other: Tensor, lam: Tensor, own_real: Tensor | None, other_real: Tensor | None
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Return the logit of the partner's weight (B, L), and the attention as a map (B, L', D) -> (B, L, D)."""
        self._check(own, other, lam)
        with torch.autocast(own.device.type, enabled=False):
            own, other = at_least_float32(own), at_least_float32(other)
            lam = lam.to(own)
            own_runs, other_runs = self._runs(own, other, own_real, other_real)
            if own_runs is not None:
                own = own_runs.mean(own)
            if other_runs is not None:
                other, other_real = other_runs.mean(other), other_runs.real
            own, other = self.lam.embed(own, lam), self.lam.embed(other, 1 - lam)
            query, key = self.projection(own, other)
            attention = attend(query, key, self.log_scale, other_real)
            value = self.value(torch.cat([own, other], 2) if self.value_on_pair else other)
            score = attention @ value + (self.lam.prior(1 - lam) - self.lam.prior(lam))[:, None, None]
            score = (score if own_runs is None else own_runs.spread(score)).squeeze(2)

        def align(x: Tensor) -> Tensor:
            seen = attention.to(x.dtype) @ (x if other_runs is None else other_runs.mean(x))
            return seen if own_runs is None else own_runs.spread(seen)

        return score, align

    def _runs(
        self, own: Tensor, other: Tensor, own_real: Tensor | None, other_real: Tensor | None
    ) -> tuple[Runs | None, Runs | None]:
        """Return how tokens are pooled; None where there are few enough."""
        if max(own.shape[1], other.shape[1]) <= self.most_tokens:
            return None, None
        first, second = scores(own), scores(other)
        if self.by_position:
            together = runs_by(first + second, own_real, self.most_tokens)
            return together, together
        own_runs = runs_by(first, own_real, self.most_tokens) if own.shape[1] > self.most_tokens else None
        other_runs = runs_by(second, other_real, self.most_tokens) if other.shape[1] > self.most_tokens else None
        return own_runs, other_runs

    def _check(self, own: Tensor, other: Tensor, lam: Tensor) -> None:
        """Raise ValueError unless shapes fit."""
        if own.ndim != 3 or other.ndim != 3 or own.shape[2] != self.channels or other.shape[2] != self.channels:
            raise ValueError(
                f"tokens must be (B, L, {self.channels}), got {tuple(own.shape)} and {tuple(other.shape)}; "
                "channels is the first argument of MixBlock"
            )
        if len(own) != len(other) or lam.shape != own.shape[:1]:
            raise ValueError(
                f"tokens and lam must have one length, got {len(own)}, {len(other)} and {tuple(lam.shape)}"
            )
        if self.by_position and own.shape != other.shape:
            raise ValueError(
                f"FromPair and on_pair need tokens on one grid, got {tuple(own.shape)} and {tuple(other.shape)}; "
                "take Shared() and LinearValue()"
            )


class GroupMixBlock(TokenMixer):
    """Weights of K samples at each position, by attention among all (AdAutoMix, Qin et al. 2024, arXiv:2312.11954).

    Sample i has queries, keys and values of its own maps: a_i = softmax(sum over j != i of q_i . k_j) v_i; the weights
    are the softmax of the a_i over the K samples.  For tokens on one grid.

    NOTE[DIFF] Normalised queries and keys with a learned scale, as in `MixBlock`.

    Args:
        channels: C of the tokens.
        count: K, at least 2.
        hidden: channels of queries and keys, at least 3; None: half of C, at least 8.
        lam: how the shares enter.
        generator: draws the initial weights; None: from fresh entropy.

    Raises:
        ValueError: a number is too small.

    >>> block = GroupMixBlock(8, count=3, generator=torch.Generator().manual_seed(0))
    >>> block.score(torch.rand(2, 3, 5, 8), torch.full((2, 3), 1 / 3)).logits.shape
    torch.Size([2, 3, 5])
    """

    def __init__(
        self,
        channels: int,
        *,
        count: int = 3,
        hidden: int | None = None,
        lam: LamEmbedding = LamIgnored(),  # noqa: B008 - frozen
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        hidden = half_of(channels) if hidden is None else hidden
        check_sizes(channels=channels)
        check_hidden(hidden)
        if count < 2:
            raise ValueError(f"count must be at least 2, got {count=}")
        generator = fresh_generator() if generator is None else generator
        wide = channels + lam.extra
        self.channels = channels
        self.count = count
        self.lam = lam
        self.by_position = True
        self.queries = nn.ModuleList(Linear(wide, hidden, generator) for _ in range(count))
        self.keys = nn.ModuleList(Linear(wide, hidden, generator) for _ in range(count))
        self.values = nn.ModuleList(Linear(wide, 1, generator) for _ in range(count))
        self.log_scale = nn.Parameter(torch.tensor(hidden**0.5, dtype=torch.float32, device="cpu").log())

    def score(self, tokens: Tensor, lam: Tensor, real: Tensor | None = None) -> Scored:
        """Return the logits of the K weights; see `TokenMixer.score`."""
        if tokens.shape[1] != self.count:
            raise ValueError(f"tokens must be of {self.count} samples a mix, got {tokens.shape[1]}; count is K")
        with torch.autocast(tokens.device.type, enabled=False):
            parts = [at_least_float32(part) for part in tokens.unbind(1)]
            parts = [self.lam.embed(part, share.to(part)) for part, share in zip(parts, lam.unbind(1), strict=True)]
            queries = [query(part) for query, part in zip(self.queries, parts, strict=True)]
            keys = [standardized(key(part)) for key, part in zip(self.keys, parts, strict=True)]
            scores = []
            for i, part in enumerate(parts):
                others = torch.stack([key for j, key in enumerate(keys) if j != i]).sum(0)
                attention = attend(queries[i], others, self.log_scale, None if real is None else real[:, i])
                score = (attention @ self.values[i](part)).squeeze(2)
                scores.append(score + self.lam.prior(lam[:, i].to(part))[:, None])
            return Scored(torch.stack(scores, 1))


def attend(query: Tensor, key: Tensor, log_scale: Tensor, real: Tensor | None) -> Tensor:
    """Return the attention (B, L, L') of standardised queries and keys; padding gets none."""
    scale = log_scale.to(query.dtype).exp().clamp(max=LARGEST_SCALE) / query.shape[2]
    logits = scale * standardized(query) @ standardized(key).transpose(1, 2)
    if real is not None:
        # the smallest number, not minus infinity: a sample of padding only then gets a finite mean
        logits = logits.masked_fill(~real[:, None, :], torch.finfo(logits.dtype).min)
    return logits.softmax(2)


def standardized(x: Tensor) -> Tensor:
    """Return `x` with each token's channels at mean 0 and deviation 1."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-8)  # tokens may be small


def at_least_float32(x: Tensor) -> Tensor:
    """Return `x` in float32, or as it is if it is more precise."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def half_of(channels: int) -> int:
    """Return half of `channels`, the papers' choice, but no fewer than attention can learn with."""
    return max(8, channels // 2)


def check_hidden(hidden: int) -> None:
    """Raise ValueError unless queries and keys have channels enough."""
    if hidden < 3:
        raise ValueError(
            f"hidden must be at least 3, got {hidden=}: two standardised numbers are 1 and -1 whatever they were"
        )


def check_sizes(**sizes: int) -> None:
    """Raise ValueError unless all are positive."""
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be positive, got {name}={value!r}")
