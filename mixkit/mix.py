"""Recipes of mixing: content, partners and when; one of several; several in a chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from mixkit.pairing import Pairing, PairSampler
from mixkit.plan import ChainPlan, PairPlan, Plan
from mixkit.policies import Policy


class Mixing(Protocol):
    """What `Mix`, `OneOf` and `Chain` have in common."""

    @property
    def until(self) -> float:
        """The share of training after which nothing is mixed any more."""
        ...

    def partner_share(self, progress: float) -> float:
        """Return E[a], the expected share of partners at `progress` in [0, 1] of the training."""
        ...

    def draw(
        self,
        inputs: Any,
        targets: Tensor,
        generator: Generator,
        *,
        progress: float = 0.0,
        keep: Tensor | None = None,
    ) -> Plan:
        """Draw a plan for a batch; `keep` bool (B,) names rows that stay clean."""
        ...


@dataclass(frozen=True)
class Mix:
    """Content (`policy`), partners (`pairs`) and when.

    Args:
        policy: how content mixes, e.g. `Blend()`.
        pairs: who mixes with whom, e.g. `BetaPairs(1.0)`.
        until: share of the training after which nothing is mixed any more, in (0, 1].
        probability: the chance of each sample to be mixed, in (0, 1].

    Raises:
        ValueError: `until` or `probability` is out of range.

    >>> from mixkit.pairing import BetaPairs
    >>> from mixkit.policies import Blend
    >>> plan = Mix(Blend(), BetaPairs(1.0)).draw(torch.rand(4, 3), torch.eye(4), torch.Generator().manual_seed(0))
    >>> plan.apply(torch.rand(4, 3)).shape
    torch.Size([4, 3])
    """

    policy: Policy
    pairs: PairSampler
    until: float = 1.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("until", self.until), ("probability", self.probability)):
            if not 0 < value <= 1:
                raise ValueError(f"{name} must be in (0, 1], got {name}={value!r}")

    def partner_share(self, progress: float) -> float:
        """Return E[a] = probability * 2 E[lam (1 - lam)], or 0 once mixing is over."""
        return self.probability * self.pairs.expected_partner_share if progress < self.until else 0.0

    def draw(
        self,
        inputs: Any,
        targets: Tensor,
        generator: Generator,
        *,
        progress: float = 0.0,
        keep: Tensor | None = None,
    ) -> Plan:
        """Draw a plan for `inputs` (B, ...) and `targets` float (B, K).

        Args:
            inputs: the batch; content or shapes are looked at, nothing is changed.
            targets: encoded labels; class-aware samplers look at them.
            generator: where the draws come from.
            progress: how much of the training is done, in [0, 1]; from `until` on the plan changes nothing.
            keep: bool (B,), rows that stay clean; None: no row has to.
        """
        size = len(targets)
        if progress >= self.until:
            return self.policy.draw(inputs, Pairing.identity(size), generator)
        pairing = self.pairs(targets, generator)
        if self.probability < 1:
            pairing = pairing.keep(torch.rand(size, generator=generator, device="cpu") >= self.probability)
        if keep is not None:
            pairing = pairing.keep(keep)
        return self.policy.draw(inputs, pairing, generator)


@dataclass(frozen=True, init=False)
class OneOf:
    """One of several mixes a batch, e.g. mixup or CutMix.

    Args:
        mixes: the candidates.
        weights: their odds, positive; equal where not given.

    Raises:
        ValueError: no mixes, or weights that are not one positive number a mix.
    """

    mixes: tuple[Mixing, ...]
    weights: tuple[float, ...]

    def __init__(self, mixes: Sequence[Mixing], weights: Sequence[float] | None = None) -> None:
        if not mixes:
            raise ValueError(f"mixes must hold at least one mix, got {mixes=}")
        odds = tuple(weights) if weights is not None else (1.0,) * len(mixes)
        if len(odds) != len(mixes) or not all(odd > 0 for odd in odds):
            raise ValueError(f"weights must be {len(mixes)} positive numbers, one a mix, got {weights=}")
        object.__setattr__(self, "mixes", tuple(mixes))
        object.__setattr__(self, "weights", tuple(odd / sum(odds) for odd in odds))

    @property
    def until(self) -> float:
        """The share of training after which no candidate mixes any more."""
        return max(mix.until for mix in self.mixes)

    def partner_share(self, progress: float) -> float:
        """Return E[a], the mean of the candidates' by their odds."""
        return sum(weight * mix.partner_share(progress) for weight, mix in zip(self.weights, self.mixes, strict=True))

    def draw(
        self,
        inputs: Any,
        targets: Tensor,
        generator: Generator,
        *,
        progress: float = 0.0,
        keep: Tensor | None = None,
    ) -> Plan:
        """Choose a mix and draw its plan; arguments as of `Mix.draw`."""
        choice = int(torch.multinomial(torch.tensor(self.weights, device="cpu"), 1, generator=generator))
        return self.mixes[choice].draw(inputs, targets, generator, progress=progress, keep=keep)


@dataclass(frozen=True, init=False)
class Chain:
    """Several mixes, one after the other, each with a pairing of its own; labels follow the content through all.

    Args:
        mixes: in order; `Mix` only, so that shares can be followed cell by cell.

    Raises:
        ValueError: no mixes, or something else than `Mix` among them.
    """

    mixes: tuple[Mix, ...]

    def __init__(self, mixes: Sequence[Mix]) -> None:
        if not mixes or not all(isinstance(mix, Mix) for mix in mixes):
            raise ValueError(f"mixes must hold one or more Mix, got {mixes=}")
        object.__setattr__(self, "mixes", tuple(mixes))

    @property
    def until(self) -> float:
        """The share of training after which no link mixes any more."""
        return max(mix.until for mix in self.mixes)

    def partner_share(self, progress: float) -> float:
        """Return E[a] as if the links' partners were one: 1 minus the product of what each link keeps."""
        kept = 1.0
        for mix in self.mixes:
            kept *= 1 - mix.partner_share(progress)
        return 1 - kept

    def draw(
        self,
        inputs: Any,
        targets: Tensor,
        generator: Generator,
        *,
        progress: float = 0.0,
        keep: Tensor | None = None,
    ) -> ChainPlan:
        """Draw every link's plan for the same inputs and compose them; arguments as of `Mix.draw`.

        Raises:
            ValueError: the plan of a policy has no shares that could be followed.
        """
        links = []
        for mix in self.mixes:
            link = mix.draw(inputs, targets, generator, progress=progress, keep=keep)
            if not isinstance(link, PairPlan):
                raise ValueError(
                    f"a chain follows shares cell by cell, which {type(mix.policy).__name__} does not have; apply its "
                    "mixes one after the other, each with the targets of the one before"
                )
            links.append(link)
        return ChainPlan.compose(links)
