"""Layers and networks over the nodes of one graph, beside the dense formula."""

import numpy as np
import pytest
import torch
from torch import nn

from mixkit.comparison.problems import LoadOptions
from mixkit_graph import ADAPTER
from mixkit_graph.generated import block_model
from mixkit_graph.networks import GraphConvolution, NodeNet, gathered, normalised
from mixkit_graph.nodes import node_graph, node_rows


@pytest.fixture
def graph():
    torch.manual_seed(0)
    return node_graph(torch.rand(30, 7), torch.randint(30, (2, 50)))


def dense(graph):
    """Return D^-1/2 (A + I) D^-1/2 (N, N), with A read off the edges by a loop."""
    a = torch.eye(len(graph.x))
    for source, target in graph.edge_index.T.tolist():
        a[target, source] = 1.0
    root = torch.diag(a.sum(1) ** -0.5)
    return root @ a @ root


def test_the_network_is_the_dense_formula(graph):
    net = block_model().prepare(np.arange(4)).model().eval()
    net.first = GraphConvolution(7, 32)
    nn.init.normal_(net.first.bias)
    nn.init.normal_(net.second.bias)
    a, x = dense(graph), graph.x.to_dense()
    hidden = (a @ x @ net.first.weight + net.first.bias).relu()
    expected = net.head(a @ hidden @ net.second.weight + net.second.bias)
    rows = torch.tensor([4, 2, 2, 29])
    torch.testing.assert_close(net(node_rows(graph, rows)), expected[rows], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_layer_and_its_gradients_are_the_dense_formula_in_each_precision(graph, dtype):
    layer, a, x = GraphConvolution(7, 4).to(dtype), dense(graph), graph.x.to_dense()
    out = layer(graph.x, *normalised(graph.edge_index, None, 30))
    assert out.dtype == dtype
    out.square().sum().backward()
    weight = layer.weight.detach().float().requires_grad_()
    expected = a @ x @ weight + layer.bias.detach().float()
    expected.square().sum().backward()
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}[dtype]
    torch.testing.assert_close(out.float(), expected, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(layer.weight.grad.float(), weight.grad, atol=10 * tolerance, rtol=10 * tolerance)


def test_edge_weights_that_are_learned_get_the_gradient_of_the_sum():
    x, edges = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0, 1, 1], [1, 0, 1]])
    weight = torch.tensor([0.5, 2.0, 1.0], requires_grad=True)
    out = gathered(x, edges, weight)
    assert out.tolist() == [[6.0, 8.0], [3.5, 5.0]]
    out[1].sum().backward()
    assert weight.grad.tolist() == [3.0, 0.0, 7.0]  # row 1 takes node 0 over edge 0 and itself over edge 2


def test_edge_weights_of_the_graph_are_the_entries_of_its_adjacency(graph):
    weight = torch.rand(graph.edge_index.shape[1])
    a = torch.eye(30).index_put((graph.edge_index[1], graph.edge_index[0]), weight, accumulate=True)
    edges, found = normalised(graph.edge_index, weight, 30)
    root = torch.diag(a.sum(1) ** -0.5)
    torch.testing.assert_close(torch.zeros(30, 30).index_put((edges[1], edges[0]), found), root @ a @ root)


def test_without_edges_the_network_is_a_perceptron(graph):
    net = NodeNet(7, 2).eval()
    graph.edge_index = graph.edge_index[:, :0]
    x = graph.x.to_dense()
    hidden = (x @ net.first.weight + net.first.bias).relu() @ net.second.weight + net.second.bias
    torch.testing.assert_close(net(node_rows(graph, torch.arange(30))), net.head(hidden), atol=1e-6, rtol=1e-5)


def test_rows_asked_for_share_the_graph_and_leave_it_as_it_is(graph):
    before = sorted(graph.keys())
    asked = node_rows(graph, torch.tensor([3]))
    assert asked.x is graph.x
    assert asked.edge_index is graph.edge_index
    assert sorted(graph.keys()) == before == ["edge_index", "x"]


def test_a_node_problem_is_for_methods_of_nodes_and_its_card_names_the_graphs_adapter(write_planetoid):
    problem = ADAPTER.load(write_planetoid(), LoadOptions())
    assert problem.modality == "node"
    assert problem.prepare(np.array([0, 1])).card["modality"] == ADAPTER.modality == "graph"
