"""What G-Mixup draws: edges, labels, features, sizes; real and drawn graphs in one batch."""

import copy
import time

import pytest
import torch
from graphon_parts import dataset, seeded

from mixkit_graph._pyg import Batch
from mixkit_graph.degree_features import DegreeTable, OneHotDegrees
from mixkit_graph.gmixup import GMixup
from mixkit_graph.graphon_data import soft_labels
from mixkit_graph.graphon_sampler import draw_edges, expected_edges, rescaled
from mixkit_graph.graphs import pointers
from mixkit_graph.lam_laws import BetaLam, UniformLam
from mixkit_graph.tudataset import read_tu

from torch_geometric.data import Data  # isort: skip # after _pyg, which silences what importing it says
from torch_geometric.loader import DataLoader  # isort: skip


def test_rescaled_probabilities_have_the_edges_asked_for(generator):
    graphons = torch.rand(40, 6, 6, generator=generator)
    graphons[0] = 0
    graphons[1, :, 3:] = 0
    counts = torch.randint(0, 5, (40, 6), generator=generator).float() + 1
    nodes = counts.sum(1)
    wanted = torch.rand(40, generator=generator) * nodes * (nodes - 1) / 2
    found = rescaled((graphons + graphons.transpose(1, 2)) / 2, counts, wanted)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    torch.testing.assert_close(expected_edges(found, counts), wanted, rtol=1e-4, atol=1e-3)


def test_every_pair_is_an_edge_with_the_probability_at_its_positions():
    chance = torch.tensor([[0.9, 0.2], [0.2, 0.5]])
    count = 4000
    cell = torch.tensor([0, 1, 0, 1]).repeat(count)
    ptr = torch.arange(count + 1) * 4
    edges = draw_edges(chance.expand(count, 2, 2), cell, ptr, seeded())
    counts = torch.zeros(4, 4).index_put_(tuple(edges % 4), torch.ones(edges.shape[1]), accumulate=True) / count
    expected = chance[cell[:4, None], cell[:4]].fill_diagonal_(0.0)
    assert float((counts - expected).abs().max()) < 4 * 0.5 / count**0.5
    assert torch.equal(counts, counts.T)


def test_parts_of_a_call_are_drawn_as_one(monkeypatch):
    chance = torch.ones(6, 2, 2)
    sizes = torch.tensor([3, 1, 4, 0, 2, 5])
    cell, ptr = torch.zeros(15, dtype=torch.long), pointers(sizes)
    whole = draw_edges(chance, cell, ptr, seeded())
    monkeypatch.setattr("mixkit_graph.graphon_sampler.LARGEST_PART", 4)
    assert torch.equal(draw_edges(chance, cell, ptr, seeded()), whole)
    assert whole.shape[1] == sum(n * (n - 1) for n in (3, 1, 4, 0, 2, 5))


def test_drawn_graphs_are_undirected_without_loops_and_with_soft_labels():
    for graph in GMixup().fit(dataset()).sample(50, seeded()):
        assert graph.is_undirected()
        assert not graph.has_self_loops()
        assert not graph.has_isolated_nodes()
        assert graph.x.shape == (graph.num_nodes, 2)
        assert graph.y.shape == (1, 2)
        assert sorted(graph.y[0].tolist()) == pytest.approx(sorted([float(graph.y.min()), 1 - float(graph.y.min())]))
        assert 0.0999 <= float(graph.y.min()) <= 0.2001


def test_lam_is_the_share_of_the_own_class_in_label_graphon_and_features():
    mixer = GMixup(lam=UniformLam(1.0, 1.0)).fit(dataset())
    for graph in mixer.sample(20, seeded()):
        own = int(graph.y.argmax())
        assert graph.y.tolist() == [[1.0 - own, float(own)]]
        rows = mixer.features[own]
        assert all(bool((rows == row).all(1).any()) for row in graph.x)


def test_the_batch_and_the_list_of_one_seed_hold_the_same_graphs():
    mixer = GMixup().fit(dataset())
    drawn, batch = mixer.sample(7, seeded(3)), mixer.sample_batch(7, seeded(3))
    joined = Batch.from_data_list(drawn)
    for key in ("x", "edge_index", "y", "batch", "ptr"):
        assert torch.equal(joined[key], batch[key]), key
    for own, other in zip(batch.to_data_list(), drawn, strict=True):
        assert torch.equal(own.edge_index, other.edge_index)
        assert torch.equal(own.y, other.y)


def test_a_generator_replays_and_global_ones_are_left_alone(global_state):
    mixer = GMixup(lam=BetaLam(0.5)).fit(dataset())
    before = global_state()
    first, second, other = (mixer.sample_batch(5, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.edge_index, second.edge_index)
    assert torch.equal(first.y, second.y)
    assert not torch.equal(first.y, other.y)
    assert global_state() == before


def test_nothing_is_written_into_the_data_set():
    graphs = dataset()
    kept = copy.deepcopy(graphs)
    mixer = GMixup().fit(graphs)
    mixer.alongside(graphs)
    soft_labels(graphs)
    for graph, before in zip(graphs, kept, strict=True):
        assert graph.keys() == before.keys()
        assert all(torch.equal(graph[key], before[key]) for key in graph.keys())  # noqa: SIM118 - Data is no mapping


@pytest.mark.parametrize("features", [0, 2])
def test_real_and_drawn_graphs_go_through_one_loader(features):
    graphs = dataset(features)
    mixer = GMixup().fit(graphs)
    together = mixer.alongside(graphs) + mixer.sample(6, seeded())
    batches = list(DataLoader(together, batch_size=13))
    assert torch.cat([batch.y for batch in batches]).shape == (26, 2)
    assert sum(batch.num_graphs for batch in batches) == 26


def test_an_integer_label_beside_a_float_row_is_what_soft_labels_is_for():
    plain, soft = dataset(count=2)[0], GMixup().fit(dataset()).sample(1, seeded())[0]
    with pytest.raises(RuntimeError, match="same number of dimensions"):
        Batch.from_data_list([plain, soft])
    assert Batch.from_data_list([*soft_labels([plain], 2), soft]).y.shape == (2, 2)


def test_features_may_be_computed_from_the_drawn_edges():
    graphs = dataset(features=0)
    mixer = GMixup(features=OneHotDegrees(5)).fit(graphs)
    for graph in [*mixer.sample(10, seeded()), *mixer.alongside(graphs)]:
        degree = torch.bincount(graph.edge_index[0], minlength=graph.num_nodes).clamp(max=5)
        assert torch.equal(graph.x.argmax(1), degree)


def test_a_degree_table_is_found_where_features_follow_from_the_degree():
    batch = Batch.from_data_list(dataset())
    assert DegreeTable.found(batch) is None
    batch.x = OneHotDegrees(9)(batch)
    table = DegreeTable.found(batch)
    assert torch.equal(table(batch), batch.x)
    batch.x = torch.ones_like(batch.x)
    assert DegreeTable.found(batch) is None  # a constant says nothing about degrees


def sparse_dataset():
    """Return graphs of 8 nodes and a single edge, and graphs of 8 nodes with none."""
    edge = torch.tensor([[0, 1], [1, 0]])
    none = torch.empty(2, 0, dtype=torch.long)
    return [Data(edge_index=e, num_nodes=8, y=torch.tensor([c])) for c, e in ((0, edge), (1, none), (0, edge))]


def test_isolated_nodes_are_left_out_but_for_graphs_without_any_edge():
    for graph in GMixup().fit(sparse_dataset()).sample(100, seeded()):
        assert graph.num_nodes == 8 if graph.num_edges == 0 else not graph.has_isolated_nodes()


def test_isolated_nodes_stay_if_asked_for():
    drawn = GMixup(keep_isolated=True).fit(sparse_dataset()).sample(100, seeded())
    assert {graph.num_nodes for graph in drawn} == {8}
    assert len({graph.num_edges for graph in drawn}) > 1


def test_graphs_without_nodes_are_passed_over():
    none = Data(x=torch.empty(0, 2), edge_index=torch.empty(2, 0, dtype=torch.long), y=torch.tensor([0]))
    first, second = GMixup().fit(dataset()), GMixup().fit([none, *dataset()])
    assert torch.equal(first.graphons, second.graphons)
    assert torch.equal(first.nodes, second.nodes)


def test_no_graphs_asked_for_gives_none():
    assert GMixup().fit(dataset()).sample(0, seeded()) == []


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: GMixup(resolution=1), "resolution must be at least 2, got resolution=1"),
        (lambda: UniformLam(0.9, 0.8), "low and high must be in order"),
        (lambda: BetaLam(0.0), "alpha must be positive"),
        (lambda: OneHotDegrees(-1), "largest must be at least 0"),
        (lambda: GMixup().fit(dataset()).sample(-1, seeded()), "count must be at least 0, got count=-1"),
        (lambda: GMixup().fit(dataset()).sample_batch(0, seeded()), "count must be at least 1"),
        (lambda: GMixup().fit(dataset(), torch.eye(2)), "targets must have a row a graph, got 2 rows for 20 graphs"),
        (lambda: GMixup().fit(dataset(0)).alongside(dataset()), "graphs have x, but drawn ones have none"),
    ],
)
def test_wrong_arguments_are_refused(act, message):
    with pytest.raises(ValueError, match=message):
        act()


@pytest.mark.parametrize("law", [UniformLam(0.8, 0.9), UniformLam(0.0, 1.0), BetaLam(0.3), BetaLam(2.0)])
def test_the_expected_partner_share_is_that_of_the_draws(law):
    lam = law.draw(200_000, seeded()).double()
    assert float((2 * lam * (1 - lam)).mean()) == pytest.approx(law.expected_partner_share, abs=2e-3)


@pytest.mark.data
@pytest.mark.parametrize("name", ["MUTAG", "PROTEINS", "IMDB-BINARY"])
def test_drawn_graphs_have_about_the_nodes_and_edges_of_real_ones(real, name):
    data = read_tu(real(name) / "raw", name)
    some = data.graphs.gather(torch.arange(len(data.graphs)))
    batch = Batch(edge_index=some.edges, batch=some.graph, ptr=some.node_ptr, num_nodes=len(some.nodes))
    targets = torch.nn.functional.one_hot(torch.from_numpy(data.labels)).float()
    began = time.thread_time()
    mixer = GMixup(keep_isolated=True).fit(batch, targets)
    assert time.thread_time() - began < 3
    drawn = mixer.sample_batch(3000, seeded())
    assert drawn.num_nodes / 3000 == pytest.approx(len(some.nodes) / len(targets), rel=0.1)
    assert drawn.edge_index.shape[1] / 3000 == pytest.approx(some.edges.shape[1] / len(targets), rel=0.1)
