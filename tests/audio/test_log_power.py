"""Mixing log-mel features in the power domain, against plain numpy and against clips that were really mixed."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("mixkit_audio", reason="needs the extra mixkit[audio]", exc_type=ImportError)

import soundfile

from mixkit import AtSite, AutoMix, MapTokens, MixBlock, MultiClass
from mixkit_audio import AudioNet, LogMel, LogPower

DATA = Path(os.environ.get("MIXKIT_DATA", Path(__file__).parents[2] / "../shared/data"))
FLOOR = 1e-4


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def features(count, seed=0):
    """Return features (count, 1, 5, 7) of powers from the floor to 100, with mean and deviation of each bin."""
    power = 10.0 ** (torch.rand(count, 1, 5, 7, generator=seeded(seed)) * 6 - 4)
    logs = torch.log(power + FLOOR)
    mean, std = logs.mean((0, 1, 3)).view(1, 1, -1, 1), logs.std((0, 1, 3)).view(1, 1, -1, 1)
    return (logs - mean) / std, power, mean, std


def test_power_of_the_mix_is_the_sum_of_squared_weights_times_powers():
    x, power, mean, std = features(6)
    parts, raw = x.chunk(3), power.double().numpy().reshape(3, 2, 1, 5, 7)
    weights = torch.rand(2, 3, 1, 1, 7, generator=seeded(1)).softmax(1)
    mixed = LogPower(mean, std, FLOOR)(parts, weights.log())
    w = weights.double().numpy().transpose(1, 0, 2, 3, 4)
    expected = (np.log((w**2 * raw).sum(0) + FLOOR) - mean.numpy()) / std.numpy()
    np.testing.assert_allclose(mixed.numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("floor", [FLOOR, 0.0])
def test_a_weight_of_one_gives_the_sample_back(floor):
    x, _, mean, std = features(4)
    hard = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).log().view(2, 2, 1, 1, 1)
    mixed = LogPower(mean, std, floor)(x.chunk(2), hard)
    torch.testing.assert_close(mixed, torch.stack([x[0], x[3]]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("floor", [FLOOR, 0.0])
@pytest.mark.parametrize("logit", [-1e4, -30.0, 0.0, 30.0, 1e4])
def test_values_and_gradients_are_finite_at_every_weight_also_of_silence(floor, logit):
    _, _, mean, std = features(2)
    silence = ((math.log(FLOOR) - mean) / std).expand(1, 1, 5, 7).clone().requires_grad_()
    loud = torch.full((1, 1, 5, 7), 3.0, requires_grad=True)
    logits = torch.tensor([0.0, logit]).view(1, 2, 1, 1, 1).requires_grad_()
    mixed = LogPower(mean, std, floor)([silence, loud], logits.log_softmax(1))
    mixed.sum().backward()
    assert all(bool(value.isfinite().all()) for value in (mixed, silence.grad, loud.grad, logits.grad))


def test_unusable_statistics_are_refused():
    with pytest.raises(ValueError, match=r"floor must be a non-negative number, got floor=-1"):
        LogPower(torch.zeros(1), torch.ones(1), -1)
    with pytest.raises(ValueError, match=r"std must be positive, got a smallest value of 0"):
        LogPower(torch.zeros(1), torch.zeros(1), 0.0)


def test_weights_vary_over_time_and_are_shared_by_all_bins():
    torch.manual_seed(0)
    net, task = AudioNet(8000, None, None, classes=3), MultiClass(3)
    tokens = MapTokens("stage2", 48, combine=LogPower(net.frontend.mean, net.frontend.std, net.frontend.floor))
    objective = AutoMix(net, task, tokens, MixBlock(48, generator=seeded()), AtSite("frontend"), generator=seeded())
    waves, targets = torch.randn(4, 1, 4000, generator=seeded()), task.encode([0, 1, 2, 0])
    plan = objective.plan(waves, targets)
    assert plan.weights().shape == (4, 2, 7)
    assert plan.spread(plan.logits, torch.Size([4, 1, 40, 51])).shape == (4, 2, 1, 1, 51)
    terms = objective(waves, targets)
    sum(terms.values()).backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in objective.parameters())
    assert any(bool(p.grad.any()) for p in objective.block.parameters())


class FlatNet(nn.Module):
    """Two-dimensional convolutions on log-mel maps, a user's own."""

    def __init__(self):
        super().__init__()
        self.frontend = LogMel(8000)
        self.stage = nn.Sequential(nn.Conv2d(1, 8, 3, stride=4, padding=1), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, waves):
        return self.head(self.stage(self.frontend(waves)).mean((2, 3)))


def test_maps_of_two_axes_give_weights_over_bins_and_time():
    torch.manual_seed(0)
    net, task = FlatNet(), MultiClass(3)
    tokens = MapTokens("stage", 8, combine=LogPower(net.frontend.mean, net.frontend.std, net.frontend.floor))
    objective = AutoMix(net, task, tokens, MixBlock(8, generator=seeded()), AtSite("frontend"), generator=seeded())
    waves, targets = torch.randn(4, 1, 4000, generator=seeded()), task.encode([0, 1, 2, 0])
    plan = objective.plan(waves, targets)
    assert plan.weights().shape == (4, 2, 10, 13)
    assert plan.spread(plan.logits, torch.Size([4, 1, 40, 51])).shape == (4, 2, 1, 40, 51)
    sum(objective(waves, targets).values()).backward()
    assert any(bool(p.grad.any()) for p in objective.block.parameters())


def clips(count):
    """Return clips of the real data (count, 16000), some words of several speakers."""
    files = sorted(path for word in ("yes", "go", "left") for path in (DATA / "speech_commands" / word).glob("*.flac"))
    loaded = [soundfile.read(path, dtype="float32")[0] for path in files[:: max(1, len(files) // count)][:count]]
    return torch.stack([torch.from_numpy(clip) for clip in loaded if len(clip) == 16000])


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "speech_commands").is_dir(), reason="needs the folder speech_commands of the real data")
def test_power_mixing_is_within_a_decibel_of_clips_really_mixed_and_mixing_logarithms_is_not():
    waves = clips(24)[:, None]
    assert len(waves) > 10
    front = LogMel(16000)
    own, other = front(waves), front(waves.roll(1, 0))
    truth = front(0.5 * waves + 0.5 * waves.roll(1, 0))
    half = torch.full((1, 2, 1, 1, 1), 0.5).log()
    mixed = LogPower(front.mean, front.std, front.floor)([own, other], half)

    def off(found):  # in dB, root mean square
        return float((10 / math.log(10) * (found - truth)).square().mean().sqrt())

    assert off(mixed) < 1.0
    assert off((own + other) / 2) > 3.0
