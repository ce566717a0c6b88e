"""Models wrapped by torch.compile and DistributedDataParallel: mixed as without, compiled once."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mixkit import AtInputs, AtSite, BetaPairs, Blend, CutMix, ForwardMode, InBatch, Mix, Mixed, MixupE, MultiClass

TASK = MultiClass(3)


def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)]
    return nn.Sequential(*parts)


def batch(size=6):
    x = torch.rand(size, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    return x, TASK.encode(torch.arange(size) % 3)


def mixed(model, place, policy=Blend(), **options):  # noqa: B008 - frozen
    options.setdefault("penalty", MixupE(0.1))
    mix = Mix(policy, BetaPairs(1.0))
    return Mixed(model, TASK, mix, place, generator=torch.Generator().manual_seed(0), **options)


def gradient(objective, size=6):
    objective.zero_grad()
    sum(objective(*batch(size)).values()).backward()
    return torch.cat([p.grad.flatten() for p in objective.parameters()])


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "inductor"])
@pytest.mark.parametrize("place", [AtInputs(), AtSite("2"), AtSite("4:input")])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler, of itself
def test_a_compiled_model_mixes_the_same_and_is_compiled_once(backend, place, graphs):
    plain, compiled = mixed(net(), place), mixed(torch.compile(net(), backend=backend), place)
    torch.testing.assert_close(gradient(compiled), gradient(plain), rtol=1e-3, atol=1e-5)
    after_first = graphs()
    for _ in range(4):
        torch.testing.assert_close(gradient(compiled), gradient(plain), rtol=1e-3, atol=1e-5)
    assert after_first == graphs() == 1


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"policy": CutMix()}, {"clean": InBatch()}, {"penalty": None}])
def test_no_form_recompiles_every_step(options, graphs):
    objective = mixed(torch.compile(net(), backend="eager"), AtSite("2"), **options)
    gradient(objective)
    after_first = graphs()
    for _ in range(4):
        gradient(objective)
    assert graphs() == after_first == 1
    objective.eval()(*batch())
    objective.train()
    for _ in range(3):
        gradient(objective)
        gradient(objective, size=5)  # the last batch of an epoch
    assert graphs() <= 4


@pytest.mark.slow
def test_a_model_compiled_and_run_before_its_hook_is_refused_and_not_left_unmixed(graphs):
    model = torch.compile(net(), backend="eager")
    model(batch()[0]).sum().backward()
    objective = mixed(model, AtSite("2"), penalty=None)
    with pytest.raises(RuntimeError, match=r"ran 0 times; .*compiled and run before.*torch.compiler.reset\(\)"):
        objective(*batch())
    torch.compiler.reset()
    torch.testing.assert_close(objective(*batch())["mixed"], objective.__class__.forward(fresh(), *batch())["mixed"])


def fresh():
    """Return the objective of the test above as it draws its second batch."""
    objective = mixed(net(), AtSite("2"), penalty=None)
    objective.model(batch()[0])  # as the run before did to the running statistics
    objective(*batch())
    return objective


@pytest.mark.slow
def test_the_accurate_form_sees_through_the_compiler(graphs):
    penalty = MixupE(0.1, ForwardMode())
    plain = mixed(net(), AtInputs(), penalty=penalty)
    compiled = mixed(torch.compile(net(), backend="eager"), AtInputs(), penalty=penalty)
    torch.testing.assert_close(gradient(compiled), gradient(plain), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("place", [AtInputs(), AtSite("2")])
@pytest.mark.parametrize("wrap", ["model", "objective", "model of it"])
def test_ddp_is_seen_through(place, wrap, group):
    plain = mixed(net(), place)
    if wrap == "objective":
        objective = DistributedDataParallel(mixed(net(), place))
    elif wrap == "model":
        objective = mixed(DistributedDataParallel(net()), place)
    else:  # the hook is on the inner model, whoever wraps it
        objective = mixed(
            nn.Sequential(DistributedDataParallel(net())), AtSite("0.module.2") if place != AtInputs() else place
        )
    for _ in range(3):
        torch.testing.assert_close(gradient(objective), gradient(plain))
