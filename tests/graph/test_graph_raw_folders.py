"""Raw folders: what is found, what is read, what is refused, and that nothing is written."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from mixkit.comparison.problems import DataError, LoadOptions
from mixkit_graph import ADAPTER
from mixkit_graph.planetoid import read_planetoid
from mixkit_graph.tudataset import read_tu

NONE = LoadOptions()


def contents(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_a_tu_folder_is_read_as_written(write_tu):
    problem = ADAPTER.load(write_tu(), NONE)
    assert (problem.name, problem.classes, problem.labels.tolist()) == ("TINY", ("-1", "1"), [0, 1, 0, 1])
    assert problem.graphs.node_ptr.tolist() == [0, 3, 7, 9, 10]
    assert problem.graphs.edge_ptr.tolist() == [0, 4, 12, 14, 14]
    assert problem.graphs.degrees.tolist() == [1, 2, 1, 2, 2, 3, 1, 1, 1, 0]
    assert problem.notes == ()


def test_a_planetoid_folder_is_read_as_written(write_planetoid):
    problem = ADAPTER.load(write_planetoid(), NONE)
    assert problem.labels.tolist() == [0, 1, 0, 0, 1, 1, 0, 0, 1]
    assert problem.labelled.tolist() == [True] * 7 + [False, True]
    assert [part.tolist() for part in problem.official] == [[0, 1], [2, 3, 4], [5, 6, 8]]
    # row i of tx is node test.index[i]; node 7 is in no file
    assert problem.x.to_dense()[5:].tolist() == [[1, 0, 0, 2], [1, 0, 0, 2], [0, 0, 0, 0], [1, 0, 0, 2]]
    assert problem.x.to_dense()[:2].tolist() == [[2, 0, 0, 2], [1, 1, 0, 2]]
    assert any("1 nodes have no label" in note for note in problem.notes)
    assert any(note.startswith("transductive") for note in problem.notes)


@pytest.mark.parametrize("below", ["", "raw", ".."])
def test_the_folder_its_raw_folder_and_the_one_above_are_found(write_tu, below):
    path = (write_tu() / below).resolve()
    assert ADAPTER.recognises(path)
    assert ADAPTER.load(path, NONE).name == "TINY"


def test_files_directly_in_a_folder_are_found(write_planetoid):
    raw = write_planetoid() / "raw"
    raw.rename(raw.parent.parent / "flat")
    assert ADAPTER.load(raw.parent.parent / "flat", NONE).name == "tiny"


def test_two_data_sets_in_one_folder_are_named(write_tu, write_planetoid):
    root = write_tu().parent
    write_planetoid()
    assert ADAPTER.recognises(root)
    with pytest.raises(
        DataError, match=r"must hold one data set, got 2: TINY in .*, tiny in .*; give the folder of one"
    ):
        ADAPTER.load(root, NONE)


def test_other_folders_and_files_are_not_recognised(tmp_path):
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "1.png").write_bytes(b"")
    (tmp_path / "table_A.txt").write_text("1,2\n")
    assert not ADAPTER.recognises(tmp_path)
    assert not ADAPTER.recognises(tmp_path / "table_A.txt")
    with pytest.raises(DataError, match=r"holds no graphs: a raw folder holds NAME_A\.txt"):
        ADAPTER.load(tmp_path, NONE)


@pytest.mark.parametrize("layout", ["write_tu", "write_planetoid"])
def test_nothing_is_written_beside_the_raw_files(layout, request):
    folder = request.getfixturevalue(layout)()
    before = contents(folder)
    folders = [folder, folder / "raw"]
    for path in folders:
        path.chmod(0o555)
    try:
        prepared = ADAPTER.load(folder, NONE).prepare(np.array([0, 1]))
        prepared.batch(torch.tensor([0, 1]))
    finally:
        for path in folders:
            path.chmod(0o755)
    assert contents(folder) == before


TU_FAULTS = {
    "missing": ({"graph_labels": None}, r"TINY_graph_labels.txt is missing; the raw files"),
    "words": ({"A": "1, 2\n2, one\n"}, r"TINY_A.txt can't be read: could not convert string ' one'"),
    "ragged": ({"A": "1, 2\n2\n"}, r"TINY_A.txt can't be read: .*columns"),
    "columns": ({"A": "1\n2\n"}, r"TINY_A.txt must have 2 numbers a line, got 1"),
    "unknown node": ({"A": "1, 11\n"}, r"TINY_A.txt .*edges must be between nodes 0..9, got \(0, 10\)"),
    "node 0": ({"A": "0, 1\n"}, r"edges must be between nodes 0..9, got \(-1, 0\)"),
    "torn": ({"A": "1, 4\n"}, r"edges must stay inside one graph, got \(0, 3\) between graphs 0 and 1"),
    "indicator": ({"graph_indicator": "1\n2\n1\n"}, r"must number graphs from 1 in ascending order"),
    "empty": ({"graph_indicator": ""}, r"must name a graph for each node, got an empty file"),
    "few labels": ({"graph_labels": "0\n1\n"}, r"must have a line for each graph, got 2 for 4"),
    "one class": ({"graph_labels": "1\n1\n1\n1\n"}, r"must have at least 2 classes, got 1"),
    "regression": ({"graph_labels": "0.5\n1\n1\n0\n"}, r"must hold one whole number a graph"),
    "nan label": ({"graph_labels": "nan\n1\n1\n0\n"}, r"must hold one whole number a graph"),
    "few node labels": ({"node_labels": "1\n2\n"}, r"must have a line for each of the 10 nodes, got 2"),
    "nan": ({"node_attributes": "0.5\n" * 9 + "nan\n"}, r"must hold finite numbers, got NaN or infinity in line 10"),
    "binary": ({"node_labels": "\x00\x01"}, r"TINY_node_labels.txt can't be read"),
}


@pytest.mark.parametrize(("changes", "message"), TU_FAULTS.values(), ids=TU_FAULTS)
def test_a_faulty_tu_folder_is_refused_with_the_reason(write_tu, changes, message):
    with pytest.raises(DataError, match=message):
        ADAPTER.load(write_tu(**changes), NONE)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harmed",)


PLANETOID_FAULTS = {
    "code": ({"graph": pickle.dumps(Harmful())}, r"ind.tiny.graph can't be read: only arrays .* got (posix|nt).mkdir"),
    "broken": ({"allx": b"not a pickle"}, r"ind.tiny.allx can't be read"),
    "cut": ({"ty": pickle.dumps(np.eye(2))[:-20]}, r"ind.tiny.ty can't be read"),
    "words": ({"test.index": ["5", "six"]}, r"ind.tiny.test.index can't be read"),
    "repeated": ({"test.index": [5, 5, 8]}, r"test.index must name each of the 3 rows of ty once"),
    "overlap": ({"test.index": [4, 5, 8]}, r"test.index must name each of the 3 rows of ty once, after the 5 of ally"),
    "edge": ({"graph": {0: [99]}}, r"graph must connect nodes 0..8, got 0 and 99"),
    "no graph": ({"graph": 7}, r"do not fit one another"),
    "no label": ({"ty": np.zeros((3, 2))}, r"must give each row of the split a class"),
    "rows": ({"tx": np.ones((2, 4))}, r"features must have a row for each label, got 2 for 3"),
    "nan": ({"tx": np.full((3, 4), np.nan)}, r"features must be finite"),
    "one class": ({"ally": np.tile([1, 0], (5, 1)), "ty": np.tile([1, 0], (3, 1))}, r"at least 2 classes, got 1"),
}


@pytest.mark.parametrize(("changes", "message"), PLANETOID_FAULTS.values(), ids=PLANETOID_FAULTS)
def test_a_faulty_planetoid_folder_is_refused_with_the_reason(write_planetoid, changes, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        ADAPTER.load(write_planetoid(**changes), NONE)
    assert not (tmp_path / "harmed").exists()


def test_a_missing_planetoid_file_is_named(write_planetoid):
    folder = write_planetoid()
    (folder / "raw" / "ind.tiny.ally").unlink()
    with pytest.raises(DataError, match=r"ind.tiny.ally is missing; the eight raw files"):
        ADAPTER.load(folder, NONE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (LoadOptions(group_by="x"), "--group-by does not apply to graphs"),
        (LoadOptions(target="x"), "--target does not apply to graphs"),
        (LoadOptions(label_from="x"), "--label-from does not apply to graphs"),
    ],
)
def test_options_that_mean_nothing_for_graphs_are_refused(write_tu, options, message):
    with pytest.raises(DataError, match=message):
        ADAPTER.load(write_tu(), options)


def test_edges_in_one_direction_loops_and_repetitions_are_put_right_and_noted(write_tu):
    problem = ADAPTER.load(write_tu(A="1, 2\n3, 2\n3, 2\n2, 2\n", edge_labels="1\n1\n1\n1\n"), NONE)
    assert problem.graphs.edges.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert problem.notes == (
        "edge labels are not used",
        "2 loops and repetitions among the edges were left out",
        "2 edges are listed in one direction only: taken as undirected",
    )


def test_graphs_without_edges_are_read(write_tu):
    assert ADAPTER.load(write_tu(A=""), NONE).graphs.edges.shape == (2, 0)


def test_importing_the_package_or_listing_problems_does_not_load_torch_geometric():
    code = "import sys, mixkit_graph; mixkit_graph.ADAPTER.embedded(); print('torch_geometric' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_preparing_graphs_says_nothing_in_the_terminal():
    code = "import mixkit_graph as g, numpy as n; g.ADAPTER.embedded()[0].prepare(n.arange(9))"
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True)
    assert "torch_geometric" not in done.stderr
    assert "torch.jit" not in done.stderr


def test_a_missing_part_is_named_with_its_remedy():
    code = "import importlib.util as u; u.find_spec = lambda name: None; import mixkit_graph"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (
        'ImportError: graphs need torch_geometric, which is not installed; pip install "mixkit[graph]"' in done.stderr
    )


@pytest.mark.data
@pytest.mark.parametrize("name", ["MUTAG", "PROTEINS", "IMDB-BINARY"])
def test_real_graphs_are_those_that_torch_geometric_reads(real, name):
    from mixkit_graph import _pyg  # noqa: F401 - silences what importing torch_geometric says

    from torch_geometric.io import read_tu_data  # isort: skip

    data, slices, _ = read_tu_data(str(real(name) / "raw"), name)
    own = read_tu(real(name) / "raw", name)
    local = own.graphs.edges - own.graphs.node_ptr[:-1].repeat_interleave(own.graphs.edge_ptr.diff())
    assert torch.equal(own.graphs.edge_ptr, slices["edge_index"])
    assert torch.equal(local, data.edge_index)
    assert data.y.tolist() == own.labels.tolist()


@pytest.mark.data
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch_geometric unpickles by numpy's and scipy's old names
def test_the_real_citation_graph_is_the_one_that_torch_geometric_reads(real):
    from mixkit_graph import _pyg  # noqa: F401 - silences what importing torch_geometric says

    from torch_geometric.io import read_planetoid_data  # isort: skip

    data = read_planetoid_data(str(real("Cora") / "raw"), "cora")
    own = read_planetoid(real("Cora") / "raw", "cora")
    prepared = ADAPTER.load(real("Cora"), NONE).prepare(own.official.train)
    assert torch.equal(own.x.to_dense(), data.x)
    assert own.labels.tolist() == data.y.tolist()
    masks = (data.train_mask, data.val_mask, data.test_mask)
    assert [part.tolist() for part in own.official] == [mask.nonzero().flatten().tolist() for mask in masks]
    edges = prepared.batch(torch.tensor([0])).edge_index
    assert set(map(tuple, edges.T.tolist())) == set(map(tuple, data.edge_index.T.tolist()))
