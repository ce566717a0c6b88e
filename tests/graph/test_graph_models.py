"""Networks of torch_geometric as models of one argument, and which rows of a graph are samples."""

import pytest
import torch
from torch import nn

import mixkit_graph._pyg  # noqa: F401 - silences what importing torch_geometric says
from mixkit import AtSite, BetaPairs, Blend, Mix, Mixed, MixupE, MultiClass, Pairing
from mixkit_graph.ifmixup import Bernoulli, IfMixup
from mixkit_graph.models import GraphModel, NodeModel, labelled_rows
from mixkit_graph.smixup import SMixup
from mixkit_graph.two_branch import TwoBranch

from torch_geometric.data import Batch, Data, HeteroData  # isort: skip
from torch_geometric.nn import GCNConv, SAGEConv, global_add_pool, to_hetero  # isort: skip


class Gcn(nn.Module):
    """The network of torch_geometric's own example."""

    def __init__(self):
        super().__init__()
        self.first, self.second = GCNConv(3, 8), GCNConv(8, 2)

    def forward(self, x, edge_index, edge_weight=None):
        return self.second(self.first(x, edge_index, edge_weight).relu(), edge_index, edge_weight)


class Pooled(nn.Module):
    """A convolution and a sum over each graph."""

    def __init__(self):
        super().__init__()
        self.conv = GCNConv(3, 2)

    def forward(self, x, edge_index, batch):
        return global_add_pool(self.conv(x, edge_index), batch)


@pytest.fixture
def ring():
    """Return a ring of six nodes with edge weights; 1, 4 and 5 are labelled."""
    torch.manual_seed(0)
    step = torch.arange(6)
    edges = torch.stack([torch.cat([step, (step + 1) % 6]), torch.cat([(step + 1) % 6, step])])
    mask = torch.tensor([0, 1, 0, 0, 1, 1], dtype=torch.bool)
    return Data(x=torch.randn(6, 3), edge_index=edges, edge_weight=torch.rand(12), train_mask=mask)


def test_rows_come_before_seeds_and_seeds_before_the_mask(ring):
    assert labelled_rows(ring).tolist() == [1, 4, 5]
    ring.batch_size = 2
    assert labelled_rows(ring).tolist() == [0, 1]
    ring.rows = torch.tensor([5, 0])
    assert labelled_rows(ring).tolist() == [5, 0]


def test_a_graph_that_does_not_name_its_samples_is_refused(ring):
    del ring.train_mask
    with pytest.raises(
        ValueError, match=r"must say which of its nodes are samples, got only edge_index, edge_weight, x; .*data.rows"
    ):
        labelled_rows(ring)


def test_a_mask_of_several_splits_is_refused(ring):
    ring.train_mask = ring.train_mask[:, None].repeat(1, 10)
    with pytest.raises(
        ValueError, match=r"train_mask must be bool of shape \(N,\), got torch.bool \(6, 10\); .*\[:, 0\]"
    ):
        labelled_rows(ring)


def test_rows_that_are_no_indices_are_refused(ring):
    ring.rows = torch.tensor([True, False])
    with pytest.raises(ValueError, match=r"rows must be int64 of shape \(M,\), got torch.bool \(2,\)"):
        labelled_rows(ring)


def test_a_node_model_gives_the_samples_logits_in_their_order(ring):
    net = Gcn()
    ring.rows = torch.tensor([5, 0, 5])
    assert torch.equal(NodeModel(net)(ring), net(ring.x, ring.edge_index)[[5, 0, 5]])
    assert torch.equal(NodeModel(net, rows=None)(ring), net(ring.x, ring.edge_index))


def test_arguments_are_passed_in_order_or_by_name(ring):
    net = Gcn()
    expected = net(ring.x, ring.edge_index, ring.edge_weight)[[1, 4, 5]]
    assert torch.equal(NodeModel(net, ("x", "edge_index", "edge_weight"))(ring), expected)
    names = {"edge_weight": "edge_weight", "x": "x", "edge_index": "edge_index"}
    assert torch.equal(NodeModel(net, names)(ring), expected)


def test_a_missing_attribute_is_named(ring):
    with pytest.raises(
        ValueError, match=r"data must have 'edge_attr', which the model is called with, got Data with edge_index"
    ):
        NodeModel(Gcn(), ("x", "edge_index", "edge_attr"))(ring)


def test_a_graph_model_gives_the_networks_logits(ring):
    batch, net = Batch.from_data_list([ring, ring]), Pooled()
    assert torch.equal(GraphModel(net)(batch), net(batch.x, batch.edge_index, batch.batch))
    with pytest.raises(ValueError, match=r"data must have 'batch'"):
        GraphModel(net)(ring)


def test_select_is_a_site_where_samples_mix(ring):
    task = MultiClass(2)
    objective = Mixed(
        NodeModel(Gcn()), task, Mix(Blend(), BetaPairs(1.0)), AtSite("select"),
        penalty=MixupE(1e-2), generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    terms = objective(ring, task.encode([0, 1, 1]))
    assert sorted(terms) == ["mixed", "penalty"]
    sum(terms.values()).backward()
    assert all(p.grad.isfinite().all() for p in objective.parameters())


class Sage(nn.Module):
    """Two layers, to be made heterogeneous."""

    def __init__(self):
        super().__init__()
        self.first, self.second = SAGEConv((-1, -1), 4), SAGEConv((-1, -1), 2)

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index).relu(), edge_index)


def test_of_a_heterogeneous_graph_one_type_is_classified():
    data = HeteroData()
    data["paper"].x, data["author"].x = torch.randn(4, 3), torch.randn(2, 5)
    data["author", "writes", "paper"].edge_index = torch.tensor([[0, 1, 1], [0, 1, 3]])
    data["paper", "of", "author"].edge_index = torch.tensor([[0, 1, 3], [0, 1, 1]])
    data["paper"].rows = torch.tensor([3, 0])
    net = to_hetero(Sage(), data.metadata())
    out = NodeModel(net, ("x_dict", "edge_index_dict"), node_type="paper")(data)
    assert torch.equal(out, net(data.x_dict, data.edge_index_dict)["paper"][[3, 0]])


def test_seeds_of_one_type_of_a_sampled_piece_are_its_samples():
    data = HeteroData()
    data["paper"].x, data["paper"].batch_size = torch.randn(4, 3), 2
    assert labelled_rows(data["paper"]).tolist() == [0, 1]
    data["author"].x = torch.randn(2, 5)
    with pytest.raises(ValueError, match=r"must say which of its nodes are samples, got only x;"):
        labelled_rows(data["author"])


def test_edges_without_weights_count_one_where_weights_are_named():
    from torch_geometric.nn import GCNConv

    generator = torch.Generator().manual_seed(0)
    data = Data(x=torch.randn(4, 3, generator=generator), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]))
    data.rows = torch.tensor([0, 3])
    model = NodeModel(GCNConv(3, 2), ("x", "edge_index", "edge_weight"))
    plain = model(data)
    data.edge_weight = torch.ones(3)
    assert torch.equal(model(data), plain)
    data.edge_weight = torch.tensor([1.0, 1.0, 0.5])
    assert not torch.equal(model(data), plain)


def test_a_mask_of_numbers_is_refused_with_the_way_out(ring):
    ring.train_mask = ring.train_mask.to(torch.uint8)
    with pytest.raises(ValueError, match=r"got torch.uint8 \(6,\); data.train_mask = data.train_mask.bool\(\)"):
        labelled_rows(ring)


class PerType(nn.Module):
    """Nodes of each type, as they are."""

    def __init__(self):
        super().__init__()
        self.unused = SAGEConv(3, 2)

    def forward(self, x_dict):
        return x_dict


def test_edges_that_a_heterogeneous_graph_has_not_are_named():
    data = HeteroData()
    data["paper"].x = torch.randn(4, 3)
    model = NodeModel(PerType(), ("x_dict", "edge_index_dict"), node_type="paper")
    with pytest.raises(
        ValueError, match=r"data must have 'edge_index_dict', which the model is called with, got Hetero"
    ):
        model(data)


@pytest.mark.parametrize("node_type", [None, "papre"])
def test_a_type_of_nodes_that_is_not_there_is_refused_and_not_made(node_type):
    data = HeteroData()
    data["paper"].x, data["paper"].rows, data["author"].x = torch.randn(4, 3), torch.tensor([0]), torch.randn(2, 5)
    model = NodeModel(PerType(), ("x_dict",), node_type=node_type)
    message = "name the nodes that are samples, got none for paper, author" if node_type is None else "be one of paper"
    with pytest.raises(ValueError, match=f"node_type must {message}"):
        model(data)
    with pytest.raises(ValueError, match=f"node_type must {message}"):
        TwoBranch(node_type=node_type).on(model)(data, None, None, size=1, generator=torch.Generator())
    assert data.node_types == ["paper", "author"]


def test_a_type_of_nodes_is_refused_for_a_graph_with_one(ring):
    with pytest.raises(ValueError, match=r"node_type must be None for a Data, got node_type='paper'"):
        NodeModel(Gcn(), node_type="paper")(ring)


@pytest.mark.parametrize("arguments", [("x", "edge_index", "batch"), {"x": "x", "edge_index": "edge_index"}])
@pytest.mark.parametrize("policy", [IfMixup(), SMixup(lambda batch: batch.x)], ids=["ifmixup", "smixup"])
def test_weights_that_mixing_gave_are_refused_by_a_network_that_is_not_called_with_them(ring, policy, arguments):
    del ring.edge_weight, ring.train_mask
    batch, pairing = Batch.from_data_list([ring, ring]), Pairing(torch.tensor([1, 0]), torch.tensor([0.7, 0.7]))
    mixed = policy.draw(batch, pairing, torch.Generator()).apply(batch)
    with pytest.raises(ValueError, match=r"arguments must name 'edge_weight' .*; name it, .*IfMixup\(Bernoulli\(\)\)"):
        GraphModel(Gcn(), arguments)(mixed)
    taken = {"x": "x", "edge_index": "edge_index", "edge_weight": "edge_weight"}
    assert bool(GraphModel(Gcn(), taken)(mixed).isfinite().all())


def test_drawn_edges_and_weights_that_graphs_had_are_the_networks_own_affair(ring):
    del ring.train_mask
    weighted = Batch.from_data_list([ring, ring])
    plain = Batch.from_data_list([Data(x=ring.x, edge_index=ring.edge_index)] * 2)
    pairing = Pairing(torch.tensor([1, 0]), torch.tensor([0.7, 0.7]))
    for policy, batch in ((IfMixup(), weighted), (IfMixup(Bernoulli()), plain)):
        mixed = policy.draw(batch, pairing, torch.Generator().manual_seed(0)).apply(batch)
        assert GraphModel(Pooled())(mixed).shape == (2, 2)
