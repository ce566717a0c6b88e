"""Learned mixing on tables as they are read: gaps, constant columns, columns of one kind, one column only."""

import numpy as np
import pandas as pd
import pytest
import torch

import mixkit
from mixkit.comparison.problems import LoadOptions
from mixkit.randomness import derived_generator
from mixkit_tabular import ADAPTER

DRAW = np.random.default_rng(0)
NUMBERS = {"a": DRAW.normal(size=40), "b": DRAW.normal(size=40)}
WITH_GAPS = {**NUMBERS, "c": np.where(np.arange(40) % 5 == 0, np.nan, DRAW.normal(size=40))}
TOWNS = {"town": DRAW.choice(["Ulm", "Wien"], 40), "street": [f"s{i % 12}" for i in range(40)]}
CONSTANT = {"one": np.where(np.arange(40) < 35, 1.0, np.arange(40))}  # varies behind the training rows only


def prepared(tmp_path, columns, target="kind"):
    frame = pd.DataFrame(columns).assign(kind=DRAW.choice(["no", "yes"], 40), value=DRAW.normal(size=40))
    frame = frame.drop(columns="value" if target == "kind" else "kind")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    return ADAPTER.load(tmp_path / "rows.csv", LoadOptions(target=target)).prepare(np.arange(30))


def built(fitted, method):
    torch.manual_seed(0)
    model = fitted.model()
    tokens = fitted.tokens(model, derived_generator(0))
    objective = mixkit.objective(
        method, model, fitted.task, derived_generator(1), place=fitted.place, tokens=tokens, total_steps=10
    )
    return objective, tokens


def test_a_gap_is_mixed_with_the_column_that_has_it(tmp_path):
    fitted = prepared(tmp_path, {**WITH_GAPS, **TOWNS})
    objective, _ = built(fitted, "automix")
    rows = torch.tensor([0, 1])  # row 0 has a gap in column c
    inputs = fitted.batch(rows)
    embed = objective.model.embed
    mark = 3  # behind the three numbers
    with torch.no_grad():
        clean = embed(inputs)
        plan = objective.plan(inputs, fitted.targets[rows])
        mixed = plan.apply(clean)
    assert clean[:, mark].tolist() == [1.0, 0.0]
    own = plan.weights()[0, 0]
    assert own.shape == (5,)
    assert float(mixed[0, mark]) == pytest.approx(float(own[2]), abs=1e-6)
    other = int(plan.sources.index[0, 1])
    number = float(own[2] * clean[0, 2] + (1 - own[2]) * clean[other, 2])
    assert float(mixed[0, 2]) == pytest.approx(number, abs=1e-6)


@pytest.mark.parametrize("method", ["automix", "automix-lean", "automix+e", "samix", "adautomix", "adautomix-2"])
@pytest.mark.parametrize(
    ("columns", "count"),
    [(NUMBERS, 2), (TOWNS, 2), ({**CONSTANT, **WITH_GAPS}, 3), ({"a": NUMBERS["a"]}, 1), ({"town": TOWNS["town"]}, 1)],
    ids=["numbers", "categories", "gaps-and-a-constant", "one-number", "one-category"],
)
def test_every_learned_method_takes_a_step_on_tables_of_any_kind(tmp_path, columns, count, method):
    fitted = prepared(tmp_path, columns)
    objective, tokens = built(fitted, method)
    assert len(set(tokens.span_of.tolist())) == count
    rows = torch.arange(12)
    terms = objective(fitted.batch(rows), fitted.targets[rows])
    sum(terms.values()).backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in objective.parameters())


def test_a_column_of_numbers_can_be_the_target(tmp_path):
    fitted = prepared(tmp_path, {**WITH_GAPS, **TOWNS}, target="value")
    objective, _ = built(fitted, "automix")
    rows = torch.arange(12)
    sum(objective(fitted.batch(rows), fitted.targets[rows]).values()).backward()
    assert any(bool(p.grad.any()) for p in objective.block.parameters())
