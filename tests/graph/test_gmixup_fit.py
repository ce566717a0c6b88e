"""What G-Mixup estimates from a data set: positions, mean adjacencies and features, against dense loops."""

import numpy as np
import pytest
import torch
from graphon_parts import dataset, random_graph

from mixkit_graph._pyg import Batch
from mixkit_graph.gmixup import GMixup
from mixkit_graph.graphon_means import Pad, Stretch, mean_adjacency, mean_features, ranks
from mixkit_graph.graphs import graph_set, pointers

from torch_geometric.data import Data  # isort: skip # after _pyg, which silences what importing it says


def flat(graphs):
    """Return the structure of graphs, gathered."""
    sizes = torch.tensor([g.num_nodes for g in graphs])
    shifts = pointers(sizes)[:-1].tolist()
    edges = torch.cat([g.edge_index + shift for g, shift in zip(graphs, shifts, strict=True)], 1)
    return graph_set(sizes, edges).gather(torch.arange(len(graphs)))


def spans_of(some, align, resolution):
    return align.spans(ranks(some), some.node_ptr.diff()[some.graph], resolution)


def dense_order(graph):
    """Return the dense adjacency of a graph in its order of degree, then of the neighbours' degrees."""
    adjacency = np.zeros((graph.num_nodes, graph.num_nodes))
    adjacency[tuple(graph.edge_index.numpy())] = 1
    degree = adjacency.sum(0)
    order = np.lexsort([-(adjacency @ degree), -degree])
    return adjacency[order][:, order], order


def overlaps(size, resolution):
    """Return (n, R): the share of each cell that each node covers when stretched."""
    cover = np.zeros((size, resolution))
    for r in range(size):
        for cell in range(resolution):
            low, high = max(r / size, cell / resolution), min((r + 1) / size, (cell + 1) / resolution)
            cover[r, cell] = max(0.0, high - low) * resolution
    return cover


@pytest.mark.parametrize("resolution", [4, 5])
def test_the_stretched_mean_equals_dense_matrices_graph_by_graph(resolution):
    graphs = dataset()
    edges = np.zeros((resolution, resolution))
    pairs = np.zeros((resolution, resolution))
    for graph in graphs:
        adjacency, _ = dense_order(graph)
        cover = overlaps(graph.num_nodes, resolution)
        edges += cover.T @ adjacency @ cover
        pairs += cover.T @ (1 - np.eye(len(cover))) @ cover
    some = flat(graphs)
    found = mean_adjacency(some, spans_of(some, Stretch(), resolution), resolution)
    np.testing.assert_allclose(found.numpy(), edges / pairs, atol=1e-9)


def test_the_padded_mean_equals_dense_matrices_cut_and_padded():
    graphs, resolution = dataset(), 9
    total = np.zeros((resolution, resolution))
    for graph in graphs:
        adjacency = np.zeros((20, 20))
        adjacency[: graph.num_nodes, : graph.num_nodes] = dense_order(graph)[0]
        total += adjacency[:resolution, :resolution] / len(graphs)
    some = flat(graphs)
    found = mean_adjacency(some, spans_of(some, Pad(), resolution), resolution).numpy()
    apart = ~np.eye(resolution, dtype=bool)
    np.testing.assert_allclose(found[apart], total[apart], atol=1e-9)
    assert found[0, 0] == pytest.approx((total[0, 1] + total[1, 0]) / 2)  # a node is no neighbour of itself


@pytest.mark.parametrize("align", [Stretch(), Pad()])
def test_complete_graphs_have_the_graphon_1_whatever_their_sizes(align):
    some = flat([random_graph(size, 2.0, 0, 0) for size in (6, 7, 9, 14)])
    found = mean_adjacency(some, spans_of(some, align, 6), 6)
    torch.testing.assert_close(found, torch.ones(6, 6, dtype=torch.float64))


def test_mean_features_equal_a_loop_over_graphs():
    graphs, resolution = dataset(), 5
    total, weight = np.zeros((resolution, 2)), np.zeros((resolution, 1))
    for graph in graphs:
        cover = overlaps(graph.num_nodes, resolution)
        total += cover.T @ graph.x.numpy()[dense_order(graph)[1]]
        weight += cover.sum(0)[:, None]
    some = flat(graphs)
    found = mean_features(torch.cat([g.x for g in graphs]), spans_of(some, Stretch(), resolution), resolution)
    np.testing.assert_allclose(found.numpy(), total / weight, atol=1e-5)


def test_the_order_of_graphs_and_of_edges_changes_no_graphon():
    graphs = dataset()
    turned = [Data(x=g.x, y=g.y, edge_index=g.edge_index.flip(1)) for g in graphs[::-1]]
    first, second = GMixup().fit(graphs), GMixup().fit(turned)
    torch.testing.assert_close(first.graphons, second.graphons)
    torch.testing.assert_close(first.features, second.features)


def test_renumbering_nodes_changes_no_graphon_where_the_order_of_degrees_is_clear():
    # degrees 4, 3, 2, 2, 1; the two of degree 2 differ in their neighbours' degrees
    edges = torch.tensor([[0, 0, 0, 0, 1, 1], [1, 2, 3, 4, 2, 5]])
    own = Data(x=torch.arange(6.0)[:, None], edge_index=torch.cat([edges, edges.flip(0)], 1), y=torch.tensor([0]))
    order = torch.tensor([3, 5, 0, 2, 1, 4])
    place = torch.empty_like(order).scatter(0, order, torch.arange(6))
    other = Data(x=own.x[order], edge_index=place[own.edge_index], y=own.y)
    pair = [random_graph(6, 0.5, 1, 0, 1)]
    first, second = (GMixup(resolution=5).fit([graph, *pair]) for graph in (own, other))
    torch.testing.assert_close(first.graphons, second.graphons)


def test_a_batch_and_a_list_give_the_same():
    graphs = dataset()
    first, second = GMixup().fit(graphs), GMixup().fit(Batch.from_data_list(graphs))
    assert torch.equal(first.graphons, second.graphons)
    assert torch.equal(first.features, second.features)


def test_graphs_without_a_label_count_for_no_class():
    graphs = dataset()
    targets = torch.nn.functional.one_hot(torch.tensor([int(g.y) for g in graphs])).float()
    odd = [*graphs, random_graph(30, 0.9, 0, 5)]
    padded = torch.cat([targets, torch.full((1, 2), float("nan"))])
    assert torch.equal(GMixup().fit(odd, padded).graphons, GMixup().fit(graphs, targets).graphons)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g[::2], "at least two classes, got 1: nothing to mix"),
        (lambda g: [], "dataset must hold graphs, got none"),
        (lambda g: [Data(x=h.x.long(), edge_index=h.edge_index, y=h.y) for h in g], "mean features need float x"),
        (lambda g: [Data(x=h.x, edge_index=h.edge_index) for h in g], "graphs must have labels in y"),
        (lambda g: [Data(x=h.x, edge_index=h.edge_index, y=h.y / 2) for h in g], "must be integer classes"),
        (lambda g: [Data(x=h.x, edge_index=h.edge_index, y=h.y - 1) for h in g], "labels must be in 0 .. 0, got -1"),
        (lambda g: [*g, random_graph(5, 0.5, 0, 0, 0)], "all graphs must have x, or none, got x in 20 of 21"),
        (lambda g: [Data(edge_weight=torch.ones(h.num_edges), **h.to_dict()) for h in g], "leave edge_weight out"),
    ],
)
def test_data_sets_that_cannot_be_fitted_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        GMixup().fit(change(dataset()))


def test_directed_graphs_are_refused_whatever_the_order_of_edges():
    there = torch.tensor([[0, 1, 1], [1, 2, 1]])
    both = torch.cat([there.flip(0), there], 1)  # with a loop, which has one direction
    graphs = [Data(edge_index=both, num_nodes=3, y=torch.tensor([k])) for k in range(2)]
    assert GMixup().fit(graphs).edges.tolist() == [2, 2]
    graphs[1] = Data(edge_index=there, num_nodes=3, y=torch.tensor([1]))
    with pytest.raises(
        ValueError, match=r"must be undirected, .* but 2 edges lack their other direction; .*ToUndirected"
    ):
        GMixup().fit(graphs)
