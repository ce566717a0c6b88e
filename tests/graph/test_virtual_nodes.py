"""Graphs with virtual nodes: their rows, their edges, what goes with both."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mixkit_graph._pyg  # noqa: F401 - silences what importing torch_geometric says
from mixkit import Pairing
from mixkit_graph.virtual_nodes import Layout, blended, edge_attributes, incoming, with_virtual_nodes

from torch_geometric.data import Data, HeteroData  # isort: skip


@pytest.fixture
def path():
    """Return 0 -> 1 -> 2 and a loop at 1, with weights; 1 and 2 are labelled."""
    return Data(
        x=torch.tensor([[0.0], [10.0], [20.0]]),
        edge_index=torch.tensor([[0, 1, 1], [1, 2, 1]]),
        edge_weight=torch.tensor([0.5, 0.6, 0.7]),
        e_id=torch.tensor([7, 8, 9]),
        n_id=torch.tensor([100, 101, 102]),
        rows=torch.tensor([1, 2]),
        name="path",
    )


PAIRING = Pairing(torch.tensor([1, 1]), torch.tensor([0.25, 1.0]))


def test_a_graph_written_out_by_hand(path):
    out, layout = with_virtual_nodes(path, path.rows, PAIRING, clean=torch.tensor([1]))
    assert (layout.own, layout.pairs, layout.total) == (3, 2, 7)
    # rows 3 and 4 have the edges of 1 and 2, rows 5 and 6 those of their partners 2 and 2
    assert out.x.flatten().tolist() == [0.0, 10.0, 20.0, 17.5, 20.0, 17.5, 20.0]
    assert out.n_id.tolist() == [100, 101, 102, 101, 102, 102, 102]
    # 1 has an edge from 0 and its loop, which is a loop of its virtual node
    edges = [(0, 1), (1, 2), (1, 1), (0, 3), (3, 3), (1, 4), (1, 5), (1, 6)]
    assert list(map(tuple, out.edge_index.T.tolist())) == edges
    torch.testing.assert_close(out.edge_weight, torch.tensor([0.5, 0.6, 0.7, 0.5, 0.7, 0.6, 0.6, 0.6]))
    assert out.rows.tolist() == [2, 3, 4, 5, 6]
    assert (out.name, out.num_nodes) == ("path", 7)
    assert sorted(edge_attributes(path)) == ["edge_weight"]  # as many nodes as edges: only names tell


def test_without_clean_rows_only_virtual_ones_are_asked_for(path):
    assert with_virtual_nodes(path, path.rows, PAIRING)[0].rows.tolist() == [3, 4, 5, 6]


def test_codes_are_copied_not_blended(path):
    path.x = torch.tensor([[4], [5], [6]])
    assert with_virtual_nodes(path, path.rows, PAIRING)[0].x.flatten().tolist() == [4, 5, 6, 5, 6, 6, 6]


def test_a_number_of_nodes_that_is_written_down_is_kept_true(path):
    path.num_nodes = 3
    assert with_virtual_nodes(path, path.rows, PAIRING)[0].num_nodes == 7
    assert path.num_nodes == 3


def test_learned_edge_weights_get_gradients_of_their_copies(path):
    path.edge_weight.requires_grad_()
    with_virtual_nodes(path, path.rows, PAIRING)[0].edge_weight.sum().backward()
    assert path.edge_weight.grad.tolist() == [2.0, 4.0, 2.0]


def test_a_graph_without_edges_gets_virtual_nodes_without_edges(path):
    path.edge_index, path.edge_weight = torch.empty(2, 0, dtype=torch.long), torch.empty(0)
    out, _ = with_virtual_nodes(path, path.rows, PAIRING)
    assert out.edge_index.shape == (2, 0)
    assert len(out.x) == 7


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_incoming_edges_are_those_that_a_loop_finds(data):
    nodes = data.draw(st.integers(1, 8))
    targets = data.draw(st.lists(st.integers(0, nodes - 1), max_size=20))
    centres = data.draw(st.lists(st.integers(0, nodes - 1), max_size=10))
    edges, owners = incoming(torch.tensor(targets, dtype=torch.long), torch.tensor(centres, dtype=torch.long), nodes)
    expected = [(edge, owner) for owner, centre in enumerate(centres) for edge, t in enumerate(targets) if t == centre]
    assert list(zip(edges.tolist(), owners.tolist(), strict=True)) == expected


def test_edges_of_every_relation_that_ends_at_the_mixed_type_are_copied():
    data = HeteroData()
    data["a"].x, data["b"].x = torch.tensor([[0.0], [8.0]]), torch.zeros(6, 2)
    data["b", "to", "a"].edge_index = torch.tensor([[3, 4, 5], [0, 1, 1]])
    data["b", "to", "a"].edge_attr = torch.tensor([1.0, 2.0, 3.0])
    data["a", "on", "a"].edge_index = torch.tensor([[0, 1], [0, 0]])
    data["a", "to", "b"].edge_index = torch.tensor([[0], [0]])
    rows, pairing = torch.tensor([0, 1]), Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 0.75]))
    out, layout = with_virtual_nodes(data, rows, pairing, node_type="a")
    # 2 own, 4 virtual, and one to spare, because there are six nodes of the other type
    assert layout == Layout(own=2, pairs=2, spare=1)
    assert out["a"].x.flatten().tolist() == [0.0, 8.0, 4.0, 6.0, 4.0, 6.0, 0.0]
    edges = [(3, 0), (4, 1), (5, 1), (3, 2), (4, 3), (5, 3), (4, 4), (5, 4), (3, 5)]
    assert list(map(tuple, out["b", "to", "a"].edge_index.T.tolist())) == edges
    assert out["b", "to", "a"].edge_attr.tolist() == [1, 2, 3, 1, 2, 3, 2, 3, 1]
    # the loop at 0 is one at its virtual nodes; the edge 1 -> 0 comes from the node itself
    on = [(0, 0), (1, 0), (2, 2), (1, 2), (5, 5), (1, 5)]
    assert list(map(tuple, out["a", "on", "a"].edge_index.T.tolist())) == on
    assert torch.equal(out["a", "to", "b"].edge_index, data["a", "to", "b"].edge_index)
    assert out["b"].x is data["b"].x
    assert out["a"].rows.tolist() == [2, 3, 4, 5]
    assert "rows" not in data["a"]


def test_half_precision_is_blended_in_float32():
    first, second = torch.tensor([[1.0]], dtype=torch.bfloat16), torch.tensor([[1.0078125]], dtype=torch.bfloat16)
    mixed = blended(first, second, torch.tensor([0.75]))
    assert mixed.dtype == torch.bfloat16
    assert mixed.item() in (1.0, 1.0078125)
    assert torch.equal(blended(first, second, torch.tensor([1.0])), first)
    assert torch.equal(blended(first, second, torch.tensor([0.0])), second)
