"""The data-level door: in a loop, as pairs, as collate_fn with workers; refusals."""

import copy
import pickle

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from mixkit import BetaPairs, Blend, Chain, CutMix, Mix, Mixer, MultiClass, MultiLabel, Regression

SIZE = 12
TASK = MultiClass(SIZE)
DERANGED = Mix(Blend(), BetaPairs(1.0, derange=True))
DATA = TensorDataset(torch.eye(SIZE), torch.arange(SIZE))  # sample i is the i-th unit vector: inputs show the targets
WORKERS = pytest.mark.filterwarnings(
    "ignore:This DataLoader will create:UserWarning",  # on one core
    "ignore:This process .* is multi-threaded:DeprecationWarning",  # Python 3.12 and later, of every fork
)


def mixer(mix=DERANGED, task=TASK, seed=0):
    return Mixer(mix, task, torch.Generator().manual_seed(seed))


def epochs(collate, number=2, *, workers=2, persistent=False, seed=0, between=lambda: None, context=None):
    """Return the targets of every batch of every epoch."""
    loader = DataLoader(
        DATA, batch_size=3, num_workers=workers, persistent_workers=persistent, collate_fn=collate,
        generator=torch.Generator().manual_seed(seed), multiprocessing_context=context,
    )  # fmt: skip
    found = []
    for epoch in range(number):
        if epoch:
            between()
        found.append([])
        for x, t in loader:
            torch.testing.assert_close(x, t)
            found[-1].append(t)
    return found


def shares(found):
    """Return the own shares of all samples, rounded, in a flat list for each epoch."""
    return [[round(float(t.amax(1)[i]), 6) for t in epoch for i in range(len(t))] for epoch in found]


def test_inputs_and_targets_are_mixed_alike():
    x, t = mixer()(torch.eye(SIZE), torch.arange(SIZE))
    assert t.dtype == torch.float32
    torch.testing.assert_close(x, t)
    assert bool((t.amax(1) < 1).all())


def test_the_pair_form_says_the_same_as_soft_targets():
    for mix in (DERANGED, Mix(CutMix(), BetaPairs(1.0))):
        images, labels = torch.rand(6, 3, 8, 8), torch.tensor([3, 1, 4, 1, 5, 9])
        soft_x, soft = mixer(mix)(images, labels)
        x, own, other, lam = mixer(mix).pair(images, labels)
        assert torch.equal(x, soft_x)
        assert torch.equal(own, labels)
        eye = torch.eye(SIZE)
        torch.testing.assert_close(lam[:, None] * eye[own] + (1 - lam)[:, None] * eye[other], soft)
        assert lam.dtype == torch.float32


def test_a_plan_mixes_several_views_and_masks_alike():
    images, labels = torch.rand(4, 3, 8, 8), torch.arange(4)
    plan = mixer(Mix(CutMix(), BetaPairs(1.0))).plan(images, labels)
    pasted = plan.apply(images) != images
    masks = torch.arange(4).view(4, 1, 1).expand(4, 8, 8)
    assert torch.equal(plan.apply(masks) != masks, pasted[:, 0])
    assert plan.targets(TASK.encode(labels)).shape == (4, SIZE)


def test_the_callers_tensors_and_generators_are_left_alone(global_state):
    x, labels = torch.eye(SIZE), torch.arange(SIZE)
    before = global_state()
    mixer()(x, labels)
    Mixer(DERANGED, TASK)(x, labels)
    assert torch.equal(x, torch.eye(SIZE))
    assert torch.equal(labels, torch.arange(SIZE))
    assert global_state() == before


def test_the_same_generator_draws_the_same_and_a_fresh_one_another():
    a, b = (mixer()(torch.eye(SIZE), torch.arange(SIZE))[1] for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(Mixer(DERANGED, TASK)(torch.eye(SIZE), torch.arange(SIZE))[1], a)


def test_nothing_is_mixed_from_until_on():
    ends = mixer(Mix(Blend(), BetaPairs(1.0, derange=True), until=0.5))
    ends.set_progress(0.49)
    assert not torch.equal(ends(torch.eye(SIZE), torch.arange(SIZE))[1], torch.eye(SIZE))
    ends.set_progress(0.5)
    assert torch.equal(ends(torch.eye(SIZE), torch.arange(SIZE))[1], torch.eye(SIZE))


def test_as_collate_fn_it_takes_samples_without_workers():
    found = epochs(mixer(), workers=0)
    drawn = shares(found)
    assert len(set(drawn[0] + drawn[1])) == 2 * SIZE
    assert shares(epochs(mixer(), workers=0)) == drawn


@WORKERS
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_draw_differently_in_every_worker_and_epoch_and_the_same_again(persistent):
    drawn = shares(epochs(mixer(), persistent=persistent))
    assert len(set(drawn[0] + drawn[1])) == 2 * SIZE  # two workers, two epochs: no draw twice
    assert shares(epochs(mixer(), persistent=persistent)) == drawn
    assert shares(epochs(mixer(seed=1), persistent=persistent)) != drawn
    assert shares(epochs(mixer(), persistent=persistent, seed=1)) != drawn


@WORKERS
def test_ranks_draw_differently_from_the_same_seeds(monkeypatch):
    drawn = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        drawn.append(shares(epochs(mixer(), number=1)))
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda original: pickle.loads(pickle.dumps(original))])
def test_a_copy_goes_on_drawing_where_the_original_was(copied):
    original = mixer()
    original(torch.eye(SIZE), torch.arange(SIZE))
    original.set_progress(0.25)
    twin = copied(original)
    assert torch.equal(*(each(torch.eye(SIZE), torch.arange(SIZE))[1] for each in (original, twin)))
    assert shares(epochs(twin, workers=0)) == shares(epochs(original, workers=0))
    assert twin.generator.initial_seed() == original.generator.initial_seed()
    twin.set_progress(1.0)
    assert torch.equal(twin(torch.eye(SIZE), torch.arange(SIZE))[1], torch.eye(SIZE))
    assert not torch.equal(original(torch.eye(SIZE), torch.arange(SIZE))[1], torch.eye(SIZE))


@WORKERS
@pytest.mark.slow
def test_workers_that_are_spawned_share_the_progress():
    collate = mixer()
    first, second = epochs(
        collate, workers=1, persistent=True, between=lambda: collate.set_progress(1.0), context="spawn"
    )
    assert max(shares([first])[0]) < 1
    assert set(shares([second])[0]) == {1.0}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: mixer()(torch.eye(SIZE)),
            r"labels must be given with inputs, got only Tensor; as a collate_fn the mixer",
        ),
        (lambda: mixer()([torch.eye(SIZE)]), r"labels must be given with inputs, got only list"),
        (lambda: mixer()([]), r"labels must be given with inputs, got only list"),
        (lambda: mixer()(torch.eye(3), [0, 1]), r"inputs and targets must have one length, got 3 and 2"),
        (
            lambda: mixer()(torch.eye(2), [0, -100]),
            r"labels must all be there: .* drop those rows, or train through an",
        ),
        (
            lambda: mixer()(torch.eye(2), [0, SIZE]),
            r"labels must be in 0..11 \(or -100 where missing\), got labels\[1\]=12",
        ),
        (
            lambda: mixer()(torch.eye(2) * torch.nan, [0, 1]),
            r"inputs must be finite, got NaN or infinite values in rows",
        ),
        (lambda: mixer()(torch.eye(2).long(), [0, 1]), r"Blend averages values, got torch.int64"),
        (lambda: mixer(task=MultiLabel(1))(torch.eye(2), [[0], [float("nan")]]), r"labels must all be there"),
        (
            lambda: mixer(task=Regression())(torch.eye(2), [0.0, float("nan")]),
            r"labels must be finite, got labels\[1\]",
        ),
        (lambda: mixer(Chain([DERANGED])).pair(torch.eye(2), torch.arange(2)), r"pair must have a mix of two samples"),
        (lambda: mixer().set_progress(1.1), r"progress must be in \[0, 1\], got progress=1.1"),
    ],
)
def test_bad_batches_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
