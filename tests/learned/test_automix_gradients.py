"""AutoMix's gradients and mixes by hand: which term reaches what, whose partners, where mixes are plain mixup."""

import copy

import pytest
import torch
import torch.nn.functional as F
from learned_parts import OWN_SEED, Fixed, automix, batch, seeded, total

from mixkit import (
    Alternating,
    AtSite,
    BetaPairs,
    BetaSources,
    Concatenated,
    GroupMixBlock,
    InBatch,
    LamPenalty,
    MixedLoss,
    MixupE,
)
from mixkit.tokens import LearnedPlan

OF_MODEL, OF_BLOCK = ("mixed", "clean", "penalty", "blend"), ("block", "lam")
LAM = [0.5, 0.7, 0.3, 0.95, 0.05, 0.6, 0.4, 0.2]


class Kept:
    """A block loss that keeps what it was given."""

    needs_clean_logits = False

    def __init__(self):
        self.steps = []

    def __call__(self, step):
        self.steps.append(step)
        return MixedLoss()(step)


def group_automix(**options):
    return automix(
        block=GroupMixBlock(6, count=3, generator=seeded(OWN_SEED)), pairs=BetaSources(1.0, count=3), **options
    )


CONFIGURATIONS = {
    "published": automix,
    "penalty": lambda: automix(penalty=MixupE(0.1)),
    "concatenated": lambda: automix(clean=Concatenated(), penalty=MixupE(0.1)),
    "in batch": lambda: automix(clean=InBatch(), penalty=MixupE(0.1), block_fraction=0.5),
    "at a site": lambda: automix(place=AtSite("stage")),
    "at the site's input": lambda: automix(place=AtSite("stage:input"), clean=Concatenated()),
    "alternating": lambda: automix(block_loss=Alternating(), blend_weight=0.5),
    "three": lambda: group_automix(block_loss=Alternating(), clean_weight=0.5, blend_weight=0.5, penalty=MixupE(0.1)),
    "labels by weights": lambda: automix(label_by_weights=True),
}


def gradients(objective, names):
    """Return which of model, block and teacher get a gradient from the terms called `names`."""
    terms = objective(*batch())
    chosen = [term for name, term in terms.items() if name in names and term.requires_grad]
    objective.zero_grad(set_to_none=True)
    torch.stack(chosen).sum().backward()
    parts = {"model": objective.model, "block": objective.block, "teacher": objective.teacher}
    return {
        name: sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None)
        for name, part in parts.items()
    }


@pytest.mark.parametrize("build", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_the_model_s_terms_reach_the_model_only(build):
    found = gradients(build(), OF_MODEL)
    assert found["model"] > 0.1
    assert found["block"] == found["teacher"] == 0.0


@pytest.mark.parametrize("build", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_the_block_s_terms_reach_the_block_only(build):
    found = gradients(build(), OF_BLOCK)
    assert found["block"] > 1e-4
    assert found["model"] == found["teacher"] == 0.0


@pytest.mark.parametrize("build", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_the_teacher_and_its_statistics_stay_as_they_are_in_a_step(build):
    objective = build()
    before = copy.deepcopy(objective.teacher.state_dict())
    total(objective(*batch())).backward()
    assert all(torch.equal(before[name], value) for name, value in objective.teacher.state_dict().items())
    assert all(p.grad is None for p in objective.teacher.parameters())
    assert not objective.teacher.model.stage[1].training


def test_the_block_alone_through_the_teacher_has_a_gradient():
    objective = automix(block_loss=MixedLoss(LamPenalty(weight=0.0)))
    assert gradients(objective, ("block",))["block"] > 1e-4  # not the tie to lam, but what the teacher sees


def by_hand(objective, lam):
    """Return x mixed by AutoMix's formula with partners one further, and lam's targets, in plain torch."""
    x, t = batch()
    partner = (torch.arange(8) + 1) % 8
    z = objective.teacher.model.stage(x).flatten(2).transpose(1, 2)
    weights = objective.block(z, z[partner], lam).view(8, 1, 4, 4)
    weights = weights.repeat_interleave(2, 2).repeat_interleave(2, 3)
    ends = torch.minimum(lam, 1 - lam) <= 0.08
    weights = torch.where(ends.view(-1, 1, 1, 1), lam.view(-1, 1, 1, 1), weights)
    share = lam[:, None]
    return weights * x + (1 - weights) * x[partner], share * t + (1 - share) * t[partner]


def test_terms_are_the_cross_entropies_of_mixed_and_clean_samples_in_both_networks():
    objective = automix(pairs=Fixed(None, LAM), lam_margin=0.08)
    reference, lam = copy.deepcopy(objective), torch.tensor(LAM)
    x, t = batch()
    terms = objective(x, t)
    mixed, targets = by_hand(reference, lam)
    torch.testing.assert_close(terms["mixed"], F.cross_entropy(reference.model(mixed), targets))
    torch.testing.assert_close(terms["clean"], F.cross_entropy(reference.model(x), t))
    everywhere = automix(pairs=Fixed(None, LAM))
    ends = torch.minimum(lam, 1 - lam) <= 0.08
    learned, _ = by_hand(everywhere, torch.where(ends, 0.5, lam))  # at the ends the block's samples are not blended
    torch.testing.assert_close(terms["block"], F.cross_entropy(reference.teacher.model(learned), targets))
    z = reference.teacher.model.stage(x).flatten(2).transpose(1, 2)
    share = reference.block(z, z[(torch.arange(8) + 1) % 8], lam).mean(1)
    torch.testing.assert_close(terms["lam"], 0.1 * ((share - lam).abs() - 0.1).relu().mean())


@pytest.mark.parametrize("weight", [0.1, 0.0])
def test_the_block_s_gradient_is_that_of_its_terms_by_hand(weight):
    objective = automix(pairs=Fixed(None, 0.8), block_loss=MixedLoss(LamPenalty(weight=weight)))
    reference, lam = copy.deepcopy(objective), torch.full((8,), 0.8)
    terms = objective(*batch())
    (3 * terms["block"] + 2 * terms["lam"] + terms["clean"]).backward()
    mixed, targets = by_hand(reference, lam)
    z = reference.teacher.model.stage(batch()[0]).flatten(2).transpose(1, 2)
    share = reference.block(z, z[(torch.arange(8) + 1) % 8], lam).mean(1)
    tie = weight * ((share - lam).abs() - 0.1).relu().mean()
    (3 * F.cross_entropy(reference.teacher.model(mixed), targets) + 2 * tie).backward()
    for a, b in zip(objective.block.parameters(), reference.block.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-7)
    assert float(objective.block.value.weight.grad.norm()) > 1e-3


def test_rows_near_the_ends_of_lam_are_plain_mixup_for_the_model_and_not_for_the_block():
    kept = Kept()
    objective = automix(pairs=Fixed(None, LAM), block_loss=kept)
    x, t = batch()
    plan = objective.plan(x, t)
    assert plan.blended.tolist() == [share <= 0.08 or share >= 0.92 for share in LAM]
    share = torch.tensor(LAM).view(-1, 1, 1, 1)
    plain = share * x + (1 - share) * x[(torch.arange(8) + 1) % 8]
    torch.testing.assert_close(plan.apply(x)[3:5], plain[3:5])
    assert not torch.allclose(plan.apply(x)[:3], plain[:3], atol=1e-3)
    objective(x, t)
    assert kept.steps[0].plan.blended is None
    assert not bool(automix(pairs=Fixed(None, LAM), lam_margin=0.0).plan(x, t).blended.any())
    assert bool(automix(pairs=Fixed(None, LAM), lam_margin=0.5).plan(x, t).blended.all())


def test_model_and_block_see_independent_partners():
    drawn, kept = [], Kept()

    class Watching:
        expected_partner_share = 0.25

        def __call__(self, targets, generator):
            drawn.append(BetaPairs(2.0)(targets, generator))
            return drawn[-1]

    objective = automix(pairs=Watching(), block_loss=kept)
    objective(*batch())
    assert len(drawn) == 2
    of_block = kept.steps[0].plan.pairing
    assert [torch.equal(of_block.partner, pairing.partner) for pairing in drawn].count(True) == 1
    assert [torch.equal(of_block.lam, pairing.lam) for pairing in drawn].count(True) == 1
    assert not torch.equal(drawn[0].partner, drawn[1].partner)
    assert not torch.equal(drawn[0].lam, drawn[1].lam)


def test_a_plan_to_look_at_has_no_gradient_and_is_drawn_anew():
    objective = automix()
    first, second = (objective.plan(*batch()) for _ in "12")
    assert isinstance(first, LearnedPlan)
    assert not first.logits.requires_grad
    assert not torch.equal(first.sources.lam, second.sources.lam)


def test_the_model_s_labels_follow_the_weights_if_asked_and_the_block_s_the_shares():
    kept = Kept()
    objective = automix(pairs=Fixed(None, LAM), label_by_weights=True, block_loss=kept)
    x, t = batch()
    plan = objective.plan(x, t)
    torch.testing.assert_close(plan.labels, plan.shares())
    assert plan.labels[3, 0].item() == pytest.approx(0.95)  # blended
    assert abs(plan.labels[1, 0].item() - 0.7) > 0.1  # grey at the start, whatever lam
    objective(x, t)
    of_block = kept.steps[0].plan
    assert torch.equal(of_block.labels, of_block.sources.lam)
    assert not torch.allclose(of_block.labels, of_block.shares(), atol=0.1)
