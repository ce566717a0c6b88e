"""Settings are checked, stored, and merged with what is said when resuming."""

import json

import pytest

from mixkit.comparison.problems import LoadOptions
from mixkit.comparison.settings import Settings

BUDGETED = {"digits": {"erm": 12, "mixup": 9}}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"folds": 1}, "--folds must be at least 2, got 1"),
        ({"repeats": 0}, "--repeats must be at least 1, got 0"),
        ({"seeds": 0}, "--seeds must be at least 1, got 0"),
        ({"tune": -1}, "--tune must be at least 0, got -1"),
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        ({"jobs": 0}, "--jobs must be at least 1, got 0"),
        ({"time_budget": 0.0}, "--time-budget must be positive, got 0.0"),
        ({"time_budget": float("nan")}, "--time-budget must be positive, got nan"),
        ({"methods": ()}, "--methods must name at least one method, got none"),
        ({"epochs": 3, "time_budget": 1.0}, "--epochs and --time-budget exclude each other"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_option(wrong, message):
    with pytest.raises(ValueError, match=message):
        Settings(**wrong)


def test_settings_survive_being_stored():
    settings = Settings(methods=("mixup", "mixupe"), folds=3, added=("cutmix",), budgeted=BUDGETED, run_seconds=2.5)
    assert Settings.stored(json.loads(json.dumps(settings.stored_form()))) == settings


def test_what_another_version_stored_besides_is_left_out():
    assert Settings.stored({"folds": 3, "colour": "red"}) == Settings(folds=3)


def test_a_relative_path_is_stored_so_that_it_holds_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Settings(data="some/table.csv").stored_form()["data"] == str(tmp_path / "some" / "table.csv")


def test_the_same_data_by_another_path_are_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stored = Settings(data=str(tmp_path / "table.csv"))
    assert stored.merged(Settings(data="./table.csv")) == stored


@pytest.mark.parametrize(("before", "named"), [(None, "the embedded problems"), ("/there/a.csv", "/there/a.csv")])
def test_other_data_are_refused(before, named):
    with pytest.raises(ValueError, match=f"--resume is for runs on {named}, got DATA 'b.csv'"):
        Settings(data=before).merged(Settings(data="b.csv"))


def test_nothing_said_changes_nothing():
    settings = Settings(methods=("mixup",), folds=3, time_budget=2.0, budgeted=BUDGETED, run_seconds=2.5)
    assert settings.merged(Settings()) == settings


def test_methods_are_added_to_those_named_before():
    merged = Settings(methods=("mixup", "cutmix")).merged(Settings(methods=("mixupe", "mixup")))
    assert merged.methods == ("mixup", "cutmix", "mixupe")


def test_methods_are_added_to_the_short_list_where_none_was_named():
    once = Settings().merged(Settings(methods=("manifold",)))
    twice = once.merged(Settings(methods=("regmixup", "manifold")))
    assert (once.methods, once.added) == (None, ("manifold",))
    assert twice.named() == ("manifold", "regmixup")


def test_a_budget_that_is_no_new_one_keeps_its_epochs():
    settings = Settings(time_budget=2.0, budgeted=BUDGETED, run_seconds=2.5)
    assert settings.merged(Settings(time_budget=2.0, repeats=4)) == Settings(
        time_budget=2.0, budgeted=BUDGETED, run_seconds=2.5, repeats=4
    )


@pytest.mark.parametrize("newer", [Settings(time_budget=3.0), Settings(epochs=4)])
def test_a_new_budget_or_new_epochs_end_the_old_budget(newer):
    settings = Settings(time_budget=2.0, budgeted=BUDGETED, run_seconds=2.5)
    assert settings.merged(newer) == newer


def test_load_options_are_what_was_typed():
    settings = Settings(target="-1", header=False, label_from="(?P<label>.)", group_by="who")
    assert settings.load_options() == LoadOptions("-1", False, "(?P<label>.)", "who")
    assert Settings().load_options() == LoadOptions()
