"""Sites: what is mixed where, what is refused, and that a probed or copied model is left as it was."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mixkit import AtInputs, AtOneOf, AtSite, BetaPairs, Blend, CutMix, Mix, Mixed, MixupE, MultiClass
from mixkit.placement import Passed

TASK = MultiClass(3)
MIX = Mix(Blend(), BetaPairs(1.0, derange=True))


class Net(nn.Module):
    """An encoder, a middle and a head; subclasses route `middle` differently."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.encoder, self.middle, self.head = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.through(torch.tanh(self.encoder(x)))))

    def through(self, h):
        return self.middle(h)


class Twice(Net):
    def through(self, h):
        return self.middle(torch.relu(self.middle(h)))


class Residual(Net):
    def through(self, h):
        return h + self.middle(h)


class Reentrant(Net):
    def through(self, h):
        return checkpoint(self.middle, h, use_reentrant=True)


class NotReentrant(Net):
    def through(self, h):
        return checkpoint(self.middle, h, use_reentrant=False)


class Unused(Net):
    def through(self, h):
        return h


class Sometimes(Net):
    skip = False

    def through(self, h):
        return h if self.skip else self.middle(h)


class Windows(Net):
    """Runs the middle on two halves of every sample, as rows of their own."""

    def through(self, h):
        return self.middle(h.repeat_interleave(2, 0)).view(-1, 2, 8).mean(1)


class Keyword(Net):
    def __init__(self):
        super().__init__()
        self.middle = nn.Bilinear(8, 8, 8)

    def through(self, h):
        return self.middle(input1=h, input2=h)


class Recurrent(Net):
    def __init__(self):
        super().__init__()
        self.middle = nn.GRU(8, 8, batch_first=True)

    def through(self, h):
        return self.middle(h[:, None])[0][:, 0]


def batch(size=6):
    torch_generator = torch.Generator().manual_seed(0)
    return torch.randn(size, 4, generator=torch_generator), TASK.encode(torch.arange(size) % 3)


def mixed(model, place, **options):
    return Mixed(model, TASK, MIX, place, generator=torch.Generator().manual_seed(0), **options)


def logits_at(place, model, *, lam=None, size=6):
    """Return what a placement gives out: mixed logits, clean logits, the plan."""
    x, t = batch(size)
    mix = MIX

    def draw(mixable):
        plan = mix.draw(mixable, t, torch.Generator().manual_seed(0))
        return plan if lam is None else type(plan)(type(plan.pairing)(plan.pairing.partner, torch.full((size,), lam)))

    return place.on(model)(x, draw, torch.arange(size), size=size, generator=torch.Generator().manual_seed(0))


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


# --- what is left as it was ----------------------------------------------------------------------------------------


class Noisy(Net):
    """Draws from every global generator and keeps running statistics, some of them frozen."""

    def __init__(self):
        super().__init__()
        self.norm, self.frozen = nn.BatchNorm1d(8), nn.BatchNorm1d(8)
        self.frozen.eval()
        self.trained = []

    def train(self, mode=True):
        self.trained.append(mode)
        return super().train(mode)

    def through(self, h):
        h = self.frozen(self.norm(self.middle(h)))
        return nn.functional.dropout(h, 0.1, self.training) + 0 * (random.random() + np.random.rand())  # noqa: NPY002 - what models do


def test_a_probe_leaves_no_trace_in_the_model_or_in_global_generators(global_state):
    net = Noisy()
    net.trained = []
    net.head.weight.grad = torch.ones(3, 8)
    hooked = []
    net.head.weight.register_hook(hooked.append)
    net.head.weight.register_post_accumulate_grad_hook(hooked.append)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    versions = {name: (value.data_ptr(), value._version) for name, value in net.state_dict(keep_vars=True).items()}
    x, t = batch()

    states = []

    class Recording(AtSite):
        def on(self, model):
            placed = super().on(model)
            return lambda inputs, draw, clean, **rest: placed(inputs, stop, clean, **rest)

    def stop(_):
        states.append(global_state())
        raise KeyboardInterrupt  # the probe is over, the step has not begun

    start = global_state()
    with pytest.raises(KeyboardInterrupt):
        mixed(net, Recording("middle"))(x, t)
    assert states == [start]
    assert {name: (v.data_ptr(), v._version) for name, v in net.state_dict(keep_vars=True).items()} == versions
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(net.head.weight.grad, torch.ones(3, 8))
    assert [p.grad for p in net.middle.parameters()] == [None, None]
    assert hooked == []
    assert net.trained == []
    assert (net.training, net.norm.training, net.frozen.training) == (True, True, False)


def test_hooks_are_inert_outside_a_step_in_evaluation_and_in_copies():
    net, (x, t) = Net(), batch()
    plain = net(x)
    objective = mixed(net, AtSite("middle"), penalty=MixupE(0.1))
    teacher = copy.deepcopy(net)
    objective(x, t)
    assert torch.equal(net(x), plain)
    assert torch.equal(teacher(x), plain)
    objective.eval()(x, t)
    seen = []
    net.middle.register_forward_hook(lambda module, args, output: seen.append(torch.equal(teacher(x), plain)))
    objective.train()(x, t)  # also while the original's hook acts
    assert seen == [True]


def test_a_hook_is_installed_once_and_several_objectives_share_a_model():
    net, (x, t) = Net(), batch()
    first, second = mixed(net, AtSite("middle")), mixed(net, AtSite("middle"))
    assert len(net.middle._forward_hooks) == 2
    alone = mixed(Net(), AtSite("middle"))
    for _ in range(3):
        expected = alone(x, t)["mixed"]
        torch.testing.assert_close(first(x, t)["mixed"], expected)
        torch.testing.assert_close(second(x, t)["mixed"], expected)
    assert len(net.middle._forward_hooks) == 2


def test_an_error_inside_the_model_leaves_no_plan_behind():
    net, (x, t) = Net(), batch()
    objective = mixed(net, AtSite("middle"))
    objective(x, t)
    with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied"):
        objective(x[:, :2], t)
    torch.testing.assert_close(net(x), Net()(x))


def test_a_frozen_model_part_and_inputs_with_gradients_are_fine():
    net, (x, t) = Net(), batch()
    net.encoder.requires_grad_(False)
    x.requires_grad_()
    objective = mixed(net, AtSite("middle"))
    terms = objective(x, t)
    assert x.grad is None
    sum(terms.values()).backward()
    assert bool(x.grad.any())
