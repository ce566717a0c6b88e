"""Graphs for mixkit: classification of whole graphs and of the nodes of one graph, found by entry points.

`ADAPTER` is what `mixkit compare` uses for raw folders in the layout of TUDataset or Planetoid.  What builds on
torch_geometric is imported when it is asked for.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

# looked for, not imported: torch_geometric takes seconds, which `mixkit methods` need not wait for
for _part in ("torch_geometric", "networkx"):
    if find_spec(_part) is None:
        raise ImportError(f'graphs need {_part}, which is not installed; pip install "mixkit[graph]"')

from mixkit_graph.adapter import ADAPTER  # noqa: E402 - only once the parts are known to be there
from mixkit_graph.at_nodes import AtNodes  # noqa: E402 - as above
from mixkit_graph.node_tokens import NodeTokens  # noqa: E402 - as above

if TYPE_CHECKING:
    from mixkit_graph.degree_features import OneHotDegrees
    from mixkit_graph.edge_rules import Bernoulli, Weighted
    from mixkit_graph.edge_weights import AtWeightedEdges, probe_edge_weights, refuse_unequal_attributes
    from mixkit_graph.gmixup import GMixup
    from mixkit_graph.graphmix import GraphMix
    from mixkit_graph.graphmix_options import Both, FromTeacher, OneAtRandom, Passes, Ramp
    from mixkit_graph.graphon import USVT, MatrixCompletion, SortAndSmooth
    from mixkit_graph.graphon_blocks import BlockApproximation, LargestGap
    from mixkit_graph.graphon_data import soft_labels
    from mixkit_graph.graphon_means import Pad, Stretch
    from mixkit_graph.ifmixup import IfMixup, decode_edges
    from mixkit_graph.igraphmix import IGraphMix, IGraphMixTransform
    from mixkit_graph.lam_laws import BetaLam, UniformLam
    from mixkit_graph.models import GraphModel, NodeModel, labelled_rows
    from mixkit_graph.pairs import AsymmetricBetaPairs
    from mixkit_graph.smixup import SiteEmbedding, SMixup
    from mixkit_graph.synthetic import WithSynthetic
    from mixkit_graph.two_branch import TwoBranch

_LATER = {
    "AsymmetricBetaPairs": "pairs",
    "AtWeightedEdges": "edge_weights",
    "Bernoulli": "edge_rules",
    "BetaLam": "lam_laws",
    "BlockApproximation": "graphon_blocks",
    "Both": "graphmix_options",
    "FromTeacher": "graphmix_options",
    "GMixup": "gmixup",
    "GraphMix": "graphmix",
    "GraphModel": "models",
    "IGraphMix": "igraphmix",
    "IGraphMixTransform": "igraphmix",
    "IfMixup": "ifmixup",
    "LargestGap": "graphon_blocks",
    "MatrixCompletion": "graphon",
    "NodeModel": "models",
    "OneAtRandom": "graphmix_options",
    "OneHotDegrees": "degree_features",
    "Pad": "graphon_means",
    "Passes": "graphmix_options",
    "Ramp": "graphmix_options",
    "SMixup": "smixup",
    "SiteEmbedding": "smixup",
    "SortAndSmooth": "graphon",
    "Stretch": "graphon_means",
    "TwoBranch": "two_branch",
    "USVT": "graphon",
    "UniformLam": "lam_laws",
    "Weighted": "edge_rules",
    "WithSynthetic": "synthetic",
    "decode_edges": "ifmixup",
    "labelled_rows": "models",
    "probe_edge_weights": "edge_weights",
    "refuse_unequal_attributes": "edge_weights",
    "soft_labels": "graphon_data",
}

__all__ = [
    "ADAPTER",
    "USVT",
    "AsymmetricBetaPairs",
    "AtNodes",
    "AtWeightedEdges",
    "Bernoulli",
    "BetaLam",
    "BlockApproximation",
    "Both",
    "FromTeacher",
    "GMixup",
    "GraphMix",
    "GraphModel",
    "IGraphMix",
    "IGraphMixTransform",
    "IfMixup",
    "LargestGap",
    "MatrixCompletion",
    "NodeModel",
    "NodeTokens",
    "OneAtRandom",
    "OneHotDegrees",
    "Pad",
    "Passes",
    "Ramp",
    "SMixup",
    "SiteEmbedding",
    "SortAndSmooth",
    "Stretch",
    "TwoBranch",
    "UniformLam",
    "Weighted",
    "WithSynthetic",
    "decode_edges",
    "labelled_rows",
    "probe_edge_weights",
    "refuse_unequal_attributes",
    "soft_labels",
]


def __getattr__(name: str) -> Any:
    """Return a part that builds on torch_geometric, imported now."""
    if name not in _LATER:
        raise AttributeError(f"module 'mixkit_graph' has no attribute {name!r}")
    return getattr(import_module(f"mixkit_graph.{_LATER[name]}"), name)
