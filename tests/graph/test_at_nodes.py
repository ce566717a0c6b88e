"""Mixing nodes at a site inside a model: what is mixed, clean rows, models of users, sites that are refused."""

import pytest
import torch
from graph_parts import UserNet, batch, graph, lively, own_net, plan_of, seeded, sources
from torch import nn

from mixkit.plan import BlendPlan
from mixkit_graph import AtNodes
from mixkit_graph._pyg import Batch

PARTNER, LAM = [2, 3, 1, 0], [0.3, 0.5, 0.8, 0.6]


def passed_at(model, site, inputs, plan, clean=None):
    placed = AtNodes(site).on(model)
    return placed(inputs, lambda mixable: plan, clean, size=inputs.num_graphs, generator=seeded())


def any_plan(inputs, width=16):
    return plan_of(torch.randn(inputs.num_nodes, width, generator=seeded()), inputs, sources(PARTNER, LAM), lively(16))


def test_what_follows_the_site_sees_mixed_nodes_and_the_graphs_as_they_were():
    model, inputs = own_net().eval(), batch()
    plan, found = any_plan(inputs), []
    handle = model.readout.register_forward_pre_hook(lambda module, args: found.append(args))
    plain = model(inputs)
    handle.remove()
    (nodes, graph_of, count) = found[0]
    wanted = model.head(model.readout(plan.apply(nodes), graph_of, count))
    passed = passed_at(model, "readout:input", inputs, plan, torch.tensor([1, 3]))
    torch.testing.assert_close(passed.mixed, wanted)
    torch.testing.assert_close(passed.clean, plain[[1, 3]])
    assert passed.plan is plan
    assert torch.equal(model(inputs), plain)


@pytest.mark.parametrize("kind", ["gcn", "gin"])
@pytest.mark.parametrize("site", ["first", "second", "norm:input", "norm"])
def test_unmodified_models_of_torch_geometric_are_mixed_at_their_layers(kind, site):
    model, inputs = UserNet(kind).eval(), batch()
    plan = plan_of(torch.randn(15, 16, generator=seeded()), inputs, sources(PARTNER, LAM), lively(16))
    passed = passed_at(model, site, inputs, plan)
    assert passed.mixed.shape == (4, 3)
    assert passed.clean is None
    assert not torch.allclose(passed.mixed, model(inputs), atol=1e-3)
    nothing = plan_of(torch.randn(15, 16), inputs, sources(PARTNER, [1.0] * 4), lively(16))
    whole = passed_at(model, site, inputs, nothing.blend(torch.ones(4, dtype=torch.bool)))
    torch.testing.assert_close(whole.mixed, model(inputs))


def test_gradients_flow_through_own_and_partner_s_nodes():
    inputs = Batch.from_data_list([graph(3), graph(2, seed=1)])
    inputs.x.requires_grad_()
    plan = plan_of(torch.randn(5, 16, generator=seeded()), inputs, sources([1, 0], [0.5, 0.5]), lively(16))
    passed_at(UserNet("gin").eval(), "second", inputs, plan).mixed[0].sum().backward()
    assert bool(inputs.x.grad[:3].any())
    assert bool(inputs.x.grad[3:].any())


class Twice(UserNet):
    def forward(self, data):
        self.norm(self.first(data.x, data.edge_index))
        return super().forward(data)


class Skipped(UserNet):
    def forward(self, data):
        return self.head(data.x.new_zeros(data.num_graphs, 8))


class Tuples(UserNet):
    def __init__(self):
        super().__init__("gin")
        self.pair = Pair()

    def forward(self, data):
        self.pair(data.x)
        return super().forward(data)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("model", "site", "message"),
    [
        (
            own_net(),
            "readout",
            r"site 'readout' must pass one row a node, \(15, D\), got \(4, 16\); choose a site",
        ),
        (own_net(), "head.0:input", r"site 'head.0:input' must pass one row a node"),
        (own_net(), "layers.1", r"site 'layers.1' must carry everything: .* there is a path around it"),
        (Twice("gin"), "norm", r"site 'norm' must run once per forward pass, but ran 2 times"),
        (Skipped("gin"), "norm", r"site 'norm' must run once per forward pass, but ran 0 times"),
        (Tuples(), "pair", r"site 'pair' must pass one tensor, got tuple"),
    ],
)
def test_sites_where_graphs_cannot_be_mixed_are_refused(model, site, message):
    inputs = batch()
    with pytest.raises(RuntimeError, match=message):
        passed_at(model, site, inputs, any_plan(inputs))


class Sometimes(UserNet):
    skips = False

    def forward(self, data):
        return super().forward(data) if not self.skips else self.head(data.x.new_zeros(data.num_graphs, 8))


def test_a_site_that_is_skipped_later_is_noticed():
    model, inputs = Sometimes("gin"), batch()
    placed = AtNodes("norm").on(model)
    placed(inputs, lambda mixable: any_plan(inputs), None, size=4, generator=seeded())
    model.skips = True
    with pytest.raises(RuntimeError, match="site 'norm' must run once per forward pass, but ran 0 times"):
        placed(inputs, lambda mixable: any_plan(inputs), None, size=4, generator=seeded())


def test_the_probe_leaves_the_model_its_statistics_and_the_inputs_alone():
    model, inputs = UserNet("gcn"), batch()
    model.norm.eval()
    before, x = {k: v.clone() for k, v in model.state_dict().items()}, inputs.x.clone()
    placed = AtNodes("norm").on(model)
    assert placed._probe(inputs, 15)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(inputs.x, x)
    assert [model.training, model.norm.training, model.head.training] == [True, False, True]


def test_a_batch_that_cannot_tell_is_not_the_last_to_be_probed():
    model = own_net()
    placed = AtNodes("layers.1").on(model)
    alike = batch()
    alike.x = torch.ones_like(alike.x)
    placed(alike, lambda mixable: any_plan(alike), None, size=4, generator=seeded())
    with pytest.raises(RuntimeError, match="must carry everything"):
        placed(batch(), lambda mixable: any_plan(batch()), None, size=4, generator=seeded())


def test_plans_of_rows_are_refused():
    inputs = batch()
    plan = BlendPlan(sources(PARTNER, LAM).pairing)
    with pytest.raises(ValueError, match=r"AtNodes needs a plan of nodes, as NodeTokens makes them, got BlendPlan"):
        passed_at(own_net(), "readout:input", inputs, plan)


def test_an_unknown_site_lists_the_submodules():
    with pytest.raises(ValueError, match=r"site must name a submodule, .* got 'readuot'; did you mean 'readout'\?"):
        AtNodes("readuot").on(own_net())
