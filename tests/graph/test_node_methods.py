"""The methods for nodes: what they build, and that they train mixkit's own problem and torch_geometric's networks."""

import subprocess
import sys

import pytest
import torch

import mixkit_graph._pyg  # noqa: F401 - silences what importing torch_geometric says
from mixkit import AtInputs, Mixed, MixupE
from mixkit.method import Setting
from mixkit_graph.generated import block_model
from mixkit_graph.igraphmix import IGraphMix
from mixkit_graph.models import NodeModel
from mixkit_graph.node_methods import NODE_METHODS
from mixkit_graph.two_branch import TwoBranch

from torch_geometric.nn import GCNConv  # isort: skip

METHODS = {method.name: method for method in NODE_METHODS}


@pytest.fixture(scope="module")
def prepared():
    return block_model().prepare(torch.arange(360).numpy())


def built(name, prepared):
    torch.manual_seed(0)
    chosen = METHODS[name]
    setting = Setting(prepared.model(), prepared.task, prepared.place, generator=torch.Generator().manual_seed(0))
    return chosen.build(setting, chosen.parameters("node"))


@pytest.mark.parametrize("name", METHODS)
def test_the_loss_falls_and_the_network_learns(name, prepared):
    objective, rows = built(name, prepared), torch.arange(0, 360, 2)
    inputs, targets = prepared.batch(rows), prepared.targets[rows]
    optimizer = torch.optim.AdamW(objective.param_groups(), lr=3e-2, weight_decay=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        sum(objective(inputs, targets).values()).backward()
        optimizer.step()
    other = torch.arange(1, 360, 2)
    score = prepared.task.score(objective.eval().deploy()(prepared.batch(other)), prepared.targets[other])
    assert score > 0.6  # four classes; ten times as many steps give 0.8 to 0.9


def test_what_they_are_built_of(prepared):
    plain, penalised, inputs = (built(name, prepared) for name in METHODS)
    assert all(isinstance(objective, Mixed) for objective in (plain, penalised, inputs))
    assert plain.place == penalised.place == TwoBranch()
    assert plain.penalty is None
    assert penalised.penalty == MixupE(1e-2)
    assert plain.mix.pairs.alpha == 4.0
    assert inputs.place == AtInputs()
    assert inputs.mix.policy == IGraphMix()
    assert not inputs.mix.pairs.per_sample


@pytest.mark.parametrize("name", METHODS)
def test_layers_that_remember_their_edges_are_refused(name, prepared):
    model = NodeModel(GCNConv(3, 4, cached=True))
    with pytest.raises(ValueError, match=r"cached=False"):
        METHODS[name].build(Setting(model, prepared.task), METHODS[name].parameters("node"))


def test_names_defaults_and_grids_fit():
    for method in NODE_METHODS:
        assert method.modalities == ("node",)
        assert set(method.grid) <= set(method.defaults)
        assert all(method.defaults[key] in values for key, values in method.grid.items())


def test_listing_them_does_not_wait_for_torch_geometric():
    code = "import sys, mixkit_graph.node_methods; sys.exit('torch_geometric' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
