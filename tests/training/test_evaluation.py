"""Predictions, and what noise and attacks do to them."""

import numpy as np
import pytest
import torch
from torch import nn

from mixkit import AtInputs, MultiClass
from mixkit.comparison.problems import Prepared, Recipe
from mixkit.training import predict_logits, robustness, training_fabric
from mixkit.training.evaluation import RADIUS, attack, chunks

ROWS = 60


@pytest.fixture
def fabric():
    """Return a Fabric on the CPU."""
    return training_fabric()


def made(inputs, bounds=(float("-inf"), float("inf")), continuous=True):
    """Return a problem's preprocessing for inputs (n, 2) whose class is the sign of the first."""
    task = MultiClass(2)
    return Prepared(
        task=task,
        targets=task.encode((inputs[:, 0] > 0).long()),
        batch=lambda rows: inputs[rows],
        model=lambda: nn.Linear(2, 2),
        place=AtInputs(),
        sites=(),
        recipe=Recipe(1, 8),
        show=lambda inputs, i: "",
        card={},
        continuous=(lambda inputs: inputs) if continuous else None,
        with_continuous=(lambda inputs, values: values) if continuous else None,
        bounds=bounds,
    )


def perfect(strength=10.0):
    """Return a model that looks at the sign of the first input."""
    model = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-strength, 0.0], [strength, 0.0]]))
    return model


@pytest.fixture
def inputs(generator):
    """Return inputs around -1 and 1, of deviation about 1."""
    signs = torch.tensor([-1.0, 1.0]).repeat(ROWS // 2)
    return torch.stack([signs, torch.randn(ROWS, generator=generator)], 1)


def test_logits_come_in_the_order_of_the_rows(inputs, fabric):
    rows = np.array([7, 3, 3, 50, 0])
    model = perfect()
    assert torch.equal(predict_logits(model, made(inputs), rows, 2, fabric), model(inputs[rows]).detach())


def test_a_prediction_is_in_evaluation_mode_and_the_mode_comes_back(inputs, fabric):
    model = nn.Sequential(nn.Dropout(0.9), perfect())
    model.train()
    logits = predict_logits(model, made(inputs), np.arange(ROWS), 16, fabric)
    assert torch.equal(logits, model[1](inputs).detach())
    assert model.training


def test_a_network_of_another_precision_gets_inputs_of_its_own(inputs, fabric):
    logits = predict_logits(perfect().double(), made(inputs), np.arange(4), 2, fabric)
    assert logits.dtype == torch.float32


def test_chunks_hold_every_row_once():
    assert [part.tolist() for part in chunks(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]


def test_what_is_far_from_the_boundary_bears_noise_and_attack(inputs, fabric):
    found = robustness(perfect(), made(inputs), np.arange(ROWS), 16, seed=0, fabric=fabric)
    assert found == {"accuracy_noise": 1.0, "accuracy_pgd": 1.0}


def test_what_is_near_the_boundary_falls_to_the_attack(inputs, fabric):
    near = inputs * torch.tensor([0.02, 1.0])  # the attack may move by 0.05 deviations, and those are near 0.7
    found = robustness(perfect(), made(near), np.arange(ROWS), ROWS, seed=0, fabric=fabric)
    assert found["accuracy_pgd"] == 0.0
    assert 0.0 < found["accuracy_noise"] < 1.0


def test_the_noise_depends_on_the_seed_only(inputs, fabric):
    near = made(inputs * torch.tensor([0.1, 1.0]))

    def noisy(seed):
        return robustness(perfect(), near, np.arange(ROWS), 16, seed=seed, fabric=fabric)["accuracy_noise"]

    assert noisy(1) == noisy(1)
    assert len({noisy(seed) for seed in range(5)}) > 1


def test_an_attack_keeps_to_its_radius_and_to_the_bounds_and_raises_the_loss(inputs):
    model, prepared = perfect(1.0), made(inputs, bounds=(-1.0, 1.0))
    clipped, targets = inputs.clamp(-1, 1), prepared.targets
    moved = attack(model, prepared, clipped, targets, 0.1)
    assert float((moved - clipped).abs().max()) <= 0.1 + 1e-6
    assert (float(moved.min()), float(moved.max())) == (-1.0, 1.0)
    assert prepared.task.loss(model(moved), targets) > prepared.task.loss(model(clipped), targets)


def test_an_attack_leaves_inputs_and_gradients_alone(inputs):
    model, prepared, before = perfect(), made(inputs), inputs.clone()
    attack(model, prepared, inputs, prepared.targets, RADIUS)
    assert torch.equal(inputs, before)
    assert model.weight.grad is None


def test_inputs_without_numbers_have_no_robustness(inputs, fabric):
    assert robustness(perfect(), made(inputs, continuous=False), np.arange(4), 2, seed=0, fabric=fabric) == {}


def test_at_most_two_hundred_rows_are_looked_at(fabric):
    inputs, seen = torch.ones(500, 2), []
    prepared = made(inputs)

    class Counting(nn.Linear):
        def forward(self, values):
            seen.append(len(values))
            return super().forward(values)

    robustness(Counting(2, 2), prepared, np.arange(500), 100, seed=0, fabric=fabric)
    assert sum(seen) == 200 * (1 + 5 + 1)  # noise, the attack's steps, and its result
