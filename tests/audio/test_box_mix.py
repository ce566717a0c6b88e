"""A box of another spectrogram: what it covers, with lengths, and what it labels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixkit import BetaPairs, CutMix, Mix, Pairing
from mixkit_audio import BoxMix, Clips


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_own_and_partner_cells_make_up_the_mix_and_the_label_counts_the_valid_ones(seed, size):
    generator = seeded(seed)
    lengths = torch.randint(1, 30, (size,), generator=generator)
    values = torch.randn(size, 2, 8, 30, generator=generator)
    mix = Mix(BoxMix(), BetaPairs(1.0))
    plan = mix.draw(Clips(values, lengths), torch.eye(size), generator)
    mixed = plan.apply(Clips(values, lengths))
    partner = plan.pairing.partner
    for i in range(size):
        own, other = values[i].numpy(), values[partner[i]].numpy()
        inside = ~plan.mask[i].numpy()
        np.testing.assert_array_equal(mixed.values[i].numpy(), np.where(inside, other, own))
        if inside.any():
            rows, columns = np.nonzero(inside)  # one box
            assert inside.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            assert columns.max() < max(lengths[i], lengths[partner[i]])
            kept = (~inside[:, : lengths[i]]).sum()
            taken = inside[:, : lengths[partner[i]]].sum()
            assert float(plan.pairing.lam[i]) == pytest.approx(kept / max(1, kept + taken), abs=1e-6)


def test_the_expected_share_of_clips_of_one_length_is_that_of_cutmix():
    pairing = Pairing(torch.arange(4000).roll(1), torch.full((4000,), 0.6))
    x = torch.zeros(4000, 1, 40, 50)
    shares = [float(policy.draw(x, pairing, seeded()).pairing.lam.mean()) for policy in (BoxMix(), CutMix())]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)


def test_a_lam_of_one_keeps_a_clip_bit_for_bit():
    x = torch.randn(3, 8, 20, generator=seeded())
    plan = BoxMix().draw(x, Pairing(torch.tensor([1, 2, 0]), torch.ones(3)), seeded())
    assert torch.equal(plan.apply(x), x)
    assert plan.pairing.lam.tolist() == [1.0, 1.0, 1.0]


def test_waveforms_are_no_spectrograms():
    with pytest.raises(ValueError, match=r"inputs must be 2 spectrograms \(B, ..., F, T\), got shape \(2, 16000\)"):
        BoxMix().draw(torch.zeros(2, 16000), Pairing.identity(2), seeded())
