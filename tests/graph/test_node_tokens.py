"""Nodes as tokens and the aligned plan: dense form, hand-computed mixes, padding, permutations."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from graph_parts import SIZES, batch, graphs, lively, own_net, plan_of, renumbered, seeded, sources

from mixkit import FromEach, LamConcatenated, LamIgnored, LamPrior, NeckValue
from mixkit.mixblock import Scored
from mixkit_graph import AtNodes, NodeTokens
from mixkit_graph._pyg import Batch
from mixkit_graph.aligned import NodeCells

PARTNER, LAM = [2, 3, 1, 0], [0.3, 0.5, 0.8, 0.6]
WHERE = {"whole": ({}, {}), "shared tokens": ({}, {"most_tokens": 3}), "pooled in the block": ({"most_tokens": 3}, {})}
BLOCKS = {"default": {}, "each": {"projection": FromEach(), "value": NeckValue(), "lam": LamPrior()}}


def slices(sizes):
    ends = np.cumsum(sizes)
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def test_nodes_are_packed_as_torch_geometric_packs_them():
    from torch_geometric.utils import to_dense_batch

    inputs = batch((4, 1, 7, 3, 7))
    nodes = NodeCells.of_graphs(inputs.batch, inputs.num_graphs)
    dense, real = to_dense_batch(inputs.x, inputs.batch)
    assert torch.equal(nodes.mean(inputs.x), dense)
    assert torch.equal(nodes.real, real)
    assert torch.equal(nodes.spread(dense), inputs.x)


def test_nodes_of_a_batch_that_is_not_sorted_find_their_graphs():
    nodes = NodeCells.of_graphs(torch.tensor([1, 0, 1, 3, 0]), 4)
    x = torch.arange(1.0, 6).view(5, 1)
    assert nodes.mean(x)[..., 0].tolist() == [[2, 5], [1, 3], [0, 0], [4, 0]]
    assert torch.equal(nodes.spread(nodes.mean(x)), x)


def test_nodes_of_similar_features_share_a_token_in_graphs_that_are_too_large():
    # five nodes in two tokens: the three smallest and the rest; the second graph is small enough
    inputs = SimpleNamespace(batch=torch.tensor([0, 1, 0, 0, 0, 1, 0]), num_graphs=2)
    x = torch.tensor([[3.0], [7.0], [1.0], [9.0], [2.0], [5.0], [7.0]])
    tokens = NodeTokens("any", 1, most_tokens=2).tokens(x, inputs)
    assert tokens.values[..., 0].tolist() == [[2.0, 8.0], [5.0, 7.0]]
    assert bool(tokens.real.all())
    nodes, shared = tokens.layout
    assert nodes.members.shape == (2, 5)
    assert shared.spread(tokens.values)[:, 0].tolist() == [2, 7, 2, 8, 2, 5, 8]


def test_graphs_without_nodes_are_rows_of_padding():
    nodes = NodeCells.of_graphs(torch.empty(0, dtype=torch.long), 2)
    assert nodes.real.tolist() == [[False], [False]]
    assert nodes.spread(nodes.mean(torch.empty(0, 3))).shape == (0, 3)


def test_an_aligned_mix_is_own_weight_times_own_plus_the_rest_times_what_is_attended_to():
    # graph 0 has the nodes 1 and 2, graph 1 the nodes 10, 20 and 40; weights of the partner are 1/4 and 3/4 in graph 0
    x = torch.tensor([[1.0], [2.0], [10.0], [20.0], [40.0]])
    inputs = SimpleNamespace(batch=torch.tensor([0, 0, 1, 1, 1]), num_graphs=2)
    site = NodeTokens("any", 1)
    odds = torch.tensor([[1 / 3, 3.0, 1.0], [1.0, 1.0, 1.0]]).log()
    attention = torch.tensor([[[0.5, 0.5, 0.0], [0.0, 0.25, 0.75], [0, 0, 1]], [[1.0, 0, 0], [0, 1, 0], [0.5, 0.5, 0]]])
    scored = Scored(torch.stack([torch.zeros(2, 3), odds], 1), lambda t: attention @ t)
    plan = site.plan(sources([1, 0], [0.5, 0.25]), scored, site.tokens(x, inputs))
    # 0.75 * 1 + 0.25 * (10 + 20) / 2; 0.25 * 2 + 0.75 * (20 / 4 + 40 * 3 / 4); (10 + 1) / 2; (20 + 2) / 2; ...
    torch.testing.assert_close(plan.apply(x), torch.tensor([[4.5], [26.75], [5.5], [11.0], [20.75]]))
    torch.testing.assert_close(plan.shares(), torch.tensor([[0.5, 0.5], [0.5, 0.5]]))
    torch.testing.assert_close(plan.variance(), torch.tensor([0.0625, 0.0]))
    torch.testing.assert_close(plan.targets(torch.eye(2)), torch.tensor([[0.5, 0.5], [0.75, 0.25]]))
    blended = plan.blend(torch.tensor([True, False]))
    torch.testing.assert_close(blended.apply(x), torch.tensor([[8.0], [18.5], [5.5], [11.0], [20.75]]))


def mixed_by_hand(block, x, sizes, drawn):
    """Return the mixed nodes by the formulas, pair by pair in NumPy, without padding."""
    own_w, value = block.projection.query.weight.detach().numpy(), block.value
    v, c = value.weight.detach().numpy()[0], float(value.bias.detach())
    scale = float(block.log_scale.detach().exp()) / len(own_w)
    bias = block.projection.query.bias.detach().numpy()
    out, parts = np.zeros_like(x), slices(sizes)
    for i, part in enumerate(parts):
        own, other = x[part], x[parts[int(drawn.index[i, 1])]]
        first, second = (
            with_share(nodes, share, block.lam) for nodes, share in zip((own, other), drawn.lam[i], strict=True)
        )
        q, k = (standard(nodes @ own_w.T + bias) for nodes in (first, second))
        attention = np.exp(scale * q @ k.T)
        attention /= attention.sum(1, keepdims=True)
        w = 1 / (1 + np.exp(attention @ (second @ v + c)))
        out[part] = w[:, None] * own + (1 - w[:, None]) * (attention @ other)
    return out


def with_share(x, share, lam):
    return np.insert(x, x.shape[1], float(share), 1) if lam == LamConcatenated() else x


def standard(x):
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-8)


@pytest.mark.parametrize("lam", [LamIgnored(), LamConcatenated()])
def test_a_block_mixes_padded_graphs_as_the_formulas_do_pair_by_pair(lam):
    inputs, block, drawn = batch(), lively(5, lam=lam), sources(PARTNER, LAM)
    mixed = plan_of(inputs.x, inputs, drawn, block).apply(inputs.x).detach().numpy()
    assert np.abs(mixed - mixed_by_hand(block, inputs.x.numpy(), SIZES, drawn)).max() < 1e-5


@pytest.mark.parametrize(("of_block", "of_site"), WHERE.values(), ids=WHERE)
@pytest.mark.parametrize("options", BLOCKS.values(), ids=BLOCKS)
def test_a_pair_mixes_alike_alone_and_beside_a_larger_graph(options, of_block, of_site):
    block, pair = lively(5, **of_block, **options), graphs((6, 4))
    alone, beside = Batch.from_data_list(pair), Batch.from_data_list([*pair, *graphs((30,), seed=7)])
    small = plan_of(alone.x, alone, sources([1, 0], [0.3, 0.6]), block, **of_site)
    large = plan_of(beside.x, beside, sources([1, 0, 0], [0.3, 0.6, 0.5]), block, **of_site)
    torch.testing.assert_close(large.apply(beside.x)[:10], small.apply(alone.x))
    torch.testing.assert_close(large.shares()[:2], small.shares())
    torch.testing.assert_close(large.variance()[:2], small.variance())


@pytest.mark.parametrize("one_hot", [False, True], ids=["real", "one-hot"])
@pytest.mark.parametrize(("of_block", "of_site"), WHERE.values(), ids=WHERE)
def test_permuting_nodes_leaves_the_mixed_readout(of_block, of_site, one_hot):
    block, draw, model = lively(16, **of_block), seeded(), own_net().eval()
    some = graphs((9, 1, 12, 5))
    for one in some if one_hot else ():  # of one mean over channels
        one.x = torch.eye(5)[torch.randint(5, (one.num_nodes,), generator=draw)]
    orders = [torch.randperm(one.num_nodes, generator=draw) for one in some]
    moved = [renumbered(one, order) for one, order in zip(some, orders, strict=True)]
    plain, permuted = (mixed_logits(model, block, Batch.from_data_list(each), **of_site) for each in (some, moved))
    torch.testing.assert_close(permuted, plain, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain, model(Batch.from_data_list(some)), atol=1e-2)


@pytest.mark.parametrize(("of_block", "of_site"), WHERE.values(), ids=WHERE)
def test_permuting_nodes_whose_features_have_one_mean_permutes_the_mix(of_block, of_site):
    one_hot, draw, drawn = torch.eye(5)[[0, 1, 2, 3, 4, 0, 1, 3, 3, 2, 4]], seeded(1), sources([1, 0], [0.4, 0.7])
    graph_of = torch.tensor([0] * 6 + [1] * 5)
    order = torch.cat([torch.randperm(6, generator=draw), 6 + torch.randperm(5, generator=draw)])
    inputs, block = SimpleNamespace(batch=graph_of, num_graphs=2), lively(5, **of_block)
    mixed = plan_of(one_hot, inputs, drawn, block, **of_site).apply(one_hot)
    moved = plan_of(one_hot[order], inputs, drawn, block, **of_site).apply(one_hot[order])
    torch.testing.assert_close(moved, mixed[order])


def mixed_logits(model, block, inputs, drawn=None, **options):
    """Return the logits of a batch mixed at the readout by a block."""
    found = []
    handle = model.readout.register_forward_pre_hook(lambda module, args: found.append(args[0]))
    model(inputs)
    handle.remove()
    plan = plan_of(found[0], inputs, sources(PARTNER, LAM) if drawn is None else drawn, block, **options)
    passed = AtNodes("readout:input").on(model)(
        inputs, lambda mixable: plan, None, size=inputs.num_graphs, generator=seeded()
    )
    return passed.mixed


def test_permuting_graphs_permutes_the_mixed_readout():
    block, model, some, order = lively(16), own_net().eval(), graphs(), [3, 1, 0, 2]
    place = np.argsort(order)
    partner = [int(place[PARTNER[i]]) for i in order]
    permuted = mixed_logits(
        model, block, Batch.from_data_list([some[i] for i in order]), sources(partner, [LAM[i] for i in order])
    )
    torch.testing.assert_close(permuted, mixed_logits(model, block, Batch.from_data_list(some))[order])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_graphs_that_keep_all_of_themselves_keep_their_features_exactly(dtype):
    inputs, drawn = batch(), sources(PARTNER, [1.0, 0.4, 1.0, 0.0])
    plan = plan_of(inputs.x, inputs, drawn, lively(5))
    x = inputs.x.to(dtype)
    mixed = plan.blend(torch.tensor([True, False, True, True])).apply(x)
    first, second, third, last = slices(SIZES)
    assert mixed.dtype == dtype
    assert torch.equal(mixed[first], x[first])
    assert torch.equal(mixed[third], x[third])
    assert not torch.equal(mixed[second], x[second])
    assert not torch.isclose(mixed[last], x[last]).any()


def test_a_graph_without_nodes_mixes_with_others_and_has_the_shares_drawn():
    graph_of = torch.tensor([0, 0, 0, 2])
    inputs, x = SimpleNamespace(batch=graph_of, num_graphs=3), torch.randn(4, 5, generator=seeded())
    block = lively(5)
    plan = plan_of(x, inputs, sources([1, 0, 1], [0.3, 0.6, 0.5]), block)
    mixed = plan.apply(x)
    torch.testing.assert_close(mixed[:3], plan.weights()[0, 0, :3, None] * x[:3])  # nothing comes from an empty graph
    torch.testing.assert_close(plan.shares()[1], torch.tensor([0.6, 0.4]))
    torch.testing.assert_close(plan.label_by_weights().labels.sum(1), torch.ones(3))
    (mixed.sum() + plan.shares().sum() + plan.variance().sum()).backward()
    assert all(bool(p.grad.isfinite().all()) for p in block.parameters())


@pytest.mark.parametrize("most", [64, 3])
def test_shares_and_variance_count_real_nodes_only(most):
    inputs = batch()
    plan = plan_of(inputs.x, inputs, sources(PARTNER, LAM), lively(5), most_tokens=most)
    weights = plan.nodes.spread(plan.weights()[:, 0, :, None])[:, 0].detach().numpy()
    parts = [weights[part] for part in slices(SIZES)]
    assert np.allclose(plan.shares()[:, 0].detach(), [part.mean() for part in parts], atol=1e-6)
    assert np.allclose(plan.variance().detach(), [part.var() for part in parts], atol=1e-6)
