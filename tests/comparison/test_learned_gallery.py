"""What methods that learn how to mix have to show: weights over the pair, as the trained plan has them."""

import base64
import copy
import io
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mixkit.automix import AutoMix
from mixkit.comparison.entry import open_entries
from mixkit.comparison.gallery import gallery, inside, picked_rows, untrained
from mixkit.comparison.learned_gallery import (
    Mixes,
    learned_gallery,
    learns_to_mix,
    most_mixed,
    packed,
    unpacked,
    weights_of_tokens,
    weights_on,
)
from mixkit.comparison.run import execute, learned_items, train_trial
from mixkit.comparison.settings import Settings
from mixkit.comparison.showing import show_method
from mixkit.comparison.tuning import Trial
from mixkit.method import methods
from mixkit.placement import AtSite
from mixkit.training.loop import training_fabric


def embedded(modality, method="automix", **settings):
    """Return the first embedded problem of a modality as an entry."""
    return open_entries(Settings(modality=modality, methods=(method,), epochs=1, **settings))[0][0]


def trained(entry, method):
    """Return a run of `method` on a few rows of the first cell, and what one epoch made of it."""
    cell = entry.cells()[0]
    run = entry.run(method, replace(cell, train=cell.train[:120]))
    prepared, fabric = entry.first_prepared, training_fabric()
    return run, train_trial(entry.problem, prepared, run, Trial(run.parameters), fabric=fabric, progress=None)


@pytest.fixture(scope="module")
def digits():
    """Return the embedded digits, and automix after an epoch on some of them."""
    entry = embedded("image")
    return entry, *trained(entry, "automix")


@pytest.fixture
def shown(digits):
    """Return () -> (items, the batch that they show); the same at each call."""
    entry, run, result = digits
    cell = run.cell

    def show(pairs=3):
        items = learned_gallery(
            entry.problem,
            entry.first_prepared,
            "automix",
            copy.deepcopy(result.objective),
            cell.train,
            trained="by a test",
            pairs=pairs,
        )
        objective = inside(copy.deepcopy(result.objective))
        with torch.no_grad():
            return items, Mixes.drawn(entry.first_prepared, objective, picked_rows(cell.train, pairs, 0))

    return show


def ranges(fragment):
    """Return (lowest, highest, mean) of each coloured map in a fragment, from its text for those who cannot see it."""
    found = re.findall(r'class="heat" alt="weight of the [^:]*: ([\d.]+)(?: to ([\d.]+))?, mean ([\d.]+)"', fragment)
    return [(float(low), float(high or low), float(mean)) for low, high, mean in found]


def test_every_pair_has_its_mixture_and_two_coloured_maps(shown):
    items, _ = shown(pairs=4)
    assert len(items) == 4
    for item in items:
        assert all("<img" in part for part in (item.own, item.partner, item.mixed))
        assert len(ranges(item.weights)) == 2
        assert item.weights.count("data:image/png") == 2
        assert (item.method, item.trained, item.further) == ("automix", "by a test", ())


def test_the_weights_that_are_told_are_the_plan_s(shown):
    items, batch = shown()
    weights = batch.plan.weights()
    for item, (i, _) in zip(items, most_mixed(batch.plan), strict=False):
        for told, own in zip(ranges(item.weights), weights[i], strict=True):
            # 4 x 4 cells of equal size on 8 x 8 pixels: the mean over pixels is the mean over cells
            np.testing.assert_allclose(told, [own.min(), own.max(), own.mean()], atol=0.00501)


def test_the_weights_on_a_picture_are_those_it_is_mixed_with(shown):
    _, batch = shown()
    weights = weights_on(batch.plan, batch.inputs.shape).numpy()
    cells = batch.plan.weights().numpy()
    np.testing.assert_allclose(weights, cells.repeat(2, axis=2).repeat(2, axis=3), atol=1e-6)
    pixels, partner = batch.inputs.numpy(), batch.plan.sources.index[:, 1].numpy()
    expected = weights[:, :1] * pixels + weights[:, 1:] * pixels[partner]
    np.testing.assert_allclose(batch.mixed.numpy(), expected, atol=1e-6)


def test_rows_are_shown_by_how_evenly_they_are_shared_and_never_with_themselves(shown):
    items, batch = shown(pairs=5)
    rows = most_mixed(batch.plan)
    apart = [abs(float(batch.plan.sources.lam[i, 0]) - 0.5) for i, _ in rows]
    assert apart == sorted(apart)
    assert all(sources[0] == i != sources[1] for i, sources in rows)
    shares = [float(item.caption.split()[0]) for item in items]
    np.testing.assert_allclose(shares, [float(batch.plan.labels[i, 0]) for i, _ in rows[:5]], atol=0.00501)


def test_what_is_packed_for_the_store_comes_back(shown):
    items, _ = shown()
    assert unpacked(packed(items)) == items
    assert unpacked(packed([])) == []


def test_a_mix_of_three_shows_three_pictures_three_maps_and_three_shares():
    entry = embedded("image", "adautomix")
    _, result = trained(entry, "adautomix")
    rows = entry.cells()[0].train
    (item,) = learned_gallery(
        entry.problem, entry.first_prepared, "adautomix", result.objective, rows, trained="", pairs=1
    )
    assert len(item.further) == 1
    assert len({item.own, item.partner, *item.further}) == 3
    means = [mean for _, _, mean in ranges(item.weights)]
    assert sum(means) == pytest.approx(1, abs=0.016)
    assert sum(map(float, re.findall(r"(\d\.\d\d) of ", item.caption))) == pytest.approx(1, abs=0.016)


def test_a_table_has_a_bar_a_column_with_both_values():
    entry = embedded("table")
    run, result = trained(entry, "automix")
    state = inside(result.objective).generator.get_state()
    (item,) = learned_items(entry.problem, entry.first_prepared, run, result, pairs=1)
    inside(result.objective).generator.set_state(state)
    with torch.no_grad():
        batch = Mixes.drawn(entry.first_prepared, inside(result.objective), picked_rows(run.cell.train, 1, 0))
    i, _ = most_mixed(batch.plan)[0]
    lines = re.findall(r'<tr><th scope="row">(.*?)</th><td class="weight">.*?</span> (.*?)</td>', item.weights)
    preprocessor = entry.first_prepared.show.args[0]
    columns = list(preprocessor.original(batch.inputs, i))
    expected = [f"{own:.2f} + {other:.2f}" for own, other in batch.plan.weights()[i].T.tolist()]
    assert lines == list(zip(columns, expected, strict=True))
    assert item.mixed is None


def test_a_spectrogram_s_weights_are_the_same_for_all_its_bins():
    entry = embedded("audio")
    _, result = trained(entry, "automix")
    objective = inside(result.objective)
    with torch.no_grad():
        batch = Mixes.drawn(entry.first_prepared, objective, picked_rows(entry.cells()[0].train, 1, 0))
    weights = weights_on(batch.plan, batch.seen.shape)
    assert weights.shape == (5, 2, *batch.seen.shape[2:])
    assert torch.equal(weights, weights[:, :, :1].expand_as(weights))
    assert len(ranges(batch.weights(0))) == 2
    assert 'class="features"' in batch.mixture(0)


def test_weights_of_hidden_maps_lie_on_them_as_they_are_drawn(digits):
    entry, *_ = digits
    prepared = replace(entry.first_prepared, place=AtSite("stage1"))
    objective = untrained(entry.problem, prepared, methods()["automix"])
    with torch.no_grad():
        batch = Mixes.drawn(prepared, objective, picked_rows(entry.cells()[0].train, 1, 0))
    # a block that knows what it wants: the upper half is the sample's, the lower half the partner's
    logits = torch.zeros_like(batch.plan.logits)
    logits[:, 0, :2], logits[:, 1, 2:] = 100, 100
    batch = replace(batch, plan=replace(batch.plan, logits=logits, blended=None))
    maps = re.findall(r'class="heat" alt="[^"]*" src="data:image/png;base64,([^"]+)"', batch.weights(0))
    own, other = (np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), dtype=float) for data in maps)
    orange = [half[..., 0].mean() - half[..., 2].mean() for half in (own[:4], own[4:], other[:4], other[4:])]
    # drawings of features stand on their head: spectrograms have low frequencies at the bottom
    assert (np.array(orange) > 0).tolist() == [False, True, True, False]


def test_a_graph_shows_the_weights_of_its_own_nodes_and_none_of_the_padding():
    entry = embedded("graph")
    _, result = trained(entry, "automix")
    with torch.no_grad():
        batch = Mixes.drawn(entry.first_prepared, inside(result.objective), picked_rows(entry.cells()[0].train, 1, 0))
    sizes = batch.inputs.ptr.diff().tolist()
    assert len(set(sizes)) > 1
    for i, size in enumerate(sizes):
        weights = weights_of_tokens(batch.plan, i)
        assert weights.shape == (2, size)
        told = re.findall(r"<title>weight ([\d.]+), ", batch.weights(i))
        assert sorted(told) == sorted(f"{weight:.2f}" for weight in weights[0].tolist())
    assert batch.mixture(0) is None


def test_a_problem_without_a_drawing_of_its_own_gets_numbered_bars():
    entry = embedded("table")
    prepared = replace(entry.first_prepared, show_weights=None)
    objective = untrained(entry.problem, prepared, methods()["automix"])
    assert isinstance(objective, AutoMix)
    with torch.no_grad():
        batch = Mixes.drawn(prepared, objective, picked_rows(entry.cells()[0].train, 1, 0))
    tokens = batch.plan.weights().shape[2]
    rows = re.findall(r'<th scope="row">(\d+)</th>', batch.weights(0))
    assert rows == [str(j + 1) for j in range(tokens)]


@pytest.mark.parametrize(
    ("method", "learns"), [("automix", True), ("samix", True), ("mixup", False), ("mixup+ema", False), ("erm", False)]
)
def test_only_methods_with_a_block_need_a_training_to_show(digits, method, learns):
    entry, *_ = digits
    assert learns_to_mix(entry.problem, entry.first_prepared, methods()[method]) is learns


def test_an_averaged_method_shows_what_the_method_inside_shows(digits):
    entry, *_ = digits
    found, rows = methods(), entry.cells()[0].train
    items = gallery(entry.problem, entry.first_prepared, [found["mixup"], found["mixup+ema"]], rows)
    plain, averaged = items[:3], items[3:]
    assert [replace(item, method="mixup") for item in averaged] == plain
    assert {item.method for item in averaged} == {"mixup+ema"}


def test_a_rule_s_gallery_has_no_weights_and_a_learned_one_is_not_drawn_untrained(digits):
    entry, *_ = digits
    found, rows = methods(), entry.cells()[0].train
    items = gallery(entry.problem, entry.first_prepared, [found[name] for name in ("automix", "cutmix", "erm")], rows)
    assert [item.method for item in items] == ["cutmix"] * 3
    assert all((item.weights, item.trained, item.further) == (None, None, ()) for item in items)


def test_show_draws_what_the_first_run_of_a_comparison_drew(entry, told):
    entry = open_entries(replace(entry.settings, methods=("automix", "mixup")))[0][0]
    first, second = entry.cells()
    _, arrays = execute(entry.problem, entry.first_prepared, entry.run("automix", first))
    assert unpacked(arrays["gallery"]) == show_method(entry, "automix", told.screen, pairs=3)
    assert f"automix learns how to mix: training on {len(first.train)} rows first" in told.text
    how = (
        f"Mixing learned in 1 epoch on {len(first.train)} rows; accuracy on {len(first.validation)} rows of validation"
    )
    assert how in told.text
    _, arrays = execute(entry.problem, entry.problem.prepare(second.train), entry.run("automix", second))
    assert "gallery" not in arrays
    _, arrays = execute(entry.problem, entry.first_prepared, entry.run("mixup", first))
    assert "gallery" not in arrays


def test_a_report_draws_learned_methods_in_their_place_without_another_training(compare, settings, monkeypatch):
    chosen = settings(methods=("automix", "mixup", "samix"))
    _, store = compare(chosen)
    page = (store.folder / "report.html").read_text("utf-8")
    assert re.findall("Mixed by (\\w+)", page) == ["automix", "mixup", "samix"]
    assert page.count("Mixing learned in 1 epoch on ") == 2
    assert page.count('class="bars"') == 6

    def nothing(*arguments, **named):
        raise AssertionError("the report must not train")

    monkeypatch.setattr("mixkit.comparison.run.train", nothing)
    compare(chosen)  # every run is there already
    assert re.findall("Mixed by (\\w+)", (store.folder / "report.html").read_text("utf-8")) == [
        "automix",
        "mixup",
        "samix",
    ]
