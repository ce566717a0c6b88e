"""Mixing at the readout beside what users of torch_geometric have: compilers, samplers, tasks, types of nodes."""

import pytest
import torch
from torch import nn

import mixkit
import mixkit_graph
from mixkit_graph import GraphModel

pytest.importorskip("torch_geometric")

from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import DataLoader, ImbalancedSampler
from torch_geometric.nn import GIN, MLP, SAGEConv, global_add_pool, global_mean_pool, to_hetero


class Net(nn.Module):
    def __init__(self, outputs=2):
        super().__init__()
        self.gin = GIN(5, 16, 3, jk="cat")
        self.classifier = MLP([16, 16, outputs], norm="batch_norm", dropout=0.0)

    def forward(self, x, edge_index, batch):
        return self.classifier(global_add_pool(self.gin(x, edge_index), batch, size=8))


def graphs(count=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    found = []
    for k in range(count):
        size = 4 + k % 5
        edges = torch.randint(size, (2, 2 * size), generator=generator)
        found.append(Data(x=torch.randn(size, 5, generator=generator), edge_index=edges, y=torch.tensor([k % 2])))
    return found


def mixed(model, task, **options):
    mix = mixkit.Mix(mixkit.Blend(), mixkit.BetaPairs(1.0))
    place = mixkit.AtSite("model.classifier:input")
    return mixkit.Mixed(model, task, mix, place, generator=torch.Generator().manual_seed(0), **options)


def terms_of(objective, batch, targets):
    terms = objective(batch, targets)
    sum(terms.values()).backward()
    return {name: float(term.detach()) for name, term in terms.items()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler, of itself
def test_the_readout_is_mixed_inside_one_full_graph_of_the_compiler(graphs_compiled):
    torch.manual_seed(0)
    model, task = GraphModel(Net()), mixkit.MultiClass(2)
    batch = Batch.from_data_list(graphs())
    compiled = torch.compile(model, fullgraph=True, backend="eager", dynamic=True)
    found = [mixed(each, task, penalty=mixkit.MixupE(1e-2)) for each in (model, compiled)]
    for seed in range(3):
        batch = Batch.from_data_list(graphs(seed=seed))
        plain, other = (terms_of(objective, batch, task.encode(batch.y)) for objective in found)
        assert other == pytest.approx(plain, rel=1e-4)
    assert graphs_compiled() == 1


@pytest.fixture
def graphs_compiled():
    torch.compiler.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    yield lambda: counters["stats"]["unique_graphs"]
    torch.compiler.reset()


def test_the_layers_run_once_for_mixed_and_clean_rows():
    model, task, calls = GraphModel(Net()), mixkit.MultiClass(2), []
    batch = Batch.from_data_list(graphs())
    objective = mixed(model, task, penalty=mixkit.MixupE(1e-2))
    objective(batch, task.encode(batch.y))  # the first batch probes the site
    model.model.gin.register_forward_hook(lambda *given: calls.append("layers"))
    model.model.classifier.register_forward_pre_hook(lambda module, given: calls.append(len(given[0])))
    objective(batch, task.encode(batch.y))
    assert calls == ["layers", 16]


def test_loaders_and_samplers_hand_over_what_is_mixed():
    data = graphs(24)
    loader = DataLoader(data, batch_size=8, sampler=ImbalancedSampler(torch.cat([g.y for g in data])))
    task = mixkit.MultiClass(2)
    objective = mixed(GraphModel(Net()), task)
    losses = [terms_of(objective, batch, task.encode(batch.y))["mixed"] for batch in loader]
    assert len(losses) == 3
    assert all(loss > 0 for loss in losses)


def test_several_tasks_with_missing_labels_take_nothing_from_what_is_missing():
    torch.manual_seed(0)
    task, batch = mixkit.MultiLabel(3), Batch.from_data_list(graphs())
    labels = torch.randint(2, (8, 3), generator=torch.Generator().manual_seed(1)).float()
    labels[:, 1] = torch.nan
    model = GraphModel(Net(3))
    objective = mixed(model, task)
    terms_of(objective, batch, task.encode(labels))
    grad = model.model.classifier.lins[-1].bias.grad
    assert grad[1] == 0
    assert bool((grad[[0, 2]] != 0).all())


def test_numbers_are_predicted_from_mixed_readouts():
    batch, task = Batch.from_data_list(graphs()), mixkit.Regression()
    objective = mixed(GraphModel(Net(1)), task, penalty=mixkit.MixupE(1e-2))
    found = terms_of(objective, batch, task.encode(torch.linspace(-1, 1, 8)[:, None]))
    assert found.keys() == {"mixed", "penalty"}
    assert found["mixed"] > 0


class Papers(nn.Module):
    """A graph-level network on two types of nodes."""

    def __init__(self, metadata):
        super().__init__()

        class Layers(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.second = SAGEConv((-1, -1), 8), SAGEConv((-1, -1), 8)

            def forward(self, x, edge_index):
                return self.second(self.first(x, edge_index).relu(), edge_index)

        self.layers = to_hetero(Layers(), metadata)
        self.head = nn.Linear(16, 2)

    def forward(self, batch):
        found = self.layers(batch.x_dict, batch.edge_index_dict)
        pooled = [global_mean_pool(found[kind], batch[kind].batch, size=6) for kind in ("author", "paper")]
        return self.head(torch.cat(pooled, 1))


def test_graphs_of_several_types_of_nodes_are_mixed_behind_their_pooling():
    generator, found = torch.Generator().manual_seed(0), []
    for k in range(6):
        graph = HeteroData()
        graph["author"].x, graph["paper"].x = (torch.randn(3, 4, generator=generator) for _ in range(2))
        for kind in (("author", "writes", "paper"), ("paper", "by", "author")):
            graph[kind].edge_index = torch.randint(3, (2, 5), generator=generator)
        graph.y = torch.tensor([k % 2])
        found.append(graph)
    batch, task = Batch.from_data_list(found), mixkit.MultiClass(2)
    model = Papers(found[0].metadata())
    model(batch)  # lazy layers take their sizes
    mix = mixkit.Mix(mixkit.Blend(), mixkit.BetaPairs(1.0))
    objective = mixkit.Mixed(model, task, mix, mixkit.AtSite("head:input"), penalty=mixkit.MixupE(1e-2))
    found = terms_of(objective, batch, task.encode(batch.y))
    assert found["mixed"] > 0
    assert found["penalty"] > 0


def test_a_batch_and_its_graphs_stay_as_they_were():
    data = graphs()
    batch = Batch.from_data_list(data)
    before = {key: batch[key].clone() for key in batch.keys()}  # noqa: SIM118 - a Batch yields graphs, not keys
    objective = mixed(GraphModel(Net()), mixkit.MultiClass(2), penalty=mixkit.MixupE(1e-2))
    objective(batch, objective.task.encode(batch.y))
    assert set(batch.keys()) == set(before)
    assert all(torch.equal(batch[key], value) for key, value in before.items())


def test_all_names_of_the_package_are_there_with_the_options_that_its_classes_take():
    listed = mixkit_graph.__all__
    assert [name for name in listed if not hasattr(mixkit_graph, name)] == []
    assert set(mixkit_graph._LATER) < set(listed)
    options = {"Ramp", "Passes", "FromTeacher", "Both", "OneAtRandom", "UniformLam", "BetaLam", "Stretch", "Pad"}
    assert options <= set(listed)
