"""What a step of GraphMix does: terms by hand, guessed labels, the teacher, what is refused."""

import copy

import pytest
import torch
from graphmix_parts import FEATURES, NODES, TARGETS, TASK, Net, graph, layer, seeded

from mixkit import AtSite, MultiLabel
from mixkit.method import Setting
from mixkit.momentum import Momentum
from mixkit_graph.graphmix import GraphMix
from mixkit_graph.graphmix_options import Both, FromTeacher, OneAtRandom, Passes, Ramp, sharpened, steady_norms
from mixkit_graph.graphon_methods import GRAPHON_METHODS
from mixkit_graph.isolated import isolated, unlabelled_rows, with_rows
from mixkit_graph.models import NodeModel

from torch_geometric.data import Data, HeteroData  # isort: skip # after mixkit_graph, which silences what importing it says
from torch_geometric.nn import GATConv, GCNConv, GINConv, SAGEConv  # isort: skip

NOW = Ramp(1.0, 0.0, 0.0)


def graphmix(model=None, **options):
    options.setdefault("ramp", NOW)
    options.setdefault("generator", seeded())
    model = NodeModel(Net()) if model is None else model
    return GraphMix(model, TASK, AtSite("model.first"), **options)


def test_guessed_labels_are_the_sharpened_mean_of_passes_without_gradient():
    data, model = graph(), NodeModel(Net(dropout=0.5))
    objective = graphmix(model, guess=Passes(3), temperature=0.5)
    asked = torch.tensor([0, 2])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        found = objective.guessed(data, asked)
        torch.manual_seed(1)
        each = [model(with_rows(data, asked)).softmax(1) for _ in range(3)]
    assert not torch.equal(each[0], each[1])
    assert not found.requires_grad
    torch.testing.assert_close(found, sharpened(torch.stack(each).mean(0), 0.5).detach())


def test_guessing_leaves_running_statistics_alone():
    model = NodeModel(Net(norm=True))
    objective = graphmix(model)
    before = model.model.norm.running_mean.clone()
    objective.guessed(graph(), torch.tensor([0, 2]))
    assert torch.equal(model.model.norm.running_mean, before)
    assert model.model.norm.training
    with steady_norms(model.eval()):
        pass
    assert not model.model.norm.training


def test_the_terms_are_the_losses_of_both_branches_by_hand():
    data, model = graph(), NodeModel(Net())
    objective = graphmix(model, ramp=Ramp(2.0, 0.0, 0.0))
    terms = objective(data, TARGETS)
    # the same draws by hand
    draw = seeded()
    others = unlabelled_rows(data, data.rows)
    chosen = others[torch.randperm(8, generator=draw)[:4]]
    guess = sharpened(model(with_rows(data, chosen)).softmax(1), 0.1).detach()
    expected = []
    for rows, labels in ((data.rows, TARGETS), (chosen, guess)):
        pairs = objective.pairs(labels, draw)
        lam = pairs.lam[:, None]
        hidden = model.model.first.lin(data.x[rows]) + model.model.first.bias
        mixed = (lam * hidden + (1 - lam) * hidden[pairs.partner]).relu()
        logits = model.model.second.lin(mixed) + model.model.second.bias
        expected.append(TASK.loss(logits, lam * labels + (1 - lam) * labels[pairs.partner]))
    assert list(terms) == ["gnn", "fcn", "unlabelled"]
    torch.testing.assert_close(terms["gnn"], TASK.loss(model(data), TARGETS))
    torch.testing.assert_close(terms["fcn"], expected[0])
    torch.testing.assert_close(terms["unlabelled"], 2 * expected[1])


def test_before_the_ramp_nothing_is_guessed():
    objective = graphmix(ramp=Ramp(1.0, 0.5, 0.75), total_steps=4)
    assert [list(objective(graph(), TARGETS)) for _ in range(4)] == [["gnn", "fcn"]] * 2 + [
        ["gnn", "fcn", "unlabelled"]
    ] * 2


def test_one_at_random_takes_the_loss_with_edges_with_its_probability():
    drawn = [OneAtRandom(0.25).draw(seeded(seed)) for seed in range(400)]
    assert set(drawn) == {(True, False), (False, True)}
    assert sum(with_edges for with_edges, _ in drawn) / 400 == pytest.approx(0.25, abs=0.07)
    assert Both().draw(seeded()) == (True, True)
    objective = graphmix(choice=OneAtRandom())
    seen = {tuple(objective(graph(), TARGETS)) for _ in range(20)}
    assert seen == {("gnn",), ("fcn", "unlabelled")}


@pytest.mark.parametrize("term", ["gnn", "fcn", "unlabelled"])
def test_every_term_trains_every_weight(term):
    objective = graphmix()
    objective(graph(), TARGETS)[term].backward()
    assert all(bool(p.grad.any()) for p in objective.model.parameters() if p.ndim == 2)


def test_missing_labels_and_weights_of_0_contribute_nothing():
    targets = TARGETS.clone()
    targets[2] = float("nan")
    weights = torch.tensor([1.0, 1.0, 0.0, 1.0])
    missing, weightless = graphmix()(graph(), targets), graphmix()(graph(), TARGETS, weights)
    for name in ("gnn", "fcn", "unlabelled"):
        torch.testing.assert_close(missing[name], weightless[name])


def test_nothing_is_written_to_the_data():
    data = graph()
    before = copy.deepcopy(data)
    objective = graphmix()
    objective(data, TARGETS)
    objective(data, TARGETS)
    assert data.keys() == before.keys()
    assert all(torch.equal(data[key], before[key]) for key in before.keys())  # noqa: SIM118 - Data is no mapping


def test_in_evaluation_it_is_the_plain_loss():
    objective = graphmix().eval()
    terms = objective(graph(), TARGETS)
    assert list(terms) == ["loss"]
    torch.testing.assert_close(terms["loss"], TASK.loss(objective.model(graph()), TARGETS))


def test_a_graph_without_unlabelled_nodes_has_no_such_term():
    data = with_rows(graph(), torch.arange(NODES))
    assert list(graphmix()(data, TASK.encode(torch.arange(NODES) % 3))) == ["gnn", "fcn"]


def test_seeds_of_a_sampled_piece_are_the_labelled_nodes():
    data = graph()
    del data.rows
    data.batch_size = 4
    first = graphmix()(data, TARGETS)
    second = graphmix()(with_rows(graph(), torch.arange(4)), TARGETS)
    for name in ("gnn", "fcn", "unlabelled"):
        torch.testing.assert_close(first[name], second[name])


def train(objective, data, targets, steps, rate=0.05):
    optimizer = torch.optim.Adam(objective.param_groups(), lr=rate)
    objective.attach(optimizer)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = sum(objective(data, targets).values())
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_a_teacher_guesses_and_follows_the_model():
    model = NodeModel(Net())
    objective = graphmix(model, guess=FromTeacher(Momentum(0.5, 0.5, warmup=1)), temperature=1.0)
    assert {id(p) for p in objective.teacher.parameters()}.isdisjoint({id(p) for p in model.parameters()})
    start = model.model.second.bias.detach().clone()
    train(objective, graph(), TARGETS, 1)
    averaged = (start + model.model.second.bias.detach()) / 2
    torch.testing.assert_close(objective.teacher.model.model.second.bias, averaged)
    asked = torch.tensor([0, 2])
    expected = objective.teacher(with_rows(graph(), asked)).softmax(1)
    torch.testing.assert_close(objective.guessed(graph(), asked), expected)
    assert objective.deploy() is model


def test_a_teacher_that_no_optimizer_moves_is_refused():
    objective = graphmix(guess=FromTeacher())
    with torch.no_grad():
        objective.model.model.second.bias.add_(1.0)
    with pytest.raises(RuntimeError, match="must be attached to the optimizer"):
        objective(graph(), TARGETS)


def test_a_checkpoint_repeats_the_draws():
    objective = graphmix()
    state = objective.state_dict()
    first, second = (float(objective(graph(), TARGETS)["fcn"].detach()) for _ in range(2))
    objective.load_state_dict(state)
    assert float(objective(graph(), TARGETS)["fcn"].detach()) == first != second


@pytest.mark.parametrize("kind", [GCNConv, GATConv, GINConv, SAGEConv])
def test_the_method_trains_any_layer(kind):
    method = {method.name: method for method in GRAPHON_METHODS}["graphmix"]
    setting = Setting(NodeModel(Net(layer(kind))), TASK, AtSite("model.first"), generator=seeded(), total_steps=40)
    losses = train(method.build(setting, {**method.parameters("node"), "passes": 2.0}), graph(), TARGETS, 40)
    assert sum(losses[5:10]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: graphmix(temperature=0.0), "temperature must be positive and finite, got temperature=0.0"),
        (lambda: graphmix(ramp=Ramp()), "total_steps must be given for a ramp"),
        (lambda: GraphMix(NodeModel(Net()), MultiLabel(3), AtSite("model.first")), "take MultiClass"),
        (lambda: graphmix()(graph(), TARGETS[:3]), "targets must have a row a labelled node, got 3 for 4 nodes"),
        (lambda: graphmix()(HeteroData(), TARGETS), "needs a graph of one type of nodes, a Data, got HeteroData"),
        (lambda: graphmix(NodeModel(Net(GCNConv(FEATURES, 8, cached=True)))), "build them with cached=False"),
        (lambda: Ramp(-1.0), "weight must be non-negative"),
        (lambda: Ramp(1.0, 0.5, 0.4), "start and end must be in order"),
        (lambda: Passes(0), "count must be at least 1"),
        (lambda: OneAtRandom(1.0), r"probability must be in \(0, 1\)"),
        (lambda: isolated(Data(x=torch.ones(2, 1)), torch.tensor([0])), "data must have edge_index, got x"),
    ],
)
def test_wrong_use_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
