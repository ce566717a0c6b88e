"""`WithSynthetic`: one mean over real and drawn graphs, in one pass; and the method that builds it."""

import subprocess
import sys

import pytest
import torch
from graph_parts import own_net, seeded
from torch import nn

from mixkit import MixupE, MultiClass
from mixkit.method import Setting
from mixkit.penalties import Step
from mixkit_graph._pyg import Batch
from mixkit_graph.degree_features import OneHotDegrees
from mixkit_graph.gmixup import GMixup
from mixkit_graph.graphon_methods import GRAPHON_METHODS
from mixkit_graph.synthetic import WithSynthetic, beside

from torch_geometric.data import Data  # isort: skip # after _pyg, which silences what importing it says

from torch_geometric.nn import GCNConv, global_mean_pool  # isort: skip

TASK = MultiClass(3)
METHODS = {method.name: method for method in GRAPHON_METHODS}


class PlainNet(nn.Module):
    """Rows of its logits do not depend on the other graphs: there is no BatchNorm."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv, self.head = GCNConv(5, 8), nn.Linear(8, 3)

    def forward(self, batch):
        return self.head(global_mean_pool(self.conv(batch.x, batch.edge_index).relu(), batch.batch, batch.num_graphs))


def graphs(count=10, features=5):
    """Return graphs of three classes that differ in density."""
    found = []
    for k in range(count):
        draw = seeded(k)
        upper = torch.triu(torch.rand(5 + k, 5 + k, generator=draw) < 0.2 + 0.3 * (k % 3), 1)
        x = torch.randn(5 + k, features, generator=draw) if features else None
        found.append(Data(x=x, edge_index=(upper | upper.T).nonzero().T, num_nodes=5 + k))
    return found


def real(count=10, features=5):
    return Batch.from_data_list(graphs(count, features)), TASK.encode(torch.arange(count) % 3)


def with_synthetic(model=None, **options):
    batch, targets = real()
    source = GMixup().fit(batch, targets)
    return WithSynthetic(PlainNet() if model is None else model, TASK, source, generator=seeded(), **options)


def test_the_loss_is_the_mean_over_real_and_drawn_graphs():
    batch, targets = real()
    objective = with_synthetic(ratio=0.5)
    terms = objective(batch, targets)
    drawn = objective.source.sample_batch(5, seeded())
    everything = Batch.from_data_list([
        *(Data(x=g.x, edge_index=g.edge_index) for g in batch.to_data_list()),
        *(Data(x=g.x, edge_index=g.edge_index) for g in drawn.to_data_list()),
    ])  # fmt: skip
    expected = TASK.loss(objective.model(everything), torch.cat([targets, drawn.y]))
    assert list(terms) == ["mixed"]
    torch.testing.assert_close(terms["mixed"], expected)


def test_weights_are_those_of_real_graphs_and_one_for_drawn_ones():
    batch, targets = real()
    objective = with_synthetic(ratio=0.5)
    nothing = objective(batch, targets, torch.zeros(10))["mixed"]
    drawn = objective.source.sample_batch(5, seeded())
    torch.testing.assert_close(nothing, TASK.loss(objective.model(drawn), drawn.y))


def test_in_evaluation_it_is_the_plain_loss():
    batch, targets = real()
    objective = with_synthetic().eval()
    torch.testing.assert_close(objective(batch, targets)["loss"], TASK.loss(objective.model(batch), targets))


@pytest.mark.parametrize(("ratio", "size", "expected"), [(0.2, 10, 2), (0.25, 10, 2), (0.3, 5, 2), (0.0, 10, 0)])
def test_there_are_round_ratio_times_size_new_graphs(ratio, size, expected):
    seen = []

    class Counting(nn.Module):
        def forward(self, batch):
            seen.append(batch.num_graphs)
            return torch.zeros(batch.num_graphs, 3)

    batch, targets = real(size)
    with_synthetic(Counting(), ratio=ratio)(batch, targets)
    assert seen == [size + expected]


def test_every_step_has_other_graphs_and_a_checkpoint_repeats_them():
    batch, targets = real()
    objective = with_synthetic(ratio=1.0)
    state = objective.state_dict()
    first, second = (float(objective(batch, targets)["mixed"].detach()) for _ in range(2))
    objective.load_state_dict(state)
    assert float(objective(batch, targets)["mixed"].detach()) == first != second


def test_the_penalty_is_over_the_real_graphs_only():
    batch, targets = real()
    seen = []

    def penalty(step: Step):
        seen.append(step)
        return MixupE(0.1)(step)

    objective = with_synthetic(ratio=0.5, penalty=penalty)
    terms = objective(batch, targets)
    torch.testing.assert_close(seen[0].logits, objective.model(batch))
    assert seen[0].targets is targets
    assert seen[0].partner_share == pytest.approx(0.2533, abs=1e-3)  # 2 (0.85 - 0.7233)
    plain = with_synthetic(ratio=0.5)(batch, targets)["mixed"]
    torch.testing.assert_close(sum(terms.values()), plain)  # rescaled to the value without


def test_the_batches_stay_as_they_are():
    batch, targets = real()
    before = {key: value.clone() for key, value in batch.to_dict().items() if isinstance(value, torch.Tensor)}
    with_synthetic(ratio=1.0)(batch, targets)
    assert all(torch.equal(batch[key], value) for key, value in before.items())
    assert "y" not in batch


@pytest.mark.parametrize("name", ["edge_weight", "edge_attr"])
def test_edges_with_attributes_are_refused(name):
    batch, targets = real()
    batch[name] = torch.ones(batch.num_edges)
    with pytest.raises(ValueError, match=f"drawn graphs have no {name}"):
        with_synthetic(ratio=1.0)(batch, targets)


def test_features_on_one_side_only_are_refused():
    batch, _ = real()
    bare, _ = real(features=0)
    with pytest.raises(ValueError, match="but real graphs have none"):
        beside(bare, batch)
    with pytest.raises(ValueError, match="but drawn graphs have none"):
        beside(batch, bare)


def test_a_negative_ratio_is_refused():
    with pytest.raises(ValueError, match=r"ratio must be non-negative and finite, got ratio=-0.1"):
        with_synthetic(ratio=-0.1)


def test_the_method_trains_and_recomputes_features_that_are_degrees():
    batch, targets = real()
    batch.x = OneHotDegrees(4)(batch)
    setting = Setting(own_net(), TASK, generator=seeded(), training=lambda: (batch, targets))
    method = METHODS["gmixup"]
    objective = method.build(setting, {**method.parameters("graph"), "ratio": 1.0})
    drawn = objective.source.sample_batch(20, seeded())
    degrees = torch.bincount(drawn.edge_index[0], minlength=drawn.num_nodes)
    assert torch.equal(drawn.x.argmax(1), degrees.clamp(max=4))
    optimizer = torch.optim.Adam(objective.param_groups(), lr=1e-2)
    objective.attach(optimizer)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = sum(objective(batch, targets).values())
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_the_method_needs_the_training_graphs():
    method = METHODS["gmixup"]
    with pytest.raises(ValueError, match="training must hold the training graphs"):
        method.build(Setting(own_net(), TASK), method.parameters())


def test_listing_the_methods_does_not_import_torch_geometric():
    code = "import sys, mixkit_graph.graphon_methods; sys.exit('torch_geometric' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_labels_of_another_number_of_classes_are_refused():
    batch, targets = real()
    fewer = GMixup().fit(batch, targets[:, :2])
    with pytest.raises(ValueError, match=r"labels of the shape of the targets, \(3,\), got \(2,\); .*task.encode"):
        WithSynthetic(PlainNet(), TASK, fewer, ratio=1.0)(batch, targets)
