"""`GraphonMixer`: draws graphs of two classes from fitted graphons, many at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from mixkit_graph._pyg import Batch
from mixkit_graph.graphon_data import class_rows, labels_of
from mixkit_graph.graphon_sampler import connected, draw_edges, renumbered, rescaled
from mixkit_graph.graphs import pointers
from mixkit_graph.lam_laws import LamLaw

from torch_geometric.data import Data  # isort: skip # after _pyg, which silences what importing it says

Features = Callable[[Any], Tensor]


@dataclass(frozen=True, eq=False)
class GraphonMixer:
    """What `GMixup.fit` found: draws graphs of two classes.

    Attributes:
        graphons: float32 (C, R, R), for each class that has graphs.
        features: (C, R, F), mean features of each class at each position, or None.
        labels: float32 (C, K), the mean target of each class.
        nodes: int64 (G,), number of nodes of each real graph, class by class.
        edges: int64 (G,), number of undirected edges.
        classes: int64 (G,), rising, 0 .. C - 1.
        lam: law of the own class's share.
        compute: a graph, or several in one -> x (N, F) of graphs that are drawn, or None.
        keep_isolated: whether drawn nodes without an edge stay.
    """

    graphons: Tensor
    features: Tensor | None
    labels: Tensor
    nodes: Tensor
    edges: Tensor
    classes: Tensor
    lam: LamLaw
    compute: Features | None = None
    keep_isolated: bool = False

    @property
    def expected_partner_share(self) -> float:
        """E[a] = 2 E[lam (1 - lam)] of the law of lam."""
        return self.lam.expected_partner_share

    def sample(self, count: int, generator: Generator) -> list[Data]:
        """Return `count` new graphs with `edge_index`, `y` float [1, K], and `x`, or `num_nodes` where there is no x.

        Edges are in both directions and not sorted by node.  `alongside` gives the real graphs the same attributes, so
        that all go into one batch.

        Args:
            count: at least 0.
            generator: where all draws come from, a CPU generator.

        Raises:
            ValueError: count is negative.
        """
        if count < 0:
            raise ValueError(f"count must be at least 0, got {count=}")
        if count == 0:
            return []
        batch = self.sample_batch(count, generator)
        nodes = batch.ptr.diff().tolist()
        edges = batch.edge_index - batch.ptr[batch.batch[batch.edge_index[0]]]
        pieces = torch.split(edges, batch._slice_dict["edge_index"].diff().tolist(), 1)
        rows = torch.split(batch.y, 1)
        if batch.x is None:
            parts = zip(pieces, rows, nodes, strict=True)
            return [Data(edge_index=edge, y=row, num_nodes=size) for edge, row, size in parts]
        features = torch.split(batch.x, nodes)
        return [Data(x=x, edge_index=e, y=row) for x, e, row in zip(features, pieces, rows, strict=True)]

    def sample_batch(self, count: int, generator: Generator) -> Batch:
        """Return `count` new graphs as one `Batch`, as `Batch.from_data_list` would join those of `sample`.

        Raises:
            ValueError: count is below 1.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1 in a batch, got {count=}")
        first, second = self._pairs(count, generator)
        lam = self.lam.draw(count, generator)
        nodes = blended(lam, self.nodes[first], self.nodes[second]).clamp(min=1)
        edges = torch.minimum(blended(lam, self.edges[first], self.edges[second]), nodes * (nodes - 1) // 2)
        own, other, share = self.classes[first], self.classes[second], lam[:, None, None]
        graphons = torch.lerp(self.graphons.index_select(0, other), self.graphons.index_select(0, own), share)
        graph = torch.repeat_interleave(nodes)
        size = graphons.shape[1]
        uniform = torch.rand(len(graph), dtype=torch.float64, generator=generator, device="cpu")
        cell = (uniform * size).long().clamp_(max=size - 1)
        held = torch.bincount(graph * size + cell, minlength=count * size).view(count, size).float()
        ptr = pointers(nodes)
        drawn = draw_edges(rescaled(graphons, held, edges.float()), cell, ptr, generator)
        if not self.keep_isolated:
            kept = connected(drawn, ptr)
            drawn, ptr = renumbered(drawn, ptr, kept)
            graph, cell = graph.index_select(0, kept), cell.index_select(0, kept)
        label = torch.lerp(self.labels[other], self.labels[own], lam[:, None])
        batch = joined(drawn, graph, ptr, label)
        return self._with_features(batch, own, other, lam, cell)

    def alongside(self, dataset: Any, targets: Tensor | None = None) -> list[Data]:
        """Return the graphs of a data set with the attributes that drawn ones have, and no others.

        `mixer.alongside(dataset) + mixer.sample(n, generator)` is a data set to train on.  The graphs are new objects;
        tensors are shared and the data set stays as it is.

        Args:
            dataset: `Data` in a sequence.
            targets: float (G, K); None: from `y`, as in `fit`.

        Raises:
            ValueError: labels are missing, or of classes that were not there.
        """
        graphs = [dataset[k] for k in range(len(dataset))]
        if not graphs:
            return []
        rows = (
            class_rows(torch.cat([labels_of(g) for g in graphs]), self.labels.shape[1]) if targets is None else targets
        )
        return [self._alike(graph, row[None]) for graph, row in zip(graphs, rows, strict=True)]

    def _alike(self, graph: Any, row: Tensor) -> Data:
        """Return one graph with the attributes of drawn ones."""
        x = graph.x
        if x is None and self.compute is not None:
            x = self.compute(graph)
        if x is None:
            return Data(edge_index=graph.edge_index, y=row, num_nodes=graph.num_nodes)
        if self.features is None and self.compute is None:
            raise ValueError("graphs have x, but drawn ones have none: those of the fit had no x")
        return Data(x=x, edge_index=graph.edge_index, y=row)

    def _pairs(self, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return int64 (count,) twice: real graphs, uniformly, and for each one of another class, uniformly."""
        sizes = torch.bincount(self.classes)
        total = len(self.classes)
        uniform = torch.rand(2, count, dtype=torch.float64, generator=generator, device="cpu")
        first = (uniform[0] * total).long().clamp_(max=total - 1)
        own = self.classes[first]
        others = total - sizes[own]
        second = torch.minimum((uniform[1] * others).long(), others - 1)
        # classes lie one after the other: those behind the own one move up by its size
        return first, second + torch.where(second >= (sizes.cumsum(0) - sizes)[own], sizes[own], 0)

    def _with_features(self, batch: Batch, own: Tensor, other: Tensor, lam: Tensor, cell: Tensor) -> Batch:
        """Return the batch with `x`, where there is one."""
        x = None
        if self.compute is not None:
            x = self.compute(batch)
        elif self.features is not None:
            rows, size = self.features.flatten(0, 1), self.features.shape[1]
            near = rows.index_select(0, own.index_select(0, batch.batch) * size + cell)
            far = rows.index_select(0, other.index_select(0, batch.batch) * size + cell)
            x = torch.lerp(far, near, lam.to(rows.dtype).index_select(0, batch.batch)[:, None])
        if x is not None:
            batch.x = x
            batch._slice_dict["x"] = batch.ptr
            batch._inc_dict["x"] = torch.zeros(batch.num_graphs, dtype=torch.long)
        return batch


def blended(lam: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """Return lam own + (1 - lam) other, rounded, int64."""
    return torch.lerp(other.float(), own.float(), lam).round().long()


def joined(edges: Tensor, graph: Tensor, ptr: Tensor, label: Tensor) -> Batch:
    """Return a `Batch` of edges (2, E) as of `draw_edges`, graph (N,) of each node, ptr (n + 1,), label (n, K)."""
    count = len(label)
    batch = Batch(edge_index=edges, y=label, batch=graph, ptr=ptr, num_nodes=len(graph))
    # what Batch.from_data_list leaves behind, so that `batch[i]` and `batch.to_data_list()` work
    # every second edge is (i, j) with i < j, in order of j
    edge_ptr = 2 * torch.searchsorted(edges[1, ::2].contiguous(), ptr)
    batch._num_graphs = count
    batch._slice_dict = {"edge_index": edge_ptr, "y": torch.arange(count + 1)}
    batch._inc_dict = {"edge_index": ptr[:-1], "y": torch.zeros(count, dtype=torch.long)}
    return batch
