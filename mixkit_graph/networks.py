"""The two networks: `GraphNet` classifies graphs, `NodeNet` nodes of one graph.

In both, what follows the site where samples are mixed works row by row on whatever rows arrive: a hook there may hand
on more rows than there are samples (clean ones beside the mixed ones).
"""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NodeNorm(nn.BatchNorm1d):
    """Batch normalisation over nodes that takes a single node, too: with the running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise nodes (n, d)."""
        if len(x) > 1:
            return super().forward(x)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class GraphIsomorphismLayer(nn.Module):
    """GIN's layer (Xu et al. 2019, arXiv:1810.00826): an MLP on (1 + eps) own features plus the sum of the neighbours'.

    Edge weights, where there are any, weigh the neighbours; torch_geometric's own layer leaves them out silently.

    Args:
        features: width of the input.
        hidden: width of the output.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(()))
        self.mlp = nn.Sequential(
            nn.Linear(features, hidden), NodeNorm(hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), NodeNorm(hidden), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor, edges: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Return hidden features of the nodes.

        Args:
            x: (n, features).
            edges: int64 (2, e), source and target.
            edge_weight: (e,) or None.
        """
        messages = x.index_select(0, edges[0])
        if edge_weight is not None:
            messages = messages * edge_weight[:, None]
        gathered = torch.zeros_like(x).index_add_(0, edges[1], messages.to(x.dtype))
        out: Tensor = self.mlp((1 + self.eps) * x + gathered)
        return out


class Readout(nn.Module):
    """Sum of each graph's nodes, normalised over features, so that large graphs do not drown small ones.

    Args:
        features: width of the nodes.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)

    def forward(self, x: Tensor, graph: Tensor, graphs: int) -> Tensor:
        """Return one row a graph, (graphs, features).

        Args:
            x: (n, features).
            graph: int64 (n,), which graph a node belongs to.
            graphs: their number.
        """
        sums = x.new_zeros(graphs, x.shape[1]).index_add_(0, graph, x)
        out: Tensor = self.norm(sums)
        return out


class GraphNet(nn.Module):
    """GIN layers, a readout of all of them together, and a head; takes a `torch_geometric` `Batch`.

    Mix at `AtSite("readout")`: one fixed-size row a graph, and one pass through the layers for mixed and clean rows.

    Args:
        features: width of the nodes' features.
        outputs: K, number of logits.
        hidden: width of the layers.
        layers: their number.
    """

    def __init__(self, features: int, outputs: int, *, hidden: int = 32, layers: int = 3) -> None:
        super().__init__()
        widths = [features] + [hidden] * layers
        self.layers = nn.ModuleList(GraphIsomorphismLayer(a, b) for a, b in pairwise(widths))
        self.readout = Readout(hidden * layers)
        self.head = nn.Sequential(nn.Linear(hidden * layers, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, batch: Any) -> Tensor:
        """Return logits (B, K) of a batch of B graphs with `x`, `edge_index`, `batch` and perhaps `edge_weight`."""
        x, found = batch.x, []
        for layer in self.layers:
            x = layer(x, batch.edge_index, batch.edge_weight)
            found.append(x)
        pooled = self.readout(torch.cat(found, 1), batch.batch, batch.num_graphs)
        logits: Tensor = self.head(pooled)
        return logits


class GraphConvolution(nn.Module):
    """GCN's layer (Kipf and Welling 2017, arXiv:1609.02907): A X W + b, the normalised adjacency A given as edges.

    Args:
        features: width of the input.
        hidden: width of the output.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(features, hidden))
        self.bias = nn.Parameter(torch.zeros(hidden))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        """Return hidden features of all nodes, in the weight's precision, under autocast too.

        Args:
            x: (n, features), sparse or dense.
            edge_index: int64 (2, e), source and target; with a loop at each node.
            edge_weight: (e,), the entries of A.
        """
        dtype = self.weight.dtype
        if x.is_sparse and dtype not in (torch.float32, torch.float64):
            x = x.to_dense()  # sparse products have no half-precision kernels on every device
        with torch.autocast(self.weight.device.type, enabled=False):
            out: Tensor = gathered(x.to(dtype) @ self.weight, edge_index, edge_weight.to(dtype)) + self.bias
        return out


def normalised(edge_index: Tensor, edge_weight: Tensor | None, nodes: int) -> tuple[Tensor, Tensor]:
    """Return D^-1/2 (A + I) D^-1/2 (Kipf and Welling 2017, arXiv:1609.02907) as edges (2, E + N), and weights.

    D holds what comes in at each node.

    Args:
        edge_index: int64 (2, E), source and target, without loops.
        edge_weight: (E,), the entries of A; None: ones.
        nodes: N.

    >>> normalised(torch.tensor([[0, 1], [1, 0]]), None, 3)
    (tensor([[0, 1, 0, 1, 2],
            [1, 0, 0, 1, 2]]), tensor([0.5000, 0.5000, 0.5000, 0.5000, 1.0000]))
    """
    weight = torch.ones(edge_index.shape[1], device=edge_index.device) if edge_weight is None else edge_weight
    edges = torch.cat([edge_index, torch.arange(nodes, device=edge_index.device).expand(2, -1)], 1)
    weight = torch.cat([weight, weight.new_ones(nodes)])
    root = torch.zeros(nodes, dtype=weight.dtype, device=weight.device).index_add(0, edges[1], weight).rsqrt()
    return edges, root[edges[0]] * weight * root[edges[1]]


def gathered(x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
    """Return the weighted sum of each node's sources, (n, d).

    Args:
        x: (n, d).
        edge_index: int64 (2, e), source and target.
        edge_weight: (e,), of the precision of x.

    >>> gathered(torch.tensor([[1.0], [2.0]]), torch.tensor([[0, 1, 1], [0, 0, 1]]), torch.tensor([1.0, 0.5, 3.0]))
    tensor([[2.],
            [6.]])
    """
    if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and not edge_weight.requires_grad:
        # twice as fast on a CPU; the matrix is summed over as it is, without being sorted
        adjacency = torch.sparse_coo_tensor(edge_index.flip(0), edge_weight, (len(x), len(x)), check_invariants=False)
        out: Tensor = torch.sparse.mm(adjacency, x)
        return out
    return torch.zeros_like(x).index_add_(0, edge_index[1], x.index_select(0, edge_index[0]) * edge_weight[:, None])


class SelectRows(nn.Module):
    """Keeps the rows that were asked for: from here on nodes are independent samples."""

    def forward(self, x: Tensor, rows: Tensor) -> Tensor:
        """Return x[rows], (B, d)."""
        return x.index_select(0, rows)


class NodeNet(nn.Module):
    """Two graph convolutions over all nodes, the selection of rows, and a head.

    It takes a `torch_geometric` `Data` with `x`, `edge_index` (without loops), `rows` and perhaps `edge_weight`; edges
    are normalised in each pass, because a mixed graph has others.

    Mix at `AtSite("select")`, behind the last convolution: mixed features of one node never reach its neighbours, and
    nodes that were not asked for are not mixed.

    Args:
        features: width of the nodes' features.
        outputs: K, number of logits.
        hidden: width of the layers.
        dropout: probability, on the input features and on the hidden ones.
    """

    def __init__(self, features: int, outputs: int, *, hidden: int = 64, dropout: float = 0.8) -> None:
        super().__init__()
        self.dropout = dropout
        self.first = GraphConvolution(features, hidden)
        self.second = GraphConvolution(hidden, hidden)
        self.select = SelectRows()
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, data: Any) -> Tensor:
        """Return logits (M, K) of the M nodes `data.rows`."""
        edges = normalised(data.edge_index, data.edge_weight, len(data.x))
        x = dropped(data.x, self.dropout if self.training else 0.0)
        x = F.dropout(self.first(x, *edges).relu(), self.dropout, self.training)
        logits: Tensor = self.head(self.select(self.second(x, *edges), data.rows))
        return logits


def dropped(x: Tensor, probability: float) -> Tensor:
    """Return `x`, sparse and coalesced or dense, after dropout; of a sparse one only stored values are drawn for."""
    if probability == 0:
        return x
    if not x.is_sparse:
        return F.dropout(x, probability)
    values = F.dropout(x.values(), probability)
    return torch.sparse_coo_tensor(x.indices(), values, x.shape, is_coalesced=True, check_invariants=False)
