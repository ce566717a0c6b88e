"""What the tests of two-branch mixing share: networks, a graph, and a plain implementation of the paper's formula."""

import torch
from torch import nn

import mixkit_graph._pyg  # noqa: F401 - silences what importing torch_geometric says
from mixkit import Pairing
from mixkit.plan import BlendPlan
from mixkit_graph.networks import GraphConvolution
from mixkit_graph.two_branch import TwoBranch

from torch_geometric.data import Data  # isort: skip
from torch_geometric.nn import GATConv, GCNConv, GINConv, GraphConv, SAGEConv, TransformerConv  # isort: skip

NODES, ROWS = 14, torch.tensor([2, 9, 4, 13, 0])
PARTNER, LAM = torch.tensor([3, 0, 2, 0, 1]), torch.tensor([0.3, 0.8, 0.5, 1.0, 0.0])


def mlp(a, b):
    return nn.Sequential(nn.Linear(a, 8), nn.Tanh(), nn.Linear(8, b))


class OwnLayer(GraphConvolution):
    """mixkit's layer, with weights from the edges that it gets."""

    def forward(self, x, edge_index):
        loops = torch.arange(len(x)).expand(2, -1)
        edge_index = torch.cat([edge_index[:, edge_index[0] != edge_index[1]], loops], 1)
        root = torch.bincount(edge_index[1], minlength=len(x)).float().rsqrt()
        return super().forward(x, edge_index, root[edge_index[0]] * root[edge_index[1]])


LAYERS = {
    "gcn": GCNConv,
    "sage": SAGEConv,
    "gat": lambda a, b: GATConv(a, b, heads=2, concat=False),
    "gin": lambda a, b: GINConv(mlp(a, b), train_eps=True),
    "graph": lambda a, b: GraphConv(a, b, aggr="mean"),
    "transformer": lambda a, b: TransformerConv(a, b, heads=2, concat=False, beta=True),
    "own": OwnLayer,
}


class Net(nn.Module):
    """Three layers with ReLU in between."""

    def __init__(self, make, between=nn.Identity):
        super().__init__()
        self.layers = nn.ModuleList([make(3, 6), make(6, 6), make(6, 4)])
        self.between = nn.ModuleList([between(), between()])

    def forward(self, x, edge_index, edge_weight=None):
        weights = () if edge_weight is None else (edge_weight,)
        for layer, norm in zip(self.layers[:-1], self.between, strict=True):
            x = norm(layer(x, edge_index, *weights)).relu()
        return self.layers[-1](x, edge_index, *weights)


def sampled():
    """Return an undirected graph without loops, drawn at random."""
    torch.manual_seed(0)
    edges = torch.randint(NODES, (2, 40))
    edges = edges[:, edges[0] != edges[1]]
    return Data(x=torch.randn(NODES, 3), edge_index=torch.cat([edges, edges.flip(0)], 1), rows=ROWS)


def blend_at(partner=PARTNER, lam=LAM):
    """Return a draw with a fixed pairing."""
    return lambda mixable: BlendPlan(Pairing(partner, lam))


def run(model, data, draw=None, clean=None, place=None):
    size = len(data.rows)
    return (place or TwoBranch()).on(model)(data, draw or blend_at(), clean, size=size, generator=torch.Generator())


def reference(net, data, partner, lam):
    """Return logits of two-branch mixing by the paper's formula: one mixed node at a time, its neighbours all clean.

    Layer l of a pair's branch is the layer's output at node `centre`, whose own features are the mixed ones.
    """
    weights = () if "edge_weight" not in data else (data.edge_weight,)
    clean = [data.x]
    for layer in net.layers[:-1]:
        clean.append(layer(clean[-1], data.edge_index, *weights).relu())
    mixed = []
    for first, other, share in zip(data.rows.tolist(), data.rows[partner].tolist(), lam.tolist(), strict=True):
        h = share * data.x[first] + (1 - share) * data.x[other]
        for depth, layer in enumerate(net.layers):
            out = []
            for centre in (first, other):
                x = clean[depth].clone()
                x[centre] = h
                # only the centre's own output is looked at: it sees itself mixed, and its neighbours clean
                out.append(layer(x, data.edge_index, *weights)[centre])
            if depth + 1 < len(net.layers):
                out = [branch.relu() for branch in out]
            h = share * out[0] + (1 - share) * out[1]
        mixed.append(h)
    return torch.stack(mixed)
