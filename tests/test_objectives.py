"""Objectives: terms, rescaling, clean rows and what BatchNorm sees, weights, refusals."""

import pytest
import torch
from step_parts import FORMS, MIX, TASK, Spy, batch, gradient, mixed, net
from torch import nn

from mixkit import (
    AtInputs,
    AtSite,
    BetaPairs,
    Blend,
    Concatenated,
    Erm,
    FiniteDifference,
    ForwardMode,
    InBatch,
    Mix,
    Mixed,
    MixupE,
    MultiClass,
    MultiLabel,
    Regression,
    Separate,
)
from mixkit.mixed import rescaled

# --- terms ---------------------------------------------------------------------------------------------------------


def test_terms_are_named_for_what_they_are():
    x, t = batch()
    assert sorted(Erm(net(), TASK)(x, t)) == ["loss"]
    assert sorted(mixed()(x, t)) == ["mixed"]
    assert sorted(mixed(penalty=MixupE(1.0), clean_weight=1.0)(x, t)) == ["clean", "mixed", "penalty"]


@pytest.mark.parametrize("clean", FORMS)
def test_evaluation_is_the_plain_loss(clean):
    x, t = batch()
    objective = mixed(penalty=MixupE(1.0), clean=clean).eval()
    terms = objective(x, t)
    assert list(terms) == ["loss"]
    torch.testing.assert_close(terms["loss"], TASK.loss(objective.model(x), t))
    assert objective.steps == 0


@pytest.mark.parametrize("place", [AtInputs(), AtSite("2"), AtSite("1:input")])
def test_the_mixed_loss_is_that_of_the_plan(place):
    x, t = batch()
    model, terms = net(), mixed(place=place)(x, t)
    plan = MIX.draw(x, t, torch.Generator().manual_seed(0))
    stages = {"inputs": x, "2": model[:3](x), "1:input": model[0](x)}
    if isinstance(place, AtInputs):
        logits = model(plan.apply(x))
    else:
        logits = model[3 if place.site == "2" else 1 :](plan.apply(stages[place.site]))
    torch.testing.assert_close(terms["mixed"], TASK.loss(logits, plan.targets(t)))


@pytest.mark.parametrize("clean", FORMS)
@pytest.mark.parametrize("place", [AtInputs(), AtSite("2")])
def test_the_penalty_stands_on_clean_logits(clean, place):
    x, t = batch()
    model = net()
    objective = mixed(model, place, penalty=lambda step: 0 * step.logits.sum(), clean=clean)
    steps = []
    objective.penalty = lambda step: (steps.append(step), step.logits.sum() * 0)[1]
    objective(x, t)
    step = steps[0]
    torch.testing.assert_close(step.logits, model(step.inputs))
    rows = [int((x == row).flatten(1).all(1).nonzero()) for row in step.inputs]
    assert torch.equal(step.targets, t[rows])
    assert len(set(rows)) == len(rows) == (2 if getattr(clean, "fraction", 1) == 0.25 else 8)
    assert step.partner_share == pytest.approx(1 / 3)


def test_rescaling_keeps_the_value_and_scales_the_gradients_only():
    x, t = batch()
    plain, penalised = mixed(clean_weight=0.0)(x, t), mixed(penalty=MixupE(5.0))(x, t)
    torch.testing.assert_close(sum(penalised.values()), plain["mixed"])
    factor = (penalised["mixed"] / plain["mixed"]).item()
    assert 0 < factor < 0.95
    unscaled = mixed(penalty=MixupE(5.0))
    direct = unscaled._placed(x, lambda _: MIX.draw(x, t, torch.Generator().manual_seed(0)), torch.arange(8), size=8,
                              generator=torch.Generator())  # fmt: skip
    loss = TASK.loss(direct.mixed, direct.plan.targets(t))
    residual = TASK.residual(direct.clean, t).abs().mean() * 5.0 / 3
    expected = torch.autograd.grad(factor * (loss + residual), list(unscaled.parameters()))
    torch.testing.assert_close(gradient(mixed(penalty=MixupE(5.0)), x, t), torch.cat([g.flatten() for g in expected]))


def test_rescaling_is_exact_beside_a_huge_penalty_and_harmless_beside_none():
    terms = rescaled({"mixed": torch.tensor(1.0), "penalty": torch.tensor(1e9)})
    assert float(sum(terms.values())) == pytest.approx(1.0)
    assert float(terms["mixed"]) == pytest.approx(1e-9)
    none = rescaled({"mixed": torch.tensor(0.0), "penalty": torch.tensor(0.0)})
    assert [float(term) for term in none.values()] == [0.0, 0.0]


def test_regmixup_adds_the_plain_loss():
    x, t = batch()
    terms = mixed(clean_weight=0.5)(x, t)
    torch.testing.assert_close(terms["clean"], 0.5 * TASK.loss(net()(x), t))
    torch.testing.assert_close(terms["mixed"], mixed()(x, t)["mixed"])


def test_almost_no_alpha_is_empirical_risk_minimisation():
    x, t = batch()
    objective = mixed(
        mix=Mix(Blend(), BetaPairs(1e-3)), penalty=MixupE(1.0), generator=torch.Generator().manual_seed(2)
    )
    terms = objective(x, t)
    # every lam is (almost) 0 or 1: whole samples
    torch.testing.assert_close(sum(terms.values()), terms["mixed"], rtol=1e-2, atol=0)
    assert objective.mix.partner_share(0.0) < 1e-3


def test_label_smoothing_of_erm_does_not_depend_on_who_encoded():
    x, t = batch()
    codes = t.argmax(1)
    logits = net()(x)
    expected = torch.nn.functional.cross_entropy(logits, codes, label_smoothing=0.1)
    objective = Erm(net(), TASK, label_smoothing=0.1)
    torch.testing.assert_close(objective(x, TASK.encode(codes))["loss"], expected)
    torch.testing.assert_close(objective(x, objective.task.encode(codes))["loss"], expected)
    torch.testing.assert_close(objective.eval()(x, t)["loss"], TASK.loss(logits, t))
    bce = Erm(net(), MultiLabel(3), label_smoothing=0.2)(x, t)["loss"]
    torch.testing.assert_close(bce, MultiLabel(3).loss(logits, 0.8 * t + 0.1))


# --- clean rows and BatchNorm --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clean", "rows"),
    [(None, [8]), (Concatenated(), [16]), (Concatenated(0.25), [10]), (InBatch(), [8]), (Separate(), [8, 8])],
)
def test_batchnorm_sees_the_rows_each_form_promises(clean, rows):
    spy, norm = Spy(), nn.BatchNorm2d(3)
    objective = mixed(nn.Sequential(spy, norm, net()), penalty=None if clean is None else MixupE(1.0), clean=clean)
    x, t = batch()
    objective(x, t)
    assert [len(seen) for seen in spy.seen] == rows
    assert norm.num_batches_tracked == len(rows)
    whole = [int((seen == row).flatten(1).all(1).any()) for row in x for seen in spy.seen[-1:]]
    assert sum(whole) == {None: 0, Concatenated(): 8, Concatenated(0.25): 2, InBatch(): 2, Separate(): 8}[clean]


@pytest.mark.parametrize(
    ("clean", "before", "after"),
    [(None, [8], [8]), (Concatenated(), [8], [16]), (InBatch(), [8], [8]), (Separate(), [8, 8], [8, 8])],
)
def test_at_a_site_the_encoder_runs_once_and_clean_rows_ride_along(clean, before, after):
    encoder, head = Spy(), Spy()
    model = nn.Sequential(encoder, nn.Flatten(), nn.Linear(48, 8), head, nn.BatchNorm1d(8), nn.Linear(8, 3))
    objective = mixed(model, AtSite("2"), penalty=None if clean is None else MixupE(1.0), clean=clean)
    x, t = batch()
    objective(x, t)  # the first step probes the site
    encoder.seen, head.seen = [], []
    updates = int(model[4].num_batches_tracked)
    objective(x, t)
    assert [len(seen) for seen in encoder.seen] == before
    assert [len(seen) for seen in head.seen] == after
    assert model[4].num_batches_tracked - updates == len(after)


# --- weights and missing labels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("clean", FORMS)
@pytest.mark.parametrize("place", [AtInputs(), AtSite("2")])
@pytest.mark.parametrize("estimator", [None, ForwardMode(), FiniteDifference()])
def test_a_sample_without_weight_or_label_teaches_nothing_anywhere(clean, place, estimator):
    x, t = batch()
    penalty = MixupE(3.0) if estimator is None else MixupE(3.0, estimator)
    weights = torch.tensor([1.0, 0, 2, 1, 1, 0, 1, 1])
    other = t.clone()
    other[[1, 5]] = other[[1, 5]].roll(1, 1)
    missing = t.clone()
    missing[[1, 5]] = torch.nan
    results = [
        gradient(mixed(place=place, penalty=penalty, clean=clean), x, targets, weights)
        for targets in (t, other, missing)
    ]
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(results[2], results[0])
    nothing = gradient(mixed(place=place, penalty=penalty, clean=clean), x, t * torch.nan)
    assert not bool(nothing.any())


@pytest.mark.parametrize("task", [MultiClass(3), MultiLabel(3), Regression((0.0,) * 3, (1.0,) * 3)])
def test_sample_weight_two_equals_the_sample_twice(task):
    x, t = batch()
    twice = [0, 0, *range(1, 8)]
    weights = torch.tensor([2.0] + [1.0] * 7)
    a, b = gradient(Erm(net(), task), x, t, weights), gradient(Erm(net(), task), x[twice], t[twice])
    torch.testing.assert_close(a, b)


# --- refusals ------------------------------------------------------------------------------------------------------


def test_attach_wants_every_parameter_in_the_optimizer():
    objective = mixed()
    objective.attach(torch.optim.SGD(objective.param_groups(), lr=0.1))
    objective.model[1].bias.requires_grad_(False)
    objective.attach(torch.optim.SGD(objective.param_groups(), lr=0.1))
    partial = torch.optim.SGD([objective.model[1].weight], lr=0.1)
    with pytest.raises(
        ValueError, match=r"optimizer must hold all parameters .* 2 are missing \(model.3.weight, model.3"
    ):
        objective.attach(partial)


def test_deploy_gives_the_callers_model_back():
    model = net()
    assert mixed(model).deploy() is model


X, T = batch(4)
NAN_ROW = X.clone()
NAN_ROW[2, 0, 0, 0] = torch.nan


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (X, torch.arange(4)),
            r"targets must be float of shape \(B, K\), got torch.int64 \(4,\); encode labels with task",
        ),
        ((X, [0, 1, 2, 0]), r"targets must be float of shape \(B, K\), got list; encode"),
        ((X, T[:, 0]), r"targets must be float of shape \(B, K\), got torch.float32 \(4,\)"),
        ((X[:3], T), r"inputs and targets must have one length, got 3 and 4"),
        ((NAN_ROW, T), r"inputs must be finite, got NaN or infinite values in rows \[2\]; impute or drop them"),
        ((X * torch.inf, T), r"inputs must be finite, got NaN or infinite values in rows \[0, 1, 2, 3\]"),
        ((X, T * torch.inf), r"targets must be finite, or NaN where a label is missing, got infinite"),
        ((X, T, torch.ones(3)), r"weights must be a tensor \(4,\) or \(4, 3\), got \(3,\)"),
        ((X, T, torch.tensor(1.0)), r"weights must be a tensor \(4,\) or \(4, 3\), got \(\)"),
        ((X, T, [1.0] * 4), r"weights must be a tensor \(4,\) or \(4, 3\), got list"),
        ((X, T, -torch.ones(4)), r"weights must be non-negative and finite, got a smallest one of -1.0"),
        ((X, T, torch.ones(4) * torch.inf), r"weights must be non-negative and finite"),
    ],
)
@pytest.mark.parametrize("kind", [Erm, Mixed])
def test_a_step_refuses_bad_batches(arguments, message, kind):
    objective = Erm(net(), TASK) if kind is Erm else mixed()
    with pytest.raises(ValueError, match=message):
        objective(*arguments)


def test_huge_but_finite_inputs_are_not_taken_for_infinite():
    x = torch.full((4, 3, 4, 4), 3e38)
    Erm(nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), TASK)(x, T)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: mixed(mix=Mix(Blend(), BetaPairs(1.0), until=0.5)),
            r"total_steps must be given .* got until=0.5 and tot",
        ),
        (lambda: mixed(clean_weight=-1.0), r"clean_weight must be non-negative, got clean_weight=-1.0"),
        (lambda: Concatenated(0.0), r"fraction must be in \(0, 1\], got fraction=0.0"),
        (lambda: InBatch(1.5), r"fraction must be in \(0, 1\], got fraction=1.5"),
        (
            lambda: Erm(net(), TASK, label_smoothing=1.0),
            r"label_smoothing must be in \[0, 1\), got label_smoothing=1.0",
        ),
        (
            lambda: Erm(net(), Regression(), label_smoothing=0.1),
            r"label_smoothing must have a task with classes or labels",
        ),
    ],
)
def test_objectives_refuse_arguments_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()
