"""`method="auto"`: what it may choose, when it mixes nothing, what it looks at, and what it reports."""

import numpy as np
import pandas as pd
import pytest

from mixkit_tabular import MixupClassifier, MixupRegressor, choosing
from mixkit_tabular.choosing import FOR_CLASSES, FOR_NUMBERS, SPLITS, WITHOUT, MixingReport, Trial, stop_early, trial


def small(kind=MixupClassifier, **arguments):
    return kind(**{"members": 1, "epochs": 15, "width": 32, "random_state": 0, **arguments})


def overfitted(rows=150):
    """Return rows of which two columns in 30 tell the class, and that noisily: a net that only fits them overfits."""
    draw = np.random.default_rng(0)
    X = draw.normal(size=(rows, 30))
    return X, (X[:, 0] + X[:, 1] + draw.normal(size=rows) > 0).astype(int)


def mislabelled(rows=200):
    """Return four clouds of which every tenth row has a random label: soft targets are what fits them."""
    draw = np.random.default_rng(0)
    centres, y = draw.normal(size=(4, 10)), np.arange(rows) % 4
    X = centres[y] + draw.normal(size=(rows, 10))
    wrong = draw.random(rows) < 0.1
    return X, np.where(wrong, draw.integers(0, 4, rows), y)


def sharp(rows=300):
    """Return rows whose target follows exactly: between any two lies another value than their mean."""
    X = np.random.default_rng(0).uniform(-2, 2, size=(rows, 1))
    return X, np.sin(4 * X[:, 0])


def test_it_mixes_where_that_is_better_by_more_than_a_standard_error():
    model = small(epochs=60).fit(*mislabelled())
    report = model.mixing_report_
    assert report.method != str(WITHOUT)
    chosen = next(t for t in report.trials if t.method == report.method)
    assert chosen.difference < -chosen.standard_error
    assert chosen.difference == min(t.difference for t in report.trials)
    assert len(chosen.losses) == SPLITS


def test_it_mixes_nothing_where_mixing_hurts():
    report = small(MixupRegressor, epochs=60).fit(*sharp()).mixing_report_
    assert report.method == "erm"
    assert "nothing is mixed" in report.reason
    assert [t.method for t in report.trials] == ["erm", "c-mixup", "mixup (alpha=0.2, until=0.5)"]


def test_what_it_may_choose_from_is_what_was_decided_on():
    assert [(c.method, dict(c.parameters)) for c in FOR_CLASSES] == [
        ("label-smoothing", {"smoothing": 0.1}),
        ("mixup", {"alpha": 0.2}),
        ("regmixup", {"alpha": 0.2}),
    ]
    assert [(c.method, dict(c.parameters)) for c in FOR_NUMBERS] == [
        ("c-mixup", {}),
        ("mixup", {"alpha": 0.2, "until": 0.5}),
    ]


def test_the_chosen_method_is_what_the_network_is_trained_with():
    X, y = mislabelled()
    auto = small(epochs=60).fit(X, y)
    name, _, rest = auto.mixing_report_.method.partition(" ")
    alpha = {"mixup (alpha=0.2)": 0.2, "regmixup (alpha=0.2)": 0.2}.get(auto.mixing_report_.method)
    assert name in {"mixup", "regmixup", "label-smoothing"}, rest
    named = small(epochs=60, method=name, mix_alpha=alpha).fit(X, y)
    assert len(auto.history_) == round(auto.mixing_report_.stop * 60)
    assert auto.history_ == named.history_[: len(auto.history_)]


def test_few_rows_are_not_split():
    X, y = overfitted(50)
    report = small(epochs=2).fit(X, y).mixing_report_
    assert report.method == "erm"
    assert "50 rows are too few to choose on" in report.reason
    assert report.trials == ()


def test_groups_are_never_torn_apart(monkeypatch):
    X, y = overfitted()
    groups = np.arange(len(X)) // 5
    seen = []
    fit_network = choosing.fit_network

    def spying(rows, picked, *arguments, **named):
        seen.append(np.unique(rows.groups[picked]))
        assert len(picked) == 5 * len(seen[-1])  # whole groups of five
        return fit_network(rows, picked, *arguments, **named)

    monkeypatch.setattr(choosing, "fit_network", spying)
    small(epochs=2).fit(X, y, groups=groups)
    assert len(seen) >= 4


def test_it_judges_on_an_explicit_validation_set_and_trains_on_all_the_rest(monkeypatch):
    X, y = overfitted()
    seen = []
    fit_network = choosing.fit_network

    def spying(rows, picked, *arguments, validation, **named):
        seen.append((picked.tolist(), validation.tolist()))
        return fit_network(rows, picked, *arguments, validation=validation, **named)

    monkeypatch.setattr(choosing, "fit_network", spying)
    small(epochs=2).fit(X[:100], y[:100], validation=(X[100:], y[100:]))
    assert all(one == (list(range(100)), list(range(100, 150))) for one in seen)


def test_inner_fits_see_a_bounded_number_of_rows(monkeypatch):
    monkeypatch.setattr(choosing, "MOST_ROWS", 80)
    sizes = []
    fit_network = choosing.fit_network

    def spying(rows, picked, *arguments, **named):
        sizes.append(len(picked))
        return fit_network(rows, picked, *arguments, **named)

    monkeypatch.setattr(choosing, "fit_network", spying)
    small(epochs=1).fit(*overfitted())
    assert set(sizes) == {68}  # 85 % of 80


def test_the_standard_error_is_that_of_nadeau_and_bengio():
    found = trial(FOR_CLASSES[0], np.array([0.8, 1.1, 0.9]), np.array([1.0, 1.2, 0.9]), share=15 / 85, stop=1.0)
    differences = np.array([-0.2, -0.1, 0.0])
    assert found.difference == pytest.approx(-0.1)
    assert found.standard_error == pytest.approx(differences.std(ddof=1) * np.sqrt(1 / 3 + 15 / 85))


@pytest.mark.parametrize(
    ("curves", "losses", "stop"),
    [
        ([[3, 1, 2], [3, 1, 2.1], [3, 1, 2.2]], [1, 1, 1], 2 / 3),  # the second epoch is better in all splits
        ([[3, 1, 2], [3, 3, 2], [3, 1.5, 2]], [2, 2, 2], 1.0),  # in the mean too, but not beyond the error
        ([[3, 2, 1], [3, 2, 1], [3, 2, 1]], [1, 1, 1], 1.0),  # the last is the best
        ([[3, 1, 2]], [2], 1.0),  # one split shows no error
    ],
)
def test_training_stops_early_only_where_that_is_shown_to_be_better(curves, losses, stop):
    found, share = stop_early(np.array(curves, float), share=15 / 85)
    assert found.tolist() == losses
    assert share == stop


def test_a_target_of_noise_stops_the_training_early():
    draw = np.random.default_rng(0)
    X, y = draw.normal(size=(200, 10)), draw.normal(size=200)
    model = small(MixupRegressor, epochs=100, learning_rate=1e-2).fit(X, y)
    assert model.mixing_report_.stop < 0.5
    assert len(model.history_) == max(1, round(model.mixing_report_.stop * 100))
    assert f"training stopped after {model.mixing_report_.stop:.0%} of the epochs" in str(model.mixing_report_)


def test_a_report_reads_as_sentences_and_survives_json():
    trials = (Trial("erm", (0.5, 0.75), 0.0, 0.0), Trial("mixup (alpha=0.2)", (0.6,), 0.1, None, 0.25))
    report = MixingReport("erm", "nothing is mixed", "log loss", trials)
    assert str(report).splitlines() == [
        "erm: nothing is mixed",
        "  erm: log loss 0.6250 on 2 splits, difference +0.0000 +- 0.0000",
        "  mixup (alpha=0.2): log loss 0.6000 on 1 split, difference +0.1000, stopped at 25% of the epochs",
    ]
    assert MixingReport.from_card(report.card()) == report


def test_several_targets_and_labels_are_chosen_for_too():
    X, y = overfitted()
    two = np.stack([y, 1 - y], 1)
    assert small(epochs=2).fit(X, two).mixing_report_.metric == "log loss"
    values = pd.DataFrame({"a": X[:, 0], "b": X[:, 1]})
    assert small(MixupRegressor, epochs=2).fit(X, values).mixing_report_.metric.startswith("RMSE")
