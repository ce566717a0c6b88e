"""The decoupled loss against NumPy, and where it is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from learned_parts import TASK, batch, net, seeded

from mixkit import BetaPairs, Blend, Chain, CutMix, Mix, Mixed, MultiClass, MultiLabel, Pairing, Regression
from mixkit.decoupled import decoupled_loss
from mixkit.plan import BlendPlan, ChainPlan


def by_hand(logits, classes, partner, lam, weights):
    """Return the loss, sample by sample; a class of -1 is missing."""
    loss = 0.0
    for i, j in enumerate(partner):
        a, b = classes[i], classes[j]
        if lam[i] == 0:
            a = b  # made of the partner only
        if lam[i] == 1:
            b = a
        z = logits[i] - logits[i].max()

        def isolated(wanted, without, z=z):
            others = [np.exp(z[c]) for c in range(len(z)) if c != without or c == wanted]
            return -(z[wanted] - np.log(sum(others)))

        if lam[i] > 0 and classes[i] >= 0:
            loss += weights[i] * isolated(a, b)
        if lam[i] < 1 and classes[j] >= 0:
            loss += weights[j] * isolated(b, a)
    mass = sum(w for w, c in zip(weights, classes, strict=True) if c >= 0)
    return loss / mass if mass else 0.0


def encoded(classes, width=4):
    return MultiClass(width).encode([c if c >= 0 else -100 for c in classes])


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=5),
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=5, max_size=5),
    st.integers(0, 99),
)
def test_the_loss_is_the_formula_sample_by_sample(classes, lam, seed):
    size = len(classes)
    logits, partner = torch.randn(size, 4, generator=seeded(seed)) * 3, torch.randperm(size, generator=seeded(seed))
    plan = BlendPlan(Pairing(partner, torch.tensor(lam[:size])))
    weights = torch.rand(size, generator=seeded(seed)) + 0.1
    expected = by_hand(logits.double().numpy(), classes, partner.tolist(), lam[:size], [1.0] * size)
    assert decoupled_loss(logits, encoded(classes), plan).item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    expected = by_hand(logits.double().numpy(), classes, partner.tolist(), lam[:size], weights.tolist())
    found = decoupled_loss(logits, encoded(classes), plan, weights).item()
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_missing_label_counts_nothing_and_hides_nothing():
    logits = torch.tensor([[1.0, 2.0, 0.0, -1.0], [0.0, 1.0, 3.0, 1.0], [1.0, 0.0, 0.0, 2.0]])
    classes, partner, lam = [1, -1, 3], [1, 2, 0], [0.5, 0.5, 0.5]
    plan = BlendPlan(Pairing(torch.tensor(partner), torch.tensor(lam)))
    loss = decoupled_loss(logits, encoded(classes), plan)
    z = np.exp(logits.numpy())
    first = -np.log(z[0, 1] / z[0].sum())  # of sample 0; whatever its partner is, it is not left out
    second = -np.log(z[1, 3] / z[1].sum())  # of sample 1, whose own label is missing
    third = -np.log(z[2, 3] / (z[2].sum() - z[2, 1])) - np.log(z[2, 1] / (z[2].sum() - z[2, 3]))
    assert loss.item() == pytest.approx((first + second + third) / 2, rel=1e-5)
    assert decoupled_loss(logits, encoded([-1, -1, -1]), plan).item() == 0.0


def test_equal_classes_give_twice_the_cross_entropy():
    logits, targets = torch.randn(4, 3, generator=seeded()), encoded([1, 1, 1, 1], 3)
    plan = BlendPlan(Pairing(torch.tensor([1, 2, 3, 0]), torch.full((4,), 0.3)))
    torch.testing.assert_close(decoupled_loss(logits, targets, plan), 2 * TASK.loss(logits, targets))


@pytest.mark.parametrize("lam", [0.0, 1.0])
def test_samples_of_one_source_have_plain_cross_entropy(lam):
    logits, targets = torch.randn(4, 3, generator=seeded()), encoded([0, 1, 2, 1], 3)
    partner = torch.tensor([1, 2, 3, 0])
    plan = BlendPlan(Pairing(partner, torch.full((4,), lam)))
    expected = TASK.loss(logits, targets if lam else targets[partner])
    torch.testing.assert_close(decoupled_loss(logits, targets, plan), expected)


def test_weights_of_single_labels_count_by_their_mean():
    logits, targets = torch.randn(2, 4, generator=seeded()), encoded([0, 3])
    plan = BlendPlan(Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 0.5])))
    wide = torch.tensor([[1.0, 1, 1, 1], [4.0, 0, 0, 0]])
    torch.testing.assert_close(
        decoupled_loss(logits, targets, plan, wide), decoupled_loss(logits, targets, plan, wide.mean(1))
    )


def test_gradients_are_finite_also_with_two_classes_and_in_half_precision():
    for width, dtype in ((2, torch.float32), (3, torch.bfloat16)):
        logits = (50 * torch.randn(4, width, generator=seeded())).to(dtype).requires_grad_()
        plan = BlendPlan(Pairing(torch.tensor([1, 2, 3, 0]), torch.full((4,), 0.3)))
        loss = decoupled_loss(logits, encoded([0, 1, 1, 0], width), plan)
        loss.backward()
        assert loss.dtype == torch.float32
        assert bool(logits.grad.isfinite().all())


def test_each_class_of_two_has_to_stand_out_from_the_others_and_not_from_the_other():
    logits = torch.tensor([[5.0, 5.0, -5.0, -5.0]], requires_grad=True)
    plan = BlendPlan(Pairing(torch.tensor([1, 0]), torch.tensor([0.9, 0.9])))
    both = torch.cat([logits, logits])
    assert decoupled_loss(both, encoded([0, 1]), plan).item() < 1e-3  # the plain mixed loss would be log 2 at best


def test_more_than_two_samples_are_refused():
    links = [BlendPlan(Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 0.5]))) for _ in "12"]
    with pytest.raises(ValueError, match="the decoupled loss needs a plan of two samples, got ChainPlan"):
        decoupled_loss(torch.zeros(2, 3), encoded([0, 1], 3), ChainPlan.compose(links))
    mix = Mix(CutMix(), BetaPairs(1.0))
    with pytest.raises(ValueError, match="needs a plan of two samples"):
        Mixed(net(), TASK, Chain([mix, mix]), decoupled_weight=0.1)(*batch())


@pytest.mark.parametrize("task", [MultiLabel(3), MultiLabel(3, exclusive=True), Regression((0.0,) * 3, (1.0,) * 3)])
def test_tasks_without_classes_are_refused(task):
    with pytest.raises(ValueError, match="decoupled_weight needs a task with exclusive classes, got "):
        Mixed(net(), task, Mix(Blend(), BetaPairs(1.0)), decoupled_weight=0.1)


@pytest.mark.parametrize("weight", [-0.1, float("nan")])
def test_a_negative_weight_is_refused(weight):
    with pytest.raises(ValueError, match="decoupled_weight must be non-negative, got decoupled_weight="):
        Mixed(net(), TASK, Mix(Blend(), BetaPairs(1.0)), decoupled_weight=weight)


def test_the_term_stands_beside_the_mixed_loss_with_its_weight():
    x, t = batch()
    mix = Mix(Blend(), BetaPairs(1.0))
    plain = Mixed(net(norm=False), TASK, mix, generator=seeded())(x, t)
    terms = Mixed(net(norm=False), TASK, mix, generator=seeded(), decoupled_weight=0.1)(x, t)
    assert terms.keys() == {"mixed", "decoupled"}
    torch.testing.assert_close(terms["mixed"], plain["mixed"])
    plan = mix.draw(x, t, seeded())
    torch.testing.assert_close(terms["decoupled"], 0.1 * decoupled_loss(net(norm=False)(plan.apply(x)), t, plan))
