"""What two-branch mixing looks for in a network, and what it refuses."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

import mixkit_graph._pyg  # noqa: F401 - silences what importing torch_geometric says
from mixkit_graph.networks import GraphConvolution, GraphIsomorphismLayer

from torch_geometric.nn import MessagePassing  # isort: skip
from torch_geometric.nn import norm as norms  # isort: skip

OWN_LAYERS = (GraphConvolution, GraphIsomorphismLayer)
GRAPH_WIDE = (
    norms.GraphNorm,
    norms.GraphSizeNorm,
    norms.HeteroBatchNorm,
    norms.InstanceNorm,
    norms.MeanSubtractionNorm,
    norms.PairNorm,
    nn.SyncBatchNorm,
)


def message_passing(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the outermost message passing layers of `model` with their names."""
    inside: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, (MessagePassing, *OWN_LAYERS)) and not any(name.startswith(f"{k}.") for k in inside):
            inside.append(name)
            yield name, module


def check_layer(layer: nn.Module) -> None:
    """Raise ValueError if a layer remembers its edges or aggregates against their direction."""
    kind = type(layer).__name__
    for module in layer.modules():
        if getattr(module, "cached", False):
            raise ValueError(
                f"layers must not remember their edges, but {kind} has cached=True; build it with cached=False"
            )
        if getattr(module, "flow", "source_to_target") != "source_to_target":
            raise ValueError(
                f"layers must aggregate from source to target, but {kind} has flow={module.flow!r}; turn the edges "
                "round instead: edge_index.flip(0)"
            )


def check_norms(model: nn.Module) -> None:
    """Raise ValueError if a norm looks at more than rows, or features over its rows as `BatchNorm1d` does."""
    for name, module in model.named_modules():
        if isinstance(module, GRAPH_WIDE) or (isinstance(module, norms.LayerNorm) and module.mode == "graph"):
            raise ValueError(
                f"{name!r} must not look at the graph as a whole, which has virtual nodes here, but is a "
                f'{type(module).__name__}; take BatchNorm, or LayerNorm(mode="node")'
            )


def check_same(plain: Tensor, found: Tensor, what: str) -> None:
    """Raise RuntimeError unless `found` are the plain logits, up to rounding."""
    coarse = plain.dtype in (torch.float16, torch.bfloat16)
    allowed = (3e-2 if coarse else 1e-3) * plain.double().norm() + 1e-6
    if (found.double() - plain.double()).norm() > allowed:
        raise RuntimeError(
            f"logits of {what} must be those of a plain pass, but virtual nodes changed them; some layer looks at the "
            "graph as a whole, or at out-degrees; take a layer that aggregates over in-edges only"
        )
