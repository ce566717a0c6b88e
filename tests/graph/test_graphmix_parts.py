"""GraphMix's parts: nodes without edges against the layers' algebra, the ramp, sharpening."""

import math

import pytest
import torch
from graphmix_parts import FEATURES, NODES, graph, layer, seeded

from mixkit_graph.graphmix_options import Ramp, sharpened
from mixkit_graph.isolated import isolated, unlabelled_rows
from mixkit_graph.networks import NodeNet
from mixkit_graph.nodes import node_graph, node_rows

from torch_geometric.nn import GATConv, GCNConv, GINConv, GraphConv, SAGEConv  # isort: skip # after mixkit_graph


def test_without_edges_gcn_and_gat_are_a_linear_layer():
    data = graph()
    alone = isolated(data, data.rows)
    for kind in (GCNConv, GATConv):
        made = layer(kind)
        expected = data.x[data.rows] @ made.lin.weight.T + made.bias
        torch.testing.assert_close(made(alone.x, alone.edge_index), expected)


def test_without_edges_gin_is_its_network_on_1_plus_eps_times_x():
    data, made = graph(), layer(GINConv)
    alone = isolated(data, data.rows)
    torch.testing.assert_close(made(alone.x, alone.edge_index), made.nn(1.3 * data.x[data.rows]))


@pytest.mark.parametrize("kind", [SAGEConv, GraphConv])
def test_without_edges_sage_and_graphconv_train_nothing_of_the_neighbours_weight(kind):
    data, made = graph(), layer(kind)
    alone = isolated(data, data.rows)
    made(alone.x, alone.edge_index).sum().backward()
    own, neighbours = (made.lin_r, made.lin_l) if kind is SAGEConv else (made.lin_root, made.lin_rel)
    assert bool(own.weight.grad.any())
    assert not bool(neighbours.weight.grad.any())


def test_the_own_network_without_edges_is_its_layers_without_adjacency():
    edges = torch.tensor([[0, 1, 2], [1, 2, 3]])
    data = node_rows(node_graph(torch.rand(5, FEATURES, generator=seeded()), edges), torch.tensor([3, 0]))
    net = NodeNet(FEATURES, 3, hidden=8).eval()
    alone = isolated(data, data.rows)
    x = data.x.to_dense()[data.rows]
    hidden = (x @ net.first.weight + net.first.bias).relu() @ net.second.weight + net.second.bias
    torch.testing.assert_close(net(alone), net.head(hidden))


def test_what_belongs_to_nodes_is_picked_and_what_belongs_to_edges_is_emptied():
    data = graph(train_mask=torch.arange(NODES) > 5, num_classes=3)
    data.edge_weight, data.edge_attr = torch.ones(data.num_edges), torch.ones(data.num_edges, 2)
    alone = isolated(data, torch.tensor([7, 2]))
    assert torch.equal(alone.x, data.x[[7, 2]])
    assert alone.train_mask.tolist() == [True, False]
    assert alone.num_classes == 3
    assert alone.rows.tolist() == [0, 1]
    assert (alone.edge_index.shape, alone.edge_weight.shape, alone.edge_attr.shape) == ((2, 0), (0,), (0, 2))


def test_unlabelled_are_all_other_nodes():
    assert unlabelled_rows(graph(), graph().rows).tolist() == [0, 2, 3, 5, 7, 8, 10, 11]


@pytest.mark.parametrize(
    ("t", "expected"), [(0.0, 4 * math.exp(-5)), (0.2, 4 * math.exp(-3.2)), (0.5, 4 * math.exp(-1.25)), (1.0, 4.0)]
)
def test_the_ramp_rises_as_exp_of_minus_5_times_1_minus_t_squared(t, expected):
    assert Ramp(4.0, 0.25, 0.75).at(0.25 + t / 2) == pytest.approx(expected)


def test_the_ramp_is_0_before_it_and_constant_after_it():
    assert Ramp(4.0, 0.25, 0.75).at(0.249) == 0.0
    assert Ramp(4.0, 0.25, 0.75).at(0.9) == 4.0
    assert Ramp(4.0, 0.0, 0.0).at(0.0) == 4.0


def test_sharpening_by_hand():
    torch.testing.assert_close(sharpened(torch.tensor([[0.5, 0.25, 0.25]]), 0.5), torch.tensor([[4, 1, 1]]) / 6)
    torch.testing.assert_close(sharpened(torch.tensor([[0.2, 0.8]]), 1.0), torch.tensor([[0.2, 0.8]]))
    assert sharpened(torch.tensor([[0.0, 1.0]]), 0.1).tolist() == [[0.0, 1.0]]
    assert sharpened(torch.tensor([[0.4, 0.6]]), 0.1)[0, 1] > 0.98


def test_loops_with_attributes_are_refused():
    data = graph()
    everyone = torch.arange(NODES).expand(2, -1)
    data.edge_index = torch.cat([data.edge_index, everyone], 1)
    data.edge_attr = torch.ones(data.num_edges, 1)
    with pytest.raises(ValueError, match="leave the loops to the layers"):
        isolated(data, data.rows)
