"""Several words at once, label laws, and pipelines of transforms and mixes."""

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import mixkit
from mixkit import AtSite, BetaPairs, Blend, CutMix, Mix, MultiLabel, Pairing
from mixkit.comparison.gallery import gallery
from mixkit_audio import (
    Absorbing,
    AudioNet,
    AWeighted,
    BandMix,
    BoxMix,
    Clips,
    ClipTokens,
    LogMel,
    LogPower,
    MixTraining,
    Original,
    Overlap,
    Pipeline,
    PowerMix,
    Rms,
    Share,
    SpectrogramMix,
    StyleMix,
    Union,
    WaveMix,
    keywords,
)
from mixkit_audio.label_laws import Heard
from mixkit_audio.levels import mean_square


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def clips(count=8, samples=4000):
    draw = seeded()
    return 10 ** (-2 * torch.rand(count, 1, generator=draw)) * torch.randn(count, samples, generator=draw)


def heard(share, lengths=None):
    share = torch.tensor(share)
    every = torch.ones(len(share), dtype=torch.bool)
    return Heard(share, every, every, torch.ones(len(share), 2) if lengths is None else torch.tensor(lengths))


@pytest.mark.parametrize("words", [(1,), (2,), (3,), (1, 2, 3)])
def test_a_mix_of_k_words_has_k_labels_whatever_their_gains(words):
    mix = MixTraining(words=words, sir=(-20.0, 20.0))
    plan = mix.draw(clips(), torch.eye(8), seeded())
    labels = plan.targets(torch.eye(8))
    assert set(labels.sum(1).tolist()) <= {float(k) for k in words}
    assert torch.equal(labels, labels.round())
    assert bool((labels.diagonal() == 1).all())


def test_words_stand_at_the_ratio_that_was_drawn():
    x = clips()
    plan = MixTraining(words=(3,), sir=(6.0, 6.0)).draw(x, torch.eye(8), seeded())
    parts = plan.gains[:, :, None] * x[plan.sources.index]
    level = 10 * parts.square().mean(2).log10()
    assert torch.allclose(level[:, :1] - level[:, 1:], torch.full((8, 2), 6.0), atol=0.01)


def test_a_mix_is_about_as_loud_as_its_first_clip():
    x = clips(samples=40_000)
    plan = MixTraining(words=(2,)).draw(x, torch.eye(8), seeded())
    ratio = mean_square(Clips(plan.apply(x), torch.full((8,), 40_000))) / x.square().mean(1)
    assert torch.allclose(ratio, torch.ones(8), atol=0.1)


def test_partners_are_other_clips_and_differ_from_each_other():
    plan = MixTraining(words=(3,)).draw(clips(), torch.eye(8), seeded())
    assert all(len(set(row)) == 3 for row in plan.sources.index.tolist())


def test_one_word_stays_as_it_is_and_so_does_a_batch_of_one():
    x = clips()
    assert torch.equal(MixTraining(words=(1,)).draw(x, torch.eye(8), seeded()).apply(x), x)
    alone = MixTraining(words=(2,)).draw(x[:1], torch.eye(1), seeded())
    assert torch.equal(alone.apply(x[:1]), x[:1])
    assert alone.targets(torch.eye(1)).tolist() == [[1.0]]


def test_a_batch_smaller_than_a_mix_gives_each_clip_once():
    plan = MixTraining(words=(4,), sir=(0.0, 0.0)).draw(clips(2), torch.eye(2), seeded())
    assert ((plan.gains > 0).sum(1)).tolist() == [2, 2]
    parts = plan.gains[:, :, None] * clips(2)[plan.sources.index]
    level = 10 * parts[:, :2].square().mean(2).log10()
    assert torch.allclose(level[:, 0], level[:, 1], atol=0.01)


@pytest.mark.parametrize("mix", [MixTraining(words=(2,)), MixTraining(words=(1, 3), background=(1,))])
def test_a_mix_of_short_clips_is_the_same_in_a_longer_batch(mix):
    x, lengths = clips(4, 3000), torch.tensor([3000, 2000, 1, 0])
    longer = torch.cat([x, 9 * torch.ones(4, 1500)], 1)
    alone, beside = (mix.draw(Clips(v, lengths), torch.eye(4), seeded()) for v in (x, longer))
    mixed, padded = alone.apply(Clips(x, lengths)), beside.apply(Clips(longer, lengths))
    assert torch.allclose(padded.values[:, :3000], mixed.values, atol=1e-6)
    assert bool((padded.values[:, 3000:] == 0).all())
    assert torch.equal(mixed.lengths, padded.lengths)
    assert torch.equal(alone.targets(torch.eye(4)), beside.targets(torch.eye(4)))


def test_silence_is_on_only_where_nothing_else_is_and_is_not_made_loud():
    x = torch.randn(2, 4000, generator=seeded()) * torch.tensor([[0.3], [1e-3]])
    targets = torch.eye(2)  # class 1 is silence
    plan = MixTraining(words=(2,), sir=(0.0, 0.0), background=(1,)).draw(x, targets, seeded())
    assert plan.targets(targets).tolist() == [[1.0, 0.0], [1.0, 0.0]]
    noise = (plan.gains[0, 1] * x[1]).square().mean()
    assert float(noise) <= float(x[1].square().mean())
    only = MixTraining(words=(2,), background=(0,)).draw(x, torch.tensor([[1.0, 0], [1, 0]]), seeded())
    assert only.targets(torch.tensor([[1.0, 0], [1, 0]])).tolist() == [[1.0, 0.0], [1.0, 0.0]]


def test_labels_of_another_kind_say_which_clips_are_in_the_mix():
    targets = torch.eye(20)[[17, 3, 17, 5]]  # class 17 is silence
    plan = MixTraining(words=(2,), background=(17,)).draw(clips(4), targets, seeded())
    of_classes, of_clips = plan.targets(targets), plan.targets(torch.eye(4))
    assert torch.equal(of_clips @ targets > 0, of_classes > 0)
    for row, (own, partner) in enumerate(plan.sources.index[:, :2].tolist()):
        words = [i for i in (own, partner) if i in (1, 3)] or [own, partner]
        assert of_clips[row].nonzero().flatten().tolist() == sorted(words)


def test_silence_is_off_in_the_frames_in_which_there_is_a_word():
    targets = torch.zeros(2, 2, 4)
    targets[0, 0], targets[1, 0, 2:], targets[1, 1, :2] = 1.0, 1.0, 1.0  # class 0 is silence; a word in two frames
    plan = MixTraining(words=(2,), background=(0,)).draw(clips(2), targets, seeded())
    assert plan.targets(targets).tolist() == [[[0.0, 0, 1, 1], [1, 1, 0, 0]]] * 2


def test_a_silent_clip_does_not_silence_the_word_beside_it():
    x = torch.stack([torch.zeros(4000), 0.1 * torch.randn(4000, generator=seeded())])
    mixed = MixTraining(words=(2,), sir=(0.0, 0.0)).draw(x, torch.eye(2), seeded()).apply(x)
    assert torch.allclose(mixed, x[1] / math.sqrt(2), atol=1e-5)


def test_it_trains_with_binary_cross_entropy_and_ends_when_told_to():
    torch.manual_seed(0)
    net, task = nn.Linear(4000, 8), MultiLabel(8, exclusive=True)
    mix = MixTraining(until=0.5)
    objective = mixkit.Mixed(net, task, mix, total_steps=2, penalty=mixkit.MixupE(0.01), generator=seeded())
    assert all(bool(v.isfinite()) for v in objective(clips(), task.encode(torch.arange(8))).values())
    assert mix.partner_share(0.2) > 0.1
    assert mix.partner_share(0.5) == 0.0
    x = clips()
    assert torch.equal(mix.draw(x, torch.eye(8), seeded(), progress=0.5).apply(x), x)
    keep = torch.arange(8) < 4
    kept = MixTraining(words=(2,)).draw(x, torch.eye(8), seeded(), keep=keep).apply(x)
    assert torch.equal(kept[:4], x[:4])
    assert not torch.equal(kept[4:], x[4:])


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        (Share(), [0.25, 0.75]),
        (Union(), [1.0, 1.0]),
        (Union(least=0.3), [0.0, 1.0]),
        (Original(), [1.0, 0.0]),
        (Overlap(), [0.5, 0.5]),
    ],
)
def test_label_laws_do_what_they_say(law, expected):
    own, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert law(own, other, heard([0.25], [[3.0, 1.0]])).tolist() == [expected]


def test_labels_with_frames_follow_where_each_clip_sounds_under_every_law():
    own, other = torch.tensor([[[1.0, 1, 0]]]), torch.tensor([[[0.0, 1, 1]]])  # a class, three frames, padding is off
    sounds = torch.tensor([[True, True, False]]), torch.tensor([[False, True, True]])
    where = Heard(torch.full((1, 3), 0.5), *sounds, torch.tensor([[2.0, 2.0]]))
    for law in (Share(), Overlap(), Union()):
        assert law(own, other, where).tolist() == [[[1.0, 1.0, 1.0]]]


def test_background_that_stays_unmixed_keeps_its_label():
    law = Absorbing(Share(), classes=(0,))
    silence, yes, _ = torch.eye(3)[:, None]
    assert torch.equal(law(silence, yes, heard([1.0])), silence)
    assert torch.equal(law(yes, silence, heard([0.0])), silence)
    mute = Heard(torch.tensor([0.5]), torch.tensor([True]), torch.tensor([False]), torch.ones(1, 2))
    assert torch.equal(law(silence, yes, mute), silence)
    mix = Mix(WaveMix(law=law), BetaPairs(1.0, derange=True), probability=0.5)
    plan = mix.draw(clips(), torch.zeros(8, 3), seeded())
    targets = torch.eye(3)[torch.arange(8) % 2]  # silence and yes in turn
    kept = plan.pairing.lam == 1
    assert 0 < int(kept.sum()) < 8
    assert torch.equal(plan.targets(targets)[kept], targets[kept])


def test_background_takes_no_label_from_a_word_in_either_place():
    law = Absorbing(Share(), classes=(0,))
    silence, yes, no = torch.eye(3)[:, None]
    assert torch.equal(law(silence, yes, heard([0.9])), yes)
    assert torch.equal(law(yes, silence, heard([0.1])), yes)
    assert torch.equal(law(silence, silence, heard([0.3])), silence)
    assert torch.allclose(law(yes, no, heard([0.3])), 0.3 * yes + 0.7 * no)
    with pytest.raises(ValueError, match="classes must be below the 3 labels"):
        Absorbing(Share(), (5,))(yes, no, heard([0.5]))
    with pytest.raises(ValueError, match="classes must name at least one position"):
        Absorbing(Share(), ())


def frontend():
    return LogMel(8000)


class Batchwise(nn.Module):
    def forward(self, x):
        return x[:1]


def test_a_pipeline_mixes_waves_then_features_then_carries_lengths():
    pipeline = Pipeline(
        Mix(WaveMix(level=Rms()), BetaPairs(1.0)),
        frontend(),
        Mix(SpectrogramMix("log", pad=math.log(1e-4)), BetaPairs(1.0)),
        generator=seeded(),
    )
    x, lengths = torch.randn(4, 1, 8000, generator=seeded()), torch.tensor([8000, 6000, 4000, 80])
    features, targets, frames = pipeline(x, torch.eye(4), lengths)
    assert features.shape == (4, 1, 40, 101)
    assert torch.allclose(targets.sum(1), torch.ones(4))
    assert not torch.equal(targets, torch.eye(4))
    assert int(frames.min()) >= 2
    assert int(frames.max()) <= 101


def test_a_pipeline_is_the_identity_but_for_its_transforms_in_eval():
    pipeline = Pipeline(Mix(WaveMix(), BetaPairs(1.0)), frontend()).eval()
    x = torch.randn(4, 1, 8000, generator=seeded())
    features, targets = pipeline(x, torch.eye(4))
    assert torch.equal(features, frontend()(x))
    assert torch.equal(targets, torch.eye(4))
    assert torch.equal(pipeline(x), features)  # and needs no labels


def test_a_transform_that_fails_for_another_reason_says_so_itself():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Pipeline(nn.Linear(5, 2))(clips())


ON_A_DEVICE = [
    MixTraining(words=(1, 3), background=(1,)),
    *(Mix(WaveMix(level=level, late=0.3), BetaPairs(1.0)) for level in (None, Rms(), AWeighted(8000))),
    Mix(WaveMix(normalize="peak", law=Absorbing(Overlap(), (0,))), BetaPairs(1.0)),
    *(Mix(SpectrogramMix(domain, gain_aware=True), BetaPairs(1.0)) for domain in ("power", "magnitude", "log", "db")),
    *(Mix(policy, BetaPairs(1.0)) for policy in (SpectrogramMix("log", "mean"), BandMix(), BoxMix(), StyleMix())),
]


@pytest.mark.parametrize("mix", ON_A_DEVICE, ids=lambda mix: str(getattr(mix, "policy", mix))[:40])
def test_no_mix_waits_for_an_accelerator(mix):
    # tensors without data stand for those on a device: looking at one is an error
    x, targets = torch.empty(4, 6, 2000, device="meta"), torch.empty(4, 3, device="meta")
    plan = mix.draw(x, targets, seeded())
    assert plan.apply(x).shape == x.shape
    assert plan.targets(targets).shape == (4, 3)
    assert plan.targets(torch.empty(4, 3, 20, device="meta")).shape == (4, 3, 20)


def test_clean_and_mixed_features_come_from_one_pass():
    counted = frontend()
    calls = []
    counted.register_forward_hook(lambda module, args, out: calls.append(len(out)))
    pipeline = Pipeline(Mix(WaveMix(), BetaPairs(1.0)), counted, generator=seeded())
    x = torch.randn(4, 1, 8000, generator=seeded())
    found = pipeline.both(x, torch.eye(4))
    assert calls == [8]
    assert torch.allclose(found.clean, frontend()(x), atol=1e-5)
    assert not torch.allclose(found.inputs, found.clean)


def test_torchaudio_s_transforms_are_stages_and_the_same_generator_replays():
    transforms = pytest.importorskip("torchaudio.transforms", reason="torchaudio is not installed")

    def build():
        return Pipeline(
            transforms.MelSpectrogram(8000, n_fft=256, n_mels=20),
            Mix(SpectrogramMix("power"), BetaPairs(0.5)),
            transforms.AmplitudeToDB(),
            Mix(CutMix(), BetaPairs(1.0)),
            Mix(Blend(), BetaPairs(1.0)),
            generator=seeded(3),
        )

    x = torch.randn(4, 2, 4000, generator=seeded())
    one, two = build()(x, torch.eye(4)), build()(x, torch.eye(4))
    assert one[0].shape == (4, 2, 20, 32)
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])
    assert "transforms.0.spectrogram.window" in build().state_dict()


def test_a_pipeline_works_behind_a_loader_and_in_a_collate_function():
    pipeline = Pipeline(Mix(WaveMix(), BetaPairs(1.0)), generator=seeded())
    data = [(wave, label) for wave, label in zip(clips(), torch.eye(8), strict=True)]

    def collate(samples):
        return pipeline(torch.stack([wave for wave, _ in samples]), torch.stack([label for _, label in samples]))

    for x, t in DataLoader(data, batch_size=4, collate_fn=collate):
        assert x.shape == (4, 4000)
        assert t.shape == (4, 8)


@pytest.mark.slow
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_loader_workers_draw_differently_and_the_same_again_from_a_seeded_loader(context):
    # spawned workers import what they are sent, from a module that they find
    from pipeline_parts import Collate, SameClips

    def epoch():
        collate = Collate(Pipeline(Mix(WaveMix(), BetaPairs(1.0)), generator=seeded(4)))
        loader = DataLoader(
            SameClips(), 4, num_workers=2, collate_fn=collate, multiprocessing_context=context, generator=seeded(9)
        )
        return [labels for _, labels in loader]

    first, second = epoch(), epoch()
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))
    assert not any(torch.equal(first[i], first[j]) for i in range(8) for j in range(i))


def front_and_net():
    """A model whose front end is a pipeline."""
    from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

    torch.manual_seed(0)
    front = Pipeline(MelSpectrogram(16000, n_fft=400, n_mels=20), AmplitudeToDB(top_db=None))
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, stride=2, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, stride=2, padding=1)
    )
    head = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 4))
    return torch.nn.Sequential(OrderedDict(front=front, net=net, head=head))


def test_learned_masks_mix_what_a_pipeline_gives_out():
    model, x = front_and_net(), 0.3 * torch.randn(4, 1, 8000, generator=seeded(5))
    task = mixkit.MultiClass(4)
    block = mixkit.MixBlock(8)
    objective = mixkit.AutoMix(model, task, ClipTokens("net", 8), block, mixkit.AtSite("front"), generator=seeded())
    optimizer = torch.optim.SGD(objective.param_groups(), lr=0.01)
    objective.attach(optimizer)
    terms = objective(x, torch.eye(4))
    sum(terms.values()).backward()
    assert "transforms.0.mel_scale.fb" in dict(model.front.named_buffers())
    assert any(bool(p.grad.abs().sum() > 0) for p in block.parameters() if p.grad is not None)


def test_mixupe_takes_clean_and_mixed_rows_through_one_pass_of_a_pipeline():
    model, x = front_and_net(), 0.3 * torch.randn(4, 1, 8000, generator=seeded(5))
    rows = []
    model.front.register_forward_pre_hook(lambda module, given: rows.append(len(given[0])))
    for place, through in ((None, 8), (mixkit.AtSite("front"), 4)):
        rows.clear()
        objective = mixkit.Mixed(
            model,
            mixkit.MultiClass(4),
            Mix(WaveMix() if place is None else mixkit.Blend(), BetaPairs(0.2)),
            place,
            penalty=mixkit.MixupE(0.01),
            generator=seeded(),
        )
        if place is not None:
            objective(x, torch.eye(4))  # the first batch probes the site
            rows.clear()
        terms = objective(x, torch.eye(4))
        assert rows == [through]  # before the site clean rows need no second pass
        assert float(terms["penalty"].detach()) > 0


@pytest.mark.parametrize(
    ("build", "kind", "message"),
    [
        (lambda: Pipeline(WaveMix()), TypeError, "got WaveMix at 0; wrap a policy in Mix"),
        (lambda: Pipeline("mel"), TypeError, "stages must be modules or mixes, got str at 0"),
        (lambda: Pipeline(Mix), TypeError, "stages must be modules or mixes, got type at 0"),
        (
            lambda: Pipeline(Mix(WaveMix(), BetaPairs(1.0)))(clips()),
            ValueError,
            "targets must be given, Mix mixes them",
        ),
        (
            lambda: Pipeline()(torch.zeros(2, 9, dtype=torch.int16)),
            ValueError,
            "inputs must be one of .* got torch.int16",
        ),
        (lambda: Pipeline()(torch.zeros(9)), ValueError, r"inputs must be a tensor \(B, ..., T\), got shape \(9,\)"),
        (lambda: Pipeline(Batchwise())(clips()), ValueError, r"Batchwise must give out one tensor of 8 rows"),
        (
            lambda: Pipeline(nn.Linear(4000, 2))(clips().double()),
            ValueError,
            r"inputs must have the dtype of Linear, torch.float32, got torch.float64; convert the inputs",
        ),
        (
            lambda: Pipeline()(clips(2), torch.eye(2), [4000, 3000]),
            ValueError,
            r"lengths must be an int64 tensor \(2,\), got list",
        ),
        (
            lambda: Pipeline(Mix(PowerMix(LogPower(torch.zeros(1), torch.ones(1), 0.0)), BetaPairs(1.0)))(
                clips(2), torch.eye(2), torch.tensor([4000, 3000])
            ),
            ValueError,
            "PowerMix mixes tensors without lengths, got Clips; mix before features are normalised",
        ),
        (lambda: MixTraining(words=()), ValueError, "words must hold numbers of at least 1"),
        (lambda: MixTraining(sir=(5.0, 0.0)), ValueError, "sir must be two finite numbers of decibels in order"),
        (lambda: MixTraining(until=0.0), ValueError, r"until must be in \(0, 1\]"),
        (lambda: MixTraining(background=(-1,)), ValueError, "background must name positions from 0 on"),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_value(build, kind, message):
    with pytest.raises(kind, match=message):
        build()


def test_a_chain_of_mixes_in_one_stage_keeps_labels_and_content_together():
    x = torch.eye(6)
    chain = mixkit.Chain([Mix(Blend(), BetaPairs(1.0)), Mix(Blend(), BetaPairs(1.0))])
    mixed, labels = Pipeline(chain, generator=seeded())(x, torch.eye(6))
    assert torch.allclose(mixed, labels, atol=1e-6)


def test_a_pairing_of_its_own_is_drawn_for_every_stage():
    draws = []

    class Spy:
        until = 1.0

        def partner_share(self, progress):
            return 0.0

        def draw(self, inputs, targets, generator, *, progress=0.0, keep=None):
            draws.append(torch.randperm(5, generator=generator).tolist())
            return Blend().draw(inputs, Pairing.identity(len(targets)), generator)

    Pipeline(Spy(), Spy(), generator=seeded())(torch.zeros(2, 5), torch.eye(2))
    assert draws[0] != draws[1]


@pytest.mark.parametrize("policy", [WaveMix(), SpectrogramMix("log")])
def test_plans_without_shares_to_follow_do_not_chain(policy):
    chain = mixkit.Chain([Mix(policy, BetaPairs(1.0)), Mix(Blend(), BetaPairs(1.0))])
    with pytest.raises(
        ValueError, match=f"a chain follows shares cell by cell, which {type(policy).__name__} does not"
    ):
        chain.draw(torch.randn(4, 8, 16), torch.eye(4), seeded())


@pytest.mark.parametrize("name", ["wave-mixup", "power-mixup", "between-class", "specmix", "mix-training"])
def test_methods_for_speech_train_the_keyword_network(name):
    torch.manual_seed(0)
    net = AudioNet(8000, None, None, classes=4)
    objective = mixkit.objective(
        name, net, mixkit.MultiClass(4), seeded(), place=AtSite("frontend"), modality="audio", total_steps=10
    )
    x = 0.1 * torch.randn(6, 1, 4000, generator=seeded())
    terms = objective(x, objective.task.encode(torch.arange(6) % 4))
    sum(terms.values()).backward()
    assert all(bool(term.isfinite()) for term in terms.values())
    assert isinstance(objective.task, MultiLabel) == (name == "mix-training")


def test_power_mixup_needs_to_know_how_features_were_normalised():
    net = nn.Sequential()
    net.add_module("frontend", nn.Linear(4, 3))
    with pytest.raises(ValueError, match="power-mixup needs a network whose 'frontend' is a LogMel, got Linear"):
        mixkit.objective("power-mixup", net, mixkit.MultiClass(3))


def test_power_of_normalised_features_adds_up():
    x = torch.randn(3, 1, 5, 7, generator=seeded()).exp()
    mean, std = torch.randn(1, 1, 5, 1, generator=seeded(1)), 0.5 + torch.rand(1, 1, 5, 1, generator=seeded(2))
    features = (x.log() - mean) / std
    pairs = Pairing(torch.tensor([1, 2, 0]), torch.tensor([0.3, 0.9, 1.0]))
    mixed = PowerMix(LogPower(mean, std, 0.0)).draw(features, pairs, seeded()).apply(features)
    lam = pairs.lam.view(-1, 1, 1, 1)
    assert torch.allclose((mixed * std + mean).exp(), lam**2 * x + (1 - lam) ** 2 * x[pairs.partner], rtol=1e-4)
    assert torch.equal(mixed[2], features[2])


def test_a_report_says_of_several_words_that_each_is_fully_there():
    problem = keywords()
    rows = np.arange(len(problem.labels))
    items = gallery(problem, problem.prepare(rows), [mixkit.methods()["mix-training"]], rows)
    captions = [item.caption for item in items]
    assert captions
    assert all(caption.count("1.00 of '") == 2 for caption in captions)
