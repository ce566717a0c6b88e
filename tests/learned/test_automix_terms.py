"""AutoMix's terms: penalty and rescaling, how often networks run, what is left alone, what is refused."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from learned_parts import Fixed, automix, batch, net, total

from mixkit import (
    Alternating,
    AtSite,
    BetaPairs,
    Concatenated,
    GroupMixBlock,
    InBatch,
    MixBlock,
    MixupE,
    Separate,
)

FORMS = [Separate(), Concatenated(), Concatenated(0.5), InBatch(0.25)]
LAM = [0.5, 0.7, 0.3, 0.95, 0.05, 0.6, 0.4, 0.2]


@pytest.mark.parametrize("clean", FORMS)
def test_terms_with_a_penalty_are_rescaled_to_the_value_without_it(clean):
    plain, penalised = automix(clean=clean)(*batch()), automix(clean=clean, penalty=MixupE(5.0))(*batch())
    without = plain["mixed"] + plain["clean"]
    torch.testing.assert_close(sum(penalised[name] for name in ("mixed", "clean", "penalty")), without)
    factor = penalised["mixed"] / plain["mixed"]
    assert float(factor.detach()) < 0.99
    torch.testing.assert_close(penalised["clean"], factor * plain["clean"])
    for name in ("block", "lam"):  # are none of the model's
        torch.testing.assert_close(penalised[name], plain[name])


def test_the_penalty_is_mixupe_s_on_the_clean_logits():
    objective = automix(penalty=MixupE(0.2), pairs=BetaPairs(2.0))
    reference = copy.deepcopy(objective.model)
    x, t = batch()
    terms, plain = objective(x, t), automix(pairs=BetaPairs(2.0))(x, t)
    with torch.no_grad():
        logits = reference(x).double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    q = ((t.numpy() - np.exp(log_p)) * log_p).sum(1)
    expected = 0.2 * (2 / 5) * np.abs(q).mean()  # eta E[a] |q|, E[a] = alpha / (2 alpha + 1)
    unscaled = float((terms["penalty"] * plain["mixed"] / terms["mixed"]).detach())
    assert unscaled == pytest.approx(expected, rel=1e-4)


def test_a_penalty_refuses_a_sampler_that_does_not_say_its_partners_share():
    silent = BetaPairs(1.0).__call__
    assert automix(pairs=silent)(*batch())
    with pytest.raises(AttributeError, match="expected_partner_share"):
        automix(penalty=MixupE(0.1), pairs=silent)


def test_the_blend_term_is_mixup_of_the_same_sources():
    objective = automix(pairs=Fixed(None, LAM), blend_weight=0.5)
    reference = copy.deepcopy(objective)
    x, t = batch()
    value = objective(x, t)["blend"]
    share, partner = torch.tensor(LAM), (torch.arange(8) + 1) % 8
    mixed = share.view(-1, 1, 1, 1) * x + (1 - share.view(-1, 1, 1, 1)) * x[partner]
    targets = share[:, None] * t + (1 - share[:, None]) * t[partner]
    torch.testing.assert_close(value, 0.5 * F.cross_entropy(reference.model(mixed), targets))


def test_the_clean_loss_is_weighed_and_left_out_at_zero():
    whole, half, none = (automix(clean_weight=weight)(*batch()) for weight in (1.0, 0.5, 0.0))
    torch.testing.assert_close(half["clean"], 0.5 * whole["clean"])
    assert none.keys() == {"mixed", "block", "lam"}


def passes(objective, steps=2):
    """Return how often each part of student and teacher ran in the last step."""
    counts = {}

    def count(name, module):
        counts[name] = 0

        def hook(module, arguments, output):
            counts[name] += 1

        module.register_forward_hook(hook)

    for network, name in ((objective.model, "model"), (objective.teacher.model, "teacher")):
        count(f"{name} first", network.stage[0])
        count(f"{name} last", network.head)
    for _ in range(steps):
        counts.update(dict.fromkeys(counts, 0))
        total(objective(*batch()))
    return list(counts.values())


@pytest.mark.parametrize("penalty", [None, MixupE(0.1)])
@pytest.mark.parametrize(("clean", "count"), [(Separate(), 2), (Concatenated(), 1), (InBatch(), 1)])
def test_the_penalty_costs_no_pass_and_the_teacher_s_clean_pass_ends_at_the_site(penalty, clean, count):
    assert passes(automix(penalty=penalty, clean=clean)) == [count, count, 2, 1]


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({"clean_weight": 0.0}, [1, 1, 2, 1]),
        ({"blend_weight": 1.0}, [3, 3, 2, 1]),
        ({"block_loss": Alternating()}, [2, 2, 2, 2]),
        ({"place": AtSite("stage")}, [2, 2, 2, 1]),
        ({"place": AtSite("stage"), "clean": Concatenated()}, [1, 1, 2, 1]),
    ],
)
def test_what_costs_passes(options, counts):
    assert passes(automix(**options)) == counts


def test_a_step_in_which_the_block_rests_runs_no_more_of_the_teacher_than_its_features():
    objective = automix(block_every=2)
    objective.steps = 1
    assert passes(objective) == [2, 2, 1, 0]
    assert objective(*batch()).keys() == {"mixed", "clean"}


def test_rows_kept_in_the_batch_are_clean_for_the_model_and_carry_the_clean_loss():
    objective = automix(clean=InBatch(0.5))
    seen = []
    objective.model.stage[0].register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    x, t = batch()
    terms = objective(x, t)
    same = (seen[0] == x).flatten(1).all(1)
    assert int(same.sum()) == 4
    logits = copy.deepcopy(objective.model)(seen[0])
    torch.testing.assert_close(terms["clean"], F.cross_entropy(logits[same], t[same]))


def test_nothing_of_the_caller_s_is_changed(global_state):
    before = global_state()
    model = net()
    model.stage[1].eval()  # frozen statistics
    for parameter in model.stage.parameters():
        parameter.requires_grad_(False)
    modes = [module.training for module in model.modules()]
    statistics = model.stage[1].running_mean.clone()
    objective = automix(model, penalty=MixupE(0.1))
    objective.model.stage[1].eval()
    x, t = batch()
    weights = torch.linspace(0, 2, 8)
    kept = [tensor.clone() for tensor in (x, t, weights)]
    total(objective(x, t, weights)).backward()
    objective.plan(x, t)
    assert all(torch.equal(a, b) for a, b in zip((x, t, weights), kept, strict=True))
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(model.stage[1].running_mean, statistics)
    assert model.stage[0].weight.grad is None
    assert [p.requires_grad for p in model.parameters()] == [False] * 4 + [True] * 2
    assert global_state() == before


def test_the_same_seed_gives_the_same_terms_and_no_generator_a_private_one(global_state):
    before = global_state()
    first, second = automix(), automix()
    for _ in range(3):
        a, b = first(*batch()), second(*batch())
        assert all(torch.equal(a[name], b[name]) for name in a)
    fresh = [float(automix(generator=None)(*batch())["mixed"].detach()) for _ in range(2)]
    assert fresh[0] != fresh[1]
    assert global_state() == before


def test_evaluation_is_the_teacher_s_plain_loss():
    objective = automix()
    with torch.no_grad():
        for parameter in objective.model.parameters():
            parameter.zero_()
    objective.eval()
    x, t = batch()
    terms = objective(x, t)
    assert terms.keys() == {"loss"}
    torch.testing.assert_close(terms["loss"], F.cross_entropy(objective.teacher.model(x), t))
    assert abs(float(terms["loss"]) - np.log(3)) > 1e-3  # the model's, all zero
    assert objective.deploy() is objective.teacher.model


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block_every": 0}, "block_every must be at least 1, got block_every=0"),
        ({"lam_margin": 0.6}, r"lam_margin must be in \[0, 0.5\], got lam_margin=0.6"),
        ({"block_rate": 0.0}, r"block_rate must be in \(0, inf\], got block_rate=0.0"),
        ({"block_fraction": 0.0}, r"block_fraction must be in \(0, 1\], got block_fraction=0.0"),
        ({"freeze_after": 0.0}, r"freeze_after must be in \(0, 1\], got freeze_after=0.0"),
        ({"blend_weight": -1.0}, r"blend_weight must be in \[0, inf\], got blend_weight=-1.0"),
        ({"clean_weight": -1.0}, "clean_weight must be non-negative, got clean_weight=-1.0"),
        (
            {"freeze_after": 0.5, "total_steps": None},
            "total_steps must be given with freeze_after, got freeze_after=0.5 and total_steps=None",
        ),
        ({"block": MixBlock(5)}, r"block must have the tokens' 6 channels, got 5"),
        ({"block": GroupMixBlock(6, count=3)}, r"tokens must be of 3 samples a mix, got 2; count is K"),
        ({"place": AtSite("nope")}, r"site must name a submodule, .*got 'nope'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        automix(**options)(*batch())
