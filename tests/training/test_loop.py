"""The training loop: what a run's seed decides, what it leaves alone, and when it gives up."""

import itertools
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from mixkit import AtInputs, Erm, MultiClass
from mixkit.comparison.problems import Prepared, Recipe
from mixkit.objectives import Objective
from mixkit.training import train, training_fabric
from mixkit.training.loop import batches, build_model, seeded_step, steps_per_epoch

ROWS = 37


@pytest.fixture
def prepared():
    """Return rows in which sample i is the number i, a linear model with dropout, and two classes."""
    task = MultiClass(2)
    numbers = torch.arange(float(ROWS))[:, None]
    return Prepared(
        task=task,
        targets=task.encode(torch.arange(ROWS) % 2),
        batch=lambda rows: numbers[rows],
        model=lambda: nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.5), nn.Linear(8, 2)),
        place=AtInputs(),
        sites=(),
        recipe=Recipe(epochs=3, batch_size=10, learning_rate=0.1),
        show=lambda inputs, i: "",
        card={},
    )


class Watched(Erm):
    """Empirical risk that keeps what it was given."""

    def __init__(self, model, task):
        super().__init__(model, task)
        self.seen = []

    def training_terms(self, inputs, targets, weights):
        self.seen.append(inputs.flatten().tolist())
        return super().training_terms(inputs, targets, weights)


class Scaled(Objective):
    """A loss that is what it is told to be, in one of two terms."""

    factor = 1.0

    def training_terms(self, inputs, targets, weights):
        loss = self.task.loss(self.model(inputs), targets, weights)
        return {"mixed": self.factor * loss, "penalty": 0 * loss}


def run(objective, prepared, recipe=None, seed=5):
    """Train on all rows and return the records."""
    recipe = prepared.recipe if recipe is None else recipe
    return list(
        train(objective, prepared, np.arange(ROWS), prepared.targets, recipe, seed=seed, fabric=training_fabric())
    )


def test_an_epoch_is_every_row_once_in_a_new_order_the_last_smaller_batch_included(prepared):
    objective = Watched(build_model(prepared, 0), prepared.task)
    run(objective, prepared)
    assert [len(batch) for batch in objective.seen] == [10, 10, 10, 7] * 3
    epochs = [list(itertools.chain(*objective.seen[i : i + 4])) for i in (0, 4, 8)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(ROWS))] * 3
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_record_after_every_epoch_says_what_it_came_to(prepared):
    records = run(Erm(build_model(prepared, 0), prepared.task), prepared)
    assert [record.number for record in records] == [1, 2, 3]
    assert all(record.seconds > 0 and record.peak_bytes > 0 and np.isfinite(record.loss) for record in records)


def test_the_seed_decides_everything_and_nothing_else_does(prepared):
    def trained(seed, disturb):
        torch.manual_seed(disturb)
        model = build_model(prepared, 0)
        run(Erm(model, prepared.task), prepared, seed=seed)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(trained(5, 1), trained(5, 2))
    assert not torch.equal(trained(5, 1), trained(6, 1))


def test_no_global_generator_is_left_changed(prepared, global_state):
    before = global_state()
    run(Erm(build_model(prepared, 0), prepared.task), prepared)
    assert global_state() == before


def test_methods_of_a_seed_see_the_same_batches_whatever_they_draw(prepared):
    class Drawing(Watched):
        def training_terms(self, inputs, targets, weights):
            torch.rand(3)
            return super().training_terms(inputs, targets, weights)

    plain, drawing = (kind(build_model(prepared, 0), prepared.task) for kind in (Watched, Drawing))
    run(plain, prepared)
    run(drawing, prepared)
    assert plain.seen == drawing.seen


def test_networks_of_a_seed_start_from_the_same_weights(prepared):
    first, again, other = (build_model(prepared, seed) for seed in (0, 0, 1))
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)


def test_augmentation_draws_differ_by_epoch_and_not_by_run(prepared):
    augmented = replace(
        prepared, augment=lambda inputs, generator: inputs + torch.rand(len(inputs), 1, generator=generator)
    )
    rows = np.arange(ROWS)
    epochs = [[inputs for inputs, _ in batches(augmented, rows, 10, 5, epoch)] for epoch in (0, 0, 1)]
    shifts = [sorted((torch.cat(epoch) % 1).flatten().tolist()) for epoch in epochs]
    assert shifts[0] == shifts[1]
    assert shifts[0] != shifts[2]


def test_the_learning_rate_falls_along_a_cosine_to_zero(prepared, monkeypatch):
    rates = []
    step = torch.optim.AdamW.step

    def watched(self, *arguments, **named):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    run(Erm(build_model(prepared, 0), prepared.task), prepared, Recipe(epochs=2, batch_size=20, learning_rate=0.8))
    assert rates == pytest.approx([0.8, 0.4 + 0.4 * 2**-0.5, 0.4, 0.4 - 0.4 * 2**-0.5])


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(prepared, factor):
    objective = Scaled(build_model(prepared, 0), prepared.task)
    objective.factor = factor
    with pytest.raises(
        FloatingPointError, match=r"the loss became (nan|inf) in epoch 1; lower the learning rate, got 0.1"
    ):
        run(objective, prepared)


def test_terms_are_summed(prepared):
    once, twice = (Scaled(build_model(prepared, 0), prepared.task) for _ in range(2))
    twice.factor = 2.0
    recipe = Recipe(epochs=1, batch_size=ROWS, learning_rate=1e-9)
    assert run(twice, prepared, recipe)[0].loss == pytest.approx(2 * run(once, prepared, recipe)[0].loss)


def test_inputs_that_are_a_frozen_container_reach_the_model_as_they_are(prepared):
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Boxed:
        values: torch.Tensor

        def to(self, device):
            return Boxed(self.values.to(device))

    class Unboxing(nn.Linear):
        def forward(self, inputs):
            assert isinstance(inputs, Boxed)
            return super().forward(inputs.values)

    boxed = replace(prepared, batch=lambda rows: Boxed(prepared.batch(rows)), model=lambda: Unboxing(1, 2))
    for precision in ("32-true", "bf16-mixed"):
        fabric = training_fabric(precision=precision)
        objective = Erm(build_model(boxed, 0), prepared.task)
        (record,) = train(objective, boxed, np.arange(8), prepared.targets, Recipe(1, 4), seed=0, fabric=fabric)
        assert np.isfinite(record.loss)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu9"}, "device and precision must exist here, got device='gpu9', precision='32-true'"),
        ({"precision": "7-bit"}, "device and precision must exist here, got device='cpu', precision='7-bit'"),
    ],
)
def test_a_device_or_precision_that_is_not_there_is_told(options, message):
    with pytest.raises(ValueError, match=message):
        training_fabric(**options)


def test_a_run_is_not_announced(caplog, capfd):
    with caplog.at_level(logging.INFO):
        training_fabric(precision="bf16-mixed")
    assert capfd.readouterr() == ("", "")


def test_a_seeded_step_draws_the_same_and_gives_the_generator_back(global_state):
    before = global_state()
    with seeded_step(3, torch.device("cpu")):
        first = torch.rand(2)
    with seeded_step(3, torch.device("cpu")):
        assert torch.equal(torch.rand(2), first)
    assert global_state() == before


def test_seeding_a_step_keeps_nothing_for_accelerators_that_are_idle():
    queued = torch.cuda._queued_calls
    before = len(queued)
    with seeded_step(3, torch.device("cpu")):
        pass
    assert len(queued) == before


def test_batches_are_counted_with_the_last_smaller_one():
    assert [steps_per_epoch(rows, 10) for rows in (1, 10, 11)] == [1, 1, 2]
