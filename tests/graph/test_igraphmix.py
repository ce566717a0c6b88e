"""iGraphMix: features and edges of labelled nodes, beside a loop over edges; as a policy and as a transform."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import mixkit_graph._pyg  # noqa: F401 - silences what importing torch_geometric says
from mixkit import AtInputs, AtSite, BetaPairs, Blend, Mix, Mixed, MultiClass, Pairing
from mixkit_graph.igraphmix import IGraphMix, IGraphMixPlan, IGraphMixTransform
from mixkit_graph.models import NodeModel
from mixkit_graph.networks import NodeNet
from mixkit_graph.nodes import node_graph, node_rows
from mixkit_graph.permuted_edges import pair_draws

from torch_geometric.data import Data, HeteroData  # isort: skip
from torch_geometric.nn import GCNConv  # isort: skip
from torch_geometric.transforms import Compose, ToUndirected  # isort: skip


def graph(seed=0, nodes=12, edges=25):
    """Return an undirected graph with edge weights that name their edge; rows 3, 7, 1 and 10 are labelled."""
    torch.manual_seed(seed)
    pairs = torch.randint(nodes, (2, edges))
    keys = torch.unique(torch.cat([pairs[0] * nodes + pairs[1], pairs[1] * nodes + pairs[0]]))
    edge_index = torch.stack([keys // nodes, keys % nodes])
    weight = torch.arange(float(len(keys)))
    return Data(x=torch.randn(nodes, 3), edge_index=edge_index, edge_weight=weight, rows=torch.tensor([3, 7, 1, 10]))


def drawn(data, partner, lam, seed=0):
    pairing = Pairing(torch.tensor(partner), torch.full((len(partner),), lam))
    return IGraphMix().draw(data, pairing, torch.Generator().manual_seed(seed))


def looped(data, plan):
    """Return {edge: its weight} of the mixed graph, by a loop over edges and over those put in each place."""
    rows, partner = data.rows.tolist(), plan.pairing.partner.tolist()
    place = list(range(data.num_nodes))
    for i, row in enumerate(rows):
        if plan.pairing.lam[i] < 1:
            place[row] = rows[partner[i]]
    found = {}
    for (u, v), weight, kept in zip(data.edge_index.T.tolist(), data.edge_weight.tolist(), plan.own, strict=True):
        if kept:
            found[u, v] = weight
    for (u, v), weight, kept in zip(data.edge_index.T.tolist(), data.edge_weight.tolist(), plan.other, strict=True):
        for i in range(data.num_nodes):
            for j in range(data.num_nodes):
                if kept and (place[i], place[j]) == (u, v) and (u != v or i == j):
                    found.setdefault((i, j), weight)
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(0, 3), min_size=4, max_size=4), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_the_mixed_graph_is_that_of_a_loop_over_edges(seed, partner, lam):
    data = graph(seed)
    plan = drawn(data, partner, lam, seed)
    mixed = plan.apply(data)
    found = dict(zip(map(tuple, mixed.edge_index.T.tolist()), mixed.edge_weight.tolist(), strict=True))
    assert len(found) == mixed.num_edges  # no edge is there twice
    assert found == looped(data, plan)


def test_lam_1_changes_nothing():
    data = graph()
    mixed = drawn(data, [1, 2, 3, 0], 1.0).apply(data)
    for key in ("x", "edge_index", "edge_weight"):
        assert torch.equal(mixed[key], data[key])


def test_lam_0_is_the_graph_with_labelled_nodes_in_one_anothers_place():
    data = graph()
    mixed = drawn(data, [1, 2, 3, 0], 0.0).apply(data)
    place = torch.arange(12)
    place[data.rows] = data.rows.roll(-1)
    assert torch.equal(mixed.x, data.x[place])
    expected = sorted(map(tuple, torch.cat([data.edge_index, data.edge_weight[None].long()]).T.tolist()))
    back = torch.cat([place[mixed.edge_index], mixed.edge_weight[None].long()])
    assert sorted(map(tuple, back.T.tolist())) == expected
    net = GCNConv(3, 2)
    torch.testing.assert_close(net(mixed.x, mixed.edge_index), net(data.x, data.edge_index)[place])


def test_features_of_labelled_rows_are_blended_and_no_others():
    data = graph()
    mixed = drawn(data, [1, 2, 3, 0], 0.25).apply(data)
    expected = data.x.clone()
    expected[data.rows] = 0.25 * data.x[data.rows] + 0.75 * data.x[data.rows.roll(-1)]
    torch.testing.assert_close(mixed.x, expected)
    others = torch.tensor([k for k in range(12) if k not in (3, 7, 1, 10)])
    assert torch.equal(mixed.x[others], data.x[others])


def test_both_directions_of_an_edge_stay_or_go_together():
    data = graph(edges=60)
    mixed = drawn(data, [1, 2, 3, 0], 0.5).apply(data)
    assert mixed.num_edges > 0
    assert not torch.equal(mixed.edge_index, data.edge_index)
    assert torch.equal(torch.unique(mixed.edge_index, dim=1), torch.unique(mixed.edge_index.flip(0), dim=1))


def test_edges_are_kept_with_probability_lam():
    torch.manual_seed(0)
    # no edge of a labelled node: what both draws may keep; P = 1 - lam (1 - lam)
    data = Data(x=torch.zeros(4000, 1), edge_index=torch.arange(2, 4000).view(2, -1), rows=torch.tensor([0, 1]))
    plan = drawn(data, [1, 0], 0.3)
    count = data.num_edges
    assert abs(plan.own.sum() / count - 0.3) < 4 * (0.21 / count) ** 0.5
    assert abs(plan.other.sum() / count - 0.7) < 4 * (0.21 / count) ** 0.5
    share = plan.apply(data).num_edges / count
    assert abs(share - 0.79) < 4 * (0.79 * 0.21 / count) ** 0.5


def test_draws_of_pairs_are_uniform_and_independent():
    # all pairs of 300 nodes: 44,850 draws of each kind
    edges = torch.combinations(torch.arange(300)).T
    numbers = torch.randint(2**62, (300,), generator=torch.Generator().manual_seed(0))
    first, second = pair_draws(edges, numbers)
    for draws in (first, second):
        assert 0 <= draws.min() < 1e-3
        assert 1 - 1e-3 < draws.max() < 1
        counts = torch.histc(draws, 20, 0, 1)
        assert ((counts - len(draws) / 20) ** 2).sum() / (len(draws) / 20) < 43.8  # chi-square, 19 degrees, 0.1 %
    of_node = torch.zeros(300, 300, dtype=torch.float64).index_put(tuple(edges), first)
    neighbours = torch.stack([of_node[:-2, 1:-1].diagonal(), of_node[1:-1, 2:].diagonal()])
    squares = of_node[:-3, 1:-2].diagonal() + of_node[2:-1, 3:].diagonal()  # (a, b) and (c, d) say nothing of ...
    others = of_node[1:-2, 2:-1].diagonal() + of_node[:-3, 3:].diagonal()  # ... (b, c) and (a, d)
    for a, b in [(first, second), (first[:-1], first[1:]), neighbours, ((squares % 1), (others % 1))]:
        assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 4 / len(a) ** 0.5
    assert torch.equal(pair_draws(edges.flip(0), numbers)[0], first)


def test_samples_that_stay_clean_keep_their_place():
    data = graph()
    pairing = Pairing(torch.tensor([1, 2, 3, 0]), torch.tensor([0.0, 1.0, 0.0, 1.0]))
    mixed = IGraphMix().draw(data, pairing, torch.Generator()).apply(data)
    assert torch.equal(mixed.x[[7, 10]], data.x[[7, 10]])
    assert torch.equal(mixed.x[[3, 1]], data.x[[7, 10]])


def test_the_same_plan_gives_the_same_graph_and_nothing_is_written():
    data = graph()
    before = {key: (id(value), value.clone()) for key, value in data.items()}
    plan = drawn(data, [1, 2, 3, 0], 0.5)
    first, second = plan.apply(data), plan.apply(data)
    for key in first.keys():  # noqa: SIM118 - a Data iterates over pairs
        assert torch.equal(first[key], second[key])
    assert {key: id(value) for key, value in data.items()} == {key: i for key, (i, _) in before.items()}
    assert all(torch.equal(data[key], value) for key, (_, value) in before.items())


class Gcn(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = GCNConv(3, 8), GCNConv(8, 2)

    def forward(self, x, edge_index, edge_weight):
        return self.second(self.first(x, edge_index, edge_weight).relu(), edge_index, edge_weight)


def test_it_trains_at_the_inputs():
    data, task = graph(), MultiClass(2)
    mix = Mix(IGraphMix(), BetaPairs(1.0, per_sample=False))
    model = NodeModel(Gcn(), ("x", "edge_index", "edge_weight"))
    objective = Mixed(model, task, mix, AtInputs(), generator=torch.Generator().manual_seed(0))
    targets = task.encode([0, 1, 1, 0])
    loss = objective(data, targets)["mixed"]
    generator = torch.Generator().manual_seed(0)
    plan = mix.draw(data, targets, generator)
    assert torch.equal(loss, task.loss(model(plan.apply(data)), plan.targets(targets)))
    loss.backward()
    assert all(p.grad.any() for p in model.parameters())


def test_sparse_features_are_mixed_like_dense_ones():
    torch.manual_seed(0)
    data = node_rows(node_graph(torch.rand(12, 5) * (torch.rand(12, 5) > 0.5), graph().edge_index), graph().rows)
    plan = drawn(data, [1, 2, 3, 0], 0.25)
    dense = Data(x=data.x.to_dense(), edge_index=data.edge_index, rows=data.rows)
    torch.testing.assert_close(plan.apply(data).x.to_dense(), plan.apply(dense).x)
    net = NodeNet(5, 2).eval()
    torch.testing.assert_close(net(plan.apply(data)), net(plan.apply(dense)))


def test_the_transform_gives_soft_labels_and_leaves_the_graph():
    data = graph()
    data.y = torch.arange(12) % 3
    del data.rows
    data.train_mask = torch.arange(12) < 4
    pairs, before = BetaPairs(1.0, per_sample=False), data.y.clone()
    mixed = Compose([ToUndirected(), IGraphMixTransform(pairs, torch.Generator().manual_seed(3))])(data)
    pairing = pairs(torch.zeros(4, 3), torch.Generator().manual_seed(3))
    hot = torch.eye(3)[data.y]
    expected = pairing.lam[:, None] * hot[:4] + (1 - pairing.lam[:, None]) * hot[pairing.partner]
    torch.testing.assert_close(mixed.y[:4], expected)
    assert torch.equal(mixed.y[4:], hot[4:])
    assert torch.equal(data.y, before)
    soft = graph()
    soft.y = hot
    again = IGraphMixTransform(pairs, torch.Generator().manual_seed(3))(soft)
    assert again.y.shape == (12, 3)


def test_the_transform_is_known_to_torch_geometric_by_name_and_takes_the_number_of_classes():
    from torch_geometric.data.datapipes import DatasetAdapter

    data = graph()
    data.y = torch.zeros(12, dtype=torch.long)
    pipe = DatasetAdapter([data]).igraphmix(BetaPairs(1.0, per_sample=False), torch.Generator(), 5)
    assert next(iter(pipe)).y.shape == (12, 5)


@pytest.mark.parametrize(
    ("change", "partner", "lam", "message"),
    [
        (
            {},
            [1, 0, 2, 3],
            [0.5, 0.4, 0.5, 1.0],
            r"needs one lam for the graph, got 2 different ones; .*per_sample=False",
        ),
        ({}, [1, 0], [0.5, 0.5], r"must have 2 different labelled rows, one a sample, got 4 rows, 4 different"),
        ({"rows": torch.tensor([3, 3])}, [1, 0], [0.5, 0.5], r"must have 2 different labelled rows.*1 different"),
        ({"x": torch.zeros(12, 3, dtype=torch.long)}, [1, 0, 2, 3], [0.5] * 4, r"codes cannot be averaged"),
        ({"edge_index": None}, [1, 0, 2, 3], [0.5] * 4, r"must hold its edges as edge_index"),
    ],
)
def test_what_cannot_be_mixed_is_refused(change, partner, lam, message):
    data = graph()
    for key, value in change.items():
        data[key] = value
    with pytest.raises(ValueError, match=message):
        IGraphMix().draw(data, Pairing(torch.tensor(partner), torch.tensor(lam)), torch.Generator())


def test_a_plan_is_for_the_graph_that_it_was_drawn_for():
    data, other = graph(), graph(1, edges=30)
    with pytest.raises(ValueError, match=r"the graph must have the \d+ edges and 4 labelled rows .* got \d+ and 4"):
        drawn(data, [1, 2, 3, 0], 0.5).apply(other)


def test_targets_are_blended_with_lam():
    plan = IGraphMixPlan(
        Pairing(torch.tensor([1, 0]), torch.tensor([0.25, 1.0])), own=torch.tensor([True]), other=torch.tensor([False])
    )
    assert plan.targets(torch.eye(2)).tolist() == [[0.25, 0.75], [0.0, 1.0]]
    assert plan.kept().tolist() == [0.25, 1.0]


def test_blend_still_refuses_graphs():
    with pytest.raises(ValueError, match=r"Blend mixes tensors, got Data; structures cannot be averaged"):
        Blend().draw(graph(), Pairing.identity(4), torch.Generator())


def test_rows_stay_as_they_are_where_there_are_as_many_edges():
    data = graph(edges=2)
    data.rows = torch.arange(data.num_edges)
    count = len(data.rows)
    assert count > 2
    mixed = drawn(data, torch.arange(count).roll(1).tolist(), 0.5).apply(data)
    assert mixed.num_edges < 2 * count
    assert torch.equal(mixed.rows, data.rows)


def test_at_a_site_it_is_refused():
    data = graph()
    model = NodeModel(GCNConv(3, 2))
    whole = BetaPairs(1.0, per_sample=False)
    objective = Mixed(model, MultiClass(2), Mix(IGraphMix(), whole), AtSite("select"))
    with pytest.raises(ValueError, match=r"IGraphMix mixes a graph .*, got a tensor \(4, 2\); take place=AtInputs\(\)"):
        objective(data, torch.eye(2)[[0, 1, 0, 1]])


def test_heterogeneous_graphs_and_graphs_without_features_are_refused():
    data, pairing = graph(), Pairing.identity(4)
    with pytest.raises(ValueError, match=r"a graph of one type of nodes, a Data, got HeteroData; .*TwoBranch"):
        IGraphMix().draw(HeteroData(), pairing, torch.Generator())
    data.x = None
    with pytest.raises(ValueError, match=r"IGraphMix mixes the nodes' features x, got none"):
        IGraphMix().draw(data, pairing, torch.Generator())


def test_the_transform_refuses_a_graph_without_labels():
    with pytest.raises(ValueError, match=r"data must have labels y, one a node, got none"):
        IGraphMixTransform(BetaPairs(1.0, per_sample=False), torch.Generator())(graph())


def test_a_network_that_remembers_its_first_edges_is_refused_and_not_left_unmixed():
    generator = torch.Generator().manual_seed(0)
    data = Data(x=torch.randn(6, 3, generator=generator), edge_index=torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
    data.train_mask = torch.arange(6) < 4
    model = NodeModel(GCNConv(3, 2, cached=True))
    plain = model(data)  # without mixing it is as good as any
    mix = Mix(IGraphMix(), BetaPairs(1.0, per_sample=False))
    objective = Mixed(model, MultiClass(2), mix, generator=generator)
    with pytest.raises(ValueError, match=r"look at the edges of each batch, but .*GCNConv.* cached=False"):
        objective(data, torch.eye(2)[[0, 1, 0, 1]])
    assert torch.equal(model(data), plain)
