"""Swapping columns and hidden units, and the methods for tables made of them, against plain arithmetic."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mixkit
from mixkit import AtSite, MultiClass, Pairing, Regression
from mixkit_tabular.batch import TableBatch
from mixkit_tabular.importance import mutual_information
from mixkit_tabular.network import ColumnEmbedding, TableNet
from mixkit_tabular.policies import ColumnSwap, UnitSwap


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pairing(size, seed=0, lam=None):
    draw = seeded(seed)
    shares = torch.rand(size, generator=draw) if lam is None else torch.full((size,), lam)
    return Pairing(torch.randperm(size, generator=draw), shares)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(2, 9), st.integers(0, 99))
def test_all_channels_of_a_column_come_from_one_row_and_labels_follow_the_columns(spans, size, seed):
    _, span_of = np.unique(spans, return_inverse=True)
    rows = torch.arange(size)[:, None].expand(size, len(span_of)).float()
    pairs = pairing(size, seed)
    plan = ColumnSwap(span_of.tolist()).draw(rows, pairs, seeded(seed))
    origin = plan.apply(rows)
    own = origin == rows
    for i in range(size):
        assert {int(v) for v in origin[i]} <= {i, int(pairs.partner[i])}
        kept = np.array([bool(own[i][torch.tensor(span_of == c)].all()) for c in range(span_of.max() + 1)])
        if int(pairs.partner[i]) != i:
            assert float(plan.shares()[0][i]) == pytest.approx(kept.mean(), abs=1e-6)
            assert float(plan.pairing.lam[i]) == pytest.approx(kept.mean(), abs=1e-6)
    assert torch.allclose(plan.shares()[0] + plan.shares()[1], torch.ones(size))


def test_labels_follow_the_importance_of_the_columns_that_stayed():
    swap = ColumnSwap((0, 1, 1, 2), importance=(3.0, 0.0, 1.0))
    plan = swap.draw(torch.zeros(200, 4), pairing(200), seeded())
    by_hand = torch.tensor([0.75, 0.0, 0.25])[None] * plan.mask[:, [0, 1, 3]]
    assert torch.allclose(plan.shares()[0], by_hand.sum(1))
    assert not torch.allclose(plan.shares()[0], plan.pairing.lam)


@pytest.mark.parametrize("lam", [0.0, 1.0])
def test_at_both_ends_of_lam_swapping_takes_all_or_nothing(lam):
    rows = torch.randn(6, 5)
    for policy in (ColumnSwap((0, 0, 1, 2, 3)), UnitSwap()):
        pairs = pairing(6, lam=lam)
        plan = policy.draw(rows, pairs, seeded())
        expected = rows if lam == 1 else rows[pairs.partner]
        assert torch.equal(plan.apply(rows), expected)
        assert torch.equal(plan.shares()[0], torch.full((6,), lam))


def test_columns_stay_with_probability_lam():
    plan = ColumnSwap(range(50)).draw(torch.zeros(400, 50), pairing(400, lam=0.3), seeded())
    assert float(plan.mask.float().mean()) == pytest.approx(0.3, abs=0.01)


def test_hid_mix_weighs_labels_by_lam_whatever_stayed():
    pairs = pairing(50, lam=0.4)
    plan = UnitSwap().draw(torch.zeros(50, 7), pairs, seeded())
    assert torch.equal(plan.targets(torch.ones(50, 1) * torch.arange(50.0)[:, None])[:, 0],
                       plan.targets(torch.arange(50.0)[:, None])[:, 0])  # fmt: skip
    expected = 0.4 * torch.arange(50.0) + (1 - torch.tensor(0.4)) * pairs.partner
    assert torch.allclose(plan.targets(torch.arange(50.0)[:, None])[:, 0], expected)
    assert plan.mask.float().mean(1).std() > 0.1  # what stayed differs from row to row


def test_columns_that_tell_nothing_weigh_alike():
    assert ColumnSwap((0, 1), importance=(0.0, 0.0)).importance == (0.5, 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((),), "span_of must number columns"),
        (((0, 2),), "span_of must number columns"),
        (((0, 1), (1.0,)), "importance must be 2 non-negative numbers"),
        (((0, 1), (1.0, -1.0)), "importance must be 2 non-negative numbers"),
        (((0, 1), (1.0, float("nan"))), "importance must be 2 non-negative numbers"),
    ],
)
def test_spans_and_importances_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ColumnSwap(*arguments)


def test_what_has_no_columns_is_refused_with_the_place_to_swap_at():
    with pytest.raises(ValueError, match=r"ColumnSwap mixes \(B, 2\).*AtSite"):
        ColumnSwap((0, 1)).draw(torch.zeros(3, 4), pairing(3), seeded())
    with pytest.raises(ValueError, match=r"UnitSwap mixes hidden features"):
        UnitSwap().draw(torch.zeros(3), pairing(3), seeded())


def planted(rows=600):
    """Return a batch whose first number and first category tell the class, and the class codes."""
    draw = np.random.default_rng(0)
    label = draw.integers(0, 2, rows)
    numeric = draw.normal(size=(rows, 3))
    numeric[:, 0] += 2 * label
    numeric[:, 2] = draw.random(rows) < 0.1 + 0.6 * label  # the mark of the second number's gaps
    codes = np.stack([1 + np.where(draw.random(rows) < 0.8, label, 1 - label), draw.integers(1, 4, rows)], 1)
    return TableBatch(torch.tensor(numeric).float(), torch.tensor(codes)), torch.tensor(label)


def test_mutual_information_finds_the_columns_that_tell_and_counts_marks_with_their_number():
    rows, label = planted()
    embed = ColumnEmbedding(2, [1], (3, 4))
    told = mutual_information(rows, MultiClass(2).encode(label), MultiClass(2), embed, seeded())
    assert len(told) == 4
    assert min(told[0], told[1], told[2]) > 0.1 > 5 * told[3]
    without = mutual_information(
        TableBatch(rows.numeric[:, :2], rows.codes), MultiClass(2).encode(label), MultiClass(2),
        ColumnEmbedding(2, (), (3, 4)), seeded(),
    )  # fmt: skip
    assert without[1] < 0.05 < told[1]


def test_mutual_information_with_a_number_is_found_too():
    rows, _ = planted()
    target = rows.numeric[:, :1] ** 2
    task = Regression.fitted(target.numpy())
    told = mutual_information(rows, task.encode(target.numpy()), task, ColumnEmbedding(2, [1], (3, 4)), seeded())
    assert told[0] == max(told)
    assert told[0] > 1


@pytest.mark.parametrize("name", ["column-swap", "feat-mix", "hid-mix"])
def test_swapping_methods_train_a_table_network(name):
    rows, label = planted(64)
    torch.manual_seed(0)
    task, net = MultiClass(2), TableNet(2, [1], (3, 4), outputs=2, width=16)
    objective = mixkit.objective(
        name, net, task, seeded(), sites=["body.0"], modality="table", training=(rows, task.encode(label))
    )
    terms = objective(rows, task.encode(label))
    sum(terms.values()).backward()
    assert sorted(terms) == ["mixed"]
    assert all(p.grad is not None for p in net.parameters())


def test_methods_for_tables_say_what_they_lack():
    task, net = MultiClass(2), TableNet(2, [1], (3, 4), outputs=2, width=16)
    with pytest.raises(ValueError, match=r"feat-mix weighs columns by what they tell.*training=\(inputs, targets\)"):
        mixkit.objective("feat-mix", net, task)
    with pytest.raises(ValueError, match="hid-mix needs a hidden site, got none"):
        mixkit.objective("hid-mix", net, task)
    with pytest.raises(ValueError, match="site must name a submodule"):
        mixkit.objective("column-swap", torch.nn.Linear(3, 2), task)
    other = torch.nn.Sequential()
    other.add_module("embed", torch.nn.Linear(3, 2))
    with pytest.raises(ValueError, match="needs a network whose 'embed' is a ColumnEmbedding"):
        mixkit.objective("column-swap", other, task)


def test_c_mixup_pairs_similar_targets_at_the_given_place():
    torch.manual_seed(0)
    net, task = TableNet(1, (), (), outputs=1, width=8), Regression()
    objective = mixkit.objective(
        "c-mixup", net, task, seeded(), place=AtSite("embed"), parameters={"bandwidth": 0.01}, total_steps=10
    )
    targets = torch.tensor([[0.0], [5.0], [0.001], [5.001]])
    plan = objective.mix.draw(torch.zeros(4, 4), targets, seeded())
    assert plan.pairing.partner.tolist() == [2, 3, 0, 1]
