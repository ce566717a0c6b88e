"""Steps leave the caller's things alone and can be repeated, copied, resumed, in every dtype."""

import copy
import pickle

import pytest
import torch
from step_parts import FORMS, MIX, TASK, Spy, batch, gradient, mixed, net
from torch import nn

from mixkit import (
    AtInputs,
    AtOneOf,
    AtSite,
    BetaPairs,
    Blend,
    Chain,
    CutMix,
    Mix,
    Mixed,
    MixupE,
    MultiClass,
)

PLACES = [AtInputs(), AtSite("2"), AtOneOf(AtInputs(), AtSite("2"), AtSite("0"))]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("clean", FORMS)
@pytest.mark.parametrize("mix", [MIX, Chain([Mix(CutMix(), BetaPairs(1.0)), MIX])])
def test_any_batch_size_trains_and_changes_nothing_of_the_callers(size, clean, mix, global_state):
    x, t = batch(size)
    weights = torch.rand(size)
    before, kept = global_state(), [tensor.clone() for tensor in (x, t, weights)]
    result = gradient(mixed(mix=mix, penalty=MixupE(0.1), clean=clean), x, t, weights)
    assert bool(result.isfinite().all())
    assert all(torch.equal(a, b) for a, b in zip((x, t, weights), kept, strict=True))
    assert global_state() == before


@pytest.mark.parametrize("place", PLACES)
def test_the_same_seed_gives_the_same_terms_bit_for_bit(place, global_state):
    x, t = batch()
    before = global_state()
    runs = []
    for _ in range(2):
        objective = mixed(place=place, penalty=MixupE(0.1))
        runs.append([objective(x, t) for _ in range(6)])
    for a, b in zip(*runs, strict=True):
        assert {name: float(term.detach()) for name, term in a.items()} == {n: float(e.detach()) for n, e in b.items()}
    losses = [float(terms["mixed"].detach()) for terms in runs[0]]
    assert len(set(losses)) == 6
    fresh = mixed(net(), generator=None)
    assert float(fresh(x, t)["mixed"].detach()) not in losses
    if place == PLACES[0]:
        state = global_state()
        assert state == before


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("copied", ["deepcopy", "pickle"])
def test_a_copy_trains_its_own_model_and_goes_on_drawing_where_the_original_was(place, copied):
    x, t = batch()
    objective = mixed(place=place, penalty=MixupE(0.1))
    objective(x, t)
    twin = copy.deepcopy(objective) if copied == "deepcopy" else pickle.loads(pickle.dumps(objective))
    a, b = gradient(objective, x, t), gradient(twin, x, t)
    assert torch.equal(a, b)
    assert objective.model is not twin.model
    with torch.no_grad():
        for p in twin.parameters():
            p.zero_()
    torch.testing.assert_close(twin(x, t)["mixed"], torch.tensor(3.0).log(), rtol=1e-3, atol=0)
    assert float(objective(x, t)["mixed"].detach()) != pytest.approx(1.0986, abs=1e-4)


def test_a_state_dict_resumes_steps_and_draws(tmp_path):
    x, t = batch()
    first = mixed(penalty=MixupE(0.1), total_steps=10)
    first(x, t)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = mixed(net(seed=1), penalty=MixupE(0.1), total_steps=10, generator=torch.Generator().manual_seed(9))
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert second.progress == first.progress == 0.1
    for _ in range(3):
        assert torch.equal(gradient(first, x, t), gradient(second, x, t))


def test_mixing_ends_where_until_says_and_the_penalty_with_it():
    x, t = batch()
    objective = mixed(mix=Mix(Blend(), BetaPairs(1.0), until=0.5), penalty=MixupE(0.1), total_steps=4)
    model = net()
    for step in range(4):
        terms = objective(x, t)
        over = step >= 2
        assert (terms["penalty"].item() == 0) == over
        assert torch.allclose(terms["mixed"], TASK.loss(model(x), t)) == over
    whole = mixed(penalty=MixupE(0.1), total_steps=2)
    assert [whole(x, t)["penalty"].item() > 0 for _ in range(2)] == [True, True]  # the last step is mixed, too


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("place", [AtInputs(), AtSite("2")])
def test_every_float_dtype_trains_and_terms_are_float32_or_better(dtype, place):
    x, t = batch(dtype=dtype)
    terms = mixed(net(dtype=dtype), place, penalty=MixupE(0.1))(x, t)
    assert {term.dtype for term in terms.values()} == {torch.float64 if dtype == torch.float64 else torch.float32}
    sum(terms.values()).backward()
    reference = mixed(net(), place, penalty=MixupE(0.1))(*batch())["mixed"]
    torch.testing.assert_close(terms["mixed"].float(), reference, rtol=2e-2, atol=0)


def test_uint8_images_and_channels_last_reach_the_model_as_they_are():
    spy = Spy()

    class Scale(nn.Module):
        def forward(self, x):
            return x.float() / 255

    x, t = batch()
    codes = (x * 255).to(torch.uint8)
    mixed(nn.Sequential(spy, Scale(), net()), penalty=MixupE(0.1))(codes, t)
    assert spy.seen[0].dtype == torch.uint8
    last = x.to(memory_format=torch.channels_last)
    spy.seen = []
    objective = mixed(nn.Sequential(spy, nn.Conv2d(3, 3, 1), net()), penalty=MixupE(0.1))
    objective(last, t)
    assert spy.seen[0].is_contiguous(memory_format=torch.channels_last)


def test_targets_are_mixed_in_float32_under_autocast():
    x, t = batch()
    chain = Chain([MIX, Mix(CutMix(), BetaPairs(1.0))])
    seen = []

    class Watching(MultiClass):
        def losses(self, logits, targets, weights=None):
            seen.append((targets.detach().clone(), weights))
            return super().losses(logits, targets, weights)

    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16, enabled=bool(seen)):
            Mixed(net(), Watching(3), chain, generator=torch.Generator().manual_seed(0))(x, t)
    assert torch.equal(seen[0][0], seen[1][0])
