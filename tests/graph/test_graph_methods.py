"""The methods for whole graphs: what they build, that they train on real graphs, and that listing them is quick."""

import math
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from graph_parts import TASK, UserNet, batch, own_net, seeded

from mixkit import AtInputs, BetaPairs
from mixkit.method import Setting
from mixkit_graph import NodeTokens
from mixkit_graph.edge_weights import AtWeightedEdges
from mixkit_graph.generated import motif_graphs
from mixkit_graph.graph_methods import GRAPH_METHODS
from mixkit_graph.graph_problem import load_graphs
from mixkit_graph.ifmixup import Bernoulli, IfMixup, Weighted
from mixkit_graph.pairs import AsymmetricBetaPairs

BY_NAME = {method.name: method for method in GRAPH_METHODS}
TOKENS = NodeTokens("readout:input", 16)


def setting(model, **options):
    return Setting(model, TASK, generator=seeded(), tokens=TOKENS, total_steps=20, **options)


def built(name, model=None, **changes):
    method = BY_NAME[name]
    return method.build(setting(own_net() if model is None else model), {**method.defaults, **changes})


def test_methods_build_the_policies_pairs_and_places_that_their_names_say():
    weighted, bernoulli, aligned = (built(name) for name in ("ifmixup", "ifmixup-bernoulli", "smixup"))
    assert (weighted.mix.policy, weighted.place) == (IfMixup(Weighted()), AtWeightedEdges())
    assert (bernoulli.mix.policy, bernoulli.place) == (IfMixup(Bernoulli()), AtInputs())
    assert weighted.mix.pairs == bernoulli.mix.pairs == AsymmetricBetaPairs(20.0, 1.0)
    assert (aligned.mix.pairs, aligned.place) == (BetaPairs(0.2), AtWeightedEdges())
    assert (aligned.mix.policy.temperature, aligned.mix.policy.threshold) == (0.1, 0.1)


def test_values_of_a_grid_are_those_of_parameters_that_are_used():
    assert built("ifmixup", a=5.0, until=0.5).mix.pairs == AsymmetricBetaPairs(5.0, 1.0)
    assert built("ifmixup-bernoulli", a=5.0, until=0.5).mix.until == 0.5
    assert built("smixup", alpha=0.3).mix.pairs == BetaPairs(0.3)
    for method in GRAPH_METHODS:
        assert all(method.defaults[name] in values for name, values in method.grid.items())


@pytest.mark.parametrize("name", BY_NAME)
def test_once_mixing_is_over_the_loss_is_that_of_the_own_graphs(name):
    objective, targets = built(name, until=0.5), TASK.encode([0, 1, 2, 1])
    objective.steps = 10
    mixed = objective(batch(), targets)["mixed"]
    torch.testing.assert_close(mixed, TASK.loss(own_net()(batch()), targets))


def test_networks_without_weights_get_bernoulli_edges_or_a_refusal_that_says_so():
    model, targets = UserNet("gin"), TASK.encode([0, 1, 2, 1])
    assert bool(built("ifmixup-bernoulli", model)(batch(), targets)["mixed"].isfinite())
    with pytest.raises(ValueError, match=r"layers take it: first \(GINConv\), second \(GINConv\); .*Bernoulli"):
        built("ifmixup", model)


def test_smixup_needs_a_site_of_node_embeddings():
    with pytest.raises(ValueError, match=r"smixup needs tokens .*got tokens=None; give tokens=NodeTokens\("):
        BY_NAME["smixup"].build(Setting(own_net(), TASK), BY_NAME["smixup"].defaults)


def test_listing_the_methods_does_not_import_torch_geometric():
    code = "import sys, mixkit_graph.graph_methods as m; print(len(m.GRAPH_METHODS), 'torch_geometric' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["3", "False"]


def trained(prepared, rows, name, epochs):
    """Return the mean loss of each epoch."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = prepared.model()
    method = BY_NAME[name]
    objective = method.build(
        prepared.setting(model, draws=seeded(), tokens=seeded(), total_steps=99, training=rows), method.defaults
    )
    optimizer = torch.optim.AdamW(objective.param_groups(), lr=5e-3)
    means = []
    for epoch in range(epochs):
        losses = []
        for part in torch.from_numpy(rows)[torch.randperm(len(rows), generator=seeded(epoch))].split(64):
            optimizer.zero_grad()
            loss = objective(*prepared.rows(part))["mixed"]
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        means.append(sum(losses) / len(losses))
    return means


@pytest.mark.parametrize("name", BY_NAME)
def test_losses_fall_on_graphs_with_a_planted_motif(name):
    rows = np.arange(320)
    means = trained(motif_graphs().prepare(rows), rows, name, 8)
    assert all(math.isfinite(mean) for mean in means)
    assert means[-1] < means[0]


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("data", ["MUTAG", "PROTEINS"])
@pytest.mark.parametrize("name", BY_NAME)
def test_losses_fall_on_real_graphs(real, data, name):
    problem = load_graphs(real(data) / "raw", data)
    rows = np.arange(len(problem.labels))
    means = trained(problem.prepare(rows), rows, name, 6)
    assert all(math.isfinite(mean) for mean in means)
    assert means[-1] < means[0]


@pytest.mark.data
@pytest.mark.slow
def test_mixing_128_real_graphs_takes_a_small_part_of_a_training_step(real):
    problem = load_graphs(real("PROTEINS") / "raw", "PROTEINS")
    rows = np.arange(len(problem.labels))
    prepared = problem.prepare(rows)
    inputs, targets = prepared.rows(torch.randperm(len(rows), generator=seeded())[:128])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = prepared.model()
    pairs = AsymmetricBetaPairs(20.0, 1.0)

    def seconds(work):
        taken = []
        for _ in range(20):
            start = time.thread_time()
            work()
            taken.append(time.thread_time() - start)
        return sorted(taken)[10]

    mixing = seconds(lambda: IfMixup().draw(inputs, pairs(targets, seeded()), seeded()).apply(inputs))
    assert mixing < 0.5 * seconds(lambda: prepared.task.loss(model(inputs), targets).backward())
