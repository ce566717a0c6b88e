"""Batches of graphs, user models and AutoMix objectives, shared by the tests of learned mixing of graphs."""

import torch
from torch import nn

from mixkit import AutoMix, BetaPairs, MixBlock, MultiClass, Pairing, Sources
from mixkit_graph import NodeTokens
from mixkit_graph._pyg import Batch
from mixkit_graph.networks import GraphNet

from torch_geometric.data import Data  # isort: skip # after _pyg, which silences what importing it says
from torch_geometric.nn import GCNConv, GINConv, global_add_pool  # isort: skip

TASK = MultiClass(3)
FEATURES = 5
SIZES = (4, 1, 7, 3)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def graph(size, seed=0, features=FEATURES):
    """Return a random tree of `size` nodes with normal features."""
    draw = seeded(seed)
    above = [int(torch.randint(node, (), generator=draw)) for node in range(1, size)]
    edges = torch.tensor([list(range(1, size)), above], dtype=torch.long).reshape(2, -1)
    return Data(x=torch.randn(size, features, generator=draw), edge_index=torch.cat([edges, edges.flip(0)], 1))


def graphs(sizes=SIZES, seed=0):
    return [graph(size, seed + 100 * i) for i, size in enumerate(sizes)]


def batch(sizes=SIZES, seed=0):
    return Batch.from_data_list(graphs(sizes, seed))


def renumbered(one, order):
    """Return a graph whose node k was node `order[k]`."""
    place = torch.empty_like(order).scatter(0, order, torch.arange(len(order)))
    return Data(x=one.x[order], edge_index=place[one.edge_index])


def sources(partner, lam):
    """Return sources of two from lists."""
    return Sources.of(Pairing(torch.tensor(partner), torch.tensor(lam, dtype=torch.float32)))


def lively(channels, seed=3, **options):
    """Return a block whose attention and values are far from flat, as after a training."""
    block = MixBlock(channels, generator=seeded(seed), **options)
    with torch.no_grad():
        for p in block.parameters():
            p.copy_(torch.randn(p.shape, generator=seeded(seed)) if p.ndim else p)
    return block


def plan_of(features, inputs, drawn, block, **options):
    """Return the plan of what a block says about node features."""
    site = NodeTokens("any", features.shape[1], **options)
    tokens = site.tokens(features, inputs)
    return site.plan(drawn, block.score(tokens.values[drawn.index], drawn.lam, tokens.real[drawn.index]), tokens)


def own_net(seed=0, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GraphNet(FEATURES, 3, hidden=8, layers=2, **options)


class UserNet(nn.Module):
    """A model as torch_geometric's tutorials have it: two convolutions, a pooling function, a head."""

    def __init__(self, kind):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.second = (conv(kind, width) for width in (FEATURES, 8))
            self.norm, self.head = nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, data):
        x = self.first(data.x, data.edge_index).relu()
        x = self.norm(self.second(x, data.edge_index)).relu()
        return self.head(global_add_pool(x, data.batch, data.num_graphs))


def conv(kind, width):
    return GCNConv(width, 8) if kind == "gcn" else GINConv(nn.Sequential(nn.Linear(width, 8), nn.ReLU()))


def automix(model=None, site="readout:input", channels=16, **options):
    """Return a small AutoMix objective with seeded weights and draws."""
    options.setdefault("generator", seeded())
    options.setdefault("pairs", BetaPairs(2.0, derange=True))
    options.setdefault("total_steps", 20)
    model = own_net() if model is None else model
    block = options.pop("block", None) or lively(channels)
    return AutoMix(model, TASK, NodeTokens(site, channels), block, **options)


def total(terms):
    return torch.stack(list(terms.values())).sum()
