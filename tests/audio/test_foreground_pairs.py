"""Pairs that leave silence and background themselves."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixkit import BetaPairs
from mixkit_audio import ForegroundPairs


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_silence_stays_and_is_never_louder_than_a_word(seed, size):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.eye(3)[torch.randint(3, (size,), generator=generator)]
    state = generator.get_state()
    plain = BetaPairs(1.0)(targets, generator)
    generator.set_state(state)
    drawn = ForegroundPairs(BetaPairs(1.0), (1,))(targets, generator)
    silent = targets[:, 1] == 1
    assert torch.equal(drawn.partner, plain.partner)
    assert (drawn.lam[silent] == 1).all()
    beside = ~silent & silent[drawn.partner]
    assert (drawn.lam[beside] >= 0.5).all()
    words = ~silent & ~silent[drawn.partner]
    assert torch.equal(drawn.lam[words], plain.lam[words])


def test_frames_of_a_word_make_the_clip_a_word():
    targets = torch.zeros(2, 2, 4)
    targets[0, 0] = 1.0  # silence throughout
    targets[1, 0, :2] = 1.0  # silence before a word
    targets[1, 1, 2:] = 1.0
    drawn = ForegroundPairs(BetaPairs(1.0), (0,))(targets, torch.Generator().manual_seed(0))
    assert drawn.lam[0] == 1
    assert drawn.lam[1] < 1


@pytest.mark.parametrize(
    ("classes", "message"),
    [((), "classes must name at least one position"), ((-1,), "got classes=.-1,."), ((5,), "below the 3 labels")],
)
def test_classes_that_are_none_are_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        ForegroundPairs(BetaPairs(1.0), classes)(torch.eye(3), torch.Generator())
