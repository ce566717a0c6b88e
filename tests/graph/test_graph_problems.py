"""Both kinds of problem: features, batches, networks, the sites where samples are mixed, cards and drawings."""

import json
import pickle
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

import mixkit
from mixkit.comparison.problems import DataError, LoadOptions
from mixkit_graph import ADAPTER
from mixkit_graph._pyg import Batch
from mixkit_graph.features import NodeFeatures
from mixkit_graph.generated import block_model, motif_graphs
from mixkit_graph.graphs import graph_set
from mixkit_graph.networks import GraphIsomorphismLayer, GraphNet, NodeNet, normalised
from mixkit_graph.nodes import node_graph

from torch_geometric.utils import to_dense_adj  # isort: skip

NONE = LoadOptions()
ALL = np.arange(320)


@pytest.fixture(scope="module", params=["motifs", "blocks"])
def problem(request):
    return {"motifs": motif_graphs, "blocks": block_model}[request.param]()


def with_labels(*labels):
    """Return one graph of two nodes for each pair of node labels."""
    counts = torch.full((len(labels),), 2)
    edges = torch.arange(2 * len(labels)).view(-1, 2).T
    return graph_set(counts, edges, torch.tensor(labels).view(-1, 1))


def test_labels_are_one_hot_by_the_values_of_the_training_graphs():
    graphs = with_labels((4, 9), (9, 9), (7, 4))
    features = NodeFeatures.fit(graphs, torch.tensor([0, 1]))
    assert (features.values, features.known, features.width) == (((4, 9),), ((4, 7, 9),), 3)
    # 7 is in no training graph: zeros; the last column is the constant
    assert features.encode(graphs).features(torch.tensor([0, 1, 4, 5])).tolist() == [
        [1, 0, 1],
        [0, 1, 1],
        [0, 0, 1],
        [1, 0, 1],
    ]


def test_degrees_are_one_hot_up_to_the_largest_of_the_training_graphs():
    star = torch.tensor([[0, 2, 2, 2], [1, 3, 4, 5]])
    graphs = graph_set(torch.tensor([2, 4]), star)
    features = NodeFeatures.fit(graphs, torch.tensor([0]))
    assert features.max_degree == 1
    assert features.encode(graphs).features(torch.tensor([0, 2])).tolist() == [[0, 1, 1], [0, 1, 1]]
    assert NodeFeatures.fit(graphs, torch.tensor([1])).encode(graphs).features(torch.tensor([2])).tolist() == [
        [0, 0, 0, 1, 1]
    ]


def test_attributes_are_standardised_on_training_graphs():
    attributes = torch.tensor([[1.0, 7.0], [3.0, 7.0], [100.0, 7.0]])
    graphs = graph_set(torch.tensor([2, 1]), torch.empty(2, 0, dtype=torch.long), attributes=attributes)
    encoded = NodeFeatures.fit(graphs, torch.tensor([0])).encode(graphs)
    assert encoded.features(torch.arange(3)).tolist() == [[-1, 0, 1], [1, 0, 1], [98, 0, 1]]


def test_a_batch_is_what_torch_geometric_makes_of_the_same_graphs(write_tu):
    prepared = ADAPTER.load(write_tu(), NONE).prepare(np.arange(4))
    singles = [prepared.batch(torch.tensor([row])).to_data_list()[0] for row in (2, 0, 3, 2)]
    ours, theirs = prepared.batch(torch.tensor([2, 0, 3, 2])), Batch.from_data_list(singles)
    for key in ("x", "edge_index", "batch", "ptr"):
        assert torch.equal(ours[key], theirs[key])
    assert ours.num_graphs == 4
    assert [graph.num_nodes for graph in ours.to_data_list()] == [2, 3, 1, 2]
    assert torch.equal(ours[3].edge_index, singles[0].edge_index)


def test_the_layer_is_torch_geometrics_gin_layer():
    import mixkit_graph._pyg  # noqa: F401 - silences what importing torch_geometric says

    from torch_geometric.nn import GINConv  # isort: skip

    torch.manual_seed(0)
    layer = GraphIsomorphismLayer(5, 4).eval()
    reference = GINConv(layer.mlp, eps=0.3)
    layer.eps.data.fill_(0.3)
    x, edges = torch.randn(6, 5), torch.tensor([[0, 1, 1, 4, 5], [1, 0, 2, 1, 5]])
    assert torch.allclose(layer(x, edges), reference(x, edges), atol=1e-6)


def test_edge_weights_reach_the_layer():
    layer = GraphIsomorphismLayer(2, 4).eval()
    x, edges = torch.randn(3, 2), torch.tensor([[0, 1, 2], [1, 2, 0]])
    assert torch.allclose(layer(x, edges, torch.ones(3)), layer(x, edges))
    without = layer(x, edges[:, :2])
    assert torch.allclose(layer(x, edges, torch.tensor([1.0, 1.0, 0.0])), without)
    assert not torch.allclose(layer(x, edges), without)


def test_the_adjacency_and_layer_are_those_of_kipf_and_welling():
    graph = node_graph(torch.eye(3), torch.tensor([[0, 1], [1, 2]]))
    edges = normalised(graph.edge_index, graph.edge_weight, 3)
    a = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    root = torch.diag(a.sum(0) ** -0.5)
    assert torch.allclose(to_dense_adj(*edges[:1], edge_attr=edges[1])[0], root @ a @ root)
    net = NodeNet(3, 2).eval()
    hidden = root @ a @ root @ net.first.weight + net.first.bias
    assert torch.allclose(net.first(graph.x, *edges), hidden, atol=1e-6)


def test_one_graph_with_one_node_can_be_trained_on(write_tu):
    prepared = ADAPTER.load(write_tu(), NONE).prepare(np.arange(4))
    net = prepared.model().train()
    prepared.task.loss(net(prepared.batch(torch.tensor([3]))), prepared.targets[[3]]).backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


def test_logits_of_a_graph_do_not_depend_on_its_neighbours_in_the_batch():
    prepared = motif_graphs().prepare(ALL)
    net = prepared.model().eval()
    together, alone = net(prepared.batch(torch.tensor([5, 1, 8]))), net(prepared.batch(torch.tensor([1])))
    assert torch.allclose(together[1:2], alone, atol=1e-5)


@pytest.mark.parametrize("method", ["mixup", "mixupe", "manifold", "regmixup"])
def test_methods_train_at_the_sites_and_the_loss_falls(problem, method):
    prepared = problem.prepare(ALL)
    torch.manual_seed(0)
    objective = mixkit.objective(
        method, prepared.model(), prepared.task, torch.Generator().manual_seed(0),
        place=prepared.place, sites=prepared.sites, modality=problem.modality,
    )  # fmt: skip
    optimizer = torch.optim.AdamW(objective.param_groups(), lr=1e-2)
    inputs, targets = prepared.batch(torch.arange(300)), prepared.targets[:300]
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = sum(objective(inputs, targets).values())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < losses[0]


def test_mixing_rows_changes_no_other_rows_and_no_inputs(problem):
    prepared = problem.prepare(ALL)
    net = prepared.model().eval()
    inputs = prepared.batch(torch.tensor([4, 9, 2]))
    plain = net(inputs)
    site = net.get_submodule(prepared.place.site)
    handle = site.register_forward_hook(lambda module, args, out: torch.cat([out[[1, 0]], out[2:], out]))
    swapped = net(inputs)
    handle.remove()
    assert torch.allclose(swapped, torch.cat([plain[[1, 0]], plain[2:], plain]), atol=1e-6)
    assert torch.equal(net(inputs), plain)


def test_nodes_that_were_not_asked_for_get_no_gradient_of_their_labels():
    prepared = block_model().prepare(np.arange(10))
    net = prepared.model().eval()
    few, many = net(prepared.batch(torch.tensor([3, 1]))), net(prepared.batch(torch.arange(360)))
    assert torch.allclose(few, many[[3, 1]], atol=1e-6)


def test_an_unlabelled_node_has_no_target(write_planetoid):
    prepared = ADAPTER.load(write_planetoid(), NONE).prepare(np.array([0, 1]))
    assert prepared.targets[7].isnan().all()
    assert prepared.targets[8].tolist() == [0, 1]
    assert net_is_finite(prepared)


def net_is_finite(prepared):
    return bool(prepared.model().eval()(prepared.batch(torch.arange(9))).isfinite().all())


def test_the_whole_graph_is_moved_to_a_device_once():
    inputs = block_model().prepare(np.arange(10)).batch(torch.tensor([1]))
    for key in ("x", "edge_index"):
        assert inputs.to("cpu")[key] is inputs[key]
        assert inputs.to("meta")[key] is inputs.to("meta")[key]
    assert inputs.to("meta").rows.device.type == "meta"
    inputs.x = inputs.x.clone()  # no longer the graph's own
    assert inputs.to("meta").x is not inputs.to("meta").x
    assert inputs.x.device.type == "cpu"


def test_node_networks_run_under_bfloat16_autocast():
    prepared = block_model().prepare(np.arange(10))
    with torch.autocast("cpu", torch.bfloat16):
        prepared.model()(prepared.batch(torch.arange(10))).float().sum().backward()


def test_problems_survive_pickling_and_are_the_same_each_time(problem):
    again, anew = pickle.loads(pickle.dumps(problem)), ADAPTER.embedded()
    assert again.labels.tolist() == problem.labels.tolist()
    twin = next(other for other in anew if other.name == problem.name)
    rows = torch.arange(7)
    torch.manual_seed(0)
    ours = problem.prepare(ALL).model().eval()
    for other in (again, twin):
        assert torch.equal(ours(problem.prepare(ALL).batch(rows)), ours(other.prepare(ALL).batch(rows)))


def test_cards_are_json_and_name_what_restores_the_network(problem):
    card = json.loads(json.dumps(problem.prepare(ALL).card))
    net = {"graphs": GraphNet, "nodes": NodeNet}[card["samples"]](**card["network"])
    net.load_state_dict(problem.prepare(ALL).model().state_dict())


@pytest.mark.parametrize(("layout", "names"), [("write_tu", "1234"), ("write_planetoid", "012345678")])
def test_restored_data_give_the_same_logits(layout, names, request):
    folder = request.getfixturevalue(layout)()
    prepared = ADAPTER.load(folder, NONE).prepare(np.array([0, 1]))
    restored, found = ADAPTER.restore(json.loads(json.dumps(prepared.card)), folder, NONE)
    rows, net = torch.arange(len(found)), prepared.model().eval()
    assert found == list(names)
    assert torch.equal(net(prepared.batch(rows)), net(restored.batch(rows)))
    assert restored.targets.shape == prepared.targets.shape
    assert restored.recipe == prepared.recipe


def test_graphs_are_restored_without_their_labels(write_tu):
    card = ADAPTER.load(write_tu(), NONE).prepare(np.arange(4)).card
    folder = write_tu()
    (folder / "raw" / "TINY_graph_labels.txt").unlink()
    assert len(ADAPTER.restore(card, folder, NONE)[1]) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"node_labels": "3\n" * 9 + "4\n"},
            r"node labels must be among \[3, 5, 9\] in column 0, as in training, got 4",
        ),
        (
            {"node_attributes": "1\n" * 10},
            "nodes must have 1 labels and 0 attributes each, as in training, got 1 and 1",
        ),
        ({"node_labels": "3, 3\n" * 10}, "nodes must have 1 labels and 0 attributes each, as in training, got 2 and 0"),
    ],
)
def test_other_node_labels_or_attributes_are_not_restored(write_tu, changes, message):
    card = ADAPTER.load(write_tu(), NONE).prepare(np.arange(4)).card
    with pytest.raises(DataError, match=message):
        ADAPTER.restore(card, write_tu(**changes), NONE)


def test_another_graph_or_another_kind_is_not_restored(write_planetoid, write_tu):
    card = ADAPTER.load(write_planetoid(), NONE).prepare(np.array([0, 1])).card
    with pytest.raises(DataError, match=r"must be the one of the training \(9 nodes, 8 edges, .* got 9 nodes, 1 edges"):
        ADAPTER.restore(card, write_planetoid(graph={0: [1]}), NONE)
    with pytest.raises(DataError, match="the model classifies nodes, got a data set of graphs"):
        ADAPTER.restore(card, write_tu(), NONE)


def drawn(html):
    figure = ElementTree.fromstring(html)
    return len(figure.findall(".//circle")), len(figure.findall(".//line")), figure.find("figcaption").text


def test_a_graph_is_drawn_with_its_nodes_edges_and_labels(write_tu):
    prepared = ADAPTER.load(write_tu(), NONE).prepare(np.array([0]))
    batch = prepared.batch(torch.tensor([0, 1, 3]))
    assert drawn(prepared.show(batch, 1)) == (4, 4, "4 nodes, 4 edges")
    assert drawn(prepared.show(batch, 2)) == (1, 0, "1 nodes, 0 edges")
    html = prepared.show(batch, 1)
    assert html.count("<title>label 5</title>") == 1
    assert html.count("<title>other label</title>") == 1  # 9 is in no training graph
    assert prepared.show(batch, 1) == html


def test_large_graphs_are_drawn_in_part():
    ring = torch.stack([torch.arange(500), (torch.arange(500) + 1) % 500])
    graphs = graph_set(torch.tensor([500]), ring)
    from mixkit_graph.collate import collate
    from mixkit_graph.drawing import show_graph

    features = NodeFeatures.fit(graphs, torch.tensor([0]))
    batch = collate(graphs, features.encode(graphs), torch.tensor([0]))
    assert drawn(show_graph(features, batch, 0)) == (120, 119, "500 nodes, 500 edges; 120 nodes drawn")


def test_a_node_is_drawn_with_what_is_around_it_and_only_training_classes(write_planetoid):
    problem = ADAPTER.load(write_planetoid(), NONE)
    problem.classes = ("<b>", "c")
    prepared = problem.prepare(np.array([0, 1]))
    html = prepared.show(prepared.batch(torch.tensor([7, 3])), 1)
    # 3 is linked with 2 and 4, these with 1 and 5
    assert drawn(html) == (5, 4, "node 3, 2 neighbours; 5 nodes within 2 steps drawn")
    assert "node 1, c<" in html
    assert "node 3<" in html
    assert "<b>" not in prepared.show(prepared.batch(torch.tensor([0])), 0)


def test_embedded_problems_are_labelled_as_generated_and_have_no_official_split():
    for problem in ADAPTER.embedded():
        assert "generated" in problem.title
        assert problem.notes[0].startswith("generated in code")
        assert problem.official is None
        assert np.bincount(problem.labels).tolist() == [len(problem.labels) // 4] * 4


def trained_accuracy(problem, train, test, seed=0):
    torch.manual_seed(seed)
    prepared = problem.prepare(train)
    recipe, net = prepared.recipe, prepared.model().train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * -(-len(train) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(recipe.epochs):
        for rows in torch.as_tensor(train)[torch.randperm(len(train))].split(recipe.batch_size):
            optimizer.zero_grad()
            prepared.task.loss(net(prepared.batch(rows)), prepared.targets[rows]).backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return prepared.task.score(net.eval()(prepared.batch(torch.as_tensor(test))), prepared.targets[test])


def test_embedded_problems_are_neither_trivial_nor_hopeless(problem):
    order = np.random.default_rng(0).permutation(len(problem.labels))
    assert 0.7 <= trained_accuracy(problem, order[80:], order[:80]) <= 0.97


@pytest.mark.data
def test_the_real_citation_graph_is_learned_from_140_labels(real):
    problem = ADAPTER.load(real("Cora"), NONE)
    assert trained_accuracy(problem, problem.official.train, problem.official.test) > 0.78


@pytest.mark.data
@pytest.mark.slow
def test_real_molecules_are_told_apart(real):
    problem = ADAPTER.load(real("MUTAG"), NONE)
    order = np.random.default_rng(0).permutation(188)
    assert trained_accuracy(problem, order[38:], order[:38]) > 0.75
