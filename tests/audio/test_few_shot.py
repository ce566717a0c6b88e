"""A few clips a class, and a pre-trained network with a new last layer."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

pytest.importorskip("mixkit_audio", reason="needs the extra mixkit[audio]", exc_type=ImportError)

from mixkit import AtSite, BetaPairs, Blend, Mix, Mixed, MultiClass
from mixkit_audio import AudioNet, AudioProblem
from mixkit_audio.few_shot import shots, with_new_head
from mixkit_audio.paper_networks import LeNet


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.integers(0, 5), min_size=30, max_size=90), st.integers(1, 4), st.integers(0, 99))
def test_every_class_gives_as_many_different_clips_as_asked_for(more, count, seed):
    labels = torch.tensor([*more, *[one for one in set(more) for _ in range(4)]])
    rows = shots(labels, count, seeded(seed))
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert torch.bincount(labels[rows])[labels.unique()].tolist() == [count] * len(labels.unique())


def test_five_clips_are_among_the_ten_of_the_same_draw():
    labels = torch.arange(100) % 4
    five, ten = (shots(labels, count, seeded(3)) for count in (5, 10))
    assert set(five.tolist()) < set(ten.tolist())


def test_other_draws_choose_other_clips_and_every_clip_comes_up():
    labels = torch.arange(40) % 4
    drawn = [tuple(shots(labels, 2, seeded(seed)).tolist()) for seed in range(60)]
    assert len(set(drawn)) > 50
    assert {row for rows in drawn for row in rows} == set(range(40))


def test_a_class_with_too_few_clips_is_named():
    with pytest.raises(ValueError, match=r"every class must have 3 clips, got 2 of class 7"):
        shots(torch.tensor([1, 1, 1, 7, 7]), 3, seeded())


def test_what_are_no_class_codes_or_counts_is_refused():
    with pytest.raises(ValueError, match=r"labels must be class codes \(n,\)"):
        shots(torch.zeros(3), 1, seeded())
    with pytest.raises(ValueError, match=r"labels must be class codes \(n,\)"):
        shots(torch.zeros(3, 2, dtype=torch.int64), 1, seeded())
    with pytest.raises(ValueError, match="per_class must be at least 1"):
        shots(torch.tensor([0, 1]), 0, seeded())


@pytest.mark.parametrize("network", [lambda: AudioNet(8000, None, None, 6), lambda: LeNet(6)])
def test_all_but_the_last_layer_is_a_copy(network):
    base = network()
    before = {name: value.clone() for name, value in base.state_dict().items()}
    changed = with_new_head(base, 3, seeded())
    last = [name for name, module in base.named_modules() if isinstance(module, nn.Linear)][-1]
    for name, value in changed.state_dict().items():
        if name.startswith(f"{last}."):
            assert len(value) == 3
        else:
            assert torch.equal(value, before[name])
    with torch.no_grad():
        for weights in changed.parameters():
            weights.add_(1.0)
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())


def test_the_new_layer_is_drawn_as_torch_draws_its_own():
    torch.manual_seed(0)
    usual = nn.Linear(64, 5000)
    new = with_new_head(nn.Sequential(nn.Linear(64, 6)), 5000, seeded())[0]
    for name in ("weight", "bias"):
        drawn, own = getattr(new, name).detach(), getattr(usual, name).detach()
        assert float(drawn.abs().max()) == pytest.approx(float(own.abs().max()), rel=0.01)
        assert float(drawn.std()) == pytest.approx(float(own.std()), rel=0.03)
        assert getattr(new, name).requires_grad


def test_a_generator_decides_the_new_layer_and_the_global_one_is_left_alone(global_state):
    base, before = nn.Linear(8, 6, bias=False), global_state()
    first, again, other = (with_new_head(base, 3, seeded(seed)) for seed in (0, 0, 1))
    with_new_head(base, 3)
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)
    assert first.bias is None
    assert global_state() == before


def test_dtype_and_mode_are_those_of_the_old_layer():
    changed = with_new_head(nn.Sequential(nn.Linear(8, 6).double()).eval(), 2, seeded())
    assert changed[0].weight.dtype == torch.float64
    assert not changed[0].training


def test_a_network_that_was_mixed_in_can_be_mixed_in_again():
    base, waves = AudioNet(8000, None, None, 6), torch.randn(4, 1, 4000, generator=seeded())
    mix, place = Mix(Blend(), BetaPairs(1.0)), AtSite("frontend")
    Mixed(base, MultiClass(6), mix, place, generator=seeded())(waves, torch.eye(6)[:4])
    task = MultiClass(2)
    fresh = with_new_head(AudioNet(8000, None, None, 6), 2, seeded())
    fresh.load_state_dict(with_new_head(base, 2, seeded()).state_dict())
    targets = task.encode(torch.tensor([0, 1, 1, 0]))
    both = [
        Mixed(net, task, mix, place, generator=seeded())(waves, targets)["mixed"]
        for net in (with_new_head(base, 2, seeded()), fresh)
    ]
    torch.testing.assert_close(both[0], both[1])


def test_networks_without_linear_layers_and_no_classes_are_refused():
    with pytest.raises(ValueError, match="network must have a linear layer to replace, got ReLU"):
        with_new_head(nn.ReLU(), 2)
    with pytest.raises(ValueError, match="classes must be at least 1"):
        with_new_head(nn.Linear(2, 2), 0)


@pytest.fixture(scope="module")
def recipe():
    path = Path(__file__).parents[2] / "benchmarks" / "few_shot_keywords.py"
    spec = importlib.util.spec_from_file_location("few_shot_keywords", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["few_shot_keywords"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["few_shot_keywords"]


@pytest.fixture(scope="module")
def problem():
    """Return clips of noise: four words and silence, two clips of each by each of fifteen speakers."""
    draw = np.random.default_rng(0)
    labels, groups = np.repeat(np.arange(5), 30), np.tile(np.repeat(np.arange(15), 2), 5)
    return AudioProblem(
        name="noise",
        title="noise",
        waves=draw.integers(-3000, 3000, (150, 1600)).astype(np.int16),
        rate=8000,
        labels=labels,
        classes=("_silence_", "a", "b", "c", "d"),
        groups=groups,
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_recipe_tests_new_words_by_speakers_that_were_never_trained_on(recipe, problem, seed):
    cell = recipe.cell_of(problem, seed)
    base, pool, test = (set(problem.labels[rows].tolist()) for rows in (cell.base, cell.pool, cell.test))
    assert pool == test
    assert sorted(base | pool) == [1, 2, 3, 4]
    assert not base & pool
    trained = {*problem.groups[cell.base].tolist(), *problem.groups[cell.pool].tolist()}
    assert len(trained) == 9
    assert not trained & set(problem.groups[cell.test].tolist())
    assert (len(cell.base), len(cell.pool), len(cell.test)) == (36, 36, 24)


def test_labels_of_the_recipe_name_the_same_word_in_the_pool_and_in_the_test(recipe, problem):
    cell = recipe.cell_of(problem, 0)
    names = [
        dict(zip(labels.tolist(), problem.labels[rows].tolist(), strict=True))
        for rows, labels in ((cell.pool, cell.pool_labels), (cell.test, cell.test_labels))
    ]
    assert names[0] == names[1]
    assert sorted(names[0]) == [0, 1]


def test_the_recipe_scores_every_combination_of_phases(recipe, problem, monkeypatch):
    monkeypatch.setattr(recipe, "STEPS", {"first": 2, "second": 1})
    cells, sizes = zip(*[recipe.run_cell(problem, seed) for seed in range(2)], strict=True)
    assert set(cells[0]) == {(f, s, n) for f in recipe.FIRST for s in recipe.SECOND for n in recipe.SHOTS}
    assert all(0 <= value <= 100 for scores in cells[0].values() for value in scores)
    assert sizes[0] == (72, 24)
    text = "\n".join(recipe.report(cells, sizes))
    assert text.count("| mix-training | mix-training |") == 4
