"""Galleries: what a method makes of pairs of samples, drawn by the problem that knows its data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mixkit.comparison.problems import IntArray, Prepared, Problem
from mixkit.method import Method, Setting
from mixkit.mixed import Mixed
from mixkit.objectives import evaluating
from mixkit.placement import AtSite
from mixkit.plan import Plan
from mixkit.png import png_data_uri
from mixkit.randomness import derived_generator
from mixkit.report.summary import GalleryItem
from mixkit.sites import find_site
from mixkit.training.loop import build_model


def gallery(
    problem: Problem, prepared: Prepared, methods: Sequence[Method], rows: IntArray, *, pairs: int = 3, seed: int = 0
) -> list[GalleryItem]:
    """Return `pairs` mixed samples of every method that mixes; methods that do not mix have none.

    Args:
        problem: whose samples are shown.
        prepared: its preprocessing.
        methods: in the order of the gallery.
        rows: the rows to choose from, int64.
        pairs: how many a method.
        seed: of the choice and the draws.
    """
    picked = torch.from_numpy(np.random.default_rng(seed).permutation(rows)[: max(2, 5 * pairs)])
    model = build_model(prepared, seed)
    items: list[GalleryItem] = []
    for method in methods:
        setting = Setting(
            model=model,
            task=prepared.task,
            place=prepared.place,
            sites=prepared.sites,
            generator=derived_generator(seed),
        )
        if not isinstance(prepared.task, method.tasks):
            continue
        objective = method.build(setting, method.parameters(problem.modality))
        if isinstance(objective, Mixed):
            items += drawn(problem, prepared, method.name, objective, picked)[:pairs]
    return items


def drawn(problem: Problem, prepared: Prepared, name: str, objective: Mixed, picked: Tensor) -> list[GalleryItem]:
    """Return an item for each row of the batch `picked` that has a partner, the most mixed first."""
    inputs = prepared.batch(picked)
    seen = inputs
    if isinstance(prepared.place, AtSite):
        seen = site_features(objective.model, prepared.place, inputs)
    plan = objective.mix.draw(seen, prepared.targets[picked], objective.generator)
    mixed = plan.apply(seen)
    lam, partner = plan.pairing.lam, plan.pairing.partner
    rows = [i for i in (lam - 0.5).abs().argsort().tolist() if int(partner[i]) != i]
    return [
        GalleryItem(
            method=name,
            own=prepared.show(inputs, i),
            partner=prepared.show(inputs, int(partner[i])),
            mixed=prepared.show(mixed, i) if seen is inputs else feature_map(mixed[i]),
            caption=caption(problem, picked, plan, i),
        )
        for i in rows
    ]


def site_features(model: nn.Module, place: AtSite, inputs: Any) -> Tensor:
    """Return what passes a site for `inputs`, in evaluation mode; the rows that are samples only."""
    module, at_input = find_site(model, place.site)
    caught: list[Tensor] = []
    handle = (
        module.register_forward_pre_hook(lambda module, args: caught.append(args[0]))
        if at_input
        else module.register_forward_hook(lambda module, args, output: caught.append(output))
    )
    try:
        with evaluating(model), torch.no_grad():
            model(inputs)
    finally:
        handle.remove()
    return caught[0] if place.rows is None else caught[0][place.rows(inputs)]


def feature_map(features: Tensor) -> str | None:
    """Return an <img> of features (C, H, W), the mean over channels; None for features without two axes to draw."""
    if features.ndim != 3:
        return None
    values = features.detach().float().mean(0).flip(0)
    low, high = float(values.min()), float(values.max())
    # dark is loud, as in the drawings of clips
    pixels = ((high - values) / max(high - low, 1e-12) * 255).to(torch.uint8).numpy()
    return f'<img class="features" alt="mixed features" src="{png_data_uri(pixels)}">'


def caption(problem: Problem, picked: Tensor, plan: Plan, i: int) -> str:
    """Return the mixed label of row `i` in words, as plain text."""
    partner, lam = int(plan.pairing.partner[i]), float(plan.pairing.lam[i])
    own, other = (label(problem, int(picked[j])) for j in (i, partner))
    return f"{lam:.2f} of {own} + {1 - lam:.2f} of {other}"


def label(problem: Problem, row: int) -> str:
    """Return the label of a row in words."""
    value = problem.labels[row]
    return f"'{problem.classes[int(value)]}'" if problem.classes else f"{float(value):.4g}"
