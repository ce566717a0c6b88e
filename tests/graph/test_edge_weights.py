"""Models that do not heed weights of edges are told from those that do, layer by layer, by name."""

import pytest
import torch
from graph_parts import UserNet, batch, graphs, own_net, seeded
from torch import nn

from mixkit import Mix, Mixed, MultiClass
from mixkit_graph._pyg import Batch
from mixkit_graph.edge_weights import (
    AtWeightedEdges,
    probe_edge_weights,
    refuse_unequal_attributes,
    refuse_unweighted,
)
from mixkit_graph.ifmixup import IfMixup
from mixkit_graph.pairs import AsymmetricBetaPairs

from torch_geometric import nn as gnn  # isort: skip # after _pyg, which silences what importing it says

TAKES = ("GCNConv", "GraphConv", "TAGConv", "SGConv", "LEConv", "ChebConv")


class Net(nn.Module):
    """Layers one after the other, each called with the weights or without."""

    def __init__(self, layers, handed):
        super().__init__()
        self.layers, self.head, self.handed = nn.ModuleList(layers), nn.Linear(8, 3), handed

    def forward(self, data):
        x = data.x
        for layer, handed in zip(self.layers, self.handed, strict=True):
            x = layer(x, data.edge_index, **handed(data)).tanh()
        return self.head(gnn.global_add_pool(x, data.batch, data.num_graphs))


def by_weight(data):
    return {"edge_weight": data.edge_weight}


def by_attribute(data):
    return {"edge_attr": data.edge_weight[:, None]}


def nothing(data):
    return {}


def layer(kind, width=5, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "GINConv":
            return gnn.GINConv(nn.Linear(width, 8))
        if kind == "EdgeConv":
            return gnn.EdgeConv(nn.Linear(2 * width, 8))
        if kind == "ChebConv":
            options["K"] = 2
        return getattr(gnn, kind)(width, 8, **options)


@pytest.mark.parametrize("kind", TAKES)
def test_layers_that_take_weights_pass_both_checks(kind):
    model = Net([layer(kind), layer(kind, 8)], [by_weight, by_weight])
    refuse_unweighted(model)
    assert probe_edge_weights(model, batch())


@pytest.mark.parametrize("kind", ["GINConv", "SAGEConv", "EdgeConv"])
def test_layers_that_cannot_take_weights_are_refused_by_name(kind):
    model = Net([layer("GCNConv"), layer(kind, 8)], [by_weight, nothing])
    with pytest.raises(ValueError, match=rf"not all of its layers take it: layers.1 \({kind}\); .*Bernoulli\(\)"):
        refuse_unweighted(model)
    with pytest.raises(ValueError, match=rf"it changes nothing in layers.1 \({kind}\); hand .*Bernoulli\(\)"):
        probe_edge_weights(model, batch())


def test_layers_that_could_take_weights_but_are_not_given_them_are_found_by_the_probe():
    refuse_unweighted(Net([layer("GCNConv")], [nothing]))
    with pytest.raises(ValueError, match=r"it changes nothing in layers.0 \(GCNConv\); hand batch.edge_weight on"):
        probe_edge_weights(Net([layer("GCNConv")], [nothing]), batch())
    with pytest.raises(ValueError, match=r"it changes nothing in first \(GCNConv\), second \(GCNConv\)"):
        probe_edge_weights(UserNet("gcn"), batch())


def test_weights_may_come_as_attributes_but_a_layer_that_ignores_those_is_found_by_the_probe():
    assert probe_edge_weights(Net([layer("GATConv", edge_dim=1)], [by_attribute]), batch())
    deaf = Net([layer("GATConv")], [by_attribute])
    refuse_unweighted(deaf)
    with pytest.raises(ValueError, match=r"it changes nothing in layers.0 \(GATConv\)"):
        probe_edge_weights(deaf, batch())


def test_a_normalisation_that_cancels_a_common_factor_is_no_reason_to_refuse():
    assert probe_edge_weights(Net([layer("GCNConv", add_self_loops=False)], [by_weight]), batch((5, 7)))


@pytest.mark.parametrize(("kind", "takes"), [("GCN", True), ("GAT", True), ("GIN", False), ("GraphSAGE", False)])
def test_whole_networks_of_torch_geometric_say_what_they_support(kind, takes):
    model = getattr(gnn, kind)(5, 8, num_layers=2)
    if takes:
        refuse_unweighted(model)
    else:
        with pytest.raises(ValueError, match=rf"not all of its layers take it: {kind}, convs.0 \("):
            refuse_unweighted(model)


def test_the_list_of_layers_is_short_for_deep_networks():
    with pytest.raises(ValueError, match=r"GIN, convs.0 .*convs.2 \(GINConv\) and 3 more; take"):
        refuse_unweighted(gnn.GIN(5, 8, num_layers=6))


def test_layers_that_keep_their_first_edges_are_refused_before_they_see_any():
    model = Net([layer("GCNConv", cached=True)], [by_weight])
    for check in (lambda: refuse_unweighted(model), lambda: probe_edge_weights(model, batch())):
        with pytest.raises(ValueError, match=r"layers.0 \(GCNConv\) keep those of the first one; .*cached=False"):
            check()
    assert model.layers[0]._cached_edge_index is None


def test_a_model_without_layers_of_torch_geometric_is_told_by_its_logits():
    class Plain(nn.Module):
        def forward(self, data):
            return gnn.global_add_pool(data.x, data.batch, data.num_graphs)

    with pytest.raises(ValueError, match=r"Plain gives the same logits with other weights; hand batch.edge_weight"):
        probe_edge_weights(Plain(), batch())


def test_mixkits_own_network_takes_weights():
    refuse_unweighted(own_net())
    assert probe_edge_weights(own_net(), batch())


def test_the_probe_leaves_model_batch_and_generators_as_they_were(global_state):
    model, inputs = own_net().train(), batch()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    hooks, before, keys = len(model.layers[0]._forward_hooks), global_state(), sorted(inputs.keys())
    probe_edge_weights(model, inputs)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert model.training
    assert len(model.layers[0]._forward_hooks) == hooks == 0
    assert global_state() == before
    assert sorted(inputs.keys()) == keys


def test_batches_that_cannot_tell_say_so():
    assert not probe_edge_weights(own_net(), batch((1, 1)))
    silent = own_net()
    nn.init.zeros_(silent.head[-1].weight)
    nn.init.ones_(silent.head[-1].bias)
    assert not probe_edge_weights(silent, batch())


def test_the_placement_checks_once_and_then_mixes_inputs():
    mix, targets = Mix(IfMixup(), AsymmetricBetaPairs(20.0, 1.0)), torch.eye(4)[:, :3]
    objective = Mixed(own_net(), MultiClass(3), mix, AtWeightedEdges(), generator=seeded())
    runs = []
    objective.model.register_forward_hook(lambda *_: runs.append(1))
    for _ in range(2):
        loss = objective(batch(), targets)["mixed"]
        assert bool(loss.isfinite())
    assert len(runs) == 3 + 2
    deaf = Mixed(UserNet("gcn"), MultiClass(3), mix, AtWeightedEdges(), generator=seeded())
    with pytest.raises(ValueError, match="changes nothing in first"):
        deaf(batch(), targets)
    with pytest.raises(ValueError, match="not all of its layers take it: first"):
        Mixed(UserNet("gin"), MultiClass(3), mix, AtWeightedEdges())


def test_graphs_of_unequal_attributes_are_refused_before_a_batch_loses_some():
    some = graphs((2, 3))
    refuse_unequal_attributes(some)
    some[1].edge_weight = torch.ones(some[1].edge_index.shape[1])
    with pytest.raises(ValueError, match="graph 1 differs from graph 0 in edge_weight; give all of them"):
        refuse_unequal_attributes(some)
    assert Batch.from_data_list(some).edge_weight is None  # what the check is for
