"""How much memory a step takes, counted."""

import pytest
import torch
from torch import nn

from mixkit.training.memory import StepMemory, dense_parts

CPU = torch.device("cpu")
STATE = 4 * (6 * 4 + 4) * 4  # weights and biases, their gradients, and two moments, four bytes each


@pytest.fixture
def layer():
    """Return a layer of 28 parameters."""
    return nn.Linear(6, 4)


def test_before_any_step_there_are_parameters_gradients_and_moments(layer):
    assert StepMemory(layer, CPU).peak() == STATE


def test_a_step_adds_what_it_keeps_for_the_backward_pass_once(layer):
    memory, inputs = StepMemory(layer, CPU), torch.rand(5, 6)
    with memory.watching():
        hidden = layer(inputs)  # keeps its inputs; the weights are counted already
        hidden.sigmoid().sum()  # keeps its own result
    assert memory.peak() == STATE + 5 * 6 * 4 + 5 * 4 * 4


def test_frozen_parameters_have_neither_gradient_nor_moments(layer):
    layer.bias.requires_grad_(False)
    assert StepMemory(layer, CPU).peak() == 4 * (4 * 24 + 4)


def test_the_largest_of_the_first_steps_counts_and_later_ones_are_not_watched(layer):
    memory = StepMemory(layer, CPU)
    for rows in (2, 5, 50):
        with memory.watching():
            layer(torch.rand(rows, 6))
    assert memory.peak() == STATE + 5 * 6 * 4


def test_a_gradient_comes_out_the_same_when_watched(layer):
    inputs = torch.rand(3, 6)
    layer(inputs).square().sum().backward()
    wanted = layer.weight.grad.clone()
    layer.zero_grad()
    with StepMemory(layer, CPU).watching():
        layer(inputs).square().sum().backward()
    assert torch.equal(layer.weight.grad, wanted)


def test_sparse_tensors_count_by_their_parts(layer):
    places = torch.tensor([[0, 1, 2], [1, 2, 0]])
    edges = torch.sparse_coo_tensor(places, torch.ones(3), (3, 3), check_invariants=True).coalesce()
    memory = StepMemory(layer, CPU)
    with memory.watching():
        torch.sparse.mm(edges, layer(torch.ones(3, 6))).sum().backward()
    assert memory.peak() >= STATE + 2 * 3 * 8 + 3 * 4


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state:UserWarning")
@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")
def test_the_parts_of_every_layout_are_dense():
    dense = torch.eye(4)
    layouts = [dense, dense.to_sparse_coo(), dense.to_sparse_csr(), dense.to_sparse_csc()]
    assert [len(dense_parts(tensor)) for tensor in layouts] == [1, 2, 3, 3]
    assert all(part.layout is torch.strided for tensor in layouts for part in dense_parts(tensor))
