"""Which networks two-branch mixing takes as they are, and which it refuses."""

import pytest
import torch
from torch import nn
from two_branch_parts import LAM, NODES, PARTNER, ROWS, Net, blend_at, run, sampled

import mixkit_graph._pyg  # noqa: F401 - silences what importing torch_geometric says
from mixkit import Pairing
from mixkit.plan import MaskPlan
from mixkit_graph.models import NodeModel
from mixkit_graph.two_branch import TwoBranch

from torch_geometric.data import Data  # isort: skip
from torch_geometric.nn import GCNConv  # isort: skip


@pytest.fixture
def data():
    return sampled()


class Cached(Net):
    def __init__(self, **options):
        super().__init__(lambda a, b: GCNConv(a, b, **options))


def norm_net(norm):
    from torch_geometric import nn as geometric

    return Net(GCNConv, between=lambda: getattr(geometric, norm)(*([6] if norm != "PairNorm" else [])))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cached(cached=True), r"layers must not remember their edges, but GCNConv has cached=True"),
        (lambda: Cached(flow="target_to_source"), r"GCNConv has flow='target_to_source'; turn the edges round"),
        (lambda: nn.Linear(3, 2), r"must have message passing layers, got NodeModel without any"),
        (lambda: norm_net("GraphNorm"), r"'model.between.0' must not look at the graph as a whole.* is a GraphNorm"),
        (lambda: norm_net("PairNorm"), r"is a PairNorm; take BatchNorm, or LayerNorm\(mode=\"node\"\)"),
        (lambda: norm_net("InstanceNorm"), r"is a InstanceNorm"),
        (lambda: norm_net("LayerNorm"), r"is a LayerNorm"),
    ],
)
def test_networks_that_cannot_be_mixed_are_refused_before_training(make, message):
    with pytest.raises(ValueError, match=message):
        TwoBranch().on(NodeModel(make()))


def ready_made(name):
    """Return a network of torch_geometric as it comes."""
    from torch_geometric import nn as geometric

    return {
        "gcn, batch norm, jumping knowledge": lambda: geometric.GCN(3, 8, 3, 4, norm="batch", jk="cat"),
        "sage, layer norm": lambda: geometric.GraphSAGE(3, 8, 3, 4, norm=geometric.LayerNorm(8, mode="node")),
        "attention, version 2": lambda: geometric.GAT(3, 8, 2, 4, v2=True, heads=2, dropout=0.5),
        "gin, batch norm inside": lambda: geometric.GIN(3, 8, 2, 4, norm="batch"),
        "edge convolution": lambda: geometric.EdgeCNN(3, 8, 2, 4),
        "gated": lambda: Net(geometric.ResGatedGraphConv),
        "softmax aggregation": lambda: Net(lambda a, b: geometric.GENConv(a, b, learn_t=True)),
        "two steps at once": lambda: Net(lambda a, b: geometric.SGConv(a, b, K=2)),
        "group norm": lambda: Net(GCNConv, between=lambda: geometric.DiffGroupNorm(6, 2)),
        "chebyshev": lambda: Net(lambda a, b: geometric.ChebConv(a, b, K=3)),
        "global attention": lambda: Net(Global),
    }[name]()


class Global(nn.Module):
    """A convolution, and attention of every node to every other."""

    def __init__(self, a, b):
        super().__init__()
        self.conv, self.up, self.attention = GCNConv(a, b), nn.Linear(a, b), nn.MultiheadAttention(b, 1)

    def forward(self, x, edge_index):
        h = self.up(x)
        return self.conv(x, edge_index) + self.attention(h, h, h)[0]


@pytest.mark.parametrize(
    "name",
    [
        "gcn, batch norm, jumping knowledge", "sage, layer norm", "attention, version 2", "gin, batch norm inside",
        "edge convolution", "gated", "softmax aggregation", "two steps at once", "group norm",
    ],
)  # fmt: skip
def test_ready_made_networks_are_mixed_and_their_clean_rows_untouched(data, name):
    torch.manual_seed(0)
    data.x, net = 10 * data.x, ready_made(name).eval()  # far enough apart, so that layers are not nearly linear
    plain = net(data.x, data.edge_index)[ROWS]
    found = run(NodeModel(net), data, clean=torch.arange(5))
    assert torch.equal(found.clean, plain)
    torch.testing.assert_close(found.mixed[3], plain[3], atol=1e-5, rtol=1e-5)  # lam is 1
    torch.testing.assert_close(found.mixed[4], plain[1], atol=1e-5, rtol=1e-5)  # lam is 0
    assert not torch.allclose(found.mixed[0], 0.3 * plain[0] + 0.7 * plain[3], atol=1e-4)  # not just mixed logits


@pytest.mark.parametrize("name", ["chebyshev", "global attention"])
def test_networks_whose_nodes_would_hear_of_virtual_ones_are_refused(data, name):
    with pytest.raises(RuntimeError, match=r"logits of clean nodes must be those of a plain pass"):
        run(NodeModel(ready_made(name)), data)


def test_unknown_layers_are_refused():
    model = NodeModel(Net(GCNConv))
    with pytest.raises(ValueError, match=r"site must name a submodule.* got 'conv1'.*model.layers.0"):
        TwoBranch(layers=["conv1"]).on(model)
    with pytest.raises(
        ValueError, match=r"layers must name submodules, got 'model.layers.0:input'; leave ':input' away"
    ):
        TwoBranch(layers=["model.layers.0:input"]).on(model)


class Odd(Net):
    """A network that does something else than one layer after the other."""

    def __init__(self, what):
        super().__init__(GCNConv)
        self.what = what

    def forward(self, x, edge_index):
        return getattr(self, self.what)(x, edge_index)

    def repeated(self, x, edge_index):
        x = self.layers[1](self.layers[0](x, edge_index), edge_index)
        return self.layers[2](self.layers[1](x, edge_index), edge_index)

    def skipped(self, x, edge_index):
        return self.layers[2](self.layers[0](x, edge_index), edge_index)

    def trimmed(self, x, edge_index):
        x, few = self.layers[0](x, edge_index), NODES
        inside = (edge_index < few).all(0)
        return self.layers[2](self.layers[1](x[:few], edge_index[:, inside]), edge_index[:, inside])

    def checkpointed(self, x, edge_index):
        from torch.utils.checkpoint import checkpoint

        x = checkpoint(self.layers[0], x, edge_index, use_reentrant=False)
        x = checkpoint(self.layers[1], x, edge_index, use_reentrant=False)
        return self.layers[2](x, edge_index)

    def centred(self, x, edge_index):
        x = super().forward(x - x.mean(0), edge_index)
        return x * 3

    def by_out_degree(self, x, edge_index):
        return super().forward(x / (1 + torch.bincount(edge_index[0], minlength=len(x)))[:, None], edge_index)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("repeated", r"layer 'model.layers.1' must run once per forward pass, but ran 2 times; use a layer of its own"),
        ("skipped", r"layer 'model.layers.1' must run once per forward pass, but ran 0 times; leave it out"),
        ("trimmed", r"layer 'model.layers.1' must get the features of all nodes.*leave out trim_to_layer"),
        ("checkpointed", r"must run once per forward pass, but ran 2 times; .*no activation checkpointing"),
        ("centred", r"logits of clean nodes must be those of a plain pass, but virtual nodes changed them"),
        ("by_out_degree", r"logits of clean nodes must be those of a plain pass, .*out-degrees"),
    ],
)
def test_networks_in_which_mixing_would_be_wrong_are_refused(data, what, message):
    if what == "trimmed":
        with pytest.raises((RuntimeError, IndexError), match=message):
            run(NodeModel(Odd(what), rows=lambda d: d.rows % NODES), data)
        return
    with pytest.raises(RuntimeError, match=message):
        run(NodeModel(Odd(what)), data)


def test_a_layer_that_is_never_used_can_be_left_out(data):
    place = TwoBranch(layers=["model.layers.0", "model.layers.2"])
    assert run(NodeModel(Odd("skipped")), data, place=place).mixed.isfinite().all()


def test_other_logits_than_those_of_the_rows_are_refused(data):
    with pytest.raises(
        RuntimeError, match=r"a row of logits for each of data.rows, got 24 for 15; wrap it in NodeModel"
    ):
        run(NodeModel(Net(GCNConv), rows=None), data)


def test_plans_that_do_not_blend_are_refused(data):
    mask = MaskPlan(Pairing(PARTNER, LAM), mask=torch.ones(5, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"TwoBranch needs a plan that blends whole nodes, got MaskPlan"):
        run(NodeModel(Net(GCNConv)), data, lambda mixable: mask)


def test_targets_of_another_number_are_refused(data):
    with pytest.raises(ValueError, match=r"targets must be one a labelled row, got 3 for 5 rows"):
        TwoBranch().on(NodeModel(Net(GCNConv)))(data, blend_at(), None, size=3, generator=torch.Generator())


def test_edges_in_a_sparse_matrix_are_refused(data):
    other = Data(x=data.x, adj_t=torch.eye(NODES).to_sparse(), rows=ROWS)
    with pytest.raises(
        ValueError, match=r"must hold its edges as edge_index \(2, E\), got adj_t, rows, x; .*ToSparseT"
    ):
        run(NodeModel(Net(GCNConv), ("x", "adj_t")), other)
