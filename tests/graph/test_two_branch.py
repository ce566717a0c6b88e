"""Two-branch mixing of nodes, beside a plain implementation with a pass a branch and a loop over nodes."""

import copy

import pytest
import torch
from torch import nn
from two_branch_parts import LAM, LAYERS, NODES, PARTNER, ROWS, Net, blend_at, reference, run, sampled

import mixkit_graph._pyg  # noqa: F401 - silences what importing torch_geometric says
from mixkit import BetaPairs, Blend, Mix, Mixed, MixupE, MultiClass
from mixkit_graph.models import NodeModel
from mixkit_graph.networks import NodeNet, normalised
from mixkit_graph.nodes import node_graph, node_rows
from mixkit_graph.two_branch import TwoBranch

from torch_geometric.data import Data  # isort: skip
from torch_geometric.nn import GATConv, GCNConv, GraphConv, SAGEConv  # isort: skip


@pytest.fixture
def data():
    return sampled()


@pytest.mark.parametrize("kind", LAYERS)
def test_virtual_nodes_compute_the_papers_formula(data, kind):
    net = Net(LAYERS[kind])
    found = run(NodeModel(net), data)
    torch.testing.assert_close(found.mixed, reference(net, data, PARTNER, LAM), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_clean_rows_are_those_of_a_plain_pass_bit_for_bit(data, kind):
    net = Net(LAYERS[kind])
    clean = torch.tensor([0, 2, 3])
    found = run(NodeModel(net), data, clean=clean)
    assert torch.equal(found.clean, net(data.x, data.edge_index)[ROWS[clean]])


@pytest.mark.parametrize("kind", LAYERS)
def test_a_node_that_keeps_all_or_nothing_of_itself_is_one_of_the_pair(data, kind):
    net = Net(LAYERS[kind])
    plain = net(data.x, data.edge_index)[ROWS]
    for lam, expected in ((1.0, plain), (0.0, plain[PARTNER])):
        found = run(NodeModel(net), data, blend_at(lam=torch.full((5,), lam)))
        torch.testing.assert_close(found.mixed, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("layer", [GCNConv, GraphConv])
def test_edge_weights_go_with_the_edges(data, layer):
    data.edge_weight = torch.rand(data.num_edges)
    net = Net(layer)
    found = run(NodeModel(net, ("x", "edge_index", "edge_weight")), data).mixed
    torch.testing.assert_close(found, reference(net, data, PARTNER, LAM), atol=1e-6, rtol=1e-5)
    data.edge_weight = None
    assert not torch.allclose(found, run(NodeModel(net), data).mixed, atol=1e-3)


def test_edge_features_go_with_the_edges(data):
    data.edge_weight = torch.randn(data.num_edges, 4)  # what the third argument of the layers is
    net = Net(lambda a, b: GATConv(a, b, edge_dim=4))
    found = run(NodeModel(net, ("x", "edge_index", "edge_weight")), data).mixed
    torch.testing.assert_close(found, reference(net, data, PARTNER, LAM), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["gcn", "gat", "gin"])
def test_a_loop_is_the_node_itself(data, kind):
    loops = torch.tensor([[2, 9, 5], [2, 9, 5]])
    data.edge_index = torch.cat([data.edge_index, loops], 1)
    net = Net(LAYERS[kind])
    torch.testing.assert_close(
        run(NodeModel(net), data).mixed, reference(net, data, PARTNER, LAM), atol=1e-6, rtol=1e-5
    )


def test_the_order_of_nodes_does_not_matter(data):
    net, order = Net(GCNConv), torch.randperm(NODES)
    back = order.argsort()
    other = Data(x=data.x[order], edge_index=back[data.edge_index], rows=back[ROWS])
    torch.testing.assert_close(run(NodeModel(net), other).mixed, run(NodeModel(net), data).mixed, atol=1e-6, rtol=1e-5)


def test_sampled_pieces_mix_their_seeds(data):
    del data.rows
    data.batch_size, data.n_id, data.input_id = 4, torch.arange(50, 50 + NODES), torch.arange(4)
    net = Net(SAGEConv)
    partner, lam = torch.tensor([1, 2, 3, 0]), torch.tensor([0.2, 0.4, 0.6, 0.8])
    found = TwoBranch().on(NodeModel(net))(
        data, blend_at(partner, lam), torch.arange(4), size=4, generator=torch.Generator()
    )
    assert torch.equal(found.clean, net(data.x, data.edge_index)[:4])
    data.rows = torch.arange(4)
    torch.testing.assert_close(found.mixed, reference(net, data, partner, lam), atol=1e-6, rtol=1e-5)


def test_pieces_of_the_neighbour_loader_train(data):
    pytest.importorskip("pyg_lib", reason="NeighborLoader needs pyg-lib")
    from torch_geometric.loader import NeighborLoader

    task = MultiClass(4)
    objective = Mixed(NodeModel(Net(SAGEConv)), task, Mix(Blend(), BetaPairs(1.0)), TwoBranch())
    del data.rows
    for piece in NeighborLoader(data, [3, 3, 3], batch_size=4):
        assert objective(piece, task.encode([0] * piece.batch_size))["mixed"].isfinite()


def test_mixupe_takes_its_clean_logits_from_the_same_pass(data):
    net, task = NodeModel(Net(GCNConv)), MultiClass(4)
    passes = []
    net.register_forward_hook(lambda *_: passes.append(1))
    objective = Mixed(
        net, task, Mix(Blend(), BetaPairs(1.0)), TwoBranch(),
        penalty=MixupE(1e-2), generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    targets = task.encode([0, 1, 1, 0, 1])
    objective(data, targets)
    passes.clear()
    terms = objective(data, targets)
    assert passes == [1]
    # both terms are rescaled by one factor, so that their sum is the mixed loss alone: with r its part of the penalty,
    # penalty / mixed = r / loss and penalty + mixed = loss
    penalty = 1e-2 / 3 * task.residual(net(data), targets).abs().mean()  # eta E[a] mean |q|, E[a] = 1/3 for alpha = 1
    loss = sum(terms.values())
    torch.testing.assert_close(terms["penalty"] / terms["mixed"], penalty / loss, atol=1e-6, rtol=1e-4)
    sum(terms.values()).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in net.parameters())


def test_gradients_reach_both_members_and_their_neighbours():
    # 0 <- 1, 2 <- 3; 0 is mixed with 2
    data = Data(x=torch.randn(5, 3).requires_grad_(), edge_index=torch.tensor([[1, 3], [0, 2]]))
    data.rows = torch.tensor([0, 2])
    draw = blend_at(torch.tensor([1, 0]), torch.tensor([0.7, 1.0]))
    torch.manual_seed(0)
    run(NodeModel(Net(GCNConv)), data, draw).mixed[0].sum().backward()
    assert data.x.grad[:4].any(1).all()
    assert not data.x.grad[4].any()


def test_nothing_is_written_into_the_users_graph(data):
    data.edge_weight, data.train_mask = torch.rand(data.num_edges), torch.ones(NODES, dtype=torch.bool)
    before = {key: value.clone() for key, value in data.items()}
    same = {key: id(value) for key, value in data.items()}
    run(NodeModel(Net(GCNConv), ("x", "edge_index", "edge_weight")), data, clean=torch.arange(5))
    assert {key: id(value) for key, value in data.items()} == same
    assert all(torch.equal(data[key], value) for key, value in before.items())


@pytest.mark.parametrize("layer", [GCNConv, SAGEConv, GATConv])
def test_it_runs_under_bfloat16_autocast(data, layer):
    model = NodeModel(Net(layer, between=lambda: nn.BatchNorm1d(6)))
    placed = TwoBranch().on(model)
    with torch.autocast("cpu", torch.bfloat16):
        found = placed(data, blend_at(), torch.arange(5), size=5, generator=torch.Generator())
        (found.mixed.float().sum() + found.clean.float().sum()).backward()
    assert found.mixed.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_wrappers_around_the_network_are_seen_through(data):
    net = Net(GCNConv)
    wrapped = nn.DataParallel(NodeModel(net), device_ids=[])
    placed = TwoBranch(layers=["model.layers.0", "model.layers.1", "model.layers.2"]).on(wrapped)
    found = placed(data, blend_at(), None, size=5, generator=torch.Generator())
    torch.testing.assert_close(found.mixed, reference(net, data, PARTNER, LAM), atol=1e-6, rtol=1e-5)


def test_a_pass_without_mixing_and_a_copied_model_know_nothing_of_it(data):
    net = Net(GCNConv)
    plain, placed = net(data.x, data.edge_index), TwoBranch().on(model := NodeModel(net))
    placed(data, blend_at(), None, size=5, generator=torch.Generator())
    assert torch.equal(net(data.x, data.edge_index), plain)
    assert torch.equal(copy.deepcopy(model)(data), plain[ROWS])


def test_the_first_batch_leaves_generators_gradients_and_statistics_as_they_were(data):
    net = Net(GCNConv, between=lambda: nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.5))).train()
    placed = TwoBranch().on(NodeModel(net))
    state, generator = copy.deepcopy(net.state_dict()), torch.get_rng_state()

    def draw(mixable):
        assert (mixable.shape, mixable.device.type) == ((5, 3), "meta")
        assert torch.equal(torch.get_rng_state(), generator)
        assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
        assert all(p.grad is None for p in net.parameters())
        return blend_at()(mixable)

    placed(data, draw, None, size=5, generator=torch.Generator())


def test_batch_norm_sees_the_graphs_own_nodes_only(data):
    net = Net(GCNConv, between=lambda: nn.BatchNorm1d(6)).train()
    twin = copy.deepcopy(net)
    found = run(NodeModel(net), data, blend_at(lam=torch.ones(5)), clean=torch.arange(5))
    plain = twin(data.x, data.edge_index)[ROWS]
    assert torch.equal(found.clean, plain)
    torch.testing.assert_close(found.mixed, plain, atol=1e-5, rtol=1e-5)
    for key, value in twin.state_dict().items():
        assert torch.equal(net.state_dict()[key], value), key
    found.mixed.square().sum().backward()
    plain.square().sum().backward()
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4)


def test_embeddings_of_nodes_are_mixed_before_the_first_layer(data):
    class Embedded(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.net = nn.Embedding(NODES, 3), Net(GCNConv)

        def forward(self, n_id, edge_index):
            return self.net(self.embedding(n_id), edge_index)

    data.x, data.n_id, model = None, torch.arange(NODES), Embedded()
    found = run(NodeModel(model, ("n_id", "edge_index")), data)
    data.x = model.embedding.weight
    torch.testing.assert_close(found.mixed, reference(model.net, data, PARTNER, LAM), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("clean", [None, torch.tensor([1, 4])])
def test_mixkits_own_network_with_sparse_features_is_mixed(clean):
    torch.manual_seed(0)
    graph = node_rows(
        node_graph(torch.rand(NODES, 3) * (torch.rand(NODES, 3) > 0.4), torch.randint(NODES, (2, 30))), ROWS
    )
    net = NodeNet(3, 4, hidden=6).eval()
    net.head = nn.Identity()
    found = run(net, graph, clean=clean)
    edges, weight = normalised(graph.edge_index, None, NODES)
    dense = Data(x=graph.x.to_dense(), edge_index=edges, edge_weight=weight, rows=ROWS)
    two = nn.Module()
    two.layers = nn.ModuleList([net.first, net.second])
    torch.testing.assert_close(found.mixed, reference(two, dense, PARTNER, LAM), atol=1e-6, rtol=1e-5)
    if clean is not None:
        assert torch.equal(found.clean, net(graph)[clean])


def test_a_first_batch_of_one_node_does_not_decide_for_the_others(data):
    class Coded(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.net = nn.Embedding(NODES, 3), Net(GCNConv)

        def forward(self, n_id, edge_index):
            return self.net(self.embedding(n_id), edge_index)

    data.x, data.n_id, model = None, torch.arange(NODES), Coded()
    alone = copy.copy(data)
    alone.rows = ROWS[:1]
    placed = TwoBranch().on(NodeModel(model, ("n_id", "edge_index")))
    options = {"clean": None, "generator": torch.Generator()}
    placed(alone, blend_at(torch.tensor([0]), torch.tensor([0.5])), size=1, **options)
    found = placed(data, blend_at(PARTNER, LAM), size=len(ROWS), **options)
    data.x = model.embedding.weight
    torch.testing.assert_close(found.mixed, reference(model.net, data, PARTNER, LAM), atol=1e-6, rtol=1e-5)
