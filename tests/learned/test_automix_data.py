"""AutoMix on every kind of task, weights and labels, in half precision, and with models of several kinds."""

import copy

import pytest
import torch
from learned_parts import TASK, Fixed, automix, batch, net, seeded, total, trained
from torch import nn

from mixkit import (
    Alternating,
    AtInputs,
    AtOneOf,
    AtSite,
    Concatenated,
    InBatch,
    LamPenalty,
    MapTokens,
    MixBlock,
    MixedLoss,
    MixupE,
    MultiClass,
    MultiLabel,
    PatchTokens,
    Regression,
    SpanTokens,
)

LAM = [0.5, 0.7, 0.3, 0.95, 0.05, 0.6, 0.4, 0.2]


def gradient(objective, *arguments):
    objective.zero_grad(set_to_none=True)
    total(objective(*arguments)).backward()
    return {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("task", "targets"),
    [
        (MultiClass(3, label_smoothing=0.1), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])),
        (MultiClass(3, class_weights=(1.0, 2.0, 0.5)), torch.tensor([0, 1, 2, 0, 1, 2, 0, -100])),
        (MultiLabel(3), torch.rand(8, 3, generator=seeded()).round()),
        (MultiLabel(3, exclusive=True), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])),
        (Regression((0.0,) * 3, (1.0,) * 3), torch.randn(8, 3, generator=seeded())),
    ],
    ids=["smoothed", "weighted", "labels", "one of labels", "values"],
)
@pytest.mark.parametrize("block_loss", [MixedLoss(LamPenalty(variance=2.0)), Alternating()])
def test_every_task_trains_model_and_block(task, targets, block_loss):
    objective = automix(task=task, penalty=MixupE(0.1), block_loss=block_loss)
    x, t = batch()[0], task.encode(targets)
    found = gradient(objective, x, t)
    assert found.keys() == {name for name, p in objective.named_parameters() if p.requires_grad}
    assert all(bool(grad.isfinite().all()) for grad in found.values())
    assert float(found["model.head.weight"].norm()) > 1e-3
    assert float(found["block.value.weight"].norm()) > 1e-5


@pytest.mark.parametrize("clean", [Concatenated(), InBatch()])
@pytest.mark.parametrize("block_loss", [MixedLoss(), Alternating(), MixedLoss(LamPenalty(variance=2.0))])
def test_labels_that_are_all_missing_or_weigh_nothing_train_nothing(clean, block_loss):
    x, t = batch()
    for arguments in ((x, torch.full_like(t, torch.nan)), (x, t, torch.zeros(8))):
        objective = automix(clean=clean, penalty=MixupE(0.1), block_loss=block_loss, blend_weight=1.0)
        found = gradient(objective, *arguments)
        assert not any(bool(grad.any()) for grad in found.values())


def test_a_missing_label_is_as_a_weight_of_zero_and_a_scale_of_all_weights_is_nothing():
    x, t = batch()
    missing, weights = t.clone(), torch.ones(8)
    missing[2], weights[2] = torch.nan, 0.0
    kept = gradient(automix(penalty=MixupE(0.1)), x, missing)
    for arguments in ((x, t, weights), (x, t, 3 * weights), (x, missing, weights)):
        other = gradient(automix(penalty=MixupE(0.1)), *arguments)
        for name, grad in kept.items():
            torch.testing.assert_close(other[name], grad, rtol=1e-4, atol=1e-6)
    plain = gradient(automix(penalty=MixupE(0.1)), x, t)
    assert not torch.allclose(plain["block.value.weight"], kept["block.value.weight"])


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("clean", [None, Concatenated(0.5), InBatch()])
def test_tiny_batches_train(size, clean):
    objective = automix(net(norm=size > 1), clean=clean, penalty=MixupE(0.1), block_fraction=0.5)
    found = gradient(objective, *batch(size))
    assert all(bool(grad.isfinite().all()) for grad in found.values())


@pytest.mark.parametrize("block_loss", [MixedLoss(LamPenalty(variance=2.0)), Alternating()])
def test_half_precision_trains_with_float32_terms_near_those_of_float32(block_loss):
    options = {"penalty": MixupE(0.1), "block_loss": block_loss, "pairs": Fixed(None, LAM)}
    plain, half = automix(**options), automix(**options)
    expected = plain(*batch())
    with torch.autocast("cpu", torch.bfloat16):
        terms = half(*batch())
    assert {term.dtype for term in terms.values()} == {torch.float32}
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name], rtol=0.05, atol=0.02)
    total(terms).backward()
    total(expected).backward()
    for a, b in zip(half.parameters(), plain.parameters(), strict=True):
        if a.requires_grad:
            assert a.grad.dtype == torch.float32
            assert float((a.grad - b.grad).norm()) <= 0.15 * float(b.grad.norm()) + 1e-3


def test_several_steps_in_half_precision_stay_finite():
    objective = automix()
    optimizer = trained(objective, steps=0)
    for step in range(5):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = total(objective(*batch(seed=step)))
        loss.backward()
        optimizer.step()
    assert all(bool(p.isfinite().all()) for p in objective.parameters())
    assert all(p.dtype == torch.float32 for p in objective.parameters())


def test_a_double_precision_model_stays_so():
    objective = automix(net().double())
    x, t = batch()
    terms = objective(x.double(), t)
    total(terms).backward()
    assert terms["mixed"].dtype == torch.float64
    assert objective.model.head.weight.grad.dtype == torch.float64
    assert objective.block.value.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("kind", [torch.int64, torch.uint8])
def test_integers_are_refused_because_no_block_could_learn(kind):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x):
            return self.net(x.float() / 255)

    x, t = batch()
    objective = automix(Scaled(), tokens=MapTokens("net.stage", 6))
    with pytest.raises(ValueError, match=f"got torch.{str(kind).removeprefix('torch.')}"):
        objective((x.abs() * 50).to(kind), t)


PLACES = [AtInputs(), AtSite("stage:input"), AtSite("stage"), AtOneOf(AtInputs(), AtSite("stage"))]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("clean", [None, Concatenated(), InBatch()])
def test_every_place_trains(place, clean):
    objective = automix(place=place, clean=clean, penalty=MixupE(0.1))
    for step in range(3):
        found = gradient(objective, *batch(seed=step))
        assert all(bool(grad.isfinite().all()) for grad in found.values())
        assert float(found["block.value.weight"].norm()) > 1e-5


def test_mixing_at_the_site_s_input_is_mixing_the_inputs():
    at_inputs = automix(pairs=Fixed(None, LAM))(*batch())
    at_site = automix(pairs=Fixed(None, LAM), place=AtSite("stage:input"))(*batch())
    for name, term in at_inputs.items():
        torch.testing.assert_close(at_site[name], term)


def test_mixing_at_the_site_mixes_its_maps_by_hand():
    objective = automix(net(norm=False), pairs=Fixed(None, LAM), place=AtSite("stage"), lam_margin=0.0)
    reference, (x, t) = copy.deepcopy(objective), batch()
    terms, partner = objective(x, t), (torch.arange(8) + 1) % 8
    lam = torch.tensor(LAM)
    maps = reference.teacher.model.stage(x)
    z = maps.flatten(2).transpose(1, 2)
    weights = reference.block(z, z[partner], lam).view(8, 1, 4, 4)
    own = reference.model.stage(x)
    mixed = weights * own + (1 - weights) * own[partner]
    logits = reference.model.head(reference.model.flat(reference.model.pool(mixed)))
    expected = TASK.loss(logits, lam[:, None] * t + (1 - lam[:, None]) * t[partner])
    torch.testing.assert_close(terms["mixed"], expected)


class Tables(nn.Module):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.embed = nn.Linear(5, 12)
            self.rest = nn.Sequential(nn.ReLU(), nn.Linear(12, 3))

    def forward(self, x):
        return self.rest(self.embed(x))


def test_columns_of_a_table_get_a_weight_each_and_their_maps_learn_with_the_block():
    spans = SpanTokens("embed", [0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3], channels=8, generator=seeded())
    objective = automix(Tables(), tokens=spans, block=MixBlock(8, generator=seeded()), place=AtSite("embed"))
    x, t = torch.randn(8, 5, generator=seeded()), batch()[1]
    found = gradient(objective, x, t)
    assert found.keys() == {name for name, p in objective.named_parameters() if p.requires_grad}
    assert float(found["tokens.weight"].norm()) > 1e-7
    assert objective.plan(x, t).weights().shape == (8, 2, 4)
    held = {id(p) for group in objective.param_groups()[1:] for p in group["params"]}
    assert held == {id(p) for p in [*spans.parameters(), *objective.block.parameters()]}
    optimizer, before = torch.optim.SGD(objective.param_groups(), lr=1.0), spans.weight.detach().clone()
    objective.attach(optimizer)
    optimizer.step()
    assert not torch.equal(before, spans.weight)


class Patches(nn.Module):
    """A small vision transformer: tokens (B, 1 + L, C), the first of them for the class."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.patch = nn.Conv2d(3, 16, 2, stride=2)
            self.first = nn.Parameter(torch.zeros(1, 1, 16))
            self.blocks = nn.ModuleList(
                nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True) for _ in range(2)
            )
            self.head = nn.Linear(16, 3)

    def forward(self, x):
        z = self.patch(x).flatten(2).transpose(1, 2)
        z = torch.cat([self.first.expand(len(z), -1, -1), z], 1)
        for block in self.blocks:
            z = block(z)
        return self.head(z[:, 0])


@pytest.mark.filterwarnings("ignore:.*nested tensor")  # torch, of its own fast path
def test_a_transformer_s_tokens_are_patches_behind_a_leading_one():
    x, t = batch()
    with pytest.raises(ValueError, match=r"must be maps \(B, 16, \.\.\.\) .* got \(8, 17, 16\)"):
        automix(Patches(), tokens=MapTokens("blocks.0", 16), block=MixBlock(16))(x, t)
    objective = automix(Patches(), tokens=PatchTokens("blocks.0", 16, (4, 4)), block=MixBlock(16, generator=seeded()))
    found = gradient(objective, x, t)
    assert all(bool(grad.isfinite().all()) for grad in found.values())
    assert objective.plan(x, t).weights().shape == (8, 2, 4, 4)
    features = torch.rand(2, 17, 16, generator=seeded())
    found = PatchTokens("blocks.0", 16, (4, 4)).tokens(features, None)
    assert torch.equal(found.values, features[:, 1:])
    with pytest.raises(ValueError, match=r"must be tokens \(B, 16, 16\), 0 of them leading, got \(2, 17, 16\)"):
        PatchTokens("blocks.0", 16, (4, 4), leading=0).tokens(features, None)
    with pytest.raises(ValueError, match=r"grid must have one to three positive sides"):
        PatchTokens("blocks.0", 16, (0, 4))


def test_a_block_for_other_tokens_is_refused_before_any_batch():
    with pytest.raises(ValueError, match=r"block must have the tokens' 16 channels, got 8"):
        automix(Patches(), tokens=PatchTokens("blocks.0", 16, (4, 4)), block=MixBlock(8))


def test_sequences_share_a_weight_over_their_channels():
    model = nn.Sequential(nn.Conv1d(3, 4, 3, padding=1, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    objective = automix(model, tokens=MapTokens("1", 4, smooth=True), block=MixBlock(4, generator=seeded()))
    x, t = torch.randn(8, 3, 16, generator=seeded()), batch()[1]
    assert all(bool(grad.isfinite().all()) for grad in gradient(objective, x, t).values())
    assert objective.plan(x, t).weights().shape == (8, 2, 8)


@pytest.mark.slow
def test_a_torchvision_resnet_trains_unmodified():
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.resnet18(num_classes=3)
    objective = automix(
        model, tokens=MapTokens("layer3", 256), block=MixBlock(256, generator=seeded()), penalty=MixupE(1e-3)
    )
    x, t = torch.randn(4, 3, 64, 64, generator=seeded()), TASK.encode([0, 1, 2, 0])
    found = gradient(objective, x, t)
    assert all(bool(grad.isfinite().all()) for grad in found.values())
    assert objective.plan(x, t).weights().shape == (4, 2, 4, 4)
