"""Mixing waveforms: ratios in decibels, levels, lengths, labels, replay."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mixkit
from mixkit import BetaPairs, Mix, MultiClass, Pairing
from mixkit_audio import AWeighted, Clips, Rms, Share, SnrPairs, UniformPairs, Union, WaveMix
from mixkit_audio.levels import mean_square
from mixkit_audio.wave_mix import PER_DB, later


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def clips(count=6, samples=4000, seed=0):
    """Return noise of levels 40 dB apart."""
    draw = seeded(seed)
    gains = 10 ** (-2 * torch.rand(count, 1, generator=draw))
    return gains * torch.randn(count, samples, generator=draw)


def pairing(lam, seed=0):
    lam = torch.as_tensor(lam, dtype=torch.float32)
    return Pairing(torch.randperm(len(lam), generator=seeded(seed)), lam)


def components(plan, x):
    """Return what the own clip and the partner contribute to each mix."""
    return plan.own[:, None] * x, plan.other[:, None] * x[plan.pairing.partner]


def snr(own, other):
    return 10 * torch.log10(own.double().square().mean(1) / other.double().square().mean(1))


@settings(max_examples=25, deadline=None)
@given(st.floats(-30, 30), st.integers(0, 1000))
def test_components_stand_at_the_ratio_that_was_asked_for(ratio, seed):
    x = clips(seed=seed)
    plan = Mix(WaveMix(level=Rms()), SnrPairs(ratio, ratio, BetaPairs(1.0))).draw(x, torch.eye(6), seeded(seed))
    assert float((snr(*components(plan, x)) - ratio).abs().max()) < 0.01


def test_between_class_mixing_is_mixing_at_a_ratio_of_decibels():
    x, lam = clips(), [0.1, 0.3, 0.5, 0.7, 0.9, 0.99]
    plan = WaveMix(level=Rms()).draw(x, pairing(lam), seeded())
    expected = 20 * torch.log10(torch.tensor(lam) / (1 - torch.tensor(lam)))
    assert torch.allclose(snr(*components(plan, x)).float(), expected, atol=0.01)


def test_amplitudes_are_those_of_the_paper_s_formula():
    x = clips()
    plan = WaveMix(level=Rms()).draw(x, pairing([0.3] * 6), seeded())
    gain = Rms()(Clips(x, torch.full((6,), 4000))).double()
    first, second = gain, gain[plan.pairing.partner]
    p = 1 / (1 + 10 ** ((first - second) / 20) * (1 - 0.3) / 0.3)  # Tokozume et al. 2018, eq. 2
    norm = (p**2 + (1 - p) ** 2).sqrt()
    assert torch.allclose(plan.own.double(), p / norm, atol=1e-5)
    assert torch.allclose(plan.other.double(), (1 - p) / norm, atol=1e-5)


def test_without_levels_amplitudes_are_the_shares_and_labels_too():
    x = clips()
    plan = WaveMix().draw(x, pairing([0.25] * 6), seeded())
    assert torch.allclose(plan.apply(x), 0.25 * x + 0.75 * x[plan.pairing.partner], atol=1e-6)
    assert torch.allclose(plan.targets(torch.eye(6)), 0.25 * torch.eye(6) + 0.75 * torch.eye(6)[plan.pairing.partner])


@pytest.mark.parametrize("mix", [WaveMix(), WaveMix(level=Rms()), WaveMix(level=AWeighted(8000), normalize="peak")])
@pytest.mark.parametrize("shape", [(6, 4000), (6, 2, 4000)])
def test_a_clip_that_keeps_all_of_itself_stays_as_it_is_bit_for_bit(mix, shape):
    x = 0.1 * torch.randn(shape, generator=seeded())
    plan = mix.draw(x, pairing([1.0] * 6), seeded())
    assert torch.equal(plan.apply(x), x)
    assert torch.equal(plan.targets(torch.eye(6)), torch.eye(6))


def test_a_loud_clip_that_nothing_is_mixed_into_is_not_turned_down():
    x = 5 * torch.sign(clips(2))
    plan = WaveMix(normalize="peak").draw(x, Pairing(torch.tensor([1, 0]), torch.tensor([1.0, 0.5])), seeded())
    assert torch.equal(plan.apply(x)[0], x[0])
    assert float(plan.apply(x)[1].abs().max()) == pytest.approx(1.0)


def test_a_partner_that_begins_behind_the_end_of_the_mix_gives_no_label():
    x = Clips(torch.ones(2, 100), torch.tensor([3, 100]))
    plan = WaveMix(length="own", late=0.9).draw(x, Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 0.5])), seeded(3))
    assert int(plan.offset[0]) >= 3
    assert plan.apply(x).values[0].tolist() == [0.5] * 3 + [0.0] * 97
    assert plan.targets(torch.eye(2))[0].tolist() == [1.0, 0.0]
    assert plan.targets(torch.eye(2))[1].tolist() == [0.5, 0.5]


def test_silent_clips_and_both_ends_of_lam_give_finite_values_and_gradients():
    x = clips()
    x[0], x[1] = 0.0, 0.0
    for lam in (0.0, 0.5, 1.0):
        for mix in (
            WaveMix(level=Rms()),
            WaveMix(level=Rms(), normalize="own"),
            WaveMix(level=Rms(), normalize="peak"),
        ):
            leaf = x.clone().requires_grad_(True)
            mixed = mix.draw(leaf.detach(), Pairing(torch.arange(6).roll(1), torch.full((6,), lam)), seeded()).apply(
                leaf
            )
            mixed.sum().backward()
            assert bool(mixed.isfinite().all())
            assert bool(leaf.grad.isfinite().all())


def test_normalisations_do_what_they_say():
    x = clips(samples=40_000)
    pairs = pairing([0.4] * 6)
    levels = mean_square(Clips(x, torch.full((6,), 40_000)))
    own = WaveMix(level=Rms(), normalize="own").draw(x, pairs, seeded())
    assert torch.equal(own.own, torch.ones(6))
    assert torch.allclose(snr(*components(own, x)).float(), torch.full((6,), 20 * math.log10(0.4 / 0.6)), atol=0.01)
    loud = 5 * torch.sign(x)
    peak = WaveMix(normalize="peak").draw(loud, pairs, seeded()).apply(loud)
    assert float(peak.abs().max()) == pytest.approx(1.0)
    same = x / levels.sqrt()[:, None]
    power = WaveMix(level=Rms(), normalize="power").draw(same, pairs, seeded()).apply(same)
    assert torch.allclose(mean_square(Clips(power, torch.full((6,), 40_000))), torch.ones(6), rtol=0.05)


@pytest.mark.parametrize("level", [Rms(), AWeighted(8000)])
def test_a_level_looks_at_what_is_real_of_a_clip(level):
    x = clips(samples=3000)
    padded = torch.cat([x, 7 * torch.ones(6, 2000)], 1)
    alone = level(Clips(x, torch.full((6,), 3000)))
    assert torch.allclose(level(Clips(padded, torch.full((6,), 3000))), alone, atol=1e-4)


def test_a_mix_of_short_clips_is_the_same_in_a_longer_batch():
    x = clips(2, 3000)
    lengths = torch.tensor([3000, 2000])
    longer = torch.cat([x, 9 * torch.ones(2, 1500)], 1)
    pairs = Pairing(torch.tensor([1, 0]), torch.tensor([0.3, 0.6]))
    mix = WaveMix(level=Rms())
    alone = mix.draw(Clips(x, lengths), pairs, seeded()).apply(Clips(x, lengths))
    beside = mix.draw(Clips(longer, lengths), pairs, seeded()).apply(Clips(longer, lengths))
    assert torch.allclose(beside.values[:, :3000], alone.values, atol=1e-6)
    assert bool((beside.values[:, 3000:] == 0).all())
    assert torch.equal(alone.lengths, beside.lengths)


@pytest.mark.parametrize(("length", "expected"), [("max", [5, 5]), ("own", [5, 3]), ("min", [3, 3])])
def test_the_length_of_a_mix_is_the_one_asked_for(length, expected):
    x = Clips(torch.ones(2, 6), torch.tensor([5, 3]))
    pairs = Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 0.5]))
    mixed = WaveMix(length=length).draw(x, pairs, seeded()).apply(x)
    assert mixed.lengths.tolist() == expected
    for row, end in zip(mixed.values, expected, strict=True):
        assert bool((row[end:] == 0).all())


def test_a_late_partner_moves_with_its_label():
    x = torch.zeros(2, 100)
    x[:, 0] = 1.0
    pairs = Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 0.5]))
    plan = WaveMix(late=0.9).draw(x, pairs, seeded(3))
    late = plan.offset.tolist()
    assert min(late) > 0
    for row, offset in zip(plan.apply(x), late, strict=True):
        assert row.nonzero().flatten().tolist() == [0, offset]
    frames = torch.eye(2)[:, :, None].expand(-1, -1, 100).clone()
    labels = plan.targets(frames)
    for i, offset in enumerate(late):
        assert float(labels[i, i, max(0, offset - 1)]) == 1.0  # alone before the partner begins
        assert float(labels[i, 1 - i, offset]) == 0.5


def test_rows_are_moved_later_one_by_one():
    x = torch.arange(1.0, 5).repeat(3, 1)
    assert later(x, torch.tensor([0, 1, 3])).tolist() == [[1, 2, 3, 4], [0, 1, 2, 3], [0, 0, 0, 1]]


def test_the_same_plan_mixes_other_views_by_the_same_amplitudes():
    x = clips()
    plan = WaveMix(level=Rms()).draw(x, pairing([0.4] * 6), seeded())
    stereo = torch.stack([x, 2 * x], 1)
    assert torch.allclose(plan.apply(stereo)[:, 1], 2 * plan.apply(x), atol=1e-6)


def test_a_generator_replays_a_mix():
    x = clips()
    mix = Mix(WaveMix(level=Rms(), late=0.3), UniformPairs(BetaPairs(1.0, derange=True)))
    one, two = (mix.draw(x, torch.eye(6), seeded(5)).apply(x) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, mix.draw(x, torch.eye(6), seeded(6)).apply(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_dtype_stays_and_whole_numbers_are_refused(dtype):
    x = clips().to(dtype)
    assert WaveMix(level=Rms()).draw(x, pairing([0.5] * 6), seeded()).apply(x).dtype == dtype
    with pytest.raises(ValueError, match=r"WaveMix mixes floating-point values, got torch.int16"):
        WaveMix().draw(torch.zeros(6, 100, dtype=torch.int16), pairing([0.5] * 6), seeded())


def test_a_batch_of_one_is_mixed_with_itself_only():
    x = clips(1)
    mixed = Mix(WaveMix(), BetaPairs(1.0)).draw(x, torch.eye(1), seeded()).apply(x)
    assert torch.allclose(mixed, x, atol=1e-6)


@pytest.mark.parametrize("pairs", [SnrPairs(-10.0, 5.0, BetaPairs(1.0)), UniformPairs(BetaPairs(1.0), 0.2, 0.9)])
def test_the_expected_share_of_the_partner_is_that_of_many_draws(pairs):
    lam = pairs(torch.zeros(200_000, 1), seeded()).lam.double()
    assert pairs.expected_partner_share == pytest.approx(float((2 * lam * (1 - lam)).mean()), abs=2e-3)


def test_a_ratio_of_one_value_has_its_own_closed_form():
    lam = 1 / (1 + math.exp(-6 * PER_DB))
    assert SnrPairs(6.0, 6.0, BetaPairs(1.0)).expected_partner_share == pytest.approx(2 * lam * (1 - lam))


def test_union_labels_are_on_however_quiet():
    x = clips()
    plan = WaveMix(level=Rms(), law=Union()).draw(x, Pairing(torch.arange(6).roll(1), torch.full((6,), 0.01)), seeded())
    assert torch.equal(plan.targets(torch.eye(6)), torch.eye(6) + torch.eye(6)[torch.arange(6).roll(1)])


def test_waves_are_mixed_in_a_training_step_with_a_penalty():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4000, 6))
    objective = mixkit.Mixed(
        net, MultiClass(6), Mix(WaveMix(level=Rms()), UniformPairs(BetaPairs(1.0))), penalty=mixkit.MixupE(0.1)
    )
    terms = objective(clips(), torch.eye(6))
    assert sorted(terms) == ["mixed", "penalty"]
    assert all(bool(term.isfinite()) for term in terms.values())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: WaveMix(normalize="loud"), "normalize must be"),
        (lambda: WaveMix(length="longest"), "length must be"),
        (lambda: WaveMix(late=1.0), r"late must be in \[0, 1\), got late=1.0"),
        (lambda: SnrPairs(3.0, -3.0, BetaPairs(1.0)), "low and high must be finite decibels in order"),
        (lambda: UniformPairs(BetaPairs(1.0), 0.9, 0.1), r"low and high must be in order in \[0, 1\]"),
        (lambda: AWeighted(0), "rate must be positive, got rate=0"),
        (lambda: Union(0.7), r"least must be in \[0, 0.5\]"),
        (lambda: Clips(torch.zeros(2, 5), torch.tensor([5, 6])), r"lengths must be in 0..5, got 5 to 6"),
        (
            lambda: Clips(torch.zeros(2, 5), torch.tensor([5.0, 1.0])),
            r"lengths must be int64 \(2,\), got torch.float32",
        ),
        (lambda: WaveMix().draw("clip", pairing([0.5]), seeded()), "inputs must be a tensor"),
        (lambda: WaveMix().draw(clips(3), pairing([0.5]), seeded()), "inputs must be 1 clips"),
        (
            lambda: WaveMix().draw(clips(2), pairing([0.5] * 2), seeded()).apply(clips(2, 10)),
            "that the plan was drawn for",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_value(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_the_a_curve_is_that_of_the_standard():
    # IEC 61672-1, table 3, at bins of the transform
    size, rate = 16384, 16000
    weights = 10 * AWeighted(rate)._weights(size).log10().numpy()
    for frequency, expected in ((100, -19.1), (250, -8.6), (1000, 0.0), (4000, 1.0)):
        assert np.interp(frequency, np.fft.rfftfreq(size, 1 / rate), weights) == pytest.approx(expected, abs=0.15)


def test_share_hides_a_clip_that_does_not_sound():
    x = Clips(torch.ones(2, 4), torch.tensor([4, 0]))
    plan = WaveMix(law=Share()).draw(x, Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 0.5])), seeded())
    assert plan.targets(torch.eye(2)).tolist() == [[1.0, 0.0], [1.0, 0.0]]


def test_a_word_beside_digital_silence_is_not_turned_down():
    word = 0.3 * torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    waves = torch.cat([word, torch.zeros(1, 4000)])
    pairing = Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 0.5]))
    mixed = WaveMix(level=Rms()).draw(waves, pairing, torch.Generator()).apply(waves)
    torch.testing.assert_close(mixed, word.expand(2, -1) * 0.5**0.5, rtol=1e-5, atol=1e-6)
