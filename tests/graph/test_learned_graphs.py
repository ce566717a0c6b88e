"""Learned mixing of graphs and nodes from end to end: gradients, places, training, a whole comparison."""

import copy
import json

import numpy as np
import pytest
import torch
from graph_parts import TASK, UserNet, automix, batch, lively, own_net, seeded, total
from typer.testing import CliRunner

import mixkit
from mixkit import AtSite, AutoMix, InBatch, Mixed, MixupE
from mixkit.cli import app
from mixkit_graph import AtNodes, NodeTokens
from mixkit_graph.generated import block_model, motif_graphs

TARGETS = TASK.encode([0, 1, 2, 1])


def tensors_of(module):
    return {key for key, value in module.state_dict().items() if isinstance(value, torch.Tensor)}


def gradients(module):
    return [p.grad for p in module.parameters()]


@pytest.mark.parametrize("site", ["readout:input", "norm"])
def test_each_loss_reaches_what_it_trains_and_nothing_else(site):
    model = own_net() if site == "readout:input" else UserNet("gin")
    objective = automix(model, site, 16 if site == "readout:input" else 8)
    terms = objective(batch(), TARGETS)
    (terms["block"] + terms["lam"]).backward(retain_graph=True)
    block = [p.grad.clone() for p in objective.block.parameters()]
    assert all(bool(grad.any()) for grad in block)
    assert all(grad is None for grad in gradients(objective.model) + gradients(objective.teacher))
    (terms["mixed"] + terms["clean"]).backward()
    assert all(grad is not None for grad in gradients(objective.model))
    assert all(torch.equal(p.grad, grad) for p, grad in zip(objective.block.parameters(), block, strict=True))
    assert all(grad is None for grad in gradients(objective.teacher))


@pytest.mark.parametrize("options", [{}, {"clean": InBatch(0.25), "block_every": 2}, {"penalty": MixupE(1e-2)}])
@pytest.mark.parametrize(
    ("model", "site", "channels"),
    [
        (own_net(), "readout:input", 16),
        (UserNet("gcn"), "norm", 8),
        (UserNet("gcn"), "second", 8),
        (UserNet("gin"), "norm", 8),
    ],
    ids=["own", "gcn", "gcn-conv", "gin"],
)
def test_models_that_take_batches_train_and_the_block_and_the_teacher_follow(model, site, channels, options):
    objective = automix(copy.deepcopy(model), site, channels, total_steps=40, **options)
    optimizer = torch.optim.AdamW(objective.param_groups(), lr=1e-2)
    objective.attach(optimizer)
    before, blocks = objective.eval()(batch(), TARGETS), [p.detach().clone() for p in objective.block.parameters()]
    objective.train()
    for _ in range(40):
        optimizer.zero_grad()
        total(objective(batch(), TARGETS)).backward()
        optimizer.step()
    assert float(total(objective.eval()(batch(), TARGETS))) < 0.8 * float(total(before))
    assert not any(torch.equal(a, b) for a, b in zip(objective.block.parameters(), blocks, strict=True))


def test_graphs_keep_their_own_features_in_the_rows_that_stay_clean():
    objective = automix(clean=InBatch(0.5), pairs=mixkit.BetaPairs(1.0, derange=True))
    caught = []
    placed = objective._placed

    def spied(*args, **options):
        caught.append(placed(*args, **options))
        return caught[-1]

    objective._placed = spied
    objective(batch(), TARGETS)
    plan, x = caught[0].plan, torch.randn(15, 3, generator=seeded())
    kept = plan.sources.lam[:, 0] == 1
    same = (plan.apply(x) == x).all(1)
    assert int(kept.sum()) == 2
    assert torch.equal(same, kept[batch().batch])


def test_the_tokens_place_goes_before_the_one_for_other_methods():
    def made(name, **options):
        tokens = NodeTokens("readout:input", 16, **options)
        place = AtSite("readout")
        return mixkit.objective(name, own_net(), TASK, seeded(), place=place, tokens=tokens, total_steps=9)

    by_name, elsewhere = made("automix"), made("automix", place=AtNodes("layers.0:input"))
    parts = AutoMix(own_net(), TASK, NodeTokens("readout:input", 16), by_name.block, generator=seeded(), total_steps=9)
    parts.generator.set_state(by_name.generator.get_state())
    elsewhere.generator.set_state(by_name.generator.get_state())
    elsewhere.block.load_state_dict(by_name.block.state_dict())
    terms, same, other = (each(batch(), TARGETS) for each in (by_name, parts, elsewhere))
    assert torch.equal(terms["mixed"], same["mixed"])
    assert torch.equal(terms["clean"], other["clean"])
    assert not torch.isclose(terms["mixed"], other["mixed"])
    assert isinstance(made("mixup"), Mixed)
    made("mixup")(batch(), TARGETS)  # at the readout, where nodes could not be blended


def test_prepared_graphs_mix_their_nodes_and_prepared_nodes_spans_of_channels():
    graphs, nodes = motif_graphs().prepare(np.arange(320)), block_model().prepare(np.arange(320))
    net = graphs.model()
    tokens = graphs.tokens(net, seeded())
    assert (tokens.site, tokens.channels, tokens.place) == ("readout:input", 96, AtNodes("readout:input"))
    spans = nodes.tokens(nodes.model(), seeded())
    assert (spans.site, spans.place) == ("select", None)
    # 32 channels in 8 spans of 4
    assert spans.span_of.tolist() == [channel // 4 for channel in range(32)]
    again = nodes.tokens(nodes.model(), seeded())
    assert torch.equal(again.weight, spans.weight)


def test_nodes_of_one_graph_are_mixed_span_by_span():
    prepared = block_model().prepare(np.arange(320))
    model, rows = prepared.model(), torch.arange(40)
    tokens = prepared.tokens(model, seeded())
    objective = AutoMix(
        model, prepared.task, tokens, lively(tokens.channels), prepared.place, generator=seeded(), total_steps=9
    )
    inputs, targets = prepared.batch(rows), prepared.targets[rows]
    plan = objective.plan(inputs, targets)
    mixed = plan.apply(torch.zeros(40, 32).index_fill_(0, torch.tensor([0]), 1.0))[0]
    assert torch.equal(mixed, plan.weights()[0, 0].repeat_interleave(4))
    assert len(mixed.unique()) == 8
    total(objective(inputs, targets)).backward()
    assert all(bool(p.grad.any()) for p in [*objective.block.parameters(), *tokens.parameters()])


def test_steps_under_bfloat16_autocast_stay_close_to_full_precision():
    full = automix()(batch(), TARGETS)
    with torch.autocast("cpu", torch.bfloat16):
        half = automix()(batch(), TARGETS)
    assert all(abs(float(half[name].detach() - full[name].detach())) < 0.05 for name in full)


def test_a_training_goes_on_from_its_state_bit_for_bit():
    def advanced(objective, steps):
        optimizer = torch.optim.SGD(objective.param_groups(), lr=0.05)
        objective.attach(optimizer)
        for _ in range(steps):
            optimizer.zero_grad()
            total(objective(batch(), TARGETS)).backward()
            optimizer.step()
        return objective

    whole, first, second = advanced(automix(), 4), advanced(automix(), 2), automix(generator=seeded(9))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    advanced(second, 2)
    there = second.state_dict()
    assert all(torch.equal(value, there[key]) for key, value in whole.state_dict().items() if key in tensors_of(whole))


@pytest.mark.slow
def test_a_comparison_of_graphs_runs_with_learned_mixing(tmp_path):
    out = tmp_path / "out"
    methods = "automix,automix-lean,automix+e"
    arguments = ["compare", "--as", "graph", "--methods", methods, "--folds", "2", "--repeats", "1", "--epochs", "2"]
    result = CliRunner().invoke(app, [*arguments, "--jobs", "1", "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    problems = json.loads((out / "summary.json").read_text())["problems"]
    assert sorted(problems) == ["blocks", "motifs"]
    for problem in problems.values():
        assert list(problem["methods"]) == ["erm", *methods.split(",")]
        assert all(0 <= score <= 1 for one in problem["methods"].values() for score in one["scores"])
