"""Recipes: when and how often, odds, chains, rows that stay clean, generators."""

import pytest
import torch

from mixkit import BetaPairs, Blend, Chain, CutMix, Mix, OneOf
from mixkit.plan import MaskPlan

MIXES = [
    Mix(Blend(), BetaPairs(1.0)),
    OneOf([Mix(Blend(), BetaPairs(1.0)), Mix(CutMix(), BetaPairs(1.0))]),
    Chain([Mix(CutMix(), BetaPairs(1.0)), Mix(Blend(), BetaPairs(1.0))]),
]
X, T = torch.rand(8, 3, 6, 6), torch.eye(8)


def mixed_rows(plan, x=X):
    return (plan.apply(x) != x).flatten(1).any(1)


def test_nothing_is_mixed_from_until_on(generator):
    mix = Mix(Blend(), BetaPairs(1.0, derange=True), until=0.5)
    assert bool(mixed_rows(mix.draw(X, T, generator, progress=0.49)).all())
    assert not bool(mixed_rows(mix.draw(X, T, generator, progress=0.5)).any())
    assert mix.partner_share(0.49) == pytest.approx(1 / 3)
    assert mix.partner_share(0.5) == 0


def test_until_of_a_composition_is_that_of_its_last(generator):
    early, late = Mix(Blend(), BetaPairs(1.0), until=0.2), Mix(CutMix(), BetaPairs(1.0), until=0.7)
    for both in (OneOf([early, late]), Chain([early, late])):
        assert both.until == 0.7
        assert both.partner_share(0.5) > 0
        assert both.partner_share(0.7) == 0
        assert not bool(mixed_rows(both.draw(X, T, generator, progress=0.7)).any())


def test_probability_is_the_share_of_samples_mixed(generator):
    mix = Mix(Blend(), BetaPairs(1.0), probability=0.3)
    x = torch.rand(4000, 1)
    mixed = mixed_rows(mix.draw(x, torch.zeros(4000, 1), generator), x).double().mean()
    assert abs(mixed - 0.3) < 0.03
    assert mix.partner_share(0.0) == pytest.approx(0.3 / 3)


def test_one_of_chooses_by_its_odds(generator):
    mix = OneOf([Mix(Blend(), BetaPairs(1.0)), Mix(CutMix(), BetaPairs(4.0))], weights=[3, 1])
    cuts = sum(isinstance(mix.draw(X, T, generator), MaskPlan) for _ in range(1000))
    assert abs(cuts / 1000 - 0.25) < 0.06
    assert mix.partner_share(0.0) == pytest.approx(0.75 / 3 + 0.25 * 4 / 9)


def test_a_chain_draws_a_pairing_for_every_link(generator):
    plan = Chain([Mix(Blend(), BetaPairs(1.0)), Mix(Blend(), BetaPairs(1.0))]).draw(X, T, generator)
    first, second = (link.pairing for link in plan.links)
    assert first.partner.tolist() != second.partner.tolist()
    assert (plan.label_weights > 0).sum(1).max() == 4  # two links: up to four sources


@pytest.mark.parametrize("mix", MIXES)
def test_kept_rows_stay_clean_in_every_mix(mix, generator):
    keep = torch.tensor([True, False] * 4)
    for _ in range(5):
        plan = mix.draw(X, T, generator, keep=keep)
        assert not bool((mixed_rows(plan) & keep).any())
        assert torch.equal(plan.targets(T)[keep], T[keep])


@pytest.mark.parametrize("mix", MIXES)
def test_draws_depend_on_the_generator_alone(mix, global_state):
    before = global_state()
    plans = [mix.draw(X, T, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(plans[0].apply(X), plans[1].apply(X))
    assert torch.equal(plans[0].targets(T), plans[1].targets(T))
    assert global_state() == before


@pytest.mark.parametrize("mix", MIXES)
def test_draws_need_neither_the_default_device_nor_the_default_dtype(mix, generator):
    expected = mix.draw(X, T, generator).targets(T)
    generator.manual_seed(0)
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        plan = mix.draw(X, T, generator)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert torch.equal(plan.targets(T), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mix(Blend(), BetaPairs(1.0), until=0.0), r"until must be in \(0, 1\], got until=0.0"),
        (
            lambda: Mix(Blend(), BetaPairs(1.0), probability=1.5),
            r"probability must be in \(0, 1\], got pro.*=1.5",
        ),
        (lambda: OneOf([]), r"mixes must hold at least one mix, got mixes=\[\]"),
        (
            lambda: OneOf(MIXES[:2], weights=[1.0]),
            r"weights must be 2 positive numbers, one a mix, got weights=\[",
        ),
        (lambda: OneOf(MIXES[:2], weights=[1.0, 0.0]), r"weights must be 2 positive numbers"),
        (lambda: Chain([]), r"mixes must hold one or more Mix, got mixes=\[\]"),
        (lambda: Chain(MIXES), r"mixes must hold one or more Mix, got"),
    ],
)
def test_recipes_refuse_what_they_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()
