"""Rows of a `GraphSet` -> a `torch_geometric` `Batch`, gathered without a loop over graphs."""

import torch
from torch import Tensor

from mixkit_graph._pyg import Batch
from mixkit_graph.features import EncodedNodes
from mixkit_graph.graphs import GraphSet


def collate(graphs: GraphSet, encoded: EncodedNodes, rows: Tensor) -> Batch:
    """Return graphs `rows` (B,) as `Batch.from_data_list` would, with `x`, `edge_index`, `batch` and `ptr`."""
    rows = torch.as_tensor(rows, dtype=torch.long)
    some = graphs.gather(rows)
    batch = Batch(x=encoded.features(some.nodes), edge_index=some.edges, batch=some.graph, ptr=some.node_ptr)
    # what Batch.from_data_list leaves behind, so that `batch[i]` and `batch.to_data_list()` work
    batch._num_graphs = len(rows)
    batch._slice_dict = {"x": some.node_ptr, "edge_index": some.edge_ptr}
    batch._inc_dict = {"x": torch.zeros(len(rows), dtype=torch.long), "edge_index": some.node_ptr[:-1]}
    return batch
