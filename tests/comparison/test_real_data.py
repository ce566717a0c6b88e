"""Real data of every kind from the command's first word to its report, as briefly as can be."""

import json
import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mixkit.cli import app

DATA = Path(os.environ.get("MIXKIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
QUICK = ("--methods", "mixup", "--folds", "2", "--repeats", "1", "--seeds", "2", "--epochs", "1", "--jobs", "1")

pytestmark = pytest.mark.data


@pytest.fixture
def compared(tmp_path):
    """Return (path below the data, *options) -> the problem's summary, after a quick comparison."""

    def run(path, *options):
        path = DATA / path if isinstance(path, str) else path
        if not path.exists():
            pytest.skip(f"{path} is not there; MIXKIT_DATA names the folder with real data")
        arguments = ["compare", str(path), *options, *QUICK, "--out", str(tmp_path / "out")]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.stderr
        assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
        summary = json.loads((tmp_path / "out" / "summary.json").read_text())
        assert summary["failures"] == []
        (problem,) = summary["problems"].values()
        assert all(method["score"] is not None for method in problem["methods"].values())
        return problem

    return run


def test_a_table(compared):
    problem = compared("tabular/balance.scale.arff")
    assert (problem["rows"], len(problem["classes"]), problem["split"]["kind"]) == (625, 3, "resampled")


def test_a_table_of_numbers_to_predict(compared):
    problem = compared("tabular/yacht.csv.gz", "--target", "resistance")
    assert (problem["rows"], problem["metric"]) == (308, "rmse")


def test_a_folder_of_pictures_with_its_own_split(compared, tmp_path):
    if not (DATA / "cifar10").exists():
        pytest.skip("cifar10 is not there; MIXKIT_DATA names the folder with real data")
    for part, count in (("train", 20), ("test", 10)):
        for kind in ("cat", "ship"):
            target = tmp_path / "pictures" / part / kind
            target.mkdir(parents=True)
            for file in sorted((DATA / "cifar10" / part / kind).iterdir())[:count]:
                shutil.copy(file, target)
    problem = compared(tmp_path / "pictures")
    assert problem["split"] == {"kind": "official", "seeds": 2, "train": 34, "validation": 6, "test": 20}


def test_a_folder_of_clips_grouped_by_speaker(compared, tmp_path):
    if not (DATA / "speech_commands").exists():
        pytest.skip("speech_commands is not there; MIXKIT_DATA names the folder with real data")
    words = [folder for folder in sorted((DATA / "speech_commands").iterdir()) if folder.is_dir()]
    for folder in [folder for folder in words if not folder.name.startswith("_")][:2]:
        (tmp_path / "clips" / folder.name).mkdir(parents=True)
        for file in sorted(folder.iterdir())[:25]:
            shutil.copy(file, tmp_path / "clips" / folder.name)
    problem = compared(tmp_path / "clips", "--group-by", "^(.+)_nohash_")
    assert (problem["modality"], problem["rows"], len(problem["classes"])) == ("audio", 50, 2)


def test_flat_clips_whose_names_hold_the_label(compared, tmp_path):
    if not (DATA / "fsdd").exists():
        pytest.skip("fsdd is not there; MIXKIT_DATA names the folder with real data")
    (tmp_path / "digits").mkdir()
    for file in sorted((DATA / "fsdd").glob("[01]_*_[0-9].wav")):
        shutil.copy(file, tmp_path / "digits")
    problem = compared(tmp_path / "digits", "--label-from", r"^(?P<label>\d)_", "--group-by", r"^\d_([a-z]+)_")
    assert (problem["classes"], problem["rows"]) == (["0", "1"], 80)


def test_graphs(compared):
    problem = compared("graphs/MUTAG")
    assert (problem["modality"], problem["rows"], len(problem["classes"])) == ("graph", 188, 2)


def test_nodes_of_one_graph_with_its_own_split(compared):
    problem = compared("graphs/Cora")
    assert (problem["split"]["kind"], problem["split"]["train"], problem["split"]["test"]) == ("official", 140, 1000)
