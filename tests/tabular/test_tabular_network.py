"""The batch container and the network."""

import pytest
import torch

from mixkit.placement import AtSite
from mixkit_tabular.batch import TableBatch
from mixkit_tabular.network import ColumnEmbedding, TableNet


def batch(rows=6, numeric=3, cardinalities=(4, 15)):
    generator = torch.Generator().manual_seed(0)
    codes = [torch.randint(0, count, (rows,), generator=generator) for count in cardinalities]
    return TableBatch(
        torch.randn(rows, numeric, generator=generator),
        torch.stack(codes, 1) if codes else torch.zeros(rows, 0, dtype=torch.int64),
    )


def test_one_hot_columns_stand_where_their_code_says():
    embed = ColumnEmbedding(0, (), (3, 4))
    rows = TableBatch(torch.zeros(3, 0), torch.tensor([[1, 0], [2, 3], [0, 1]]))
    assert embed(rows).tolist() == [
        [1.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 1.0, 0.0, 0.0],
    ]


def test_many_levels_get_vectors_of_their_own_and_code_zero_is_the_zero_vector():
    embed = ColumnEmbedding(0, (), (12, 20))
    rows = TableBatch(torch.zeros(4, 0), torch.tensor([[0, 0], [1, 1], [11, 19], [1, 19]]))
    vectors = embed(rows).view(4, 2, 8)
    assert vectors[0].abs().sum() == 0
    assert torch.equal(vectors[1, 0], vectors[3, 0])
    assert torch.equal(vectors[2, 1], vectors[3, 1])
    assert not torch.equal(vectors[1, 0], vectors[1, 1])  # the same code of another column


def test_numbers_come_through_as_they_are_beside_their_waves():
    torch.manual_seed(0)
    rows = batch(numeric=3, cardinalities=())
    out = ColumnEmbedding(2, [0], ())(rows)
    assert torch.equal(out[:, :3], rows.numeric)
    assert out.shape == (6, 3 + 2 * 3)


@pytest.mark.parametrize(("numeric", "cardinalities"), [(3, (4, 15)), (3, ()), (0, (4,)), (0, (30,)), (1, ())])
def test_any_mix_of_columns_gives_logits_for_any_batch_size(numeric, cardinalities):
    net = TableNet(numeric, (), cardinalities, outputs=5, width=16)
    for rows in (1, 7):
        assert net(batch(rows, numeric, cardinalities)).shape == (rows, 5)


def test_rows_do_not_see_each_other_in_training():
    net = TableNet(3, (), (4, 15), outputs=2, width=16, dropout=0.0).train()
    rows = batch()
    torch.testing.assert_close(net(rows)[2:3], net(rows.rows(torch.tensor([2]))))


@pytest.mark.parametrize("site", ["embed", "body.0", "body.1"])
def test_each_site_can_be_mixed_at(site):
    net = TableNet(3, (), (4, 15), outputs=2, width=16)
    placed = AtSite(site).on(net)

    class Roll:
        def apply(self, features):
            return features.roll(1, 0)

    passed = placed(batch(), lambda features: Roll(), None, size=6, generator=torch.Generator())
    assert passed.mixed.shape == (6, 2)


def test_mixing_one_hot_columns_at_the_embedding_is_mixing_one_hot_inputs():
    embed = ColumnEmbedding(0, (), (4,))
    out = embed(TableBatch(torch.zeros(2, 0), torch.tensor([[1], [3]])))
    assert (0.25 * out[0] + 0.75 * out[1]).tolist() == [0.25, 0.0, 0.75]


def test_a_batch_cannot_be_changed_or_misshapen():
    rows = batch()
    with pytest.raises(AttributeError, match="cannot assign to field"):
        rows.numeric = torch.zeros(1)
    with pytest.raises(ValueError, match=r"same rows, got \(2, 1\) and \(3, 1\)"):
        TableBatch(torch.zeros(2, 1), torch.zeros(3, 1, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"codes int64, got torch\.float32, torch\.float32"):
        TableBatch(torch.zeros(2, 1), torch.zeros(2, 1))


def test_a_network_without_columns_or_outputs_is_refused():
    with pytest.raises(ValueError, match="a table must have columns"):
        TableNet(0, (), (), outputs=2)
    with pytest.raises(ValueError, match="must be positive, got outputs=0"):
        TableNet(1, (), (), outputs=0)
