"""A graph with labelled nodes, a network and layers, shared by the tests of GraphMix."""

import torch
from torch import nn

from mixkit import MultiClass
from mixkit_graph._pyg import Batch  # noqa: F401 - first, so that importing torch_geometric is silent

from torch_geometric.data import Data  # isort: skip
from torch_geometric.nn import GCNConv, GINConv  # isort: skip

TASK = MultiClass(3)
NODES, FEATURES = 12, 5


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def graph(**more):
    """Return a ring with chords whose nodes 1, 4, 6 and 9 are labelled."""
    ring = torch.arange(NODES)
    edges = torch.cat([torch.stack([ring, (ring + 1) % NODES]), torch.stack([ring[::3], (ring[::3] + 5) % NODES])], 1)
    x = torch.randn(NODES, FEATURES, generator=seeded())
    return Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1), rows=torch.tensor([4, 1, 9, 6]), **more)


TARGETS = TASK.encode([0, 1, 2, 1])


class Net(nn.Module):
    def __init__(self, first=None, dropout=0.0, norm=False):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = GCNConv(FEATURES, 8) if first is None else first
            self.norm = nn.BatchNorm1d(8) if norm else nn.Identity()
            self.dropout = nn.Dropout(dropout)
            self.second = GCNConv(8, 3)

    def forward(self, x, edge_index):
        return self.second(self.dropout(self.norm(self.first(x, edge_index)).relu()), edge_index)


def layer(kind):
    """Return a seeded layer with a bias, and an eps, that is not 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = GINConv(nn.Linear(FEATURES, 8), train_eps=True) if kind is GINConv else kind(FEATURES, 8)
    for name, p in made.named_parameters():
        if name.endswith(("bias", "eps")):
            nn.init.constant_(p, 0.3)
    return made
