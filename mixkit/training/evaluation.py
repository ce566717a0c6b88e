"""Predictions of a trained network, clean, under noise and under attack."""

from collections.abc import Iterator
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mixkit.comparison.problems import IntArray, Prepared
from mixkit.objectives import evaluating
from mixkit.randomness import derived_generator

NOISE = 0.25  # standard deviation of the noise, in standard deviations of the inputs
RADIUS = 0.05  # of the attack, largest change of a value, in standard deviations of the inputs
STEPS = 5
ROWS = 200  # robustness is descriptive: a part of the test rows is enough


def predict_logits(model: nn.Module, prepared: Prepared, rows: IntArray, batch_size: int, fabric: Fabric) -> Tensor:
    """Return logits float32 (n, K) on the CPU for `rows`, in their order; the model is left in its mode."""
    with evaluating(model), torch.no_grad():
        parts = [model(batch_for(model, prepared, picked, fabric)).float().cpu() for picked in chunks(rows, batch_size)]
    return torch.cat(parts)


def network_logits(model: nn.Module, inputs: Tensor, *, batch_size: int, fabric: Fabric) -> Tensor:
    """Return logits float32 (n, K) on the CPU for inputs (n, ...) that are on it; the model is left in its mode."""
    dtype = next(model.parameters()).dtype
    with evaluating(model), torch.no_grad():
        parts = [model(part.to(fabric.device, dtype)).float().cpu() for part in torch.split(inputs, batch_size)]
    return torch.cat(parts)


def batch_for(model: nn.Module, prepared: Prepared, rows: Tensor, fabric: Fabric) -> Any:
    """Return the inputs of `rows` where `model` is; a tensor also in its precision."""
    inputs = prepared.batch(rows).to(fabric.device)
    if isinstance(inputs, Tensor) and inputs.is_floating_point():
        return inputs.to(next(model.parameters()).dtype)
    return inputs


def robustness(
    model: nn.Module, prepared: Prepared, rows: IntArray, batch_size: int, *, seed: int, fabric: Fabric
) -> dict[str, float]:
    """Return the accuracy under input noise and under projected gradient descent.

    Noise is normal with a quarter of the inputs' standard deviation; the attack (Madry et al. 2018, arXiv:1706.06083)
    takes five steps of a quarter of its radius, 0.05 standard deviations, in the maximum norm.  Both keep to the
    problem's bounds.  At most 200 rows are looked at.

    Returns:
        {"accuracy_noise": ..., "accuracy_pgd": ...}, or nothing where inputs are not continuous.
    """
    if prepared.continuous is None or prepared.with_continuous is None:
        return {}
    rows, generator = rows[:ROWS], derived_generator(seed, 4)
    noisy, attacked = [], []
    with evaluating(model):
        for picked in chunks(rows, batch_size):
            inputs = batch_for(model, prepared, picked, fabric)
            values = prepared.continuous(inputs)
            if not values.numel():
                return {}
            targets = prepared.targets[picked].to(fabric.device)
            spread = float(values.std(correction=0))
            noise = torch.randn(values.shape, generator=generator).to(values) * spread * NOISE
            moved = prepared.with_continuous(inputs, (values + noise).clamp(*prepared.bounds))
            with torch.no_grad():
                noisy.append(model(moved).float().cpu())
            change = attack(model, prepared, inputs, targets, RADIUS * spread)
            with torch.no_grad():
                attacked.append(model(prepared.with_continuous(inputs, change)).float().cpu())
    truth = prepared.targets[torch.from_numpy(rows)]
    return {
        "accuracy_noise": prepared.task.score(torch.cat(noisy), truth),
        "accuracy_pgd": prepared.task.score(torch.cat(attacked), truth),
    }


def attack(model: nn.Module, prepared: Prepared, inputs: object, targets: Tensor, radius: float) -> Tensor:
    """Return continuous inputs moved by at most `radius` each so that the loss grows; parameters get no gradient."""
    assert prepared.continuous is not None
    assert prepared.with_continuous is not None
    values = prepared.continuous(inputs)
    moved = values.detach().clone()
    for _ in range(STEPS):
        moved.requires_grad_(True)
        loss = prepared.task.loss(model(prepared.with_continuous(inputs, moved)), targets)
        (slope,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + slope.sign() * radius / 4
        moved = torch.clamp(moved, values - radius, values + radius).clamp(*prepared.bounds)
    return moved


def chunks(rows: IntArray, size: int) -> Iterator[Tensor]:
    """Yield int64 index tensors of at most `size` rows."""
    for start in range(0, len(rows), size):
        yield torch.from_numpy(rows[start : start + size])
