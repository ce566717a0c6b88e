"""A learned plan: inputs and targets by hand, rows that are blended, missing labels, dtypes, several samples."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from learned_parts import seeded, sources

from mixkit import BetaSources, MapTokens, Sources
from mixkit.mixblock import Scored
from mixkit.tokens import LearnedPlan, Tokens, WeightedMean, mean_over_cells

LOGITS = torch.tensor([[[0.0, 2.0], [1.0, -1.0]], [[3.0, 0.0], [0.0, 0.0]]])  # (2, K = 2, cells = 2)
LAM = [0.25, 0.9]


def plan(logits=LOGITS, lam=LAM, partner=(1, 0), **options):
    drawn = sources(list(partner), list(lam))
    options.setdefault("labels", drawn.lam)
    return LearnedPlan(drawn, logits, spread=lambda z, shape: z, combine=WeightedMean(), **options)


def on_map(drawn, logits, **options):
    """Return the plan of a map of one row."""
    tokens = Tokens(torch.zeros(len(drawn), logits.shape[2], 4), None, (logits.shape[2],))
    return MapTokens("site", 4, **options).plan(drawn, Scored(logits), tokens)


def softmax(*logits):
    e = [math.exp(z) for z in logits]
    return [x / sum(e) for x in e]


def test_each_cell_is_the_weighted_mean_of_both_samples():
    x = torch.tensor([[10.0, 20.0], [30.0, 40.0]])
    mixed = plan().apply(x)
    first, second = softmax(0, 1), softmax(2, -1)
    assert float(mixed[0, 0]) == pytest.approx(first[0] * 10 + first[1] * 30)
    assert float(mixed[0, 1]) == pytest.approx(second[0] * 20 + second[1] * 40)
    assert float(mixed[1, 1]) == pytest.approx((40 + 20) / 2)
    assert x.tolist() == [[10.0, 20.0], [30.0, 40.0]]


def test_labels_are_mixed_by_the_shares_drawn_or_by_the_mean_weights():
    t = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert plan().targets(t).flatten().tolist() == pytest.approx([0.25, 0.75, 0.1, 0.9])
    own = (softmax(0, 1)[0] + softmax(2, -1)[0]) / 2
    other = (softmax(3, 0)[0] + 0.5) / 2
    by_weights = plan().label_by_weights()
    assert by_weights.targets(t).flatten().tolist() == pytest.approx([own, 1 - own, 1 - other, other])
    assert not plan(LOGITS.clone().requires_grad_()).label_by_weights().labels.requires_grad
    assert by_weights.shares().flatten().tolist() == pytest.approx([own, 1 - own, other, 1 - other])


def test_mean_and_variance_of_the_weights_are_over_real_cells():
    own = [softmax(0, 1)[0], softmax(2, -1)[0]]
    assert plan().variance()[0].item() == pytest.approx(np.var(own))
    real = torch.tensor([[True, True], [True, False]])
    padded = plan(real=real)
    assert padded.shares()[1, 0].item() == pytest.approx(softmax(3, 0)[0])
    assert padded.variance()[1].item() == pytest.approx(0.0, abs=1e-7)
    assert padded.variance()[0].item() == pytest.approx(np.var(own))
    nothing = plan(real=torch.zeros(2, 2, dtype=torch.bool))
    assert bool(nothing.shares().isfinite().all())
    assert bool(nothing.variance().isfinite().all())


def test_the_mean_over_cells_is_a_weighted_mean_in_numpy():
    values, real = torch.rand(3, 2, 4, 5), torch.rand(3, 4, 5) > 0.5
    expected = [[v[r].mean() for v in row] for row, r in zip(values.numpy(), real.numpy(), strict=True)]
    np.testing.assert_allclose(mean_over_cells(values, real).numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(mean_over_cells(values, None).numpy(), values.mean((2, 3)).numpy(), rtol=1e-5)


@given(st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3), st.integers(0, 99))
def test_blended_rows_are_plain_mixup_and_the_others_stay(lam, seed):
    drawn = sources([1, 2, 0], lam)
    learned = on_map(drawn, torch.randn(3, 2, 5, generator=seeded(seed)) * 4)
    rows = torch.tensor([True, False, True])
    x = torch.randn(3, 2, 5, generator=seeded(seed))
    mixed = learned.blend(rows).apply(x)
    share = drawn.lam[:, 0, None, None]
    blend = share * x + (1 - share) * x[[1, 2, 0]]
    torch.testing.assert_close(mixed[rows], blend[rows], rtol=1e-5, atol=1e-5)
    assert torch.equal(mixed[1], learned.apply(x)[1])
    weights = learned.blend(rows).weights()
    torch.testing.assert_close(weights[0, 0], drawn.lam[0, 0].expand(5), rtol=1e-5, atol=1e-6)


def test_a_row_that_keeps_everything_is_itself_bit_for_bit_once_blended():
    learned = on_map(sources([1, 0], [1.0, 0.0]), torch.randn(2, 2, 5))
    x = torch.randn(2, 3, 5)
    mixed = learned.blend(torch.tensor([True, True])).apply(x)
    assert torch.equal(mixed[0], x[0])
    assert torch.equal(mixed[1], x[0])
    assert not torch.equal(learned.apply(x)[0], x[0])


def test_rows_are_blended_one_after_the_other():
    learned = plan().blend(torch.tensor([True, False])).blend(torch.tensor([False, True]))
    torch.testing.assert_close(learned.weights()[:, 0], torch.tensor([[0.25, 0.25], [0.9, 0.9]]))


def test_a_weight_of_zero_hides_a_missing_label_and_any_other_shows_it():
    t = torch.tensor([[1.0, 0.0], [torch.nan, torch.nan]])
    mixed = plan(lam=[1.0, 0.0]).targets(t)
    assert mixed.tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert bool(plan(lam=[0.5, 0.0]).targets(t)[0].isnan().all())


def test_targets_of_frames_are_mixed_too():
    t = torch.rand(2, 3, 4)
    torch.testing.assert_close(plan().targets(t)[1], 0.9 * t[1] + 0.1 * t[0])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 2, dtype=torch.int64), r"averages values, got torch.int64 of shape \(2, 2\): codes cannot"),
        (torch.zeros(2, 1, 2, dtype=torch.uint8), r"learned weights mix float inputs, got torch.uint8; convert"),
        (torch.zeros(2, 2, dtype=torch.bool), "averages values, got torch.bool"),
        (torch.zeros(3, 2), r"x must have the 2 rows that the plan was drawn for, got shape \(3, 2\)"),
        ([[0.0]], "mixes tensors, got list"),
    ],
)
def test_what_cannot_be_mixed_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        plan().apply(x)


@pytest.mark.parametrize("t", [torch.zeros(2, dtype=torch.int64), torch.zeros(3, 2)])
def test_wrong_targets_are_refused(t):
    with pytest.raises(ValueError, match="targets must"):
        plan().targets(t)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_dtype_of_what_is_mixed_is_kept_and_half_precision_is_mixed_in_float32(dtype):
    x = torch.randn(2, 2).to(dtype)
    mixed = plan().apply(x)
    assert mixed.dtype == dtype
    expected = plan().apply(x.to(torch.promote_types(dtype, torch.float32))).to(dtype)
    assert torch.equal(mixed, expected)


def test_complex_spectrograms_keep_their_phase():
    x = torch.randn(2, 2, dtype=torch.complex64)
    mixed = plan().apply(x)
    torch.testing.assert_close(mixed.real, plan().apply(x.real))
    torch.testing.assert_close(mixed.imag, plan().apply(x.imag))


def test_mixing_is_differentiable_in_the_logits_with_numerical_gradients():
    logits = LOGITS.double().requires_grad_()
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: plan(z).apply(x), logits)
    assert torch.autograd.gradcheck(lambda z: plan(z).variance(), logits)
    assert torch.autograd.gradcheck(lambda z: plan(z).shares(), logits)


@pytest.mark.parametrize("count", [3, 4])
def test_several_samples_are_mixed_and_labelled_together(count):
    drawn = BetaSources(1.0, count)(torch.zeros(5, 2), seeded(1))
    logits = torch.randn(5, count, 6, generator=seeded())
    x, t = torch.randn(5, 6, generator=seeded(2)), torch.eye(5)
    learned = on_map(drawn, logits)
    e, index = np.exp(logits.numpy()), drawn.index.numpy()
    weights = e / e.sum(1, keepdims=True)
    expected = [sum(weights[i, k] * x[index[i, k]].numpy() for k in range(count)) for i in range(5)]
    np.testing.assert_allclose(learned.apply(x[:, None])[:, 0].numpy(), np.array(expected), rtol=1e-4, atol=1e-5)
    labels = np.zeros((5, 5))
    for i in range(5):
        for k in range(count):
            labels[i, index[i, k]] += float(drawn.lam[i, k])
    np.testing.assert_allclose(learned.targets(t).numpy(), labels, rtol=1e-5, atol=1e-6)
    largest = drawn.lam[:, 1:].argmax(1) + 1
    assert learned.pairing.partner.tolist() == [index[i, k] for i, k in enumerate(largest.tolist())]


def test_a_plan_says_how_long_it_is_and_with_whom():
    learned = plan(partner=(1, 1))
    assert len(learned) == 2
    assert learned.pairing.partner.tolist() == [1, 1]
    assert learned.pairing.lam.tolist() == pytest.approx(LAM)


def test_sources_that_are_the_sample_itself_change_nothing():
    drawn = Sources(torch.tensor([[0, 0], [1, 1]]), torch.tensor([[0.3, 0.7], [0.5, 0.5]]))
    x, t = torch.randn(2, 4, 6), torch.rand(2, 3)
    learned = on_map(drawn, torch.randn(2, 2, 6))
    torch.testing.assert_close(learned.apply(x), x)
    torch.testing.assert_close(learned.targets(t), t)
