"""Sites: what is mixed where, and what is refused."""

from typing import NamedTuple

import pytest
import torch
from site_nets import (
    MIX,
    TASK,
    Keyword,
    Net,
    NotReentrant,
    Recurrent,
    Reentrant,
    Residual,
    Sometimes,
    Twice,
    Unused,
    Windows,
    batch,
    logits_at,
    mixed,
)
from torch import nn

from mixkit import AtInputs, AtOneOf, AtSite, BetaPairs, CutMix, Mix, Mixed, MixupE, Separate
from mixkit.placement import Passed
from mixkit.plan import BlendPlan

# --- what is mixed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("site", "stage"),
    [
        ("encoder:input", lambda net, x, plan: net(plan.apply(x))),
        ("encoder", lambda net, x, plan: net.head(torch.tanh(net.middle(torch.tanh(plan.apply(net.encoder(x))))))),
        ("middle:input", lambda net, x, plan: net.head(torch.tanh(net.middle(plan.apply(torch.tanh(net.encoder(x))))))),
        ("middle", lambda net, x, plan: net.head(torch.tanh(plan.apply(net.middle(torch.tanh(net.encoder(x))))))),
        ("head", lambda net, x, plan: plan.apply(net(x))),
    ],
)
def test_the_output_or_the_input_of_the_site_is_mixed(site, stage):
    net = Net()
    passed = logits_at(AtSite(site), net)
    x, _ = batch()
    torch.testing.assert_close(passed.mixed, stage(net, x, passed.plan))
    torch.testing.assert_close(passed.clean, net(x))


class Clip(NamedTuple):
    """Inputs that are no tensor."""

    wave: torch.Tensor
    lengths: torch.Tensor


class ClipPlan(BlendPlan):
    def apply(self, x):
        return Clip(super().apply(x.wave), x.lengths.maximum(x.lengths[self.pairing.partner]))


class ClipBlend:
    def draw(self, inputs, pairing, generator):
        assert isinstance(inputs, Clip)
        return ClipPlan(pairing)


def test_inputs_that_are_no_tensor_are_mixed_by_their_plan_and_run_clean_in_a_pass_of_their_own():
    class ClipNet(Net):
        calls = 0

        def forward(self, clip):
            self.calls += 1
            return super().forward(clip.wave / clip.lengths[:, None])

    net, (x, t) = ClipNet(), batch()
    clips, mix = Clip(x, torch.arange(1.0, 7)), Mix(ClipBlend(), BetaPairs(1.0, derange=True))
    objective = Mixed(net, TASK, mix, penalty=MixupE(1.0), generator=torch.Generator().manual_seed(0))
    terms = objective(clips, t)
    assert net.calls == 2
    plan = mix.draw(clips, t, torch.Generator().manual_seed(0))
    loss = TASK.loss(net(plan.apply(clips)), plan.targets(t))
    penalty = TASK.residual(net(clips), t).abs().mean() / 3
    torch.testing.assert_close(sum(terms.values()), loss)
    torch.testing.assert_close(terms["penalty"] / terms["mixed"], penalty / loss)


@pytest.mark.parametrize("place", [AtInputs(), AtSite("encoder:input"), AtSite("middle"), AtSite("head")])
def test_lam_one_is_the_identity_bit_for_bit(place):
    net, (x, _) = Net(), batch()
    passed = logits_at(place, net, lam=1.0)
    assert torch.equal(passed.mixed, passed.clean)
    torch.testing.assert_close(passed.mixed, net(x))


def test_one_of_several_places_is_chosen_uniformly(generator):
    class Named:
        def __init__(self, name):
            self.name = name

        def on(self, model):
            return lambda *_, **__: Passed(self.name, None, None)

    placed = AtOneOf(Named("a"), Named("b"), Named("c")).on(Net())
    drawn = [placed(None, None, None, size=1, generator=generator).mixed for _ in range(600)]
    assert {name: abs(drawn.count(name) / 600 - 1 / 3) < 0.07 for name in "abc"} == {"a": True, "b": True, "c": True}


def test_named_rows_only_are_mixed_and_go_on():
    class Graph(Net):
        def forward(self, x):
            return self.head(torch.tanh(self.encoder(x)))

    net, (x, t) = Graph(), batch(6)
    rows = torch.tensor([4, 1, 3])
    objective = Mixed(
        net, TASK, MIX, AtSite("encoder", rows=lambda _: rows), generator=torch.Generator().manual_seed(0)
    )
    nodes = [x]  # one graph: no tensor whose length is the number of samples
    net.encoder.register_forward_pre_hook(lambda module, args: (args[0][0],) if isinstance(args[0], list) else None)
    term = objective(nodes, t[rows])["mixed"]
    plan = MIX.draw(torch.empty(3, 8), t[rows], torch.Generator().manual_seed(0))
    expected = TASK.loss(net.head(torch.tanh(plan.apply(net.encoder(x)[rows]))), plan.targets(t[rows]))
    torch.testing.assert_close(term, expected)
    beside = Mixed(net, TASK, MIX, AtSite("encoder", rows=lambda _: rows), penalty=MixupE(1.0))
    assert beside(nodes, t[rows])["penalty"] > 0
    beside.clean = Separate()  # would take the first nodes for the named ones
    with pytest.raises(ValueError, match=r"Separate\(\) needs .* got 6 for 3 samples; with AtSite\(site, rows"):
        beside(nodes, t[rows])


def test_cutmix_acts_on_feature_maps():
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    x = torch.rand(5, 1, 6, 6)
    objective = Mixed(model, TASK, Mix(CutMix(), BetaPairs(1.0)), AtSite("1"), penalty=MixupE(0.1))
    sum(objective(x, TASK.encode([0, 1, 2, 0, 1])).values()).backward()
    assert bool(model[0].weight.grad.any())


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ("midle", r"site must name a submodule, .* got 'midle'; did you mean 'middle'\? Net has encoder, middle, head"),
        ("middle:output", r"site must name a submodule, or its input as 'name:input', got 'middle:output'"),
        ("", r"site must name a submodule, .* got '' Net has encoder"),
    ],
)
def test_an_unknown_site_lists_the_submodules(site, message):
    with pytest.raises(ValueError, match=message):
        mixed(Net(), AtSite(site))


@pytest.mark.parametrize(
    ("model", "site", "message"),
    [
        (Twice, "middle", r"site 'middle' must run once per forward pass, but ran 2 times; choose a submodule that"),
        (Reentrant, "middle", r"site 'middle' must run once .* but ran 2 times; .* outside activation checkpointing"),
        (
            NotReentrant,
            "middle",
            r"site 'middle' must run once .* but ran 2 times; .* outside activation checkpointing",
        ),
        (Unused, "middle", r"site 'middle' must run once per forward pass, but ran 0 times; the model skipped it"),
        (Residual, "middle", r"site 'middle' must carry everything: .* there is a path around it \(a residual"),
        (
            Windows,
            "middle",
            r"site 'middle' must have one row a sample, got 12 rows for 6 samples; choose a site behind",
        ),
        (Recurrent, "middle", r"site 'middle' must pass one tensor, got tuple; choose another submodule"),
        (Keyword, "middle:input", r"site 'middle:input' must pass one tensor, got no positional argument"),
    ],
)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")  # torch, of its first block
def test_a_site_that_cannot_be_mixed_at_is_refused(model, site, message):
    net = model()
    objective = mixed(net, AtSite(site), penalty=MixupE(0.1))
    with pytest.raises(RuntimeError, match=message):
        objective(*batch())
    assert torch.equal(net(batch()[0]), model_like(net)(batch()[0]))  # the failed probe left no plan behind


def model_like(net):
    twin = type(net)()
    twin.load_state_dict(net.state_dict())
    return twin


@pytest.mark.parametrize("model", [Residual, Reentrant, NotReentrant, Windows])
@pytest.mark.parametrize("site", ["encoder", "head:input"])
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")  # torch's, of evaluation
def test_sites_before_and_behind_such_parts_are_fine(model, site):
    objective = mixed(model(), AtSite(site), penalty=MixupE(0.1))
    for _ in range(3):
        sum(objective(*batch()).values()).backward()


def test_a_site_that_is_skipped_later_is_noticed_at_that_step():
    net = Sometimes()
    objective = mixed(net, AtSite("middle"))
    objective(*batch())
    net.skip = True
    with pytest.raises(RuntimeError, match=r"site 'middle' must run once per forward pass, but ran 0 times; the model"):
        objective(*batch())


def test_a_path_around_is_seen_as_soon_as_a_head_that_started_at_zero_has_moved():
    net = Residual()
    with torch.no_grad():
        net.head.weight.zero_()
    objective = mixed(net, AtSite("middle"))
    objective(*batch())  # all logits are alike: nothing to see yet
    with torch.no_grad():
        net.head.weight.normal_(generator=torch.Generator().manual_seed(0))
    with pytest.raises(RuntimeError, match=r"site 'middle' must carry everything"):
        objective(*batch())


def test_a_first_batch_of_one_row_is_mixed_and_the_next_is_probed():
    objective = mixed(Residual(), AtSite("middle"))
    objective(*batch(1))
    with pytest.raises(RuntimeError, match=r"site 'middle' must carry everything"):
        objective(*batch(2))


def test_no_places_are_refused():
    with pytest.raises(ValueError, match=r"AtOneOf needs at least one place, got none"):
        AtOneOf()
