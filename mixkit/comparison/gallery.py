"""Galleries: what a method makes of pairs of samples, drawn by the problem that knows its data.

Methods that learn how to mix have something to show once they are trained: `mixkit.comparison.learned_gallery`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mixkit.averaged import Averaged
from mixkit.comparison.problems import IntArray, Prepared, Problem
from mixkit.feature_tap import FeatureTap
from mixkit.method import Method
from mixkit.mixed import Mixed
from mixkit.objectives import Objective, evaluating
from mixkit.placement import AtInputs, AtSite, Placement
from mixkit.png import png_data_uri
from mixkit.randomness import derived_generator
from mixkit.report.summary import GalleryItem
from mixkit.training.loop import build_model


def gallery(
    problem: Problem, prepared: Prepared, methods: Sequence[Method], rows: IntArray, *, pairs: int = 3, seed: int = 0
) -> list[GalleryItem]:
    """Return `pairs` mixed samples of every method that mixes by a rule; the others have none.

    Args:
        problem: whose samples are shown.
        prepared: its preprocessing.
        methods: in the order of the gallery.
        rows: the rows to choose from, int64.
        pairs: how many a method.
        seed: of the choice and the draws.
    """
    picked = picked_rows(rows, pairs, seed)
    items: list[GalleryItem] = []
    for method in methods:
        if not isinstance(prepared.task, method.tasks):
            continue
        objective = untrained(problem, prepared, method, seed)
        if isinstance(objective, Mixed):
            items += drawn(problem, prepared, method.name, objective, picked)[:pairs]
    return items


def picked_rows(rows: IntArray, pairs: int, seed: int) -> Tensor:
    """Return a batch of some of `rows`, from which `pairs` well-mixed ones can be chosen."""
    return torch.from_numpy(np.random.default_rng(seed).permutation(rows)[: max(2, 5 * pairs)])


def untrained(problem: Problem, prepared: Prepared, method: Method, seed: int = 0) -> Objective:
    """Return the objective of `method` on a fresh network, without an average of weights around it."""
    model = build_model(prepared, seed)
    everything = np.arange(len(prepared.targets))
    setting = prepared.setting(
        model, everything, draws=derived_generator(seed), tokens=derived_generator(seed), total_steps=1
    )
    return inside(method.build(setting, method.parameters(problem.modality)))


def inside(objective: Objective) -> Objective:
    """Return the objective that mixes, inside an average of weights."""
    return objective.objective if isinstance(objective, Averaged) else objective


def drawn(problem: Problem, prepared: Prepared, name: str, objective: Mixed, picked: Tensor) -> list[GalleryItem]:
    """Return an item for each row of the batch `picked` that has a partner, the most mixed first."""
    inputs = prepared.batch(picked)
    # one of several places: the one that the problem has by default is shown
    place = objective.place if isinstance(objective.place, AtSite | AtInputs) else prepared.place
    seen = what_is_mixed(place, objective.model, inputs)
    plan = objective.mix.draw(seen, prepared.targets[picked], objective.generator)
    mixed = plan.apply(seen)
    lam, partner = plan.pairing.lam, plan.pairing.partner
    labels = plan.targets(torch.eye(len(plan.pairing)))  # how much of each row's label is in each mix
    rows = [i for i in (lam - 0.5).abs().argsort().tolist() if int(partner[i]) != i]
    return [
        GalleryItem(
            method=name,
            own=prepared.show(inputs, i),
            partner=prepared.show(inputs, int(partner[i])),
            mixed=prepared.show(mixed, i) if seen is inputs else feature_map(mixed[i]),
            caption=caption(problem, picked[[i, int(partner[i])]], labels[i, [i, int(partner[i])]].tolist()),
        )
        for i in rows
    ]


def what_is_mixed(place: Placement, model: nn.Module, inputs: Any) -> Any:
    """Return what mixing acts on for a batch: the inputs, or what passes the site."""
    return site_features(model, place, inputs) if isinstance(place, AtSite) else inputs


def site_features(model: nn.Module, place: AtSite, inputs: Any) -> Tensor:
    """Return what passes a site for `inputs`, in evaluation mode; the rows that are samples only."""
    with evaluating(model):
        features, _ = FeatureTap(model, place.site).look(model, inputs, whole=False)
    return features if place.rows is None else features[place.rows(inputs)]


def feature_map(features: Tensor) -> str | None:
    """Return an <img> of features (C, H, W), the mean over channels; None for features without two axes to draw."""
    if features.ndim != 3:
        return None
    pixels = (features_as_picture(features) * 255).to(torch.uint8).numpy()
    return f'<img class="features" alt="mixed features" src="{png_data_uri(pixels)}">'


def features_as_picture(features: Tensor) -> Tensor:
    """Return features (C, H, W) as grey values (H, W) in [0, 1]."""
    values = features.detach().float().mean(0).flip(0)
    low, high = float(values.min()), float(values.max())
    # dark is loud, as in the drawings of clips
    return (high - values) / max(high - low, 1e-12)


def caption(problem: Problem, rows: Tensor, shares: Sequence[float]) -> str:
    """Return the mixed label of the problem's `rows` with their `shares` in words, as plain text."""
    parts = zip(rows.tolist(), shares, strict=True)
    return " + ".join(f"{share:.2f} of {label(problem, row)}" for row, share in parts)


def label(problem: Problem, row: int) -> str:
    """Return the label of a row in words."""
    value = problem.labels[row]
    return f"'{problem.classes[int(value)]}'" if problem.classes else f"{float(value):.4g}"
