"""What mixing graphs costs: one step of each way as a ratio of a plain one, and of drawing graphs in milliseconds.

    python benchmarks/graph_cost.py --data ../shared/data --repeats 30 --clock cpu

Nodes: Cora, a GCN of two layers with 64 channels, all features dense.  Graphs: 128 of PROTEINS at once, a GIN of four
layers with 64 channels.  All candidates of a table take a step in every round, in an order drawn anew; printed are
medians of the rounds' ratios with their quartiles.  The last table runs each way on generated graphs of growing size,
in a process of its own: time and memory should grow as the number of edges.
On a machine with other work take --clock cpu: it leaves out the time in which another process ran.
"""

import argparse
import copy
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import torch
from torch import nn

import mixkit
from mixkit import AtSite, BetaPairs, Blend, Mix, Mixed, MixupE, MultiClass
from mixkit_graph import GMixup, GraphModel, IfMixup, IGraphMix, NodeModel, TwoBranch
from mixkit_graph.collate import collate
from mixkit_graph.features import NodeFeatures
from mixkit_graph.planetoid import read_planetoid
from mixkit_graph.tudataset import read_tu

from torch_geometric.data import Batch, Data  # isort: skip
from torch_geometric.nn import GCNConv, GIN, MLP, global_add_pool  # isort: skip

SIZES = (10_000, 100_000, 1_000_000)


class Gcn(nn.Module):
    """Two graph convolutions."""

    def __init__(self, features, classes):
        super().__init__()
        self.first, self.second = GCNConv(features, 64), GCNConv(64, classes)

    def forward(self, x, edge_index):
        """Return logits of all nodes."""
        x = nn.functional.dropout(self.first(x, edge_index).relu(), 0.5, self.training)
        return self.second(x, edge_index)


class Gin(nn.Module):
    """GIN layers, the sum of nodes, a classifier."""

    def __init__(self, features, classes):
        super().__init__()
        self.layers = GIN(features, 64, 4)
        self.head = MLP([64, 64, classes], norm="batch_norm", dropout=0.5)

    def forward(self, x, edge_index, batch):
        """Return logits of all graphs."""
        return self.head(global_add_pool(self.layers(x, edge_index), batch))


class Plain(nn.Module):
    """The plain loss with the objectives' interface."""

    def __init__(self, model, task):
        super().__init__()
        self.model, self.task = model, task

    def forward(self, inputs, targets):
        """Return the loss."""
        return {"loss": self.task.loss(self.model(inputs), targets)}


def node_candidates(model, task, penalty):
    """Return objectives for nodes by name, each with a copy of the model."""
    mix = Mix(Blend(), BetaPairs(1.0))
    whole = Mix(IGraphMix(), BetaPairs(1.0, per_sample=False))

    def of(*given, **named):
        return Mixed(copy.deepcopy(model), task, *given, **named)

    return {
        "plain": Plain(copy.deepcopy(model), task),
        "behind the last layer": of(mix, AtSite("select")),
        "two-branch": of(mix, TwoBranch()),
        "two-branch + MixupE": of(mix, TwoBranch(), penalty=penalty),
        "iGraphMix": of(whole),
    }


def graph_candidates(model, task, penalty):
    """Return objectives for graphs by name, each with a copy of the model."""
    mix, site = Mix(Blend(), BetaPairs(1.0)), AtSite("model.head:input")
    return {
        "plain": Plain(copy.deepcopy(model), task),
        "readout": Mixed(copy.deepcopy(model), task, mix, site),
        "readout + MixupE": Mixed(copy.deepcopy(model), task, mix, site, penalty=penalty),
    }


def step(objective, inputs, targets):
    """Take a step without an optimizer's."""
    sum(objective(inputs, targets).values()).backward()
    objective.zero_grad()


def ratios(candidates, inputs, targets, *, repeats, clock):
    """Print the medians of each candidate's seconds over the plain one's."""
    seconds = {name: [] for name in candidates}
    order = np.random.default_rng(0)
    for index in range(repeats + 3):
        for name in order.permutation(list(candidates)):
            start = clock()
            step(candidates[name], inputs, targets)
            if index >= 3:
                seconds[name].append(clock() - start)
    plain = np.array(seconds["plain"])
    print(f"{'plain':24}{1e3 * median(plain):8.1f} ms")
    for name in list(candidates)[1:]:
        low, middle, high = quantiles(np.array(seconds[name]) / plain, n=4)
        print(f"{name:24}{1e3 * median(seconds[name]):8.1f} ms   {middle:.2f} ({low:.2f}-{high:.2f}) x plain")


def milliseconds(run, *, repeats, clock):
    """Return the median time of `run` in ms."""
    found = []
    for index in range(repeats + 3):
        start = clock()
        run()
        if index >= 3:
            found.append(1e3 * (clock() - start))
    return median(found)


def cora(folder):
    """Return Cora as `Data`, and the number of classes."""
    read = read_planetoid(folder / "graphs" / "Cora" / "raw", "cora")
    mask = torch.zeros(len(read.labels), dtype=torch.bool)
    mask[torch.as_tensor(read.official.train)] = True
    edges = torch.as_tensor(read.edges)
    both = torch.unique(torch.cat([edges, edges.flip(0)], 1), dim=1)
    return Data(x=read.x.to_dense(), edge_index=both, y=torch.as_tensor(read.labels), train_mask=mask), read.classes


def proteins(folder, count):
    """Return a batch of PROTEINS with labels."""
    read = read_tu(folder / "graphs" / "PROTEINS" / "raw", "PROTEINS")
    rows = torch.as_tensor(np.random.default_rng(0).permutation(len(read.graphs))[:count])
    features = NodeFeatures.fit(read.graphs, torch.arange(len(read.graphs)))
    batch = collate(read.graphs, features.encode(read.graphs), rows)
    return batch, torch.as_tensor(read.labels)[rows]


def grown(edges, what):
    """Return seconds of one step and peak memory in MB above the start, on a generated graph of so many edges."""
    torch.set_num_threads(1)
    generator, nodes = torch.Generator().manual_seed(0), edges // 10
    data = Data(
        x=torch.randn(nodes, 16, generator=generator),
        edge_index=torch.randint(nodes, (2, edges), generator=generator),
        train_mask=torch.arange(nodes) % 10 == 0,
    )
    task, penalty = MultiClass(4), MixupE(1e-2)
    if what == "ifMixup":
        graphs = nodes // 25
        edges_of = torch.randint(25, (graphs, 2, 250), generator=generator)
        parts = zip(data.x[: 25 * graphs].view(graphs, 25, 16), edges_of, strict=True)
        data = Batch.from_data_list([Data(x=x, edge_index=own) for x, own in parts])
        targets = task.encode(torch.arange(graphs) % 4)
        mix = Mix(IfMixup(), BetaPairs(1.0))
        run = lambda: mix.draw(data, targets, generator).apply(data)  # noqa: E731 - one of two things to run
    else:
        objective = node_candidates(NodeModel(Gcn(16, 4)), task, penalty)[what]
        targets = task.encode(torch.arange(nodes)[data.train_mask] % 4)
        run = lambda: step(objective, data, targets)  # noqa: E731 - as above
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    start = time.process_time()
    run()
    return {
        "seconds": time.process_time() - start,
        "mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


def growth():
    """Print time and memory on graphs of growing size."""
    print(f"\n{'edges':24}" + "".join(f"{size:>24,}" for size in SIZES))
    for what in ("plain", "two-branch + MixupE", "iGraphMix", "ifMixup"):
        cells = []
        for size in SIZES:
            command = [sys.executable, __file__, "--grown", str(size), "--what", what]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            cells.append(f"{1e3 * found['seconds']:10.1f} ms {found['mb']:7.0f} MB")
        print(f"{what:24}" + "".join(f"{cell:>24}" for cell in cells))


def nodes(folder, penalty, **given):
    """Print what a step on Cora costs."""
    data, classes = cora(folder)
    size, edges = len(data.x), data.edge_index.shape[1]
    print(f"\nCora, {size:,} nodes, {edges:,} edges; GCN of 2 layers, 64 channels")
    task = MultiClass(classes)
    candidates = node_candidates(NodeModel(Gcn(data.x.shape[1], classes)), task, penalty)
    ratios(candidates, data, task.encode(data.y[data.train_mask]), **given)


def graphs(folder, penalty, **given):
    """Print what a step on PROTEINS costs, and what drawing graphs does."""
    batch, labels = proteins(folder, 128)
    size, edges = len(batch.x), batch.edge_index.shape[1]
    print(f"\nPROTEINS, 128 graphs, {size:,} nodes, {edges:,} edges; GIN of 4 layers, 64 channels")
    task = MultiClass(2)
    targets = task.encode(labels)
    ratios(graph_candidates(GraphModel(Gin(batch.x.shape[1], 2)), task, penalty), batch, targets, **given)
    generator, mix = torch.Generator().manual_seed(0), Mix(IfMixup(), BetaPairs(1.0))
    laid = milliseconds(lambda: mix.draw(batch, targets, generator).apply(batch), **given)
    print(f"{'ifMixup of 128 graphs':24}{laid:8.2f} ms")
    batch.y = labels
    fitted = GMixup().fit(batch)
    print(f"{'128 from graphons':24}{milliseconds(lambda: fitted.sample_batch(128, generator), **given):8.2f} ms")


def main():
    parser = argparse.ArgumentParser(description="What mixing graphs costs.")
    default = Path(os.environ.get("MIXKIT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder that holds graphs/Cora and graphs/PROTEINS")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--grown", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--what", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.grown:
        print(json.dumps(grown(options.grown, options.what)))
        return
    torch.manual_seed(0)
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    print(f"one thread, {options.clock} clock, torch {torch.__version__}, mixkit {mixkit.__version__}")
    for measured in (nodes, graphs):
        measured(options.data, MixupE(1e-2), repeats=options.repeats, clock=clock)
    growth()


if __name__ == "__main__":
    main()
