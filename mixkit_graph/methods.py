"""Methods for graphs and for nodes, found by entry point."""

from mixkit_graph.graph_methods import GRAPH_METHODS
from mixkit_graph.graphon_methods import GRAPHON_METHODS
from mixkit_graph.node_methods import NODE_METHODS

METHODS = (*GRAPH_METHODS, *GRAPHON_METHODS, *NODE_METHODS)
