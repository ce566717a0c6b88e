"""Embedded problems, prepared once: what the contract tests run every method on."""

import copy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

import mixkit
from mixkit.comparison.adapters import find_adapters
from mixkit.randomness import derived_generator
from mixkit.training import train, training_fabric
from mixkit.training.loop import build_model

ROWS = 48  # of the training, enough for a few batches of every problem
# known without loading the adapters, so that collecting tests stays fast; a test compares this with what is there
PROBLEMS = {"digits": "image", "crops": "table", "keywords": "audio", "motifs": "graph", "blocks": "node"}
UNMIXED = ("erm", "label-smoothing", "erm+ema")
FURTHER_SAMPLES = ("gmixup", "graphmix")  # beside the batch they train on samples that have no row in it


def pairs(*left_out):
    """Return every problem with every method that suits it, but for those left out."""
    return [
        pytest.param(problem, method.name, id=f"{problem}-{method.name}")
        for problem, modality in PROBLEMS.items()
        for method in mixkit.methods().values()
        if modality in method.modalities and method.name not in left_out
    ]


@cache
def embedded():
    """Return all embedded problems by name."""
    return {problem.name: problem for adapter in find_adapters()[0].values() for problem in adapter.embedded()}


@cache
def prepared_for(name):
    """Return a problem, its preprocessing, and the rows it was fitted on, spread over all classes."""
    problem = embedded()[name]
    order = np.random.default_rng(0).permutation(len(problem.labels))
    rows = np.sort(order[:ROWS])
    return problem, problem.prepare(rows), rows


def pytest_generate_tests(metafunc):
    """Run a test on every problem, with every method that suits if it takes a `method` of some kind."""
    wanted = set(metafunc.fixturenames)
    if "method" in wanted:
        metafunc.parametrize(("problem", "method"), pairs(), indirect=["problem"])
    elif "mixing_method" in wanted:
        metafunc.parametrize(("problem", "mixing_method"), pairs(*UNMIXED, *FURTHER_SAMPLES), indirect=["problem"])
    elif "batch_method" in wanted:
        metafunc.parametrize(("problem", "batch_method"), pairs(*FURTHER_SAMPLES), indirect=["problem"])
    elif "problem" in wanted:
        metafunc.parametrize("problem", list(PROBLEMS), indirect=True)


@pytest.fixture
def problem(request):
    """Return the embedded problem of that name."""
    return prepared_for(request.param)[0]


@pytest.fixture
def prepared(problem):
    """Return the problem's preprocessing."""
    return prepared_for(problem.name)[1]


@pytest.fixture
def rows(problem):
    """Return the rows that the preprocessing was fitted on."""
    return prepared_for(problem.name)[2]


@pytest.fixture
def build(problem, prepared):
    """Return (method, seed=0) -> a fresh objective: same seed, same weights and draws."""

    def built(method, seed=0):
        model = build_model(prepared, seed)
        everything = np.arange(len(prepared.targets))
        draws, tokens = derived_generator(seed), derived_generator(seed, 1)
        setting = prepared.setting(model, everything, draws=draws, tokens=tokens, total_steps=100)
        chosen = mixkit.methods()[method]
        return chosen.build(setting, chosen.parameters(problem.modality))

    return built


@pytest.fixture
def step(prepared):
    """Return (objective, rows, targets=None, weights=None) -> terms of one step."""

    def one(objective, rows, targets=None, weights=None):
        picked = torch.as_tensor(rows)
        return objective(prepared.batch(picked), prepared.targets[picked] if targets is None else targets, weights)

    return one


@pytest.fixture
def trained(problem, prepared, rows):
    """Return (objective, epochs) -> the losses of the epochs and the weights after training on batches of 16."""
    rate = max(1e-2, prepared.recipe.learning_rate)  # few steps have to do
    fabric = training_fabric()

    def run(objective, epochs):
        recipe = replace(prepared.recipe, epochs=epochs, batch_size=16, learning_rate=rate)
        targets = objective.task.encode(torch.from_numpy(problem.labels))
        losses = [epoch.loss for epoch in train(objective, prepared, rows, targets, recipe, seed=3, fabric=fabric)]
        return losses, [value.clone() for value in objective.deploy().state_dict().values()]

    return run


def tensors_in(value, seen=None):
    """Yield the tensors in inputs of any kind, in a fixed order."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        yield value.to_dense() if value.is_sparse or value.is_sparse_csr else value
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from tensors_in(value[key], seen)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item, seen)
    elif hasattr(value, "__dict__"):
        yield from tensors_in(vars(value), seen)


@pytest.fixture
def snapshot():
    """Return value -> copies of all tensors in it."""
    return lambda value: list(tensors_in(copy.deepcopy(value)))
