"""A moving average beside another objective: its arithmetic, that training is untouched, attaching, checkpoints."""

import copy
import pickle

import pytest
import torch
from learned_parts import TASK, automix, batch, net, seeded, total, trained

import mixkit
from mixkit import Averaged, BetaPairs, Blend, Erm, Mix, Mixed, Momentum


def erm(seed=0):
    return Erm(net(seed), TASK)


def averaged(seed=0, **options):
    options.setdefault("total_steps", 10)
    return Averaged(erm(seed), **options)


def test_the_average_is_deployed_and_its_arithmetic_is_the_schedule_s():
    objective = averaged(momentum=Momentum(start=0.6, warmup=1, constant=1.0))
    expected = [p.detach().clone() for p in objective.model.parameters()]
    optimizer = trained(objective, steps=0)
    for _ in range(3):
        trained(objective, steps=1, optimizer=optimizer)
        expected = [0.6 * a + 0.4 * p.detach() for a, p in zip(expected, objective.model.parameters(), strict=True)]
    for a, b in zip(expected, objective.deploy().parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert objective.deploy() is objective.teacher.model
    assert objective.steps == 3


def test_training_is_that_of_the_objective_inside_bit_for_bit():
    plain, control = erm(), averaged()
    trained(plain, steps=5)
    trained(control, steps=5)
    assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), control.model.parameters(), strict=True))
    assert not torch.equal(control.deploy().head.weight, control.model.head.weight)


def test_the_named_controls_train_as_their_originals():
    for name, original, options in (("erm+ema", "erm", {}), ("mixup+ema", None, {"clean_weight": 1.0})):
        control = mixkit.objective(name, net(), TASK, seeded(), total_steps=10)
        assert isinstance(control, Averaged)
        if original is None:
            alpha = mixkit.methods()[name].parameters()["alpha"]
            plain = Mixed(net(), TASK, Mix(Blend(), BetaPairs(alpha)), generator=seeded(), **options)
            plain.clean = control.objective.clean
        else:
            plain = mixkit.objective(original, net(), TASK, seeded(), total_steps=10)
        trained(plain, steps=3)
        trained(control, steps=3)
        assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), control.model.parameters(), strict=True))


def test_evaluation_is_the_average_s_loss():
    objective = averaged()
    with torch.no_grad():
        for parameter in objective.model.parameters():
            parameter.zero_()
    x, t = batch()
    torch.testing.assert_close(objective.eval()(x, t)["loss"], TASK.loss(objective.deploy()(x), t))
    assert not torch.allclose(objective(x, t)["loss"], TASK.loss(objective.model.eval()(x), t))


def test_training_without_attaching_is_refused():
    objective = averaged()
    optimizer = torch.optim.AdamW(objective.param_groups(), lr=0.1, fused=True)
    total(objective(*batch())).backward()
    optimizer.step()
    with pytest.raises(RuntimeError, match="must be attached to the optimizer, but its model has changed without"):
        objective(*batch())
    with pytest.raises(ValueError, match="but 6 are missing"):
        averaged().attach(torch.optim.SGD(objective.param_groups(), lr=0.1))


def test_attaching_twice_averages_once():
    objective = averaged()
    optimizer = trained(objective, steps=0)
    objective.attach(optimizer)
    trained(objective, steps=2, optimizer=optimizer)
    assert objective.steps == 2


def test_an_objective_inside_that_follows_steps_itself_is_attached_with_it():
    objective = Averaged(automix())
    optimizer = trained(objective, steps=2)
    assert objective.steps == objective.objective.steps == 2
    assert len(optimizer.param_groups) == 2
    assert not objective.objective.teacher.equals(net())


def test_a_training_resumes_bit_for_bit(tmp_path):
    def fresh(seed):
        mix = Mix(Blend(), BetaPairs(1.0))
        return Averaged(Mixed(net(seed), TASK, mix, generator=seeded(seed), total_steps=10), total_steps=10)

    whole, first, second = fresh(0), fresh(0), fresh(1)
    trained(whole, steps=5)
    optimizer = trained(first, steps=2)
    torch.save([first.state_dict(), optimizer.state_dict()], tmp_path / "state.pt")
    state, momenta = torch.load(tmp_path / "state.pt", weights_only=True)
    second.load_state_dict(state)
    optimizer = torch.optim.SGD(second.param_groups(), lr=0.1, momentum=0.9)
    second.attach(optimizer)
    optimizer.load_state_dict(momenta)
    for step in range(2, 5):
        optimizer.zero_grad()
        total(second(*batch(seed=step))).backward()
        optimizer.step()
    for a, b in zip([*whole.parameters(), *whole.buffers()], [*second.parameters(), *second.buffers()], strict=True):
        assert torch.equal(a, b)
    assert second.steps == 5


@pytest.mark.parametrize("copied", ["deepcopy", "pickle"])
def test_a_copy_is_attached_to_nothing(copied):
    objective = averaged()
    optimizer = trained(objective, steps=1)
    twin = copy.deepcopy(objective) if copied == "deepcopy" else pickle.loads(pickle.dumps(objective))
    optimizer.step()
    assert (objective.steps, twin.steps) == (2, 1)
    with pytest.raises(RuntimeError, match="must be attached"):
        twin(*batch())


def test_without_a_total_of_steps_the_momentum_keeps_its_start():
    objective = averaged(total_steps=None, momentum=Momentum(start=0.0))
    trained(objective, steps=2)
    assert torch.equal(objective.deploy().head.weight, objective.model.head.weight)
