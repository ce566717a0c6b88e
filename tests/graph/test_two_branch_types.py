"""Two-branch mixing of one type of the nodes of a heterogeneous graph."""

import pytest
import torch
from torch import nn
from two_branch_parts import blend_at

import mixkit_graph._pyg  # noqa: F401 - silences what importing torch_geometric says
from mixkit_graph.models import NodeModel
from mixkit_graph.two_branch import TwoBranch

from torch_geometric.data import HeteroData  # isort: skip
from torch_geometric.nn import HeteroConv, SAGEConv, to_hetero  # isort: skip


@pytest.fixture
def papers():
    """Return papers that cite one another, and their authors; as many authors as papers with their virtual nodes."""
    torch.manual_seed(0)
    data = HeteroData()
    data["paper"].x, data["author"].x = torch.randn(6, 3), torch.randn(6 + 2 * 3, 3)
    data["author", "writes", "paper"].edge_index = torch.stack([torch.randint(12, (14,)), torch.randint(6, (14,))])
    data["paper", "of", "author"].edge_index = data["author", "writes", "paper"].edge_index.flip(0)
    data["paper", "cites", "paper"].edge_index = torch.tensor([[0, 1, 2, 3, 5, 4], [1, 2, 3, 4, 1, 0]])
    data["paper"].rows = torch.tensor([1, 4, 0])
    return data


class Flat(nn.Module):
    """Three layers, to be made heterogeneous."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = SAGEConv((3, 3), 4), SAGEConv((4, 4), 4), SAGEConv((4, 4), 2)

    def forward(self, x, edge_index):
        x = self.first(x, edge_index).relu()
        x = self.second(x, edge_index).relu()
        return self.third(x, edge_index)


class Wrapped(nn.Module):
    """The same with one HeteroConv a layer."""

    def __init__(self, edge_types):
        super().__init__()
        widths = [(3, 4), (4, 4), (4, 2)]
        self.layers = nn.ModuleList(
            HeteroConv({kind: SAGEConv((a, a), b) for kind in edge_types}, aggr="sum") for a, b in widths
        )

    def forward(self, x_dict, edge_index_dict):
        for layer in self.layers[:-1]:
            x_dict = {key: x.relu() for key, x in layer(x_dict, edge_index_dict).items()}
        return self.layers[-1](x_dict, edge_index_dict)


def in_order(net):
    """Return the three layers (x_dict -> x_dict before the ReLU) of either network."""
    if isinstance(net, Wrapped):
        return [lambda x, edges, layer=layer: layer(x, edges) for layer in net.layers]

    def layer(name):
        def run_it(x, edges):
            out = {}
            for source, relation, target in edges:
                conv = net.get_submodule(name)[f"{source}__{relation}__{target}"]
                given = x[source] if source == target else (x[source], x[target])
                out[target] = out.get(target, 0) + conv(given, edges[source, relation, target])
            return out

        return run_it

    return [layer(name) for name in ("first", "second", "third")]


@pytest.mark.parametrize("kind", ["to_hetero", "HeteroConv"])
def test_one_type_of_a_heterogeneous_graph_is_mixed_by_the_papers_formula(papers, kind):
    net = Wrapped(papers.edge_types) if kind == "HeteroConv" else to_hetero(Flat(), papers.metadata(), aggr="sum")
    model = NodeModel(net, ("x_dict", "edge_index_dict"), node_type="paper")
    partner, lam = torch.tensor([2, 0, 1]), torch.tensor([0.3, 0.6, 0.9])
    found = TwoBranch(node_type="paper").on(model)(
        papers, blend_at(partner, lam), torch.arange(3), size=3, generator=torch.Generator()
    )
    layers, clean, rows = in_order(net), [papers.x_dict], papers["paper"].rows
    for layer in layers[:-1]:
        clean.append({key: x.relu() for key, x in layer(clean[-1], papers.edge_index_dict).items()})
    assert torch.equal(found.clean, layers[-1](clean[-1], papers.edge_index_dict)["paper"][rows])
    mixed = []
    for first, other, share in zip(rows.tolist(), rows[partner].tolist(), lam.tolist(), strict=True):
        h = share * papers["paper"].x[first] + (1 - share) * papers["paper"].x[other]
        for depth, layer in enumerate(layers):
            out = []
            for centre in (first, other):
                x = {key: value.clone() for key, value in clean[depth].items()}
                x["paper"][centre] = h
                out.append(layer(x, papers.edge_index_dict)["paper"][centre])
            h = (
                share * out[0] + (1 - share) * out[1]
                if depth == 2
                else share * out[0].relu() + (1 - share) * out[1].relu()
            )
        mixed.append(h)
    torch.testing.assert_close(found.mixed, torch.stack(mixed), atol=1e-6, rtol=1e-5)
