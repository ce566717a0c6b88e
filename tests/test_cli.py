"""The command: exit codes, messages and files, never a traceback for what the user can mend."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import mixkit
from mixkit.cli import app
from mixkit.comparison.store import Store

QUICK = ("--folds", "2", "--repeats", "1", "--epochs", "1", "--jobs", "1")


@pytest.fixture
def table(tmp_path):
    """Return the path of a CSV with semicolons, names with blanks and quotes, and two classes."""
    draw, path = np.random.default_rng(0), tmp_path / "my table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["a (cm)", "b; more", 'the "class"'])
        for i in range(40):
            writer.writerow([f"{draw.normal(i % 2):.3f}", draw.choice(["u", "v"]), ["no <b>", "yes 🎉"][i % 2]])
    return path


@pytest.fixture
def pictures(tmp_path):
    """Return a folder of class folders with 20 small pictures, and one that is none."""
    draw, folder = np.random.default_rng(0), tmp_path / "pictures"
    for name, level in (("dark", 60), ("light", 180)):
        (folder / name).mkdir(parents=True)
        for i in range(10):
            pixels = draw.normal(level, 20, (8, 8, 3)).clip(0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    (folder / "dark" / "broken.png").write_bytes(b"\x89PNG rubbish")
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return (*arguments) -> the result of the command, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def invoked(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoked


@pytest.fixture
def compared(run, table):
    """Return the folder of a quick comparison of mixup on the table."""
    result = run("compare", table, "--target", "-1", "--methods", "mixup", "--out", "out", *QUICK)
    assert result.exit_code == 0, result.stderr
    return Path("out")


def test_without_a_command_it_says_what_there_is(run):
    result = run()
    assert all(name in result.output for name in ("compare", "train", "predict", "show", "methods"))


@pytest.mark.parametrize("command", ["compare", "train", "predict", "show", "methods"])
def test_every_command_explains_itself(run, command):
    result = run(command, "--help")
    assert (result.exit_code, "Usage:" in result.output) == (0, True)


def test_every_option_of_a_comparison_is_there(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    text = run("compare", "--help").output
    options = (
        "as target no-header label-from group-by methods folds repeats seeds metric tune until-decided epochs "
        "time-budget jobs device precision out resume json"
    )
    assert [name for name in options.split() if f"--{name}" not in text] == []
    assert "(default: 5)" in text


def test_the_version_is_told(run):
    assert run("--version").stdout == f"mixkit {mixkit.__version__}\n"


def test_methods_are_listed_with_their_papers(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    shown = run("methods").stdout
    assert all(method.name in shown and method.paper in shown for method in mixkit.methods().values())


def test_methods_as_json_hold_what_a_script_needs(run):
    rows = json.loads(run("methods", "--json").stdout)
    assert [row["name"] for row in rows] == list(mixkit.methods())
    (mixup,) = (row for row in rows if row["name"] == "mixup")
    assert mixup["parameters"]["table"] == {"alpha": 0.2, "until": 1.0}


def test_a_comparison_prints_a_table_and_leaves_its_files(compared, run):
    assert sorted(path.name for path in compared.iterdir()) == [
        "outputs",
        "report.html",
        "runs.jsonl",
        "settings.json",
        "summary.json",
    ]
    result = run("compare", "--resume", compared)
    assert (result.exit_code, "mixup" in result.stdout, "report: out" in result.stderr) == (0, True, True)


def test_with_json_nothing_else_is_on_stdout(compared, run):
    result = run("compare", "--resume", compared, "--json")
    assert json.loads(result.stdout) == json.loads((compared / "summary.json").read_text())


def test_resuming_adds_methods_and_repeats_to_what_is_there(compared, run):
    lines = (compared / "runs.jsonl").read_text()
    result = run("compare", "--resume", compared, "--methods", "mixupe", "--repeats", "2")
    assert "8 runs, 4 more are there already" in result.stderr
    assert (compared / "runs.jsonl").read_text().startswith(lines)
    summary = json.loads((compared / "summary.json").read_text())
    assert list(summary["problems"]["my-table"]["methods"]) == ["erm", "mixup", "mixupe"]


def test_a_comparison_can_be_resumed_from_elsewhere(compared, run, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = run("compare", tmp_path / "my table.csv", "--resume", tmp_path / "out")
    assert (result.exit_code, "0 runs, 4 more" in result.stderr) == (0, True)


def test_what_a_folder_was_written_with_is_not_mixed_with_other_data(compared, run, pictures):
    result = run("compare", pictures, "--resume", compared)
    assert result.exit_code == 2
    assert "--resume is for runs on" in result.stderr


WRONG = [
    (("compare", "nowhere"), "nowhere does not exist; check the spelling, or run without DATA"),
    (("compare", "TABLE"), "a table needs --target, the column to predict"),
    (("compare", "TABLE", "--target", "clas"), "--target"),
    (("compare", "TABLE", "--target", "-1", "--folds", "50"), "there must be at least as many rows as folds, got 40"),
    (("compare", "TABLE", "--target", "-1", "--folds", "1"), "--folds must be at least 2, got 1"),
    (("compare", "TABLE", "--target", "-1", "--methods", "mixpu"), "got 'mixpu'; did you mean 'mixup'?"),
    (("compare", "TABLE", "--target", "-1", "--methods", ","), "--methods must name at least one method, got none"),
    (
        ("compare", "TABLE", "--target", "-1", "--methods", "cutmix"),
        "got cutmix; these do: erm, label-smoothing, mixup",
    ),
    (("compare", "TABLE", "--target", "-1", "--metric", "acuracy"), "got 'acuracy'; did you mean 'accuracy'?"),
    (("compare", "TABLE", "--target", "-1", "--metric", "rmse"), "metric must be one of accuracy"),
    (
        ("compare", "TABLE", "--target", "-1", "--device", "gpu9"),
        "device and precision must exist here, got device='gpu9'",
    ),
    (("compare", "TABLE", "--target", "-1", "--precision", "8"), "'8' is not one of"),
    (("compare", "TABLE", "--target", "-1", "--as", "imag"), "'imag' is not one of"),
    (("compare", "TABLE", "--as", "image"), "data must be a folder"),
    (
        ("compare", "TABLE", "--target", "-1", "--epochs", "2", "--time-budget", "1"),
        "--epochs and --time-budget exclude",
    ),
    (("compare", "--target", "y"), "--target, --no-header, --label-from and --group-by are about DATA"),
    (("compare", "--methods", "mixup", "--resume", "nowhere"), "--resume must name the folder of a comparison"),
    (("compare", "--out", "a", "--resume", "b"), "--resume must name the folder of a comparison"),
    (("compare", "--colour"), "No such option"),
    (("train", "TABLE", "--target", "-1", "--method", "nomix", "--out", "m"), "methods must be among"),
    (("train", "TABLE", "--target", "-1", "--method", "mixup", "--out", "TABLE"), "File exists"),
    (("train", "nowhere", "--method", "mixup", "--out", "m"), "nowhere does not exist"),
    (("predict", "nowhere", "TABLE"), "nowhere must be a folder written by `mixkit train`"),
    (("show", "TABLE", "--target", "-1", "--method", "erm", "--out", "s.html"), "--method must be one that mixes"),
    (("show", "TABLE", "--target", "-1", "--method", "mixup", "--out", "no/such/s.html"), "No such file or directory"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_wrong_use_is_told_and_ends_with_2(run, table, tmp_path, arguments, message):
    before = set(tmp_path.rglob("*"))
    result = run(*(table if argument == "TABLE" else argument for argument in arguments))
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert set(tmp_path.rglob("*")) == before  # nothing is left behind either


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table"),
        ("a,y\n1,x\n2,x\n3,x\n", "target 'y' must have two classes or more, got only 'x'"),
        (
            "a,b,y\n1,1.5,x\n1,2.5,z\n2,2.5,x\n",
            "there must be at least as many rows as folds, got 3 for folds=5",
        ),
        ("\x00\x01\x02", "bad.csv"),
    ],
)
def test_data_that_cannot_be_used_are_told_and_end_with_2(run, tmp_path, text, message):
    (tmp_path / "bad.csv").write_text(text)
    result = run("compare", "bad.csv", "--target", "y")
    assert (result.exit_code, "Traceback" in result.stderr) == (2, False)
    assert message in result.stderr


def test_a_folder_with_runs_is_not_written_over(compared, run, table):
    result = run("compare", table, "--target", "-1", "--out", compared)
    assert result.exit_code == 2
    assert "--out must be a new folder, out holds runs already; continue them with --resume" in result.stderr


def test_out_and_resume_exclude_each_other(compared, run):
    result = run("compare", "--resume", compared, "--out", "other")
    assert (result.exit_code, "--out and --resume exclude each other" in result.stderr) == (2, True)


def test_a_folder_that_cannot_be_written_to_is_told(run, table):
    result = run("compare", table, "--target", "-1", "--methods", "mixup", "--out", table / "out", *QUICK)
    assert result.exit_code == 2
    assert "Not a directory" in result.stderr
    assert "nothing was written" in result.stderr


def test_a_full_disk_says_how_to_go_on_and_the_rest_is_as_if_nothing_had_happened(run, table, monkeypatch):
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    command = ("compare", table, "--target", "-1", "--methods", "mixup", *QUICK)
    run(*command, "--out", "whole")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        result = run(*command, "--out", "full disk")
    assert result.exit_code == 2
    assert "No space left on device; what is finished is kept; continue with: mixkit compare --resume 'full disk'" in (
        result.stderr
    )
    assert run("compare", "--resume", "full disk").exit_code == 0
    assert lines("whole") == lines("full disk")


def test_an_interrupt_ends_with_130_and_says_how_to_go_on(run, table, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("mixkit.comparison.grid.execute", interrupt)
    result = run("compare", table, "--target", "-1", "--methods", "mixup", "--out", "out", *QUICK)
    assert result.exit_code == 130
    assert "interrupted; what is finished is kept; continue with: mixkit compare --resume out" in result.stderr


def test_a_corrupt_picture_is_listed_and_left_out(run, pictures):
    result = run("compare", pictures, "--methods", "cutmix", "--out", "out", *QUICK)
    assert result.exit_code == 0
    assert "left out 1 image file that could not be read: dark/broken.png" in result.stderr
    assert json.loads(Path("out/summary.json").read_text())["problems"]["pictures"]["rows"] == 20


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_trained_network_predicts_and_a_warning_is_a_line(run, pictures):
    trained = run("train", pictures, "--method", "cutmix", "--out", "model", "--epochs", "1")
    assert (trained.exit_code, "written: model/model.safetensors" in trained.stderr) == (0, True)
    result = run("predict", "model", pictures)
    rows = list(csv.reader(result.stdout.splitlines()))
    assert rows[0] == ["name", "prediction", "p(dark)", "p(light)"]
    assert len(rows) == 21
    assert "mixkit: warning: left out 1 image file that could not be read: dark/broken.png\n" in result.stderr


def test_predictions_go_to_a_file_on_request(run, table):
    run("train", table, "--target", "-1", "--method", "mixup", "--out", "model", "--epochs", "1")
    result = run("predict", "model", table, "--out", "p.csv")
    assert (result.exit_code, result.stdout) == (0, "")
    with Path("p.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["name", "prediction", "p(no <b>)", "p(yes 🎉)"]
    assert {row[1] for row in rows[1:]} <= {"no <b>", "yes 🎉"}


def test_a_gallery_is_one_file_that_needs_no_network(run, pictures):
    result = run("show", pictures, "--method", "cutmix", "--out", "s.html", "--pairs", "2")
    assert (result.exit_code, "written: s.html" in result.stderr) == (0, True)
    page = Path("s.html").read_text("utf-8")
    assert page.count("data:image/png") >= 6
    assert not re.search(r"""(src|href)=["']?https?:""", page)


def test_a_learned_method_is_trained_first_and_shows_its_weights(run, pictures):
    result = run("show", pictures, "--method", "automix", "--epochs", "1", "--pairs", "2", "--out", "s.html")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "automix learns how to mix: training on 14 rows first\n" in result.stderr
    how = re.search(
        r"^Mixing learned in 1 epoch on 14 rows; accuracy on 2 rows of validation: .*$", result.stderr, re.M
    )
    page = Path("s.html").read_text("utf-8")
    assert page.count(how.group()) == 1
    assert len(re.findall(r'<img class="heat" alt="weight of the (?:sample|partner): [^"]+, mean 0\.\d\d"', page)) == 4
    assert not re.search(r"""(src|href)=["']?https?:""", page)


@pytest.mark.parametrize("option", ["epochs", "device"])
def test_options_of_a_training_are_refused_where_nothing_is_trained(run, pictures, option):
    result = run(
        "show", pictures, "--method", "cutmix", f"--{option}", {"epochs": "2", "device": "cpu"}[option], "--out", "s"
    )
    assert result.exit_code == 2
    assert f"--{option} is for methods that learn how to mix, got --method cutmix; leave it out" in result.stderr
    assert not Path("s").exists()


@pytest.mark.parametrize("method", ["erm", "erm+ema"])
def test_a_method_that_does_not_mix_has_nothing_to_show(run, pictures, method):
    result = run("show", pictures, "--method", method, "--out", "s.html")
    assert (
        result.exit_code,
        f"--method must be one that mixes samples of a batch with one another, got '{method}'" in result.stderr,
    ) == (2, True)


def test_a_wrong_place_for_a_gallery_is_told_before_the_training(run, pictures, monkeypatch):
    def training(*arguments, **named):
        raise AssertionError("must not be reached")

    monkeypatch.setattr("mixkit.comparison.showing.train_trial", training)
    result = run("show", pictures, "--method", "automix", "--out", "nowhere/s.html")
    assert result.exit_code == 2
    assert "No such file or directory: 'nowhere/s.html'; nothing was written" in result.stderr


def test_an_interrupted_gallery_leaves_what_was_there(run, pictures, monkeypatch):
    def interrupt(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("mixkit.comparison.showing.train_trial", interrupt)
    Path("s.html").write_text("old")
    before = sorted(Path().iterdir())
    result = run("show", pictures, "--method", "automix", "--out", "s.html")
    assert (result.exit_code, "interrupted; nothing was written" in result.stderr) == (130, True)
    assert (sorted(Path().iterdir()), Path("s.html").read_text()) == (before, "old")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_a_training_to_show_is_stopped_by_ctrl_c(tmp_path, pictures):
    (temporary := tmp_path / "temporary").mkdir()
    out = tmp_path / "s.html"
    process = started(temporary, "show", pictures, "--method", "automix", "--epochs", "100000", "--out", out)
    for line in process.stderr:
        if "learns how to mix" in line:
            break
    time.sleep(0.5)  # well into the training
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said.splitlines() == ["interrupted; nothing was written"]
    assert not out.exists()


def lines(folder):
    """Return the runs of a folder without their cost, in the order of their keys."""
    records = Store(Path(folder)).records()
    return {key: {name: value for name, value in one.items() if name != "cost"} for key, one in records.items()}


def heeding_interrupts():
    """Undo what a shell does to commands in the background: they are started with interrupts ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def started(temporary, *arguments):
    """Start the command in a session of its own, with its temporary files in a folder of their own."""
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    program = "import sys; from mixkit.cli import main; sys.argv[0] = 'mixkit'; main()"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeding_interrupts,  # noqa: PLW1509 - it takes no lock that a thread could hold
        start_new_session=True,
    )


def wait_for(condition, seconds=120):
    """Wait until `condition` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def session(process):
    """Return the ids of the processes that are alive in the session of `process`."""
    alive = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, sid = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # ended at this moment
            continue
        if int(sid) == process.pid and state != "Z":
            alive.append(int(stat.parent.name))
    return alive


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_comparison_stopped_and_killed_ends_with_the_numbers_of_one_that_was_not(tmp_path, table, run):
    (temporary := tmp_path / "temporary").mkdir()
    runs = tmp_path / "out" / "runs.jsonl"
    design = (table, "--target", "-1", "--methods", "mixup", "--folds", "2", "--repeats", "3", "--epochs", "60")

    def stopped(process, there, stop):
        """Stop the command once two runs have joined those there; return what it said and how many there are now."""
        wait_for(lambda: runs.exists() and runs.read_bytes().count(b"\n") >= there + 2)
        stop(process.pid)
        said = process.communicate(timeout=60)[1]
        wait_for(lambda: session(process) == [])  # no process is left, also none of the workers
        assert list(temporary.glob("mixkit-*")) == []
        assert "Traceback" not in said
        finished = runs.read_bytes().count(b"\n")
        assert len(re.findall(r"^\[\d+/\d+\] ", said, re.MULTILINE)) <= finished - there  # what was told was kept
        return said, finished

    process = started(temporary, "compare", *design, "--jobs", "2", "--out", tmp_path / "out")
    # a terminal sends Ctrl-C to all processes
    said, first = stopped(process, 0, lambda pid: os.killpg(pid, signal.SIGINT))
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("interrupted; what is finished is kept; continue with: mixkit compare")
    process = started(temporary, "compare", "--resume", tmp_path / "out")
    _, second = stopped(process, first, lambda pid: os.kill(pid, signal.SIGKILL))
    assert 2 <= first < second < 12
    resumed = run("compare", "--resume", tmp_path / "out", "--jobs", "1")
    assert f"{12 - second} runs, {second} more are there already" in resumed.stderr
    assert run("compare", *design, "--jobs", "1", "--out", "whole").exit_code == 0
    assert lines(tmp_path / "out") == lines("whole")
