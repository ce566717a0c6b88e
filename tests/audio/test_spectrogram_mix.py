"""Mixing spectrograms: power adds up in every domain, bands bring in one partner only, styles keep labels."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixkit import Pairing
from mixkit_audio import BandMix, BoxMix, Clips, LogMel, SpectrogramMix, StyleMix, WaveMix
from mixkit_audio.band_mix import cell_share
from mixkit_audio.spectrogram_mix import added

DATA = Path(os.environ.get("MIXKIT_DATA", Path(__file__).parents[2] / "../shared/data"))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def power(count=5, bins=8, frames=12, seed=0):
    return torch.rand(count, bins, frames, generator=seeded(seed)) ** 4 + 1e-6


def pairing(lam, seed=0):
    lam = torch.as_tensor(lam, dtype=torch.float32)
    return Pairing(torch.randperm(len(lam), generator=seeded(seed)), lam)


FORMS = {
    "power": (lambda p: p, lambda x: x),
    "magnitude": (torch.sqrt, torch.square),
    "log": (torch.log, torch.exp),
    "db": (lambda p: 10 * p.log10(), lambda x: 10 ** (x / 10)),
}


@pytest.mark.parametrize("domain", FORMS)
@pytest.mark.parametrize("gain_aware", [False, True])
def test_power_adds_up_by_squared_amplitudes_in_every_domain(domain, gain_aware):
    to, back = FORMS[domain]
    p, pairs = power(), pairing([0.1, 0.4, 0.5, 0.8, 0.95])
    plan = SpectrogramMix(domain, gain_aware=gain_aware).draw(to(p), pairs, seeded())
    a, b = plan.own[:, None, None], plan.other[:, None, None]
    by_hand = a**2 * p + b**2 * p[pairs.partner]
    assert torch.allclose(back(plan.apply(to(p))), by_hand, rtol=1e-4)
    if not gain_aware:
        assert torch.allclose(plan.own, pairs.lam)
        assert torch.allclose(plan.own + plan.other, torch.ones(5))


def test_gain_aware_components_stand_at_the_ratio_of_lam():
    p, pairs = power() * torch.tensor([1.0, 1e-2, 3.0, 1e-3, 10.0])[:, None, None], pairing([0.1, 0.4, 0.5, 0.8, 0.95])
    plan = SpectrogramMix("log", gain_aware=True).draw(p.log(), pairs, seeded())
    mean = p.flatten(1).mean(1)
    ratio = 10 * torch.log10(plan.own**2 * mean / (plan.other**2 * mean[pairs.partner]))
    assert torch.allclose(ratio, 20 * torch.log10(pairs.lam / (1 - pairs.lam)), atol=0.01)


def test_log_mean_is_the_weighted_mean_of_the_features():
    x, pairs = power().log(), pairing([0.25] * 5)
    mixed = SpectrogramMix("log", "mean").draw(x, pairs, seeded()).apply(x)
    assert torch.allclose(mixed, 0.25 * x + 0.75 * x[pairs.partner], atol=1e-6)


def test_power_mixing_is_near_the_features_of_the_mixed_sound_and_the_mean_of_logarithms_is_not():
    # bursts of noise at other times in each clip, as words are
    draw = seeded()
    waves = torch.randn(32, 1, 8000, generator=draw)
    start = torch.randint(4000, (32,), generator=draw)
    time = torch.arange(8000)
    waves = waves * torch.where((time >= start[:, None]) & (time < start[:, None] + 3000), 0.3, 0.003)[:, None]
    frontend, pairs = LogMel(8000), pairing([0.5] * 32)
    truth = frontend(WaveMix().draw(waves, pairs, seeded()).apply(waves))
    features = frontend(waves)

    def error(law):
        mixed = SpectrogramMix("log", law).draw(features, pairs, seeded()).apply(features)
        return float((10 / math.log(10) * (mixed - truth)).square().mean().sqrt())

    assert error("mean") > 3 * error("power")


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "speech_commands").is_dir(), reason=f"needs the folder speech_commands in {DATA}")
@pytest.mark.parametrize("size", [512, 1024])
def test_on_real_clips_power_mixing_is_within_one_decibel(size):
    torchaudio = pytest.importorskip("torchaudio", reason="torchaudio is not installed")
    soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed")
    files = sorted((DATA / "speech_commands").glob("[a-z]*/*.flac"))
    waves = torch.zeros(len(files), 16000)
    for row, file in zip(waves, files, strict=True):
        samples = torch.from_numpy(soundfile.read(file, dtype="float32")[0])[:16000]
        row[: len(samples)] = samples
    mel = torchaudio.transforms.MelSpectrogram(16000, n_fft=size, hop_length=160, n_mels=40)
    pairs = pairing([0.5] * len(files))
    truth = (mel(WaveMix().draw(waves, pairs, seeded()).apply(waves)) + 1e-6).log()
    features = (mel(waves) + 1e-6).log()
    errors = {}
    for law in ("power", "mean"):
        mixed = SpectrogramMix("log", law).draw(features, pairs, seeded()).apply(features)
        errors[law] = float((10 / math.log(10) * (mixed - truth)).square().mean().sqrt())
    assert errors["power"] < 1.0
    assert errors["mean"] > 5.0


@pytest.mark.parametrize("domain", FORMS)
@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("silent", [False, True])
def test_values_and_gradients_are_finite_at_every_lam_and_for_silence(domain, lam, silent):
    p = torch.zeros(3, 4, 6) if silent and domain in ("power", "magnitude") else power(3, 4, 6)
    x = FORMS[domain][0](p).requires_grad_(True)
    plan = SpectrogramMix(domain).draw(x.detach(), Pairing(torch.tensor([1, 2, 0]), torch.full((3,), lam)), seeded())
    mixed = plan.apply(x)
    mixed.sum().backward()
    assert bool(mixed.isfinite().all())
    assert bool(x.grad.isfinite().all())
    if lam == 1:
        assert torch.equal(mixed, x)
    if lam == 0:
        assert torch.allclose(mixed, x[plan.pairing.partner], atol=1e-6)


def test_nothing_and_nothing_is_silence():
    nothing = torch.tensor([-torch.inf, 0.0])
    assert added(nothing, torch.tensor([-torch.inf, -torch.inf]), -9.0).tolist() == [-9.0, 0.0]


def test_frames_of_a_label_are_those_of_the_features_with_their_padding():
    x = Clips(torch.ones(2, 3, 8), torch.tensor([2, 4]))
    plan = SpectrogramMix("power").draw(x, Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 0.5])), seeded())
    sounds = x.valid()[:, None].float()  # one class, on while a clip sounds
    assert plan.targets(sounds)[:, 0].tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]] * 2


PASTING = [BandMix(), BandMix(time=0), BandMix(frequency=0), BoxMix()]


@pytest.mark.parametrize("policy", PASTING, ids=str)
def test_pasted_cells_are_the_same_in_a_longer_batch(policy):
    x, lengths = power(3, 6, 20), torch.tensor([20, 12, 1])
    longer = torch.cat([x, torch.zeros(3, 6, 7)], 2)
    pairs = Pairing(torch.tensor([1, 2, 0]), torch.tensor([0.3, 0.6, 0.5]))
    alone, beside = (policy.draw(Clips(v, lengths), pairs, seeded(1)) for v in (x, longer))
    mixed, padded = alone.apply(Clips(x, lengths)), beside.apply(Clips(longer, lengths))
    assert torch.equal(padded.values[:, :, :20], mixed.values)
    assert torch.equal(mixed.lengths, padded.lengths)
    assert torch.equal(alone.targets(torch.eye(3)), beside.targets(torch.eye(3)))


@pytest.mark.parametrize("domain", ["power", "log"])
def test_a_mix_of_short_clips_is_the_same_in_a_longer_batch(domain):
    pad = 0.0 if domain == "power" else math.log(1e-6)
    x, lengths = FORMS[domain][0](power(2, 4, 9)), torch.tensor([9, 5])
    x[1, :, 5:] = pad
    longer = torch.cat([x, torch.full((2, 4, 3), pad)], 2)
    pairs = Pairing(torch.tensor([1, 0]), torch.tensor([0.3, 0.6]))
    mix = SpectrogramMix(domain, gain_aware=True, pad=None if domain == "power" else pad)
    alone = mix.draw(Clips(x, lengths), pairs, seeded()).apply(Clips(x, lengths))
    beside = mix.draw(Clips(longer, lengths), pairs, seeded()).apply(Clips(longer, lengths))
    assert torch.allclose(beside.values[:, :, :9], alone.values, atol=1e-6)
    assert torch.allclose(beside.values[:, :, 9:], torch.tensor(pad))
    assert alone.lengths.tolist() == beside.lengths.tolist() == [9, 9]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SpectrogramMix("mel"), "domain must be one of power, magnitude, log, db, got domain='mel'"),
        (lambda: SpectrogramMix("log", "geometric"), 'law must be "power" or "mean"'),
        (lambda: SpectrogramMix("log", "mean", gain_aware=True), "gain_aware must be False"),
        (lambda: SpectrogramMix("power", pad=-3.0), "pad must be 0 or None for domain='power', got pad=-3.0"),
        (lambda: SpectrogramMix("power").draw(-power(), pairing([0.5] * 5), seeded()), "power must not be negative"),
        (
            lambda: SpectrogramMix("log").draw(Clips(power(), torch.full((5,), 12)), pairing([0.5] * 5), seeded()),
            "pad must say what padding holds for domain='log', got None",
        ),
        (lambda: SpectrogramMix("log").draw(power()[0], pairing([0.5] * 8), seeded()), "must be 8 spectrograms"),
        (lambda: BandMix(frequency=0, time=0), "frequency and time must not be negative, and not both 0"),
        (lambda: BandMix(width=1.0), r"width must be in \(0, 1\), got width=1.0"),
        (lambda: BandMix().draw(torch.zeros(2, 5), pairing([0.5] * 2), seeded()), "must be 2 spectrograms"),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_value(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 500))
def test_no_third_clip_leaks_into_bands_and_labels_follow_the_cells(frequency, time, seed):
    if frequency + time == 0:
        return
    rows = torch.arange(6.0)[:, None, None].expand(6, 20, 30).contiguous()
    pairs = pairing([0.5] * 6, seed)
    plan = BandMix(frequency, time).draw(rows, pairs, seeded(seed))
    mixed = plan.apply(rows)
    for i in range(6):
        partner = int(pairs.partner[i])
        assert set(mixed[i].unique().tolist()) <= {float(i), float(partner)}
        if partner != i:
            own = float((mixed[i] == i).float().mean())
            assert own < 1
            assert float(plan.pairing.lam[i]) == pytest.approx(own, abs=1e-6)
            label = plan.targets(torch.eye(6))[i]
            assert float(label[i]) == pytest.approx(own, abs=1e-6)
            assert float(label.sum()) == pytest.approx(1.0, abs=1e-6)


def test_rows_that_stay_clean_have_no_bands():
    x = power()
    plan = BandMix().draw(x, pairing([1.0] * 5), seeded())
    assert torch.equal(plan.apply(x), x)
    assert torch.equal(plan.targets(torch.eye(5)), torch.eye(5))


def test_padding_counts_for_nobody():
    mask = torch.ones(2, 4, 10, dtype=torch.bool)
    mask[:, :, 5:] = False  # the second half is the partner's
    share = cell_share(mask, torch.tensor([10, 6]), torch.tensor([1, 0]))
    assert share.tolist() == pytest.approx([20 / (20 + 4), 20 / (20 + 20)])


def test_frames_of_a_time_band_take_the_partner_s_label():
    x = power(2, 6, 30)
    plan = BandMix(frequency=0, time=1).draw(x, Pairing(torch.tensor([1, 0]), torch.full((2,), 0.5)), seeded(2))
    labels = plan.targets(torch.eye(2)[:, :, None].expand(-1, -1, 30).clone())
    assert torch.equal(labels[0, 0], plan.mask[0, 0].float())
    assert torch.equal(labels[0, 1], 1 - plan.mask[0, 0].float())


def test_styles_move_means_and_deviations_of_bins_and_keep_labels():
    x = (
        torch.randn(4, 5, 50, generator=seeded()) * torch.arange(1.0, 5)[:, None, None]
        + torch.arange(4.0)[:, None, None]
    )
    pairs = pairing([0.0, 0.5, 1.0, 0.25])
    plan = StyleMix().draw(x, pairs, seeded())
    mixed = plan.apply(x)
    lam = pairs.lam[:, None]
    for statistic in (lambda v: v.mean(2), lambda v: v.std(2, correction=0)):
        expected = lam * statistic(x) + (1 - lam) * statistic(x)[pairs.partner]
        assert torch.allclose(statistic(mixed), expected, atol=1e-3)
    assert torch.equal(mixed[2], x[2])
    assert torch.equal(plan.targets(torch.eye(4)), torch.eye(4))


def test_styles_look_at_real_frames_only():
    x = torch.randn(2, 3, 20, generator=seeded())
    longer = torch.cat([x, torch.full((2, 3, 10), 100.0)], 2)
    pairs = Pairing(torch.tensor([1, 0]), torch.tensor([0.3, 0.6]))
    clips = Clips(longer, torch.tensor([20, 20]))
    mixed = StyleMix().draw(clips, pairs, seeded()).apply(clips)
    assert torch.allclose(mixed.values[:, :, :20], StyleMix().draw(x, pairs, seeded()).apply(x), atol=1e-5)
    assert np.array_equal(mixed.values[:, :, 20:].numpy(), longer[:, :, 20:].numpy())


def test_a_partner_without_frames_has_no_style():
    x = torch.randn(2, 3, 20, generator=seeded())
    clips = Clips(x, torch.tensor([20, 0]))
    mixed = StyleMix().draw(clips, Pairing(torch.tensor([1, 0]), torch.tensor([0.0, 0.0])), seeded()).apply(clips)
    assert torch.equal(mixed.values, x)
