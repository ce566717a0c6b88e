"""Tasks: encoding, losses against torch's own, missing labels, weights, precision, scores, refusals."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mixkit import MultiClass, MultiLabel, Regression

NAN = float("nan")
TASKS = [
    MultiClass(3),
    MultiClass(3, class_weights=(1.0, 5.0, 0.5)),
    MultiLabel(3),
    MultiLabel(3, label_weights=(1.0, 5.0, 0.5)),
    Regression((0.0,) * 3, (1.0,) * 3),
]


def batch(task, size=6, seed=0):
    """Return float64 logits with gradient, and targets."""
    torch_generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, 3, dtype=torch.float64, generator=torch_generator, requires_grad=True)
    targets = torch.rand(size, 3, dtype=torch.float64, generator=torch_generator)
    return logits, (targets / targets.sum(1, keepdim=True) if isinstance(task, MultiClass) else targets)


def test_class_codes_become_one_hot_with_nan_rows_where_missing():
    encoded = MultiClass(3).encode(np.array([2, -100, 0]))
    assert encoded.dtype == torch.float32
    assert encoded[[0, 2]].tolist() == [[0, 0, 1], [1, 0, 0]]
    assert bool(encoded[1].isnan().all())


def test_label_smoothing_moves_targets_towards_uniform():
    torch.testing.assert_close(MultiClass(4, label_smoothing=0.2).encode([1]), torch.tensor([[0.05, 0.85, 0.05, 0.05]]))
    smooth = MultiLabel(2, label_smoothing=0.2).encode([[1.0, NAN]])
    assert smooth[0, 0] == pytest.approx(0.9)
    assert bool(smooth[0, 1].isnan())
    exclusive = MultiLabel(3, exclusive=True).encode([1, -100])
    assert exclusive[0].tolist() == [0, 1, 0]
    assert bool(exclusive[1].isnan().all())


def test_frames_have_the_class_axis_second():
    encoded = MultiClass(3).encode(torch.tensor([[0, 1, 2, -100], [1, 1, 1, 1]]))
    assert encoded.shape == (2, 3, 4)
    assert encoded[0, :, 1].tolist() == [0, 1, 0]


def test_regression_centres_and_scales_and_back():
    labels = torch.tensor([[1.0, 100.0], [3.0, 300.0], [5.0, 500.0]])
    task = Regression.fitted(labels)
    encoded = task.encode(labels)
    torch.testing.assert_close(encoded.mean(0), torch.zeros(2))
    torch.testing.assert_close(encoded.std(0, correction=0), torch.ones(2))
    torch.testing.assert_close(task.predict(encoded), labels)
    assert Regression.fitted([7.0, 7.0]).scale == (1.0,)


def test_losses_equal_torchs_own():
    logits, codes = torch.randn(8, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 2, -100, 1, 0, -100])
    weights = torch.tensor([1.0, 5.0, 0.5], dtype=torch.float64)
    for task, weight in ((MultiClass(3), None), (MultiClass(3, class_weights=(1.0, 5.0, 0.5)), weights)):
        expected = F.cross_entropy(logits, codes, weight=weight, ignore_index=-100)
        torch.testing.assert_close(task.loss(logits, task.encode(codes)), expected)
    smooth = MultiClass(3, label_smoothing=0.1)
    torch.testing.assert_close(
        smooth.loss(logits, smooth.encode(codes)),
        F.cross_entropy(logits, codes, label_smoothing=0.1),
        rtol=1e-6,
        atol=0,
    )
    soft = torch.rand(8, 3, dtype=torch.float64)
    torch.testing.assert_close(MultiLabel(3).loss(logits, soft), F.binary_cross_entropy_with_logits(logits, soft))
    torch.testing.assert_close(TASKS[4].loss(logits, soft), F.mse_loss(logits, soft))


def test_losses_of_frames_equal_torchs_own():
    logits, codes = torch.randn(4, 3, 5), torch.randint(3, (4, 5), generator=torch.Generator().manual_seed(0))
    codes[0, 1] = -100
    task = MultiClass(3)
    torch.testing.assert_close(task.loss(logits, task.encode(codes)), F.cross_entropy(logits, codes))


@pytest.mark.parametrize("task", TASKS)
def test_sample_weight_two_equals_the_sample_twice(task):
    logits, targets = batch(task)
    weights = torch.tensor([2.0, 1, 1, 1, 1, 1])
    twice = [0, 0, 1, 2, 3, 4, 5]
    loss, doubled = task.loss(logits, targets, weights), task.loss(logits[twice], targets[twice])
    torch.testing.assert_close(loss, doubled)
    gradient, expected = torch.autograd.grad(loss, logits)[0], torch.autograd.grad(doubled, logits)[0]
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("shape", ["(B,)", "(B, K)"])
def test_weight_zero_and_a_missing_label_leave_out_the_same(task, shape):
    logits, targets = batch(task)
    out = torch.zeros(6, 3, dtype=torch.bool)
    out[1] = True
    if shape == "(B, K)":
        out[2, 1] = True
    weights = (~out).double() if shape == "(B, K)" else (~out).double()[:, 0]
    missing = targets.masked_fill(out, NAN)
    a, b = task.loss(logits, targets, weights), task.loss(logits, missing)
    torch.testing.assert_close(a, b)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (a, b)]
    torch.testing.assert_close(*gradients)
    assert not bool(gradients[0][1].any())
    residuals = task.residual(logits, targets, weights), task.residual(logits, missing)
    torch.testing.assert_close(*residuals)
    assert residuals[0][1] == 0
    assert not bool(task.error(logits, missing)[1].any())


@pytest.mark.parametrize("task", TASKS)
def test_nothing_known_is_a_loss_of_zero_with_zero_gradient(task):
    logits, targets = batch(task)
    loss = task.loss(logits, targets * NAN)
    assert loss == 0
    assert not bool(torch.autograd.grad(loss, logits)[0].any())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_huge_logits_in_half_precision_are_scored_in_float32(task, dtype):
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 3.0]], dtype=dtype, requires_grad=True)
    targets = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.5, 0.5]])
    loss, residual = task.loss(logits, targets), task.residual(logits, targets)
    assert loss.dtype == residual.dtype == torch.float32
    (loss + residual.sum()).backward()
    exact = logits.detach().double()
    torch.testing.assert_close(loss.double(), task.loss(exact, targets.double()), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(residual.double(), task.residual(exact, targets.double()), rtol=1e-5, atol=1e-3)
    assert bool(logits.grad.isfinite().all())


@pytest.mark.parametrize("task", [TASKS[0], TASKS[2], TASKS[4]])
@pytest.mark.parametrize("frames", [None, 1, 4])
def test_the_residual_is_the_sum_over_classes_or_mean_over_outputs_and_frames(task, frames):
    torch_generator = torch.Generator().manual_seed(0)
    f, y = (torch.rand(5, 3, frames or 1, dtype=torch.float64, generator=torch_generator) for _ in range(2))
    y = y / y.sum(1, keepdim=True)
    y[1, :, 0] = NAN
    g = {MultiClass: f.softmax(1), MultiLabel: f.sigmoid(), Regression: f}[type(task)]
    terms = torch.where(y.isnan(), 0.0, (y - g) * f).mean(2)
    expected = terms.sum(1) if isinstance(task, MultiClass) else terms.mean(1)
    f, y = (f, y) if frames else (f[:, :, 0], y[:, :, 0])
    torch.testing.assert_close(task.residual(f, y), expected)
    torch.testing.assert_close((task.error(f, y) * f).flatten(1).sum(1), expected)


@pytest.mark.parametrize("task", TASKS[:4])
def test_the_error_is_minus_the_gradient_of_the_loss(task):
    logits, targets = batch(task)
    losses, _ = task.losses(logits, targets)
    torch.testing.assert_close(-torch.autograd.grad(losses.sum(), logits)[0], task.error(logits, targets).detach())


def test_the_error_of_regression_is_minus_half_the_gradient():
    logits, targets = batch(TASKS[4])
    losses, _ = TASKS[4].losses(logits, targets)
    gradient = torch.autograd.grad(losses.sum(), logits)[0]
    torch.testing.assert_close(-gradient / 2, TASKS[4].error(logits, targets).detach())


def test_scores_and_predictions_leave_out_missing_labels():
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert MultiClass(3).score(logits, MultiClass(3).encode([1, 1, -100])) == 0.5
    assert MultiClass(3).predict(logits).tolist() == [1, 0, 2]
    assert MultiLabel(3).score(logits, torch.tensor([[0, 1, 1.0], [0, 0, NAN], [NAN] * 3])) == pytest.approx(4 / 5)
    exclusive = MultiLabel(3, exclusive=True)
    assert exclusive.score(logits, exclusive.encode([1, 0, 0])) == pytest.approx(2 / 3)
    assert exclusive.predict(logits).tolist() == [1, 0, 2]
    task = Regression((1.0,), (2.0,))
    assert task.predict(torch.tensor([[0.5]])).tolist() == [[2.0]]
    assert task.score(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [4.0]])) == pytest.approx(1 - 4 / 8)
    torch.testing.assert_close(MultiClass(3).probabilities(logits).sum(1), torch.ones(3))


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        (MultiClass(3), [0, 3], r"labels must be in 0..2 \(or -100 where missing\), got labels\[1\]=3"),
        (MultiClass(3), [-1, 0], r"labels must be in 0..2 .*got labels\[0\]=-1"),
        (MultiClass(3), [True, False], r"labels must be integer codes \(B,\), got torch.bool"),
        (
            MultiClass(3),
            [0.0, 1.0],
            r"labels must be integer codes \(B,\) or probabilities \(B, 3\), got",
        ),
        (MultiClass(3), [[0.5, 0.4, 0.0]], r"must be probabilities: non-negative, finite, each row sums to 1"),
        (MultiClass(3), [[1.5, -0.5, 0.0]], r"must be probabilities: non-negative"),
        (MultiClass(3), [[NAN, 1.0, 0.0]], r"must be probabilities: non-negative, finite"),
        (MultiClass(3), ["cat", "dog"], r"labels must be numbers, got list"),
        (MultiClass(3), [[0], [1, 2]], r"labels must be numbers, got list"),
        (MultiLabel(3), [[1, 0]], r"labels must have shape \(B, 3\), got torch.int64 \(1, 2\)"),
        (MultiLabel(3), [[2, 0, 1]], r"labels must be in \[0, 1\], or NaN where missing"),
        (MultiLabel(3, exclusive=True), [3], r"labels must be in 0..2"),
        (
            Regression(),
            [1.0, NAN],
            r"labels must be finite, got labels\[1\]=\[nan\]; drop the row",
        ),
        (Regression(), [1.0, float("inf")], r"labels must be finite, got labels\[1\]=\[inf\]"),
        (Regression(), [[1.0, 2.0]], r"labels must have 1 columns, got shape \(1, 2\)"),
    ],
)
def test_labels_of_the_wrong_kind_are_refused(task, labels, message):
    with pytest.raises(ValueError, match=message):
        task.encode(labels)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiClass(1), r"num_classes must be at least 2, got num_classes=1"),
        (lambda: MultiClass(3, label_smoothing=1.0), r"label_smoothing must be in \[0, 1\), got label_smoothing=1.0"),
        (lambda: MultiClass(3, class_weights=(1.0, 2.0)), r"class weights must be 3 non-negative numbers, not all 0"),
        (lambda: MultiLabel(0), r"num_labels must be at least 1, got num_labels=0"),
        (lambda: MultiLabel(1, label_weights=(-1.0,)), r"class weights must be 1 non-negative numbers"),
        (lambda: Regression((0.0,), (1.0, 1.0)), r"mean and scale must have one number a target"),
        (lambda: Regression((NAN,)), r"mean must be finite, got mean=\(nan,\)"),
        (lambda: Regression((0.0,), (0.0,)), r"scale must be positive, got scale=\(0.0,\)"),
    ],
)
def test_tasks_refuse_arguments_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_losses_refuse_shapes_that_do_not_fit():
    logits = torch.zeros(4, 3)
    with pytest.raises(ValueError, match=r"targets must be float of shape \(4, 3\), got torch.int64 \(4,\); encode"):
        MultiClass(3).loss(logits, torch.arange(4))
    with pytest.raises(ValueError, match=r"logits and targets must have one shape, got \(4, 3\) and \(4, 2\)"):
        MultiClass(3).loss(logits, torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"weights must have the shape of targets \(4, 3\) or its first axes, got"):
        MultiClass(3).loss(logits, torch.zeros(4, 3), torch.ones(3))
