"""The networks of MixupE's speech experiment: front end by its formula, sizes, mixing behind it."""

import numpy as np
import pytest
import torch

pytest.importorskip("mixkit_audio", reason="needs the extra mixkit[audio]", exc_type=ImportError)

import mixkit
from mixkit import BetaPairs, Blend, Concatenated, Mix, Mixed, MixupE, MultiClass
from mixkit_audio.paper_networks import VGG11, LeNet, PaperSpectrogram


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def waves(count, samples, seed=0):
    return 0.1 * torch.randn(count, 1, samples, generator=seeded(seed))


def test_a_frame_is_the_log_magnitude_of_a_hamming_window_s_transform():
    clip = waves(1, 16000)
    frame = 40  # centred on sample 40 * 160
    piece = clip[0, 0].double().numpy()[40 * 160 - 160 : 40 * 160 + 160]
    hamming = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(320) / 320)
    expected = np.log1p(np.abs(np.fft.rfft(hamming * piece)))
    found = PaperSpectrogram()(clip)[0, 0].double().numpy()
    # normalising is affine: undone by what it did to the whole clip
    slope, offset = np.polyfit(found[:, frame], expected, 1)
    np.testing.assert_allclose(slope * found[:, frame] + offset, expected, atol=1e-5)
    assert slope > 0


def test_normalising_uses_mean_and_deviation_of_all_cells_of_the_clip():
    clip = waves(1, 16000)
    padded = np.pad(clip[0, 0].double().numpy(), 160)
    hamming = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(320) / 320)
    frames = np.stack([padded[160 * i : 160 * i + 320] for i in range(101)])
    cells = np.log1p(np.abs(np.fft.rfft(hamming * frames))).T
    expected = (cells - cells.mean()) / cells.std(ddof=1)
    np.testing.assert_allclose(PaperSpectrogram()(clip)[0, 0].double().numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 319, 8000, 15999, 16000, 16001, 40000])
def test_clips_of_every_length_become_161_bins_and_101_frames_of_mean_0_and_deviation_1(samples):
    features = PaperSpectrogram()(waves(3, samples) * torch.tensor([0.01, 1.0, 5.0]).view(3, 1, 1))
    assert features.shape == (3, 1, 161, 101)
    torch.testing.assert_close(features.mean((1, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(features.flatten(1).std(1), torch.ones(3), atol=1e-3, rtol=0)


def test_a_long_clip_is_cut_and_a_short_one_padded_with_one_value():
    long = waves(1, 32000)
    front = PaperSpectrogram()
    short = front(long[:, :, :8000])[0, 0]
    assert bool((short[:, 60:] == short[0, 60]).all())  # frames 51 and later see nothing of the clip
    # the last frame of the first second looks 10 ms further, so that all but that one must agree up to normalising
    alone, cut = front(long[:, :, :16000])[0, 0, :, :100].flatten(), front(long)[0, 0, :, :100].flatten()
    assert float(torch.corrcoef(torch.stack([alone, cut]))[0, 1]) == pytest.approx(1.0, abs=1e-6)


def test_silence_becomes_zeros_with_finite_gradients():
    clips = torch.zeros(2, 1, 16000, requires_grad=True)
    features = PaperSpectrogram()(clips)
    features.square().sum().backward()
    assert not bool(features.any())
    assert bool(clips.grad.isfinite().all())


def test_a_clip_s_features_do_not_depend_on_its_batch():
    clips = waves(4, 16000)
    front = PaperSpectrogram()
    torch.testing.assert_close(front(clips)[2:3], front(clips[2:3]))


@pytest.mark.parametrize("shape", [(2, 16000), (2, 2, 16000), (2, 1, 0)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"waves must be \(B, 1, T\)"):
        PaperSpectrogram()(torch.zeros(shape))


# counted by hand: LeNet 520 + 10,020 + 16,281,000 + 30,030; VGG-11 9,219,328 in convolutions, 5,504 in BatchNorm,
# 3,932,672 + 15,390 in linear layers
@pytest.mark.parametrize(("network", "parameters"), [(LeNet, 16_321_570), (VGG11, 13_172_894)])
def test_networks_have_the_published_sizes(network, parameters):
    net = network(30)
    assert sum(weights.numel() for weights in net.parameters()) == parameters
    assert net.eval()(waves(2, 16000)).shape == (2, 30)
    assert not any(name.startswith("frontend") for name in net.state_dict())


def test_the_head_sizes_are_those_of_the_paper_s_code():
    assert (LeNet(12).head[0].in_features, LeNet(12).head[0].out_features) == (16280, 1000)
    assert (VGG11(12).head[0].in_features, VGG11(12).head[0].out_features) == (7680, 512)


@pytest.mark.parametrize("network", [lambda: LeNet(3, dropout=0.0), lambda: VGG11(3).eval()])
def test_mixing_at_the_front_end_mixes_normalised_spectrograms(network):
    torch.manual_seed(0)
    net, clips, task = network(), waves(4, 16000), MultiClass(3)
    targets = task.encode(torch.tensor([0, 1, 2, 0]))
    mix = Mix(Blend(), BetaPairs(1.0, per_sample=False))
    place = mixkit.AtSite("frontend")
    objective = Mixed(net, task, mix, place, penalty=MixupE(0.01), clean=Concatenated(), generator=seeded())
    terms = objective(clips, targets)
    plan = mix.draw(torch.empty(4, 1, 161, 101, device="meta"), targets, seeded())
    logits = net.head(net.features(plan.apply(net.frontend(clips))))
    expected = task.loss(logits, plan.targets(targets))
    # E[a] of a uniform lam is 1/3; all terms carry the same factor that rescales their sum
    penalty = 0.01 / 3 * task.residual(net(clips), targets).abs().mean()
    assert set(terms) == {"mixed", "penalty"}
    assert float((terms["penalty"] / terms["mixed"]).detach()) == pytest.approx(
        float((penalty / expected).detach()), rel=1e-3
    )
