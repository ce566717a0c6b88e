"""Nine ways in which other libraries mix wrongly without a word; mixkit gets each right or refuses it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mixkit import BetaPairs, Blend, CutMix, Erm, Mix, Mixed, Mixer, MultiClass, MultiLabel, Regression

BLEND = Mix(Blend(), BetaPairs(1.0, derange=True))
CUT = Mix(CutMix(), BetaPairs(1.0, derange=True))
MIXES = [BLEND, CUT]


def mixer(mix, task):
    return Mixer(mix, task, torch.Generator().manual_seed(0))


@pytest.mark.filterwarnings(
    "ignore:This DataLoader will create:UserWarning", "ignore:This process .* is multi-threaded:DeprecationWarning"
)
@pytest.mark.parametrize("persistent", [True, False])
def test_f1_turning_mixing_off_reaches_workers_that_already_run(persistent):
    mix = Mix(Blend(), BetaPairs(1.0, derange=True), until=0.5)
    collate = mixer(mix, MultiClass(8))
    data = TensorDataset(torch.eye(8), torch.arange(8))
    loader = DataLoader(data, batch_size=4, num_workers=2, persistent_workers=persistent, collate_fn=collate)
    mixed = []
    for progress in (0.0, 0.25, 0.5, 0.75):
        collate.set_progress(progress)
        mixed.append(sum(int((t.amax(1) < 1).sum()) for _, t in loader))
    assert mixed == [8, 8, 0, 0]


@pytest.mark.parametrize("mix", MIXES)
def test_f2_soft_targets_stay_batch_by_classes(mix):
    soft = torch.softmax(torch.randn(4, 4), 1)
    _, targets = mixer(mix, MultiClass(4))(torch.rand(4, 3, 8, 8), soft)
    plan = mixer(mix, MultiClass(4)).plan(torch.rand(4, 3, 8, 8), soft)
    assert targets.shape == (4, 4)
    torch.testing.assert_close(targets, plan.targets(soft))
    _, many = mixer(mix, MultiLabel(5))(torch.rand(4, 3, 8, 8), torch.randint(2, (4, 5)))
    assert many.shape == (4, 5)


@pytest.mark.parametrize("mix", MIXES)
def test_f3_the_label_of_a_video_says_how_many_voxels_are_its_own(mix):
    x = torch.eye(6).view(6, 6, 1, 1, 1).expand(6, 6, 5, 8, 8)
    mixed, targets = mixer(mix, MultiClass(6))(x, torch.arange(6))
    torch.testing.assert_close(mixed.mean((2, 3, 4)), targets)
    assert float(targets.diagonal().min()) < 0.9


def test_f4_regression_targets_are_blended_as_numbers():
    task = Regression.fitted([10.0, 20.0, 30.0, 40.0])
    mixed, targets = mixer(BLEND, task)(torch.tensor([[10.0], [20.0], [30.0], [40.0]]), [10.0, 20.0, 30.0, 40.0])
    torch.testing.assert_close(task.predict(targets), mixed)  # x is y: blended alike
    assert targets.unique().numel() == 4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_f5_label_weights_are_float32_beside_half_precision_inputs(dtype):
    x = torch.rand(64, 3, 4, 4)
    _, exact = mixer(BLEND, MultiClass(64))(x, torch.arange(64))
    _, targets = mixer(BLEND, MultiClass(64))(x.to(dtype), torch.arange(64))
    assert targets.dtype == torch.float32
    assert torch.equal(targets, exact)
    torch.testing.assert_close(targets.sum(1), torch.ones(64))
    _, _, _, lam = mixer(BLEND, MultiClass(64)).pair(x.to(dtype), torch.arange(64))
    assert lam.dtype == torch.float32


@pytest.mark.parametrize("mix", MIXES)
def test_f6_uint8_images_and_their_labels_keep_the_drawn_share(mix):
    x = (255 * torch.eye(6)).to(torch.uint8).view(6, 6, 1, 1).expand(6, 6, 16, 16)
    mixed, targets = mixer(mix, MultiClass(6))(x, torch.arange(6))
    assert mixed.dtype == torch.uint8
    torch.testing.assert_close(mixed.double().mean((2, 3)).float() / 255, targets, atol=0.5 / 255, rtol=0)
    assert float(targets.diagonal().max()) > 0.1


@pytest.mark.parametrize("mix", MIXES)
def test_f7_masks_are_mixed_by_the_plan_of_their_images(mix):
    images = torch.rand(4, 3, 8, 8)
    masks = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 8, 8)
    plan = mixer(mix, MultiClass(4)).plan(images, torch.arange(4))
    mixed = plan.apply(masks)
    assert mixed.shape == masks.shape
    expected = plan.targets(torch.eye(4)) @ torch.arange(4.0)
    torch.testing.assert_close(mixed.mean((1, 2, 3)), expected)


def test_f8_the_label_follows_the_box_that_was_pasted_to_the_cell():
    x = torch.eye(64).view(64, 64, 1, 1).expand(64, 64, 8, 8)
    mixed, targets = mixer(CUT, MultiClass(64))(x, torch.arange(64))
    torch.testing.assert_close(mixed.mean((2, 3)), targets, atol=1e-7, rtol=0)
    assert torch.equal((targets * 64).round(), targets * 64)  # whole cells


def test_f9_soft_and_hard_labels_meet_the_same_loss_in_any_order():
    task, x, labels = MultiClass(3), torch.rand(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    model = nn.Linear(4, 3)
    objective = Mixed(model, task, BLEND, generator=torch.Generator().manual_seed(0))
    hard = F.cross_entropy(model(x), labels)
    for _ in range(2):
        plan = BLEND.draw(x, task.encode(labels), torch.Generator().manual_seed(0))
        objective.generator.manual_seed(0)
        mixed = objective.train()(x, task.encode(labels))["mixed"]
        torch.testing.assert_close(mixed, F.cross_entropy(model(plan.apply(x)), plan.targets(task.encode(labels))))
        torch.testing.assert_close(objective.eval()(x, task.encode(labels))["loss"], hard)
        torch.testing.assert_close(Erm(model, task)(x, task.encode(labels))["loss"], hard)
    with pytest.raises(
        ValueError, match=r"targets must be float of shape \(B, K\), got torch.int64 \(6,\); encode labels"
    ):
        objective.train()(x, labels)
