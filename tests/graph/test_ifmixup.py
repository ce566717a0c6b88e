"""`IfMixup` on batches of graphs: against a loop over dense matrices, and what it keeps, refuses and leaves alone."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixkit import Chain, Mix, Pairing
from mixkit_graph._pyg import Batch
from mixkit_graph.ifmixup import Bernoulli, IfMixup, Weighted, decode_edges
from mixkit_graph.pairs import AsymmetricBetaPairs

from torch_geometric.data import Data  # isort: skip # after _pyg, which silences what importing it says
from torch_geometric.utils import coalesce  # isort: skip

RULES = [Weighted(), Bernoulli()]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_graph(size, seed, *, directed=False, weight=False, attr=0, density=0.4):
    """Return a graph of `size` nodes with two normal features each and every edge with probability `density`."""
    draw = seeded(seed)
    there = torch.rand(size, size, generator=draw) < density
    edges = (there if directed else there.triu() | there.triu().T).nonzero().T.contiguous()
    data = Data(x=torch.randn(size, 2, generator=draw), edge_index=edges)
    if weight:
        data.edge_weight = torch.rand(edges.shape[1], generator=draw) + 0.5
    if attr:
        data.edge_attr = torch.randn(edges.shape[1], attr, generator=draw)
    return data


def pair(partner, lam):
    return Pairing(torch.tensor(partner), torch.tensor(lam, dtype=torch.float32))


def mixed(inputs, pairing, policy=None, seed=0):
    return (policy or IfMixup()).draw(inputs, pairing, seeded(seed)).apply(inputs)


def dense(data, size, values=None):
    """Return the adjacency matrix (size, size, ...) of a graph, with weights, ones or given values."""
    if values is None:
        values = torch.ones(data.edge_index.shape[1]) if data.edge_weight is None else data.edge_weight
    matrix = np.zeros((size, size, *values.shape[1:]), np.float32)
    for (source, target), value in zip(data.edge_index.T.tolist(), values.numpy(), strict=True):
        matrix[source, target] += value
    return matrix


def looped(a, b, lam):
    """Return x, adjacency and attributes of ifMixup's graph, with plain matrices."""
    lam = np.float32(lam)
    a_size, b_size = a.num_nodes if lam > 0 else 0, b.num_nodes if lam < 1 else 0
    size = max(a_size, b_size)
    x, adjacency, attr = np.zeros((size, 2), np.float32), np.zeros((size, size), np.float32), None
    if a.edge_attr is not None:
        attr = np.zeros((size, size, a.edge_attr.shape[1]), np.float32)
    for data, share in ((a, lam), (b, 1 - lam)):
        if share > 0:
            x[: data.num_nodes] += share * data.x.numpy()
            adjacency += share * dense(data, size)
            if attr is not None:
                attr += share * dense(data, size, data.edge_attr)
    return x, adjacency, attr


def random_batch(seed, count, **options):
    draw = np.random.default_rng(seed)
    graphs = [random_graph(int(draw.integers(1, 7)), seed + 97 * i, **options) for i in range(count)]
    lam = draw.choice([0.0, 1.0, 0.25, 0.5, 0.9, draw.random()], count).astype(np.float32)
    return graphs, pair(draw.integers(0, count, count).tolist(), lam.tolist())


def same(one, other):
    keys = ("x", "edge_index", "edge_weight", "edge_attr")
    values = [(getattr(one, key, None), getattr(other, key, None)) for key in keys]
    return all(a is b is None or (a is not None and b is not None and torch.equal(a, b)) for a, b in values)


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 5),
    directed=st.booleans(),
    weight=st.booleans(),
    attr=st.sampled_from([0, 3]),
    density=st.sampled_from([0.0, 0.4, 1.0]),
)
def test_a_mixed_batch_is_that_of_the_loop_over_dense_matrices(seed, count, directed, *, weight, attr, density):
    graphs, pairing = random_batch(seed, count, directed=directed, weight=weight, attr=attr, density=density)
    out = mixed(Batch.from_data_list(graphs), pairing).to_data_list()
    assert len(out) == count
    for i, data in enumerate(out):
        x, adjacency, attributes = looped(graphs[i], graphs[pairing.partner[i]], pairing.lam[i])
        np.testing.assert_allclose(data.x.numpy(), x, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(dense(data, len(x)), adjacency, rtol=1e-5, atol=1e-6)
        if attr:
            np.testing.assert_allclose(dense(data, len(x), data.edge_attr), attributes, rtol=1e-5, atol=1e-6)
        # an edge that both graphs have is one edge
        assert len(coalesce(data.edge_index).T) == len(data.edge_index.T)


@given(seed=st.integers(0, 10_000), count=st.integers(1, 5), directed=st.booleans(), weight=st.booleans())
@pytest.mark.parametrize("rule", RULES, ids=["weighted", "bernoulli"])
def test_the_mixed_batch_is_collated_as_torch_geometric_collates_its_graphs(rule, seed, count, directed, weight):
    graphs, pairing = random_batch(seed, count, directed=directed, weight=weight, attr=2)
    out = mixed(Batch.from_data_list(graphs), pairing, IfMixup(rule))
    again = Batch.from_data_list(out.to_data_list())
    assert out.num_graphs == count
    assert sorted(out.keys()) == sorted(again.keys())
    assert all(torch.equal(out[key], again[key]) for key in again.keys())  # noqa: SIM118 - a Batch iterates over pairs
    assert same(out[count - 1], again[count - 1])


@pytest.mark.parametrize("weight", [False, True])
@pytest.mark.parametrize("rule", RULES, ids=["weighted", "bernoulli"])
def test_a_share_of_one_gives_the_own_graph_and_of_zero_the_partners_bit_for_bit(rule, weight):
    graphs = [random_graph(size, size, directed=True, weight=weight, attr=2) for size in (5, 1, 8, 3)]
    graphs[0].edge_index = graphs[0].edge_index.flip(1)  # an order that sorting would change
    out = mixed(Batch.from_data_list(graphs), pair([2, 0, 3, 0], [1.0, 0.0, 0.0, 0.6]), IfMixup(rule)).to_data_list()
    if rule == Weighted() and not weight:
        for data in graphs:
            data.edge_weight = torch.ones(data.edge_index.shape[1])
    for data, expected in zip(out, [graphs[0], graphs[0], graphs[3]], strict=False):
        assert same(data, expected)


@pytest.mark.parametrize("rule", RULES, ids=["weighted", "bernoulli"])
def test_a_graph_that_is_its_own_partner_stays_as_it_is(rule):
    graphs = [random_graph(4, 0, weight=True), random_graph(6, 1, weight=True)]
    out = mixed(Batch.from_data_list(graphs), pair([0, 0], [0.3, 0.3]), IfMixup(rule))
    assert same(out[0], graphs[0])
    single = Batch.from_data_list(graphs[1:])
    assert same(mixed(single, pair([0], [0.7]), IfMixup(rule))[0], graphs[1])


def test_two_small_graphs_by_hand():
    path = Data(x=torch.tensor([[1.0], [2.0], [3.0]]), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
    edge = Data(x=torch.tensor([[10.0], [20.0]]), edge_index=torch.tensor([[0, 1], [1, 0]]))
    plan = IfMixup().draw(Batch.from_data_list([path, edge]), pair([1, 0], [0.75, 0.75]), seeded())
    first, second = plan.apply(Batch.from_data_list([path, edge])).to_data_list()
    assert first.x.flatten().tolist() == [3.25, 6.5, 2.25]
    assert second.x.flatten().tolist() == [7.75, 15.5, 0.75]
    assert first.edge_weight.tolist() == [1.0, 1.0, 0.75, 0.75]
    assert second.edge_weight.tolist() == [1.0, 1.0, 0.25, 0.25]
    assert second.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    torch.testing.assert_close(plan.targets(torch.eye(2)), torch.tensor([[0.75, 0.25], [0.25, 0.75]]))


def test_permuting_the_graphs_of_a_batch_permutes_the_mixed_graphs():
    graphs, pairing = random_batch(3, 6, weight=True, attr=1)
    order = torch.randperm(6, generator=seeded(1))
    place = order.argsort()
    permuted = Pairing(place[pairing.partner[order]], pairing.lam[order])
    plain = mixed(Batch.from_data_list(graphs), pairing).to_data_list()
    other = mixed(Batch.from_data_list([graphs[i] for i in order.tolist()]), permuted).to_data_list()
    assert all(same(data, plain[i]) for data, i in zip(other, order.tolist(), strict=True))


def test_edges_are_found_again_in_graphs_of_batches_whose_edges_are_not_in_order():
    graphs, pairing = random_batch(5, 4, weight=True)
    inputs = Batch.from_data_list(graphs)
    order = torch.randperm(inputs.edge_index.shape[1], generator=seeded(2))
    mingled = Batch(x=inputs.x, edge_index=inputs.edge_index[:, order], batch=inputs.batch, ptr=inputs.ptr)
    mingled.edge_weight, mingled._num_graphs = inputs.edge_weight[order], 4
    for data, other in zip(mixed(inputs, pairing).to_data_list(), mixed(mingled, pairing).to_data_list(), strict=True):
        torch.testing.assert_close(dense(data, 8), dense(other, 8))


def test_parallel_edges_of_a_graph_stay_apart_and_those_of_the_partner_keep_their_sum():
    double = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0, 0], [1, 1]]))
    single = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]))
    out = mixed(Batch.from_data_list([double, single]), pair([1, 0], [0.75, 0.75]))
    assert out[0].edge_weight.tolist() == [1.0, 0.75]
    assert out[1].edge_weight.tolist() == [1.25]


@given(seed=st.integers(0, 10_000), directed=st.booleans())
def test_bernoulli_edges_come_from_one_of_the_two_graphs_with_what_they_carry(seed, directed):
    graphs, pairing = random_batch(seed, 3, directed=directed, weight=True)
    for data in graphs:
        data.edge_attr = torch.arange(data.edge_index.shape[1])  # codes
    out = mixed(Batch.from_data_list(graphs), pairing, IfMixup(Bernoulli()), seed)
    for i, data in enumerate(out.to_data_list()):
        a, b = graphs[i], graphs[pairing.partner[i]]
        found = [
            {
                (s, t): (float(w), int(c))
                for (s, t), w, c in zip(d.edge_index.T.tolist(), d.edge_weight, d.edge_attr, strict=True)
            }
            for d in (data, a, b)
        ]
        assert all(value in (found[1].get(key), found[2].get(key)) for key, value in found[0].items())
        assert set(found[1]) & set(found[2]) <= set(found[0])
        if not directed:
            assert {(t, s) for s, t in found[0]} == set(found[0])


def test_bernoulli_edges_are_on_average_the_weights():
    full, empty = random_graph(40, 0, density=1.0), random_graph(40, 1, density=0.0)
    inputs, pairing = Batch.from_data_list([full, empty]), pair([1, 0], [0.8, 0.7])
    out = mixed(inputs, pairing, IfMixup(Bernoulli())).to_data_list()
    # 820 pairs and loops: a standard error of 0.014 for 0.8 and of 0.016 for 0.3
    assert abs(out[0].edge_index.shape[1] / 1600 - 0.8) < 0.05
    assert abs(out[1].edge_index.shape[1] / 1600 - 0.3) < 0.05
    assert out[0].edge_weight is None


def test_a_bernoulli_plan_gives_the_same_batch_each_time_and_fits_its_own_batch_only():
    graphs, _ = random_batch(8, 4)
    inputs = Batch.from_data_list(graphs)
    plan = IfMixup(Bernoulli()).draw(inputs, pair([1, 2, 3, 0], [0.6] * 4), seeded())
    assert same(plan.apply(inputs), plan.apply(inputs))
    other = Batch.from_data_list([random_graph(9, 5), *graphs[1:]])
    with pytest.raises(ValueError, match=r"the batch that the plan was drawn for, with \d+ edges .*, got \d+"):
        plan.apply(other)


@given(seed=st.integers(0, 10_000), lam=st.floats(0.01, 0.99))
def test_both_graphs_can_be_read_from_the_weights_of_a_mixed_one(seed, lam):
    a, b = random_graph(6, seed, directed=True), random_graph(6, seed + 1, directed=True)
    inputs = Batch.from_data_list([a, b])
    plan = IfMixup(margin=0.01).draw(inputs, pair([1, 0], [lam, lam]), seeded())
    weights = torch.from_numpy(dense(plan.apply(inputs)[0], 6)).flatten()
    own, other = decode_edges(weights, float(plan.pairing.lam[0]))
    assert torch.equal(own.view(6, 6), torch.from_numpy(dense(a, 6) == 1))
    assert torch.equal(other.view(6, 6), torch.from_numpy(dense(b, 6) == 1))


def test_a_margin_moves_shares_and_labels_away_from_a_half():
    inputs = Batch.from_data_list([random_graph(3, i) for i in range(4)])
    plan = IfMixup(margin=0.125).draw(inputs, pair([1, 2, 3, 0], [0.25, 0.4375, 0.5, 0.9375]), seeded())
    assert plan.pairing.lam.tolist() == [0.25, 0.375, 0.625, 0.9375]
    assert plan.targets(torch.eye(4))[1].tolist() == [0.0, 0.375, 0.625, 0.0]


@pytest.mark.parametrize("lam", [0.5, 0.0, 1.0, 0.50001])
def test_shares_that_do_not_tell_graphs_apart_are_not_decoded(lam):
    with pytest.raises(ValueError, match=r"farther than 0.0001 from 0, 1/2 and 1 .*margin"):
        decode_edges(torch.tensor([0.5]), lam)


def test_weights_of_graphs_that_were_not_binary_are_not_decoded():
    with pytest.raises(ValueError, match=r"weights must be 0, lam, 1 - lam or 1 with lam=0.75, got 0.5; only graphs"):
        decode_edges(torch.tensor([1.0, 0.5, 0.25]), 0.75)


@pytest.mark.parametrize("rule", RULES, ids=["weighted", "bernoulli"])
def test_the_callers_batch_is_left_alone_and_labels_are_left_to_the_plan(rule):
    graphs = [random_graph(size, size, weight=True) for size in (3, 5)]
    for i, data in enumerate(graphs):
        data.y = torch.tensor([i])
    inputs = Batch.from_data_list(graphs)
    before = inputs.clone()
    out = mixed(inputs, pair([1, 0], [0.7, 0.2]), IfMixup(rule))
    assert all(torch.equal(inputs[key], before[key]) for key in before.keys())  # noqa: SIM118 - as above
    assert "y" not in out


def test_gradients_reach_features_and_weights_of_both_graphs():
    inputs = Batch.from_data_list([random_graph(4, 0, weight=True), random_graph(6, 1, weight=True)])
    inputs.x.requires_grad_()
    inputs.edge_weight.requires_grad_()
    out = mixed(inputs, pair([1, 0], [0.75, 1.0]))
    (out.x.sum() + out.edge_weight.sum()).backward()
    assert inputs.x.grad[:4].unique().tolist() == [0.75]
    assert inputs.x.grad[4:].unique().tolist() == [1.25]
    assert inputs.edge_weight.grad.unique().tolist() == [0.75, 1.25]


def test_links_of_a_chain_mix_what_the_one_before_gave_out():
    inputs = Batch.from_data_list([random_graph(3 + i, i) for i in range(4)])
    twice = Mix(IfMixup(), AsymmetricBetaPairs(2.0, 1.0, derange=True))
    plan = Chain([twice, twice]).draw(inputs, torch.eye(4), seeded())
    out, labels = plan.apply(inputs), plan.targets(torch.eye(4))
    for i, data in enumerate(out.to_data_list()):
        sums = torch.stack([labels[i, j] * inputs[j].x.sum(0) for j in range(4)]).sum(0)
        torch.testing.assert_close(data.x.sum(0), sums)


def refused(match, inputs=None, policy=None, **attributes):
    inputs = Batch.from_data_list([random_graph(3, 0), random_graph(2, 1)]) if inputs is None else inputs
    for key, value in attributes.items():
        inputs[key] = value
    with pytest.raises(ValueError, match=match):
        (policy or IfMixup()).draw(inputs, pair([1, 0], [0.5, 0.5]), seeded()).apply(inputs)


def test_what_cannot_be_mixed_is_refused_by_name():
    edges = Batch.from_data_list([random_graph(3, 0), random_graph(2, 1)]).edge_index.shape[1]
    refused(r"x must be float features, got torch.int64 \(5, 1\): codes.*one-hot.*AtSite", x=torch.ones(5, 1).long())
    refused(r"x must be float features of the 5 nodes, got none; .*OneHotDegree", x=None)
    refused(r"x must be float features of the 5 nodes, got \(4, 1\)", x=torch.ones(4, 1))
    refused(r"got pos, smiles: nobody said how they mix; .* drop=\('pos', 'smiles'\)", pos=torch.ones(5, 3), smiles="")
    refused(rf"edge_weight must be float of shape \({edges},\).*got torch.float32 \(3,\)", edge_weight=torch.ones(3))
    refused(rf"edge_attr must have a row for each of the {edges} edges, got shape \(3, 1\)", edge_attr=torch.ones(3, 1))
    refused(r"edge_attr must be float to be mixed, got torch.int64.*Bernoulli", edge_attr=torch.ones(edges, 1).long())
    refused(r"got a tensor of shape \(2, 3\); take place=AtInputs\(\)", torch.ones(2, 3))
    refused(r"must be a Batch of graphs .*got Data; make one with .*from_data_list", random_graph(3, 0))
    refused(r"must be the 2 graphs that the pairing is for, got 1", Batch.from_data_list([random_graph(3, 0)]))
    refused(r"`batch` is not in ascending order", batch=torch.tensor([0, 1, 0, 1, 1]))
    refused(r"edge_index must be int64 of shape \(2, E\), got NoneType.*ToSparseTensor", edge_index=None)


def test_attributes_that_are_named_are_dropped():
    inputs = Batch.from_data_list([random_graph(3, 0, weight=True, attr=2), random_graph(2, 1, weight=True, attr=2)])
    inputs.pos = torch.ones(5, 3)
    out = mixed(inputs, pair([1, 0], [0.5, 0.5]), IfMixup(drop=("pos", "edge_attr", "edge_weight")))
    assert sorted(out.keys()) == ["batch", "edge_index", "edge_weight", "ptr", "x"]
    assert set(out.edge_weight.tolist()) <= {0.5, 1.0}


@pytest.mark.parametrize("margin", [-0.1, 0.5, float("nan")])
def test_margins_outside_half_the_unit_interval_are_refused(margin):
    with pytest.raises(ValueError, match=r"margin must be in \[0, 1/2\), got margin="):
        IfMixup(margin=margin)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_keep_their_precision(dtype):
    graphs = [random_graph(4, 0), random_graph(3, 1)]
    for data in graphs:
        data.x = data.x.to(dtype)
    out = mixed(Batch.from_data_list(graphs), pair([1, 0], [0.5, 1.0]))
    assert out.x.dtype == out.edge_weight.dtype == dtype
    assert torch.equal(out[1].x, graphs[1].x)


def test_asymmetric_pairs_have_the_mean_and_the_partner_share_of_their_law():
    pairs = AsymmetricBetaPairs(20.0, 1.0, derange=True)
    drawn = pairs(torch.zeros(20_000, 1), seeded())
    lam = drawn.lam.double()
    assert abs(float(lam.mean()) - 20 / 21) < 0.002
    assert abs(float((2 * lam * (1 - lam)).mean()) - pairs.expected_partner_share) < 0.002
    assert bool((drawn.partner != torch.arange(20_000)).all())
    assert AsymmetricBetaPairs(2.0, 2.0).expected_partner_share == pytest.approx(0.4)
    with pytest.raises(ValueError, match="b must be positive, got b=0"):
        AsymmetricBetaPairs(1.0, 0.0)


def big_batch(nodes, edges):
    """Return 100 graphs with random edges, `edges` in all."""
    draw = seeded()
    size = nodes // 100
    own = torch.arange(100).repeat_interleave(edges // 100) * size
    index = torch.randint(size, (2, edges), generator=draw) + own
    batch = Batch(
        x=torch.randn(nodes, 4, generator=draw), edge_index=index, batch=torch.arange(100).repeat_interleave(size)
    )
    batch._num_graphs, batch.ptr = 100, torch.arange(101) * size
    return batch


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES, ids=["weighted", "bernoulli"])
def test_a_million_edges_take_about_ten_times_as_long_as_a_tenth_of_them(rule):
    def seconds(edges):
        inputs, taken = big_batch(edges // 10, edges), []
        pairing = Pairing((torch.arange(100) + 1) % 100, torch.full((100,), 0.75))
        for _ in range(5):
            start = time.thread_time()
            mixed(inputs, pairing, IfMixup(rule))
            taken.append(time.thread_time() - start)
        return min(taken)

    # sorting and looking up add a logarithm, caches that are too small a factor
    assert seconds(1_000_000) < 30 * seconds(100_000)


def test_another_default_precision_changes_nothing():
    inputs = Batch.from_data_list([random_graph(3, 0), random_graph(5, 1)])
    pairing = pair([1, 0], [0.75, 0.5])
    expected = IfMixup(margin=0.125).draw(inputs, pairing, seeded()).apply(inputs)
    torch.set_default_dtype(torch.float64)
    try:
        found = IfMixup(margin=0.125).draw(inputs, pairing, seeded()).apply(inputs)
    finally:
        torch.set_default_dtype(torch.float32)
    for key in ("x", "edge_index", "edge_weight"):
        assert torch.equal(found[key], expected[key])
        assert found[key].dtype == expected[key].dtype
