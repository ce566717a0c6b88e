"""`SMixup` on batches of graphs: against a loop over dense matrices, with alignments that are known."""

import math

import numpy as np
import pytest
import torch
from graph_parts import batch, own_net, renumbered, seeded
from hypothesis import given
from hypothesis import strategies as st

from mixkit import BetaPairs, Mix, Mixed, MultiClass, Pairing
from mixkit_graph import dense_graphs
from mixkit_graph._pyg import Batch
from mixkit_graph.edge_weights import AtWeightedEdges
from mixkit_graph.smixup import SiteEmbedding, SMixup

from torch_geometric.data import Data  # isort: skip # after _pyg, which silences what importing it says


def random_graph(size, seed, *, weight=False, density=0.5):
    draw = seeded(seed)
    there = (torch.rand(size, size, generator=draw) < density).triu(1)
    edges = (there | there.T).nonzero().T.contiguous()
    data = Data(x=torch.randn(size, 3, generator=draw), edge_index=edges)
    if weight:
        data.edge_weight = torch.rand(edges.shape[1], generator=draw) + 0.5
    return data


def pair(partner, lam):
    return Pairing(torch.tensor(partner), torch.tensor(lam, dtype=torch.float32))


def features(inputs):
    return inputs.x


def dense(data, size):
    weights = torch.ones(data.edge_index.shape[1]) if data.edge_weight is None else data.edge_weight
    matrix = np.zeros((size, size))
    for (source, target), weight in zip(data.edge_index.T.tolist(), weights.tolist(), strict=True):
        matrix[source, target] += weight
    return matrix


def looped(a, b, lam, temperature):
    """Return features and all entries of the adjacency of S-Mixup's graph."""
    lam = max(lam, 1 - lam)
    x_a, x_b = (data.x.double().numpy() for data in (a, b))
    cosine = (x_a / np.linalg.norm(x_a, axis=1)[:, None]) @ (x_b / np.linalg.norm(x_b, axis=1)[:, None]).T
    spread = np.exp(cosine / temperature)
    spread /= spread.sum(0)
    adjacency = lam * dense(a, len(x_a)) + (1 - lam) * spread @ dense(b, len(x_b)) @ spread.T
    return lam * x_a + (1 - lam) * spread @ x_b, adjacency


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(2, 6),
    weight=st.booleans(),
    temperature=st.sampled_from([0.05, 0.3, 1.0]),
)
def test_a_mixed_batch_is_that_of_the_loop_over_dense_matrices(seed, count, weight, temperature):
    draw = np.random.default_rng(seed)
    # sizes on both sides of the smallest bucket, so that a batch has several
    graphs = [random_graph(int(draw.integers(1, 24)), seed + 97 * i, weight=weight) for i in range(count)]
    partner = [(i + int(draw.integers(1, count))) % count for i in range(count)]
    lam = draw.uniform(0.02, 0.98, count).astype(np.float32).tolist()
    inputs = Batch.from_data_list(graphs)
    plan = SMixup(features, temperature=temperature).draw(inputs, pair(partner, lam), seeded())
    for i, data in enumerate(plan.apply(inputs).to_data_list()):
        x, adjacency = looped(graphs[i], graphs[partner[i]], lam[i], temperature)
        np.testing.assert_allclose(data.x.numpy(), x, rtol=1e-4, atol=1e-5)
        found = dense(data, len(x))
        sure = np.abs(adjacency - 0.1) > 1e-4  # on the threshold itself rounding decides
        np.testing.assert_allclose(found[sure], np.where(adjacency < 0.1, 0, adjacency)[sure], rtol=1e-4, atol=1e-5)


def test_the_larger_share_is_the_own_one_for_labels_too():
    inputs = Batch.from_data_list([random_graph(3, 0), random_graph(4, 1)])
    plan = SMixup(features).draw(inputs, pair([1, 0], [0.25, 0.875]), seeded())
    assert plan.targets(torch.eye(2)).tolist() == [[0.75, 0.25], [0.125, 0.875]]


@pytest.mark.parametrize("weight", [False, True])
def test_graphs_that_keep_all_of_themselves_stay_bit_for_bit(weight):
    graphs = [random_graph(size, size, weight=weight) for size in (5, 3, 20, 1)]
    graphs[0].edge_index = graphs[0].edge_index.flip(1)  # an order that sorting would change
    graphs[3].edge_index = torch.empty(2, 0, dtype=torch.long)
    inputs = Batch.from_data_list(graphs)
    # lam = 1; lam = 0, which is turned round; mixed; its own partner
    out = SMixup(features).draw(inputs, pair([1, 2, 0, 3], [1.0, 0.0, 0.6, 0.6]), seeded()).apply(inputs)
    for i in (0, 1, 3):
        expected = graphs[i].edge_weight if weight else torch.ones(graphs[i].edge_index.shape[1])
        assert torch.equal(out[i].x, graphs[i].x)
        assert torch.equal(out[i].edge_index, graphs[i].edge_index)
        assert torch.equal(out[i].edge_weight, expected if i != 3 else torch.empty(0))


def test_a_renumbered_copy_is_aligned_to_the_own_nodes():
    own = random_graph(6, 0)
    own.x = torch.eye(6)
    order = torch.randperm(6, generator=seeded(1))
    inputs = Batch.from_data_list([own, renumbered(own, order)])
    out = SMixup(features, temperature=0.01).draw(inputs, pair([1, 0], [0.7, 0.7]), seeded()).apply(inputs)
    torch.testing.assert_close(out.x, inputs.x)
    assert torch.equal(out[0].edge_index, own.edge_index)
    torch.testing.assert_close(out.edge_weight, torch.ones(len(out.edge_weight)))


def test_each_partner_node_spreads_one_and_edges_below_the_threshold_go():
    # two own nodes that look alike take half each of the partner's pair, so that each of 4 entries has 2 / 4
    alike = Data(x=torch.ones(2, 1), edge_index=torch.empty(2, 0, dtype=torch.long))
    edge = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0, 1], [1, 0]]))
    inputs, pairing = Batch.from_data_list([alike, edge]), pair([1, 0], [0.75, 0.75])
    out = SMixup(features).draw(inputs, pairing, seeded()).apply(inputs)
    assert out[0].edge_index.tolist() == [[0, 0, 1, 1], [0, 1, 0, 1]]
    assert out[0].edge_weight.tolist() == [0.125] * 4
    assert out[0].x.flatten().tolist() == [1.0, 1.0]
    none = SMixup(features, threshold=0.13).draw(inputs, pairing, seeded()).apply(inputs)
    assert none[0].edge_index.shape == (2, 0)
    assert none[1].edge_weight.tolist() == [0.75, 0.75]


def test_the_mixed_batch_is_collated_as_torch_geometric_collates_its_graphs():
    inputs = Batch.from_data_list([random_graph(size, size) for size in (40, 3, 17, 1)])
    out = SMixup(features).draw(inputs, pair([1, 2, 3, 0], [0.6, 0.7, 0.8, 0.9]), seeded()).apply(inputs)
    again = Batch.from_data_list(out.to_data_list())
    assert out.num_graphs == 4
    assert sorted(out.keys()) == sorted(again.keys())
    assert all(torch.equal(out[key], again[key]) for key in again.keys())  # noqa: SIM118 - a Batch iterates over pairs


@given(sizes=st.lists(st.integers(0, 700), min_size=1, max_size=40), seed=st.integers(0, 99))
def test_chunks_hold_each_row_once_and_pad_less_than_twofold(sizes, seed):
    own = torch.tensor(sizes)
    partner = torch.randperm(len(own), generator=seeded(seed))
    found = list(dense_graphs.size_chunks(own, partner, torch.arange(len(own))))
    assert sorted(torch.cat([rows for rows, _ in found]).tolist()) == list(range(len(own)))
    for rows, (most, most_other) in found:
        assert most_other == max(1, int(own[partner[rows]].max()))
        for size, padded in ((own[rows], most), (own[partner[rows]], most_other)):
            assert padded <= max(16, 2 * int(size.min()))
        assert len(rows) == 1 or len(rows) * max(most, most_other) ** 2 <= dense_graphs.MOST_CELLS


def test_chunks_change_nothing(monkeypatch):
    inputs = Batch.from_data_list([random_graph(3 + i, i) for i in range(8)])
    plan = SMixup(features).draw(inputs, pair([1, 2, 3, 4, 5, 6, 7, 0], [0.7] * 8), seeded())
    whole = plan.apply(inputs)
    monkeypatch.setattr(dense_graphs, "MOST_CELLS", 150)
    torch.testing.assert_close(plan.apply(inputs).edge_weight, whole.edge_weight)


def test_gradients_reach_features_of_both_graphs_but_not_the_alignment():
    inputs = Batch.from_data_list([random_graph(4, 0), random_graph(6, 1)])
    inputs.x.requires_grad_()
    out = SMixup(features).draw(inputs, pair([1, 1], [0.75, 1.0]), seeded()).apply(inputs)
    out[0].x.sum().backward()
    # columns of S sum to 1: each node of the partner counts once
    torch.testing.assert_close(inputs.x.grad, torch.tensor([0.75] * 4 + [0.25] * 6)[:, None].expand(10, 3))


def test_embeddings_are_those_of_the_site_in_evaluation_mode_and_leave_no_trace():
    model, inputs = own_net().train(), batch()
    model.layers[0].eval()  # as of a frozen part
    modes = [module.training for module in model.modules()]
    state = {key: value.clone() for key, value in model.state_dict().items()}
    caught = []
    embed = SiteEmbedding(model, "readout:input")
    found = embed(inputs)
    assert [module.training for module in model.modules()] == modes
    model.readout.register_forward_pre_hook(lambda module, args: caught.append(args[0]))
    model.eval()(inputs)
    assert torch.equal(found, caught[0])
    assert not found.requires_grad
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_a_network_that_gives_its_own_embeddings_trains():
    model, inputs, targets = own_net(), batch(), torch.eye(4)[:, :3]
    policy = SMixup(SiteEmbedding(model, "readout:input"))
    mix = Mix(policy, BetaPairs(0.2, derange=True))
    objective = Mixed(model, MultiClass(3), mix, AtWeightedEdges(), generator=seeded())
    optimizer = torch.optim.Adam(objective.param_groups(), lr=1e-2)
    losses = []
    objective.train()
    for _ in range(60):
        optimizer.zero_grad()
        loss = objective(inputs, targets)["mixed"]
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(math.isfinite(loss) for loss in losses)
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def refused(match, policy, inputs=None):
    inputs = Batch.from_data_list([random_graph(3, 0), random_graph(2, 1)]) if inputs is None else inputs
    with pytest.raises(ValueError, match=match):
        policy.draw(inputs, pair([1, 0], [0.5, 0.5]), seeded())


def test_what_cannot_be_aligned_is_refused_by_name():
    with_attributes = Batch.from_data_list([random_graph(3, 0), random_graph(2, 1)])
    with_attributes.edge_attr = torch.ones(with_attributes.edge_index.shape[1], 2)
    refused(
        r"inputs have edge_attr; leave it out with drop=\('edge_attr',\), or take IfMixup",
        SMixup(features),
        with_attributes,
    )
    SMixup(features, drop=("edge_attr",)).draw(with_attributes, pair([1, 0], [0.5, 0.5]), seeded())
    refused(r"embed must return a row for each of the 5 nodes, got shape \(2, 3\)", SMixup(lambda b: torch.ones(2, 3)))
    refused(r"must be the 2 graphs that the pairing is for, got 3", SMixup(features), batch((1, 2, 3)))
    plan = SMixup(features).draw(batch((4, 5)), pair([1, 0], [0.5, 0.5]), seeded())
    with pytest.raises(ValueError, match="the batch of 9 nodes that the plan was drawn for, got 8"):
        plan.apply(batch((4, 4)))


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="temperature must be positive, got temperature=0"):
        SMixup(features, temperature=0.0)
    with pytest.raises(ValueError, match=r"threshold must be in \[0, 1\), got threshold=1"):
        SMixup(features, threshold=1.0)


def test_another_default_precision_changes_nothing():
    inputs = Batch.from_data_list([random_graph(size, seed) for seed, size in enumerate((4, 6))])
    plan = SMixup(features).draw(inputs, pair([1, 0], [0.7, 0.6]), seeded())
    expected = plan.apply(inputs)
    torch.set_default_dtype(torch.float64)
    try:
        found = plan.apply(inputs)
    finally:
        torch.set_default_dtype(torch.float32)
    for key in ("x", "edge_index", "edge_weight"):
        assert torch.equal(found[key], expected[key])
        assert found[key].dtype == expected[key].dtype


def test_edges_of_negative_weight_stay():
    there = Data(x=torch.eye(2), edge_index=torch.tensor([[0, 1], [1, 0]]), edge_weight=torch.tensor([-1.0, 0.5]))
    inputs = Batch.from_data_list([there, there])
    mixed = SMixup(features, temperature=1e-3).draw(inputs, pair([1, 0], [0.75, 0.75]), seeded()).apply(inputs)
    torch.testing.assert_close(mixed[0].edge_weight, torch.tensor([-1.0, 0.5]))
    assert mixed[0].edge_index.tolist() == [[0, 1], [1, 0]]
