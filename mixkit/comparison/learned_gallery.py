"""Galleries of methods that learn how to mix: pairs, mixtures, and the learned weights drawn over the pair."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mixkit.automix import AutoMix
from mixkit.comparison.gallery import (
    caption,
    feature_map,
    features_as_picture,
    inside,
    picked_rows,
    untrained,
    what_is_mixed,
)
from mixkit.comparison.problems import IntArray, Prepared, Problem
from mixkit.method import Method
from mixkit.objectives import Objective
from mixkit.placement import AtInputs, AtSite, Placement
from mixkit.report.summary import GalleryItem
from mixkit.report.weights import bars, maps
from mixkit.tokens import LearnedPlan


def learns_to_mix(problem: Problem, prepared: Prepared, method: Method) -> bool:
    """Return whether `method` has nothing to show before it is trained.

    Raises:
        ValueError: the method cannot be built on this problem.
    """
    return isinstance(untrained(problem, prepared, method), AutoMix)


def learned_gallery(
    problem: Problem,
    prepared: Prepared,
    name: str,
    objective: Objective,
    rows: IntArray,
    *,
    trained: str,
    pairs: int = 3,
    seed: int = 0,
) -> list[GalleryItem]:
    """Return `pairs` samples mixed by a trained objective, the most mixed first; none unless it learned how to mix.

    Args:
        problem: whose samples are shown.
        prepared: its preprocessing.
        name: of the method.
        objective: after its training, on the CPU, in float32.
        rows: the rows to choose from, int64.
        trained: how it was trained, in words.
        pairs: how many.
        seed: of the choice.
    """
    objective = inside(objective)
    if not isinstance(objective, AutoMix):
        return []
    picked = picked_rows(rows, pairs, seed)
    with torch.no_grad():
        batch = Mixes.drawn(prepared, objective, picked)
    return [
        GalleryItem(
            method=name,
            own=prepared.show(batch.inputs, i),
            partner=prepared.show(batch.inputs, sources[1]),
            mixed=batch.mixture(i),
            caption=caption(problem, picked[sources], batch.plan.labels[i].tolist()),
            further=tuple(prepared.show(batch.inputs, source) for source in sources[2:]),
            weights=batch.weights(i),
            trained=trained,
        )
        for i, sources in most_mixed(batch.plan)[:pairs]
    ]


def most_mixed(plan: LearnedPlan) -> list[tuple[int, list[int]]]:
    """Return each row that has partners with the rows it is made of, the most evenly shared first."""
    index, lam = plan.sources.index, plan.sources.lam
    order = (lam - 1 / lam.shape[1]).abs().amax(1).argsort().tolist()
    return [(i, index[i].tolist()) for i in order if bool((index[i, 1:] != i).all())]


@dataclass(frozen=True, eq=False)
class Mixes:
    """A batch that a trained objective has mixed.

    Attributes:
        prepared: knows how its samples are drawn.
        place: where they are mixed.
        inputs: the batch.
        plan: how it is mixed.
        seen: what the plan acts on: the inputs, or features in the network.
        mixed: those after mixing; None where neither can be drawn.
    """

    prepared: Prepared
    place: Placement
    inputs: Any
    plan: LearnedPlan
    seen: Any
    mixed: Any

    @classmethod
    def drawn(cls, prepared: Prepared, objective: AutoMix, picked: Tensor) -> "Mixes":
        """Return a batch of the rows `picked` as `objective` mixes it."""
        inputs, place = prepared.batch(picked), objective.tokens.place or prepared.place
        plan = objective.plan(inputs, prepared.targets[picked])
        seen = what_is_mixed(place, objective.model, inputs)
        mixed = plan.apply(seen) if isinstance(place, AtInputs | AtSite) else None
        return cls(prepared, place, inputs, plan, seen, mixed)

    @property
    def hidden(self) -> bool:
        """Whether features in the network are mixed."""
        return not isinstance(self.place, AtInputs)

    def mixture(self, i: int) -> str | None:
        """Return a drawing of mixed row `i`; None where it has no axes to draw."""
        if self.mixed is None:
            return None
        return feature_map(self.mixed[i]) if self.hidden else self.prepared.show(self.mixed, i)

    def weights(self, i: int) -> str:
        """Return a drawing of the weights of row `i` over what they weigh.

        A problem may know how to draw its own; maps are coloured; of anything else each token has a bar.
        """
        sources = self.plan.sources.index[i].tolist()
        if self.prepared.show_weights is not None:
            return self.prepared.show_weights(self.inputs, sources, weights_of_tokens(self.plan, i))
        if isinstance(self.seen, Tensor) and self.seen.ndim == 4:
            weights = weights_on(self.plan, self.seen.shape)[i]
            # features are drawn with the lowest row, and frequency, at the bottom
            return maps(
                [self.picture(source) for source in sources], (weights.flip(1) if self.hidden else weights).numpy()
            )
        tokens = weights_of_tokens(self.plan, i)
        return bars(["token"], [[str(j + 1)] for j in range(tokens.shape[1])], tokens.numpy())

    def picture(self, i: int) -> npt.NDArray[np.float32]:
        """Return row `i` of what is mixed, maps (C, H, W), as grey values (H, W) in [0, 1]."""
        values: Tensor = self.seen[i].float()
        if self.hidden:
            return features_as_picture(values).numpy()
        low, high = self.prepared.bounds
        if not np.isfinite(high - low):
            low, high = float(values.min()), float(values.max())
        grey: npt.NDArray[np.float32] = ((values.mean(0) - low) / max(high - low, 1e-12)).numpy()
        return grey


def weights_of_tokens(plan: LearnedPlan, i: int) -> Tensor:
    """Return (K, L): the weights of the sources of row `i` at its L tokens that are real."""
    weights = plan.weights()[i].flatten(1)
    return weights if plan.real is None else weights[:, plan.real[i].flatten()]


def weights_on(plan: LearnedPlan, shape: torch.Size) -> Tensor:
    """Return (B, K, H, W): the weights with which maps of `shape` (B, C, H, W) are mixed."""
    spread = replace(plan, logits=plan.spread(plan.logits, shape)).weights()
    return spread.mean(2).expand(*spread.shape[:2], *shape[2:])


def packed(items: Sequence[GalleryItem]) -> npt.NDArray[np.uint8]:
    """Return items as an array, which a store can keep."""
    return np.frombuffer(json.dumps([asdict(item) for item in items]).encode(), dtype=np.uint8)


def unpacked(array: npt.NDArray[np.uint8]) -> list[GalleryItem]:
    """Return what `packed` took.

    >>> item = GalleryItem("automix", "<b>own</b>", "<b>partner</b>", None, "0.5 of 'a' + 0.5 of 'b'", further=("c",))
    >>> unpacked(packed([item])) == [item]
    True
    """
    return [GalleryItem(**{**item, "further": tuple(item["further"])}) for item in json.loads(array.tobytes())]
