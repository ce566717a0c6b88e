"""AutoMix stops and goes on: checkpoints bit for bit, copies, what is deployed, and that it learns at all."""

import copy
import pickle

import pytest
import torch
from learned_parts import OWN_SEED, TASK, automix, batch, net, seeded, total, trained

from mixkit import (
    Alternating,
    AtSite,
    BetaPairs,
    BetaSources,
    GroupMixBlock,
    InBatch,
    MixBlock,
    MixupE,
    Momentum,
)

CONFIGURATIONS = {
    "published": {},
    "lean": {"clean": InBatch(0.25), "block_every": 2, "block_fraction": 0.5},
    "penalty": {"penalty": MixupE(0.1), "freeze_after": 0.4},
    "alternating": {
        "block": lambda: GroupMixBlock(6, count=3, generator=seeded(OWN_SEED)),
        "pairs": BetaSources(1.0, 3),
        "block_loss": Alternating(),
        "blend_weight": 0.5,
    },
    "at a site": {"place": AtSite("stage"), "label_by_weights": True},
}


def built(options, seed=0):
    """Return an objective; other seeds have other weights and draws."""
    options = dict(options)
    block = options.pop("block", lambda: MixBlock(6, generator=seeded(OWN_SEED + seed)))()
    options.setdefault("pairs", BetaPairs(2.0))
    return automix(net(seed), block=block, generator=seeded(seed), total_steps=8, **options)


def adam(objective):
    optimizer = torch.optim.AdamW(objective.param_groups(), lr=0.01)
    objective.attach(optimizer)
    return optimizer


@pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_a_training_resumes_bit_for_bit_from_a_checkpoint(options, tmp_path):
    whole = built(options)
    trained(whole, steps=7, optimizer=adam(whole))

    first = built(options)
    optimizer = trained(first, steps=3, optimizer=adam(first))
    torch.save({"objective": first.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    second = built(options, seed=1)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    second.load_state_dict(state["objective"])
    optimizer = adam(second)
    optimizer.load_state_dict(state["optimizer"])
    assert second.steps == 3
    for step in range(3, 7):
        optimizer.zero_grad()
        total(second(*batch(seed=step))).backward()
        optimizer.step()

    expected, found = whole.state_dict(), second.state_dict()
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        if name == "_extra_state":
            assert value["steps"] == found[name]["steps"] == 7
            assert torch.equal(value["generator"], found[name]["generator"])
        else:
            assert torch.equal(value, found[name]), name
    assert {name.split(".")[0] for name in expected} == {"model", "teacher", "block", "_extra_state"}


@pytest.mark.parametrize("copied", ["deepcopy", "pickle"])
@pytest.mark.parametrize("place", [None, AtSite("stage")])
def test_a_copy_draws_on_from_where_the_original_was_and_is_attached_to_nothing(copied, place):
    objective = automix(place=place, penalty=MixupE(0.1))
    optimizer = trained(objective, steps=2)
    twin = copy.deepcopy(objective) if copied == "deepcopy" else pickle.loads(pickle.dumps(objective))
    with pytest.raises(RuntimeError, match="must be attached to the optimizer"):
        twin(*batch())
    twin.attach(torch.optim.SGD(twin.param_groups(), lr=0.1))
    a, b = objective(*batch()), twin(*batch())
    assert all(torch.equal(a[name], b[name]) for name in a)
    total(a).backward()
    optimizer.step()
    assert (objective.steps, twin.steps) == (3, 2)
    with torch.no_grad():
        for parameter in twin.teacher.parameters():
            parameter.zero_()
    assert not bool(twin.deploy()(batch()[0]).any())
    assert bool(objective.deploy()(batch()[0]).any())


def test_what_is_deployed_can_be_saved_copied_and_trained_again(tmp_path):
    objective = automix()
    trained(objective, steps=2)
    network = objective.deploy()
    torch.save(network, tmp_path / "network.pt")
    loaded = torch.load(tmp_path / "network.pt", weights_only=False)
    x, t = batch()
    assert torch.equal(loaded(x), network(x))
    again = automix(loaded.train().requires_grad_(True))
    trained(again, steps=2)
    assert not torch.equal(again.deploy()(x), network(x))
    assert TASK.loss(network(x), t).isfinite()


def test_the_loss_goes_down():
    objective = automix(momentum=Momentum(start=0.9), total_steps=60)
    x, t = batch(32)
    before = float(objective.eval()(x, t)["loss"].detach())
    objective.train()
    optimizer = torch.optim.AdamW(objective.param_groups(), lr=0.01)
    objective.attach(optimizer)
    for _ in range(60):
        optimizer.zero_grad()
        total(objective(x, t)).backward()
        optimizer.step()
    assert float(objective.eval()(x, t)["loss"].detach()) < 0.7 * before
