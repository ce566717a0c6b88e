"""Tables as problems: loading, preparing, showing, restoring, and the embedded one."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from mixkit.comparison.problems import DataError, LoadOptions
from mixkit.placement import AtSite
from mixkit.tasks import MultiClass, Regression
from mixkit_tabular import ADAPTER


@pytest.fixture
def people(tmp_path):
    """60 rows: a row id, numbers with gaps, categories, a subject, a class and a value."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "row_id": np.arange(60) * 3,
            "age": draw.integers(20, 80, 60).astype(float),
            "town": draw.choice(["<b>A&B</b>", "Ulm", "Wien"], 60),
            "subject": np.arange(60) // 6,
            "value": draw.normal(100, 5, 60).round(3),
            "kind": draw.choice(["no", "yes"], 60),
        }
    )
    frame.loc[3, "age"] = np.nan
    path = tmp_path / "people.csv"
    frame.to_csv(path, index=False)
    return path


def load(path, **options):
    return ADAPTER.load(path, LoadOptions(**options))


def test_a_table_of_classes_is_described_and_prepared(people):
    problem = load(people, target="kind")
    assert problem.title == "people: 60 rows, 3 numeric and 1 categorical columns, 2 classes"
    assert (problem.name, problem.modality, problem.classes) == ("people", "table", ("no", "yes"))
    prepared = problem.prepare(np.arange(40))
    assert prepared.task == MultiClass(2)
    assert prepared.place == AtSite("embed")
    assert torch.equal(prepared.targets.argmax(1), torch.from_numpy(problem.labels))
    assert prepared.model()(prepared.batch(torch.tensor([5, 1, 59]))).shape == (3, 2)


def test_regression_takes_centre_and_scale_from_training_rows(people):
    problem = load(people, target="value")
    prepared = problem.prepare(np.arange(30))
    assert isinstance(prepared.task, Regression)
    assert prepared.task.mean == pytest.approx((problem.labels[:30].mean(),))
    assert prepared.targets.shape == (60, 1)


def test_without_a_target_the_columns_are_listed(people):
    with pytest.raises(DataError, match=r"needs --target.*'row_id', 'age', 'town', 'subject', 'value', 'kind'"):
        load(people)


def test_groups_leave_the_features_and_the_warning_goes(people):
    assert "--group-by subject" in load(people, target="kind").grouped_look
    problem = load(people, target="kind", group_by="subject")
    assert problem.grouped_look is None
    assert problem.groups.tolist() == [i // 6 for i in range(60)]
    assert "subject" not in problem.features
    with pytest.raises(DataError, match=r"--group-by must name a column, got 'subjekt'; did you mean 'subject'\?"):
        load(people, target="kind", group_by="subjekt")
    with pytest.raises(DataError, match="--group-by must not be the target, got 'kind' for both"):
        load(people, target="kind", group_by="kind")


def test_a_table_without_features_is_refused_with_the_reasons(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n1,u\n1,v\n1,u\n")
    with pytest.raises(DataError, match=r"must have a usable feature.*the same value in each row: 'a'"):
        load(path, target="y")


def test_repeated_rows_are_noted(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "1.5,u\n2.5,v\n" * 3)
    assert any(note.startswith("4 rows repeat the features") for note in load(path, target="y").notes)


def test_the_last_arff_attribute_is_the_target_unless_another_is_chosen(tmp_path):
    path = tmp_path / "t.arff"
    path.write_text("@attribute a real\n@attribute b {p,q}\n@attribute c {u,v}\n@data\n" + "1,p,u\n2,q,v\n2,p,v\n" * 3)
    problem = load(path)
    assert (problem.target, problem.classes) == ("c", ("u", "v"))
    assert any("the last attribute, 'c', is the target" in note for note in problem.notes)
    assert load(path, target="b").classes == ("p", "q")


def test_a_problem_survives_pickling_and_its_card_json(people):
    problem = pickle.loads(pickle.dumps(load(people, target="kind")))
    card = problem.prepare(np.arange(60)).card
    assert json.loads(json.dumps(card)) == card


def test_a_row_is_shown_escaped_in_the_units_of_the_table(people):
    problem = load(people, target="kind")
    prepared = problem.prepare(np.arange(60))
    rows = prepared.batch(torch.tensor([3, 7]))
    html = prepared.show(rows, 1)
    assert f"<th>age</th><td>{problem.features['age'][7]:.4g}</td>" in html
    assert "<th>age</th><td><em>missing</em></td>" in prepared.show(rows, 0)
    shown = [prepared.show(prepared.batch(torch.arange(60)), i) for i in range(60)]
    assert any("&lt;b&gt;A&amp;B&lt;/b&gt;" in html for html in shown)
    assert not any("<b>" in html for html in shown)


def test_perturbing_numbers_leaves_marks_and_codes_alone(people):
    prepared = load(people, target="kind").prepare(np.arange(60))
    rows = prepared.batch(torch.tensor([3, 7]))
    values = prepared.continuous(rows)
    assert values.shape == (2, 3)  # age, subject, value; the mark of age's gaps is no number
    changed = prepared.with_continuous(rows, values + 1)
    assert torch.equal(changed.numeric[:, :3], values + 1)
    assert torch.equal(changed.numeric[:, 3:], rows.numeric[:, 3:])
    assert torch.equal(changed.codes, rows.codes)
    assert torch.equal(prepared.continuous(rows), values)


def test_restored_rows_are_the_rows_of_training(people, tmp_path):
    problem = load(people, target="value")
    prepared = problem.prepare(np.arange(45))
    card = json.loads(json.dumps(prepared.card))
    new = pd.read_csv(people)[["town", "kind", "subject", "age", "row_id"]].assign(extra=1)
    new.to_csv(tmp_path / "new.csv", index=False)
    restored, names = ADAPTER.restore(card, tmp_path / "new.csv", LoadOptions())
    everything = torch.arange(60)
    assert names == [str(i) for i in range(60)]
    assert restored.task == prepared.task
    assert restored.card["ignored_columns"] == ["extra"]
    assert torch.equal(restored.batch(everything).numeric, prepared.batch(everything).numeric)
    assert torch.equal(restored.batch(everything).codes, prepared.batch(everything).codes)
    model = restored.model()
    model.load_state_dict(prepared.model().state_dict())
    assert restored.targets.shape == prepared.targets.shape


def test_restoring_without_a_column_lists_it(people, tmp_path):
    card = load(people, target="kind").prepare(np.arange(60)).card
    pd.read_csv(people).drop(columns=["age", "town"]).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError, match="missing are 'age', 'town'"):
        ADAPTER.restore(card, tmp_path / "new.csv", LoadOptions())


def test_a_table_without_header_restores_with_and_without_its_target(tmp_path):
    lines = [f"{'uv'[i % 2]},{i % 5 + 0.5},{i % 3}" for i in range(30)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    (tmp_path / "n.csv").write_text("\n".join(line[2:] for line in lines))
    prepared = load(tmp_path / "t.csv", target="0", header=False).prepare(np.arange(30))
    for name in ("t.csv", "n.csv"):
        restored, _ = ADAPTER.restore(prepared.card, tmp_path / name, LoadOptions())
        assert torch.equal(restored.batch(torch.arange(30)).numeric, prepared.batch(torch.arange(30)).numeric)


def test_the_embedded_table_is_mixed_generated_and_always_the_same():
    (problem,) = ADAPTER.embedded()
    (again,) = ADAPTER.embedded()
    pd.testing.assert_frame_equal(problem.features, again.features)
    assert np.array_equal(problem.labels, again.labels)
    assert "generated" in problem.title
    assert "generated" in problem.notes[0]
    assert len(problem.classes) == 3
    assert len(problem.roles.numeric) >= 3
    assert len(problem.roles.categorical) >= 3
    assert problem.features["acidity"].isna().any()
    assert problem.features["water"].isna().any()
    assert 600 <= len(problem.labels) <= 800


def test_the_embedded_table_can_be_learned():
    (problem,) = ADAPTER.embedded()
    train, test = np.arange(500), torch.arange(500, 700)
    prepared = problem.prepare(train)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = prepared.model()
        optimizer = torch.optim.AdamW(model.parameters(), lr=prepared.recipe.learning_rate)
        for _ in range(30):
            for rows in torch.randperm(500).split(128):
                prepared.task.loss(model(prepared.batch(rows)), prepared.targets[rows]).backward()
                optimizer.step()
                optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        accuracy = prepared.task.score(model(prepared.batch(test)), prepared.targets[test])
    majority = np.bincount(problem.labels).max() / 700
    assert accuracy > majority + 0.15


def test_the_adapter_names_what_it_is_for():
    assert ADAPTER.modality == "table"
