"""What the graphs' tests share: small raw folders, written as the collections have them, and the real ones."""

import os
import pickle
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

DATA = Path(os.environ.get("MIXKIT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "graphs"

# a path of 3, a triangle with a tail, a pair, and a single node; node labels 3, 5 and 9
TU_FILES = {
    "A": "1, 2\n2, 1\n2, 3\n3, 2\n4, 5\n5, 4\n5, 6\n6, 5\n4, 6\n6, 4\n6, 7\n7, 6\n8, 9\n9, 8\n",
    "graph_indicator": "1\n1\n1\n2\n2\n2\n2\n3\n3\n4\n",
    "graph_labels": "-1\n1\n-1\n1\n",
    "node_labels": "3\n5\n3\n3\n3\n9\n5\n5\n5\n3\n",
}


@pytest.fixture
def write_tu(tmp_path):
    """Return (changed files by part, None: left out) -> the folder of a raw TU data set called TINY."""

    def write(**changes):
        raw = tmp_path / "TINY" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for part, text in {**TU_FILES, **changes}.items():
            if text is not None:
                (raw / f"TINY_{part}.txt").write_text(text)
        return tmp_path / "TINY"

    return write


def planetoid_parts():
    """Return the parts of a graph of 9 nodes: train 0 and 1, validation 2 to 4, test 6, 5 and 8; 7 is in no file."""
    words = np.eye(9, 4)[:, [0, 1, 2, 3]] + np.tile([1, 0, 0, 2], (9, 1))
    hot = np.eye(2, dtype=np.int32)[[0, 1, 0, 0, 1, 1, 0, 0, 1]]
    test = [6, 5, 8]
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 8), (8, 0), (3, 3), (0, 1)]
    graph = defaultdict(list)
    for node in range(9):
        graph[node] = [b for a, b in edges if a == node] + [a for a, b in edges if b == node]
    return {
        "x": sparse.csr_matrix(words[:2]),
        "allx": sparse.csr_matrix(words[:5]),
        "tx": sparse.csr_matrix(words[test]),
        "y": hot[:2],
        "ally": hot[:5],
        "ty": hot[test],
        "graph": graph,
        "test.index": test,
    }


@pytest.fixture
def write_planetoid(tmp_path):
    """Return (changed parts) -> the folder of a raw Planetoid data set called tiny; bytes are written as they are."""

    def write(**changes):
        raw = tmp_path / "tiny" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for part, value in {**planetoid_parts(), **changes}.items():
            path = raw / f"ind.tiny.{part}"
            if part == "test.index":
                path.write_text("".join(f"{row}\n" for row in value))
            else:
                path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol=2))
        return tmp_path / "tiny"

    return write


@pytest.fixture
def real():
    """Return (name) -> the folder of a real data set; skips where it is missing."""

    def folder(name):
        if not (DATA / name).is_dir():
            pytest.skip(f"there is no {DATA / name}; name the data folder with MIXKIT_DATA")
        return DATA / name

    return folder


@pytest.fixture(autouse=True)
def one_thread():
    """Run on one thread: small tensors gain nothing from more, and lose much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
