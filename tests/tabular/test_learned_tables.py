"""Learned mixing of tables: which column a channel belongs to, and that a block finds planted columns."""

import pytest
import torch

from mixkit import AtSite, AutoMix, FromPair, LamMultiplied, LamPenalty, MixBlock, MixedLoss, MultiClass, NeckValue
from mixkit_tabular.batch import TableBatch
from mixkit_tabular.network import ColumnEmbedding, TableNet
from mixkit_tabular.problem import column_tokens

FIRST, SECOND, COLUMNS = 2, 7, 10  # the planted columns


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def embedding():
    """Return an embedding of two numbers, a mark for gaps of the second, a small and a large category."""
    torch.manual_seed(0)
    return ColumnEmbedding(2, [1], (4, 30))


def moved_channels(change):
    """Return which channels of the embedding change with the inputs that `change` changes."""
    embed = embedding()
    numeric, codes = torch.tensor([[0.3, -0.7, 0.0]]), torch.tensor([[1, 5]])
    other_numeric, other_codes = numeric.clone(), codes.clone()
    change(other_numeric, other_codes)
    with torch.no_grad():
        before, after = embed(TableBatch(numeric, codes)), embed(TableBatch(other_numeric, other_codes))
    return set((before != after)[0].nonzero().flatten().tolist())


def set_to(which, column, value):
    def change(numeric, codes):
        (numeric if which == "numeric" else codes)[0, column] = value

    return change


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (set_to("numeric", 0, 1.7), 0),
        (set_to("numeric", 1, 1.7), 1),
        (set_to("numeric", 2, 1.0), 1),  # the mark of the second number's gaps
        (set_to("codes", 0, 3), 2),
        (set_to("codes", 1, 9), 3),
    ],
)
def test_a_column_changes_its_own_channels_only(change, column):
    span_of = embedding().span_of()
    changed = moved_channels(change)
    assert changed
    assert {span_of[channel] for channel in changed} == {column}


def test_every_channel_belongs_to_a_column():
    embed = embedding()
    assert len(embed.span_of()) == embed.width
    assert sorted(set(embed.span_of())) == [0, 1, 2, 3]


def test_a_mark_of_a_number_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"marked must name one of the 2 numbers for each mark, got \[5\]"):
        ColumnEmbedding(2, [5], ())


@pytest.mark.parametrize(("values", "cardinalities"), [(3, ()), (0, (3, 12)), (1, (1, 2))])
def test_tables_of_one_kind_and_columns_without_levels_have_tokens(values, cardinalities):
    torch.manual_seed(0)
    net = TableNet(values, (), cardinalities, outputs=2)
    tokens = column_tokens(net, seeded())
    rows = TableBatch(torch.rand(4, values), torch.zeros(4, len(cardinalities), dtype=torch.int64))
    found = tokens.tokens(net.embed(rows), rows)
    assert found.values.shape == (4, values + sum(count > 1 for count in cardinalities), 16)
    assert bool(found.values.isfinite().all())


def planted(count, generator):
    """Return rows whose class is a sign: of the first planted column for classes 0 and 1, else of the second."""
    labels, numeric = torch.randint(4, (count,), generator=generator), torch.randn(count, COLUMNS, generator=generator)
    sign = 2.5 * (2.0 * (labels % 2) - 1)
    numeric[:, FIRST] = torch.where(labels < 2, sign, 0.3 * numeric[:, FIRST])
    numeric[:, SECOND] = torch.where(labels >= 2, sign, 0.3 * numeric[:, SECOND])
    return TableBatch(numeric, torch.zeros(count, 0, dtype=torch.int64)), labels


def trained_on_planted(steps):
    """Return AutoMix with SAMix's block after so many steps."""
    torch.manual_seed(0)
    net, task, draw = TableNet(COLUMNS, (), (), outputs=4, width=64, depth=2, dropout=0.0), MultiClass(4), seeded()
    tokens = column_tokens(net, draw)
    block = MixBlock(16, projection=FromPair(), value=NeckValue(), lam=LamMultiplied(0.25), generator=draw)
    objective = AutoMix(
        net,
        task,
        tokens,
        block,
        AtSite("embed"),
        block_loss=MixedLoss(LamPenalty(variance=2.0)),
        block_rate=2e-2,
        generator=draw,
        total_steps=200,
    )
    optimizer = torch.optim.AdamW(objective.param_groups(), lr=5e-3)
    objective.attach(optimizer)
    for _ in range(steps):
        rows, labels = planted(64, draw)
        optimizer.zero_grad()
        sum(objective(rows, task.encode(labels)).values()).backward()
        optimizer.step()
    return objective


def kept(weights, own, other, index):
    """Return the mean weight of each row's informative column in the sample that it informs about."""
    return (weights[:, 0].gather(1, own[:, None]) + weights[:, 1].gather(1, other[:, None]))[index].mean() / 2


@pytest.mark.parametrize(("steps", "margin"), [(0, None), (150, 0.12)])
def test_the_columns_that_inform_of_both_samples_are_kept_better_than_random_ones(steps, margin):
    objective = trained_on_planted(steps)
    rows, labels = planted(512, seeded(9))
    plan = objective.plan(rows, objective.task.encode(labels))
    informs = torch.where(labels < 2, FIRST, SECOND)
    partners = informs[plan.sources.index[:, 1]]
    counted = (informs != partners) & ~plan.blended
    order = torch.rand(len(labels), COLUMNS, generator=seeded(3)).argsort(1)  # another order has the same mean
    weights = plan.weights()
    shuffled = weights.gather(2, order[:, None].expand(-1, 2, -1))
    gain = kept(weights, informs, partners, counted) - kept(shuffled, informs, partners, counted)
    if margin is None:
        assert abs(float(gain)) < 0.05  # a block that has learned nothing
    else:
        assert float(gain) > margin
