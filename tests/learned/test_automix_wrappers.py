"""AutoMix with models behind torch.compile and DistributedDataParallel: the same numbers as without."""

import pytest
import torch
from learned_parts import automix, net, trained
from torch.nn.parallel import DistributedDataParallel

from mixkit import AtSite, Concatenated, MixupE

PLACES = [None, AtSite("stage")]


def close(a, b):
    for x, y in zip([*a.parameters(), *a.buffers()], [*b.parameters(), *b.buffers()], strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler, of itself
def test_a_compiled_model_trains_the_same_and_is_compiled_once(place, graphs):
    plain = automix(place=place, penalty=MixupE(0.1), clean=Concatenated())
    compiled = automix(
        torch.compile(net(), backend="aot_eager"), place=place, penalty=MixupE(0.1), clean=Concatenated()
    )
    for objective in (plain, compiled):
        trained(objective, steps=3)
    close(plain, compiled)
    assert graphs() == 1
    assert type(compiled.deploy()) is type(plain.deploy())
    assert compiled.deploy().state_dict().keys() == plain.deploy().state_dict().keys()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("wrap", ["model", "objective"])
def test_ddp_is_seen_through(place, wrap, group):
    plain = automix(place=place, clean=Concatenated())
    if wrap == "model":
        inner = whole = automix(DistributedDataParallel(net()), place=place, clean=Concatenated())
    else:
        inner = automix(place=place, clean=Concatenated())
        whole = DistributedDataParallel(inner)
    trained(plain, steps=3)
    optimizer = trained(inner, steps=0)
    trained(whole, steps=3, optimizer=optimizer)
    close(plain, inner)
    assert inner.steps == 3
    assert type(inner.deploy()) is type(plain.deploy())


def test_under_ddp_a_block_that_rests_needs_unused_parameters_to_be_found(group):
    plain, inner = (automix(block_every=2, clean=Concatenated()) for _ in "12")
    trained(plain, steps=4)
    optimizer = trained(inner, steps=0)
    trained(DistributedDataParallel(inner, find_unused_parameters=True), steps=4, optimizer=optimizer)
    close(plain, inner)
    other = automix(block_every=2)
    optimizer = trained(other, steps=0)
    with pytest.raises(RuntimeError, match="find_unused_parameters=True"):
        trained(DistributedDataParallel(other), steps=4, optimizer=optimizer)
