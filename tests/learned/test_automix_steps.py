"""AutoMix over several steps: attaching, counting, when the block learns and from what, averages of weights."""

import pytest
import torch
from learned_parts import automix, batch, net, seeded, total, trained
from torch import nn

from mixkit import (
    Alternating,
    AtSite,
    Concatenated,
    MapTokens,
    Momentum,
)


def block_state(objective):
    return [p.detach().clone() for p in objective.block.parameters()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def counting(objective):
    """Count how often the teacher follows."""
    momenta, follow = [], objective.teacher.follow

    def counted(model, momentum):
        momenta.append(momentum)
        follow(model, momentum)

    objective.teacher.follow = counted
    return momenta


def test_the_teacher_follows_after_each_step_with_the_scheduled_momentum():
    objective = automix(total_steps=3, momentum=Momentum(start=0.5, end=0.9, warmup=1, constant=0.0))
    momenta = counting(objective)
    trained(objective, steps=4)
    assert momenta == pytest.approx([0.5, 0.9 - 0.4 * 0.75, 0.9 - 0.4 * 0.25, 0.9])
    assert objective.steps == 4
    assert objective.progress == 1.0


def test_the_teacher_is_the_average_of_the_students_seen():
    objective = automix(momentum=Momentum(start=0.8, warmup=1))
    expected = [p.detach().clone() for p in objective.model.parameters()]
    optimizer = trained(objective, steps=0)
    for step in range(3):
        trained(objective, steps=1, optimizer=optimizer)
        m = objective.momentum.at(step, 20)
        expected = [m * a + (1 - m) * p.detach() for a, p in zip(expected, objective.model.parameters(), strict=True)]
    for a, b in zip(expected, objective.deploy().parameters(), strict=True):
        torch.testing.assert_close(a, b)
    statistics = objective.deploy().stage[1].running_mean
    assert bool(statistics.abs().sum() > 0)
    assert not torch.equal(statistics, objective.model.stage[1].running_mean)


def test_an_optimizer_without_the_block_is_refused():
    objective = automix()
    optimizer = torch.optim.SGD(objective.model.parameters(), lr=0.1)
    with pytest.raises(
        ValueError, match=r"optimizer must hold all parameters of the objective, but 5 are missing .blo"
    ):
        objective.attach(optimizer)
    whole = torch.optim.SGD(objective.block.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"but 6 are missing \(model.stage.0.weight, model.stage.0.bias, "):
        objective.attach(whole)


@pytest.mark.parametrize("options", [{}, {"foreach": False}, {"foreach": True}, {"fused": True}])
def test_training_without_attaching_is_refused_in_the_second_step(options):
    objective = automix()
    optimizer = torch.optim.AdamW(objective.param_groups(), lr=0.01, **options)
    objective(*batch())
    total(objective(*batch())).backward()  # a second look at the same weights is fine
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"must be attached to the optimizer, .* call objective.attach\(optimizer\)"):
        objective(*batch())
    objective.eval()(*batch())  # nothing is trained here


def test_attaching_again_averages_once():
    objective = automix()
    momenta = counting(objective)
    first = trained(objective, steps=0)
    objective.attach(first)
    trained(objective, steps=2, optimizer=first)
    assert len(momenta) == objective.steps == 2
    second = trained(objective, steps=1)  # attached to a new one
    assert objective.steps == 3
    first.step()
    assert objective.steps == 3
    second.step()
    assert objective.steps == 4


def test_the_block_has_a_group_of_its_own_with_its_rate():
    objective = automix(block_rate=0.5)
    optimizer = torch.optim.SGD(objective.param_groups(), lr=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]
    assert [id(p) for p in optimizer.param_groups[1]["params"]] == [id(p) for p in objective.block.parameters()]
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in objective.model.parameters()]
    plain = torch.optim.SGD(automix().param_groups(), lr=0.1)
    assert [group["lr"] for group in plain.param_groups] == [0.1, 0.1]


def test_the_block_learns_every_so_many_steps():
    objective = automix(block_every=3)
    optimizer, changed = trained(objective, steps=0), []
    for step in range(7):
        before = block_state(objective)
        trained(objective, steps=1, optimizer=optimizer)
        changed.append(not same(before, block_state(objective)))
        assert objective.steps == step + 1
    assert changed == [True, False, False, True, False, False, True]  # also not by the optimizer's own momentum


def test_the_block_learns_no_more_once_frozen():
    objective = automix(freeze_after=0.5, total_steps=4)
    optimizer, names = trained(objective, steps=0), []
    for _ in range(5):
        names.append("block" in objective(*batch()))
        trained(objective, steps=1, optimizer=optimizer)
    assert names == [True, True, False, False, False]
    assert "block" in automix(total_steps=4)(*batch())


def test_a_block_whose_parameters_are_frozen_does_not_learn():
    objective = automix()
    objective.block.requires_grad_(False)
    assert objective(*batch()).keys() == {"mixed", "clean"}
    trained(objective, steps=2)


def test_aims_alternate_by_the_block_s_own_steps():
    objective = automix(block_loss=Alternating(), block_every=2)
    optimizer, signs = trained(objective, steps=0), []
    for _ in range(8):
        terms = objective(*batch())
        signs.append(float(terms["block"].detach().sign()) if "block" in terms else 0.0)
        trained(objective, steps=1, optimizer=optimizer)
    assert signs == [-1.0, 0.0, 1.0, 0.0] * 2


def test_the_block_learns_from_a_share_of_the_batch():
    sizes = []

    class Watching(MapTokens):
        def tokens(self, features, inputs):
            sizes.append((len(features), len(inputs)))
            return super().tokens(features, inputs)

    for block_loss in (None, Alternating()):
        sizes.clear()
        objective = automix(block_fraction=0.25, tokens=Watching("stage", 6), block_loss=block_loss)
        x, t = batch()
        total(objective(x, t, torch.rand(8, generator=seeded()))).backward()
        assert sorted(sizes) == [(2, 2), (8, 8)]
        assert all(bool(p.grad.isfinite().all()) for p in objective.block.parameters())


def test_targets_weights_and_clean_logits_are_those_of_the_rows_that_the_block_learns_from():
    kept = []

    class Keeping(Alternating):
        def __call__(self, step):
            kept.append(step)
            return super().__call__(step)

    objective = automix(block_fraction=0.5, block_loss=Keeping())
    (x, t), weights = batch(), torch.arange(8.0)
    objective(x, t, weights)
    rows = kept[0].weights.long()
    assert len(rows.unique()) == 4
    assert torch.equal(kept[0].targets, t[rows])
    torch.testing.assert_close(kept[0].clean, objective.teacher.model(x)[rows])


def test_a_share_of_a_batch_that_is_no_tensor_is_refused():
    class Box:
        def __init__(self, x):
            self.x = x

    class Unboxing(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, box):
            return self.net(box.x)

    x, t = batch()
    options = {"tokens": MapTokens("net.stage", 6), "place": AtSite("net.stage")}
    assert automix(Unboxing(), **options)(Box(x), t).keys() == {"mixed", "clean", "block", "lam"}
    with pytest.raises(ValueError, match="block_fraction needs inputs that are a tensor, got Box; take block_every"):
        automix(Unboxing(), **options, block_fraction=0.5)(Box(x), t)


def test_two_half_batches_and_one_step_are_one_step_of_the_teacher():
    objective = automix(block_every=2, clean=Concatenated())
    momenta, optimizer = counting(objective), trained(objective, steps=0)
    x, t = batch()
    names = []
    for _ in range(2):
        optimizer.zero_grad()
        for half in (slice(0, 4), slice(4, 8)):
            terms = objective(x[half], t[half])
            names.append("block" in terms)
            (total(terms) / 2).backward()
        optimizer.step()
    assert len(momenta) == objective.steps == 2
    assert names == [True, True, False, False]


def test_gradients_can_be_clipped_and_skipped_steps_are_not_counted():
    objective = automix()
    optimizer = trained(objective, steps=0)
    total(objective(*batch())).backward()
    norm = torch.nn.utils.clip_grad_norm_(objective.parameters(), 1e-3)
    gradients = torch.cat([p.grad.flatten() for p in objective.parameters() if p.grad is not None])
    assert float(norm) > 1e-3
    assert float(gradients.norm()) == pytest.approx(1e-3, rel=1e-3)
    assert objective.steps == 0  # as when a loss scaler leaves a step out
    optimizer.step()
    assert objective.steps == 1
