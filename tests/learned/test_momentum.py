"""The teacher and its momentum: published values, warm-up, arithmetic by hand, buffers, copies of hooks, wrappers."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from learned_parts import net
from torch import nn

from mixkit import AtSite, BetaPairs, Blend, Mix, Mixed, Momentum, MultiClass, Teacher
from mixkit.feature_tap import FeatureTap
from mixkit.momentum import AfterSteps


@pytest.mark.parametrize(
    ("progress", "value"),
    [(0.0, 0.999), (0.05, 0.999), (0.1, 0.999024), (0.25, 0.99915), (0.5, 0.99950), (0.75, 0.99985), (0.9, 0.99997)],
)
def test_the_schedule_has_its_published_values(progress, value):
    published = Momentum(warmup=1)
    assert published.at(round(progress * 1000), 1000) == pytest.approx(value, abs=6e-6)


def test_the_schedule_is_constant_first_and_ends_at_its_end():
    published = Momentum(warmup=1)
    assert [published.at(step, 1000) for step in (0, 50, 99)] == [0.999] * 3
    assert published.at(100, 1000) > 0.999
    assert published.at(1000, 1000) == published.at(5000, 1000) == pytest.approx(0.999999)
    transformers = Momentum(warmup=1, constant=0.25)
    assert transformers.at(249, 1000) == 0.999
    assert transformers.at(250, 1000) == published.at(250, 1000)


@given(st.integers(0, 3000), st.integers(1, 50), st.floats(0, 0.9999))
def test_the_warm_up_caps_the_momentum_and_ends(step, warmup, start):
    m = Momentum(start=start, warmup=warmup).at(step, 2000)
    assert m == pytest.approx(min((1 + step) / (warmup + step), Momentum(start=start, warmup=1).at(step, 2000)))
    assert 0 <= m <= 1


def test_with_the_default_warm_up_a_short_training_forgets_its_first_weights():
    forgotten = math.prod(Momentum().at(step, 300) for step in range(300))
    assert forgotten < 1e-3
    assert math.prod(Momentum(warmup=1).at(step, 300) for step in range(300)) > 0.7  # the published one would keep them


def test_without_a_total_the_momentum_stays_at_its_start():
    momentum = Momentum(start=0.9)
    assert momentum.at(0, None) == 0.1
    assert momentum.at(10**6, None) == 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": 1.0}, r"start must be in \[0, 1\), got start=1.0"),
        ({"start": -0.1}, r"start must be in \[0, 1\), got start=-0.1"),
        ({"end": 0.5}, r"end must be in \[start, 1\], got start=0.999, end=0.5"),
        ({"end": 1.1}, r"end must be in \[start, 1\]"),
        ({"constant": 1.5}, r"constant must be in \[0, 1\], got constant=1.5"),
        ({"warmup": 0}, "warmup must be at least 1, got warmup=0"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Momentum(**arguments)


def moved(model, seed=0):
    """Change all parameters and buffers of a model, and return it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    model.train()(torch.randn(16, 3, 8, 8, generator=generator))  # moves BatchNorm's averages and its counter
    return model


def test_the_teacher_moves_a_share_of_the_way_in_parameters_and_buffers_and_copies_counters():
    model = net()
    teacher = Teacher(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    moved(model)
    teacher.follow(model, 0.75)
    now = model.state_dict()
    assert int(now["stage.1.num_batches_tracked"]) == 1
    for name, value in teacher.model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert torch.equal(value, now[name])
        else:
            torch.testing.assert_close(value, 0.75 * before[name] + 0.25 * now[name])
            assert not torch.equal(value, before[name])


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_no_momentum_copies_the_student_and_full_momentum_stays(momentum):
    model = net()
    teacher, first = Teacher(model), copy.deepcopy(model)
    teacher.follow(moved(model), momentum)
    expected = first if momentum else model
    for a, b in zip(teacher.model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_many_steps_are_an_exponential_average():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    teacher, expected = Teacher(model), 0.0
    for value in (1.0, 2.0, 5.0):
        nn.init.constant_(model.weight, value)
        teacher.follow(model, 0.9)
        expected = 0.9 * expected + 0.1 * value
    assert float(teacher.model.weight) == pytest.approx(expected)


def test_tied_weights_stay_tied_and_move_once():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    teacher = Teacher(model)
    assert teacher.model[0].weight is teacher.model[1].weight
    before = teacher.model[0].weight.clone()
    nn.init.ones_(model[0].weight)
    teacher.follow(model, 0.5)
    torch.testing.assert_close(teacher.model[1].weight, 0.5 * before + 0.5)


def test_flags_complex_numbers_and_double_precision_are_followed():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))
            self.register_buffer("phase", torch.zeros(2, dtype=torch.complex64))
            self.register_buffer("seen", torch.tensor([False, False]))

        def forward(self, x):
            return x

    model = Odd()
    teacher = Teacher(model)
    with torch.no_grad():
        model.weight.fill_(1.0)
        model.phase.fill_(2j)
        model.seen.fill_(True)
    teacher.follow(model, 0.75)
    assert teacher.model.weight.tolist() == [0.25, 0.25]
    assert teacher.model.phase.tolist() == [0.5j, 0.5j]
    assert teacher.model.seen.tolist() == [True, True]


def test_frozen_parameters_of_the_student_are_followed_too():
    model = net()
    model.head.weight.requires_grad_(False)
    teacher = Teacher(model)
    nn.init.ones_(model.head.weight)
    teacher.follow(model, 0.0)
    assert bool((teacher.model.head.weight == 1).all())


def test_the_teacher_is_a_copy_without_gradients_that_stays_in_evaluation_mode():
    model = net()
    teacher = Teacher(model)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in model.parameters())
    assert model.training
    nn.Sequential(teacher).train()
    assert not any(module.training for module in teacher.modules())
    x = torch.randn(4, 3, 8, 8)
    assert torch.equal(teacher(x), copy.deepcopy(model).eval()(x))
    state = copy.deepcopy(teacher.state_dict())
    teacher(x)
    assert all(torch.equal(state[name], value) for name, value in teacher.state_dict().items())


def test_the_student_is_left_as_it_is_when_the_teacher_follows():
    model = moved(net())
    teacher, before = Teacher(net()), copy.deepcopy(model.state_dict())
    teacher.follow(model, 0.5)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_gradient_in_the_making_is_not_disturbed():
    model = net()
    teacher = Teacher(model)
    loss = model(torch.randn(4, 3, 8, 8)).square().sum()
    teacher.follow(model, 0.5)
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())


def test_hooks_of_other_objectives_never_act_in_the_copy():
    model, task = net(norm=False), MultiClass(3)
    mixed = Mixed(model, task, Mix(Blend(), BetaPairs(1.0)), AtSite("stage"))
    x = torch.randn(6, 3, 8, 8)
    inside = []

    def spying(module, arguments, output):
        inside.append(teacher(x))

    teacher = Teacher(model)
    plain = teacher(x)
    model.head.register_forward_hook(spying)  # while a plan is active in the model
    mixed(x, task.encode([0, 1, 2] * 2))
    assert inside
    assert all(torch.equal(logits, plain) for logits in inside)


def test_a_tap_never_acts_in_a_copy_of_its_network():
    model = net()
    tap = FeatureTap(model, "stage")
    twin = copy.deepcopy(model)
    x = torch.randn(2, 3, 8, 8)
    with pytest.raises(RuntimeError, match="site 'stage' must run once per forward pass, but ran 0 times"):
        tap.look(twin, x, whole=True)
    features, logits = tap.look(model, x, whole=True)
    assert features.shape == (2, 6, 4, 4)
    assert logits.shape == (2, 3)


def test_a_compiled_model_is_followed_by_its_plain_form():
    model = net()
    compiled = torch.compile(model, backend="eager")
    teacher = Teacher(compiled)
    assert type(teacher.model) is type(model)
    moved(model)
    teacher.follow(compiled, 0.0)
    assert teacher.equals(compiled)
    assert teacher.equals(model)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_parameters_are_refused_where_an_average_would_stand_still(dtype):
    model = net().to(dtype)
    teacher = Teacher(model)
    with pytest.raises(ValueError, match=rf"needs parameters in float32 or better, got {dtype}: it would never move"):
        teacher.follow(model, 0.999)
    model.requires_grad_(False)  # a frozen one has nowhere to go
    teacher.follow(model, 0.999)
    weight = torch.ones(1, dtype=dtype)
    assert torch.equal(torch.lerp(weight, weight * 1.1, 0.001), weight)  # why


def test_equality_is_about_values():
    model = net()
    teacher = Teacher(model)
    assert teacher.equals(model)
    with torch.no_grad():
        model.head.bias.add_(1e-3)
    assert not teacher.equals(model)


def test_something_after_steps_happens_for_the_last_optimizer_only_and_in_no_copy():
    counted, parameter = [], nn.Parameter(torch.zeros(1))
    first, second = (torch.optim.SGD([parameter], lr=0.1) for _ in "12")
    after = AfterSteps()
    assert not after.attached
    for optimizer in (first, first, second):
        after.attach(optimizer, lambda: counted.append(1))
    first.step()
    assert not counted
    second.step()
    assert len(counted) == 1
    assert after.attached
    assert not copy.deepcopy(after).attached
