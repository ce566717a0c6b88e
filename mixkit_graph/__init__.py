"""Graphs for mixkit: classification of whole graphs and of the nodes of one graph, found by entry points.

`ADAPTER` is what `mixkit compare` uses for raw folders in the layout of TUDataset or Planetoid.
"""

from importlib.util import find_spec

# looked for, not imported: torch_geometric takes seconds, which `mixkit methods` need not wait for
for _part in ("torch_geometric", "networkx"):
    if find_spec(_part) is None:
        raise ImportError(f'graphs need {_part}, which is not installed; pip install "mixkit[graph]"')

from mixkit_graph.adapter import ADAPTER  # noqa: E402 - only once the parts are known to be there
from mixkit_graph.at_nodes import AtNodes  # noqa: E402 - as above
from mixkit_graph.node_tokens import NodeTokens  # noqa: E402 - as above

__all__ = ["ADAPTER", "AtNodes", "NodeTokens"]
