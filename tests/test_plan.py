"""Plans: what labels say is what inputs hold, through chains and for every dtype; purity; refusals."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixkit import BetaPairs, Blend, Chain, CutMix, Mix, OneOf, Pairing
from mixkit.plan import BlendPlan, ChainPlan, MaskPlan

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.uint8]
grids = st.lists(st.integers(1, 7), min_size=1, max_size=3)


def whose(size, grid, dtype):
    """Return a batch (size, size, *grid) whose channel j says how much of sample j there is, and its unit."""
    unit = 255 if dtype == torch.uint8 else 1
    x = unit * torch.eye(size).view(size, size, *[1] * len(grid)).expand(size, size, *grid)
    return x.to(dtype).clone(), unit


def content(mixed, unit):
    """Return (size, size): the share of every sample in every mixed row."""
    return mixed.double().flatten(2).mean(2) / unit


@given(
    size=st.integers(1, 9),
    grid=grids,
    links=st.lists(st.sampled_from([Blend(), CutMix()]), min_size=1, max_size=3),
    alpha=st.sampled_from([0.1, 1.0, 5.0]),
    dtype=st.sampled_from(DTYPES),
    derange=st.booleans(),
    seed=st.integers(0, 999),
)
def test_label_weight_is_the_content_kept_through_any_chain(*, size, grid, links, alpha, dtype, derange, seed):
    x, unit = whose(size, grid, dtype)
    mix = Chain([Mix(policy, BetaPairs(alpha, derange=derange)) for policy in links])
    plan = mix.draw(x, torch.eye(size), torch.Generator().manual_seed(seed))
    shares = plan.targets(torch.eye(size)).double()
    rounding = {torch.uint8: 0.5 / 255, torch.bfloat16: 2**-9, torch.float16: 2**-12}.get(dtype, 1e-6)
    torch.testing.assert_close(content(plan.apply(x), unit), shares, atol=len(links) * rounding + 1e-6, rtol=0)
    torch.testing.assert_close(plan.pairing.lam.double(), shares.diagonal(), atol=1e-6, rtol=0)
    torch.testing.assert_close(shares.sum(1), torch.ones(size).double(), atol=1e-6, rtol=0)


@given(
    size=st.integers(1, 9),
    grid=grids,
    policy=st.sampled_from([Blend(), CutMix()]),
    dtype=st.sampled_from([*DTYPES, torch.int64, torch.bool, torch.complex64]),
    seed=st.integers(0, 999),
)
def test_label_weight_is_the_content_kept_by_one_mix(size, grid, policy, dtype, seed):
    if isinstance(policy, Blend) and dtype in (torch.int64, torch.bool):
        policy = CutMix()  # codes can be cut, not blended
    x, unit = whose(size, grid, dtype)
    plan = Mix(policy, BetaPairs(1.0)).draw(x, torch.eye(size), torch.Generator().manual_seed(seed))
    mixed = plan.apply(x)
    assert mixed.dtype == dtype
    assert mixed.shape == x.shape
    mixed = mixed.real if dtype == torch.complex64 else mixed
    rounding = {torch.uint8: 0.5 / 255, torch.bfloat16: 2**-9, torch.float16: 2**-12}.get(dtype, 0)
    torch.testing.assert_close(
        content(mixed, unit), plan.targets(torch.eye(size)).double(), atol=rounding + 1e-6, rtol=0
    )


@given(dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99), size=st.integers(1, 9))
def test_lam_one_is_the_identity_bit_for_bit(dtype, seed, size):
    torch_generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(size, 3, 5, 7, generator=torch_generator) * 255).to(dtype)
    whole = Pairing(torch.randperm(size, generator=torch_generator), torch.ones(size))
    links = [policy.draw(x, whole, torch_generator) for policy in (Blend(), CutMix())]
    targets = torch.rand(size, 4, generator=torch_generator)
    for plan in (*links, ChainPlan.compose(links)):
        assert torch.equal(plan.apply(x), x)
        assert torch.equal(plan.targets(targets), targets)


@given(policy=st.sampled_from([Blend(), CutMix()]), dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99))
def test_a_plan_is_applied_the_same_again_and_changes_nothing(policy, dtype, seed):
    x = (torch.rand(5, 3, 4, 6, generator=torch.Generator().manual_seed(seed)) * 255).to(dtype)
    targets = torch.rand(5, 2)
    x_before, targets_before = x.clone(), targets.clone()
    mix = Chain([Mix(policy, BetaPairs(1.0)), Mix(CutMix(), BetaPairs(1.0))])
    plan = mix.draw(x, targets, torch.Generator().manual_seed(seed))
    assert torch.equal(plan.apply(x), plan.apply(x))
    assert torch.equal(plan.targets(targets), plan.targets(targets))
    assert torch.equal(x, x_before)
    assert torch.equal(targets, targets_before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8])
def test_blending_is_exact_in_the_inputs_dtype(dtype, rotate):
    x = torch.tensor([[[10.0, 3.0]], [[20.0, 4.0]]]).to(dtype)
    mixed = BlendPlan(rotate(2, [0.7, 0.25])).apply(x)
    expected = torch.tensor([[[13.0, 3.3]], [[12.5, 3.25]]])
    # 12.5 is rounded to the even 12, not cut off
    expected = expected.round().to(dtype) if dtype == torch.uint8 else expected.to(dtype)
    assert torch.equal(mixed, expected)
    assert mixed.dtype == dtype


@pytest.mark.parametrize("policy", [Blend(), CutMix()])
def test_channels_last_is_kept(policy, generator, rotate):
    x = torch.rand(4, 3, 8, 8).to(memory_format=torch.channels_last)
    assert policy.draw(x, rotate(4, 0.5), generator).apply(x).is_contiguous(memory_format=torch.channels_last)


def test_gradients_flow_to_sample_and_partner_by_their_shares(rotate):
    x = torch.rand(3, 2, requires_grad=True)
    BlendPlan(rotate(3, [0.9, 0.6, 0.2])).apply(x).sum().backward()
    # i keeps lam_i, and i - 1 takes 1 - lam_{i-1} from it
    torch.testing.assert_close(x.grad[:, 0], torch.tensor([0.9 + 0.8, 0.6 + 0.1, 0.2 + 0.4]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("chained", [False, True])
def test_label_weights_are_float32_whatever_the_targets_are_and_under_autocast(dtype, chained, rotate):
    plan = BlendPlan(rotate(2, 0.7003))
    if chained:
        plan = ChainPlan.compose([plan, BlendPlan(Pairing.identity(2))])
    with torch.autocast("cpu", torch.bfloat16):
        mixed = plan.targets(torch.eye(2).to(dtype))
    assert mixed.dtype in (torch.float32, torch.float64)
    assert abs(float(mixed[0, 0]) - 0.7003) < 1e-6


@pytest.mark.parametrize("chained", [False, True])
def test_a_missing_label_stays_with_the_rows_that_hold_it(chained, rotate):
    plan = BlendPlan(rotate(4, [0.5, 0.5, 1.0, 1.0]))
    if chained:
        plan = ChainPlan.compose([plan, BlendPlan(Pairing.identity(4))])
    targets = torch.eye(4)
    targets[2] = torch.nan
    mixed = plan.targets(targets)
    assert mixed.isnan().any(1).tolist() == [False, True, True, False]
    assert mixed[0].tolist() == [0.5, 0.5, 0.0, 0.0]


def test_chained_shares_follow_cells_not_products():
    # the second link pastes the left half back over what the first pasted there
    grid = torch.tensor([[True, False], [True, False]])
    first = MaskPlan(Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 0.5])), mask=~grid.unsqueeze(1))
    second = MaskPlan(Pairing(torch.tensor([0, 1]), torch.tensor([0.5, 0.5])), mask=grid.unsqueeze(1))
    assert ChainPlan.compose([first, second]).targets(torch.eye(2)).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    third = MaskPlan(Pairing(torch.tensor([1, 0]), torch.tensor([0.5, 0.5])), mask=~grid.unsqueeze(1))
    # the left half changes hands twice: everything is the sample's own again; a product would say 0.5
    assert ChainPlan.compose([first, third]).targets(torch.eye(2)).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_relabelled_plans_mix_labels_by_their_own_weights(rotate):
    plan = BlendPlan(rotate(2, 0.75)).relabel(torch.ones(2), torch.ones(2))
    assert plan.targets(torch.eye(2)).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert plan.pairing.lam.tolist() == [0.75, 0.75]
    chain = ChainPlan.compose([plan, BlendPlan(Pairing.identity(2))])
    assert chain.targets(torch.eye(2)).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert chain.pairing.lam.tolist() == [0.75, 0.75]


def test_one_of_draws_the_plans_of_its_mixes(generator):
    mix = OneOf([Mix(Blend(), BetaPairs(1.0)), Mix(CutMix(), BetaPairs(1.0))])
    x = torch.rand(4, 3, 8, 8)
    kinds = {type(mix.draw(x, torch.eye(4), generator)) for _ in range(20)}
    assert kinds == {BlendPlan, MaskPlan}


def test_plans_refuse_other_batches_and_views(generator, rotate):
    plan = CutMix().draw(torch.rand(4, 3, 8, 8), rotate(4, 0.5), generator)
    with pytest.raises(ValueError, match=r"x must end in the axes \(8, 8\).*got shape \(4, 3, 8, 9\); draw a plan"):
        plan.apply(torch.rand(4, 3, 8, 9))
    with pytest.raises(ValueError, match=r"x must have the 4 rows .*got shape \(3, 3, 8, 8\)"):
        plan.apply(torch.rand(3, 3, 8, 8))
    with pytest.raises(ValueError, match=r"targets must be float of shape \(B, K\), got torch.int64 \(4,\); encode"):
        plan.targets(torch.arange(4))
    with pytest.raises(ValueError, match=r"targets must have the 4 rows .*got \(3, 2\)"):
        plan.targets(torch.rand(3, 2))
