"""Small graphs of two classes, shared by the tests of G-Mixup."""

import torch

from mixkit_graph._pyg import Batch  # noqa: F401 - first, so that importing torch_geometric is silent

from torch_geometric.data import Data  # isort: skip


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_graph(size, density, label, seed, features=2):
    draw = seeded(seed)
    upper = torch.triu(torch.rand(size, size, generator=draw) < density, 1)
    edges = (upper | upper.T).nonzero().T
    x = torch.randn(size, features, generator=draw) if features else None
    return Data(x=x, edge_index=edges, y=torch.tensor([label]), num_nodes=None if features else size)


def dataset(features=2, count=20):
    """Return graphs of two classes: sparse ones of 6 to 10 nodes and dense ones of 8 to 12."""
    return [random_graph(6 + k % 5 + 2 * (k % 2), 0.3 + 0.4 * (k % 2), k % 2, k, features) for k in range(count)]
