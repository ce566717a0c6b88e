"""What the core's tests share: bounded hypothesis, generators, pairings, compiled graphs, a process group."""

import random

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import distributed

from mixkit import Pairing

torch.set_num_threads(1)  # on tensors as small as the tests' a second thread costs more than it brings

# the same examples every time and nothing written beside the tests: a failure is a fact about the commit
settings.register_profile("mixkit", max_examples=30, deadline=None, derandomize=True, database=None)
settings.load_profile("mixkit")


@pytest.fixture
def generator():
    """Return a seeded CPU generator."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def rotate():
    """Return (size, lam) -> the pairing in which i mixes with i + 1: nobody with itself."""

    def pairing(size, lam):
        shares = torch.as_tensor(lam, dtype=torch.float32).expand(size).clone()
        return Pairing((torch.arange(size) + 1) % size, shares)

    return pairing


@pytest.fixture
def global_state():
    """Return () -> the states of torch's, NumPy's and Python's global generators, comparable with ==."""

    def state():
        name, keys, *rest = np.random.get_state()  # noqa: NPY002 - the global one is what is looked at
        return torch.get_rng_state().tolist(), (name, keys.tolist(), *rest), random.getstate()

    return state


@pytest.fixture
def graphs():
    """Return () -> how many graphs were compiled so far, from a clean slate."""
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    yield lambda: torch._dynamo.utils.counters["stats"]["unique_graphs"]
    torch.compiler.reset()


@pytest.fixture
def group(tmp_path):
    """Run a process group of one."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()
