"""Whether a model heeds `edge_weight`: many layers of torch_geometric take it, or let it pass by, without a word.

Three ways to tell, from the quickest to the most reliable:

* `refuse_unweighted(model)` looks at the layers' signatures, before any batch.  It finds layers that can't take
  weights, but not those that could and are not given them.
* `probe_edge_weights(model, batch)` runs the model: with other weights, what each layer makes of the same features must
  change, and so must the logits.  This holds for layers of any kind, also those that read weights as attributes.
* `AtWeightedEdges()` is a placement that does both, the second on the first batch.  Prefer it.
"""

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from mixkit.placement import AtInputs, Draw, Passed, PlacedAtInputs
from mixkit.sites import evaluated, unwrapped, without_trace
from mixkit_graph._pyg import Batch as _Batch  # noqa: F401 - first: it silences what importing torch_geometric says
from mixkit_graph.networks import GraphIsomorphismLayer

from torch_geometric.nn import MessagePassing  # isort: skip # after _pyg
from torch_geometric.nn.models.basic_gnn import BasicGNN  # isort: skip

WAY_OUT = (
    "take layers that weigh their neighbours (GCNConv, GraphConv, mixkit_graph.networks.GraphIsomorphismLayer, ...), "
    "or IfMixup(edges=Bernoulli()), which needs no weights"
)


def refuse_unweighted(model: nn.Module) -> None:
    """Raise unless all layers of `model` that pass messages could take weights of edges.

    A layer could if its `forward` has an argument `edge_weight`, or `edge_attr` through which a model may hand them on;
    of `BasicGNN` (GCN, GIN, GraphSAGE, ...), `supports_edge_weight` or `supports_edge_attr` says so.

    Raises:
        ValueError: a layer ignores weights, or keeps the edges of its first batch (`cached=True`).

    >>> from torch_geometric.nn import GIN
    >>> refuse_unweighted(GIN(4, 8, num_layers=2))
    Traceback (most recent call last):
        ...
    ValueError: model must use edge_weight, but not all of its layers take it: GIN, convs.0 (GINConv), ...
    """
    model = unwrapped(model)
    refuse_cached(model)
    ignoring = [
        f"{name} ({type(layer).__name__})" if name else type(layer).__name__
        for name, layer in model.named_modules()
        if isinstance(layer, BasicGNN | MessagePassing) and not _could_weigh(layer)
    ]
    if ignoring:
        raise ValueError(
            f"model must use edge_weight, but not all of its layers take it: {_listed(ignoring)}; {WAY_OUT}"
        )


def refuse_cached(model: nn.Module) -> None:
    """Raise unless no layer keeps the edges of its first batch for all others.

    Raises:
        ValueError: a layer has `cached=True`.
    """
    cached = [f"{name} ({type(layer).__name__})" for name, layer in _layers(model) if getattr(layer, "cached", False)]
    if cached:
        raise ValueError(
            f"layers must look at the edges of each batch, but {_listed(cached)} keep those of the first one; "
            "build them with cached=False"
        )


def probe_edge_weights(model: nn.Module, batch: Any) -> bool:
    """Check on a batch that weights of edges matter to each layer and to the logits; return whether it could tell.

    A batch without edges cannot, nor can logits that are all alike (a head that starts at zero).  The model's
    parameters, buffers and modes and all generators are left as they were.

    Args:
        model: batch -> logits.
        batch: a `Batch` of graphs, with or without weights.

    Raises:
        ValueError: a layer that passes messages, or the model as a whole, gives the same with other weights; or a layer
            has `cached=True`.
    """
    model = unwrapped(model)
    refuse_cached(model)
    edges = batch.edge_index.shape[1]
    if not edges:
        return False
    whole, other = copy.copy(batch), copy.copy(batch)
    if getattr(batch, "edge_weight", None) is None:
        whole.edge_weight = torch.ones(edges, dtype=batch.x.dtype, device=batch.edge_index.device)
    # each edge by a factor of its own: normalised adjacencies do not feel one that all have
    factors = 0.25 + 0.75 * torch.rand(edges, generator=Generator().manual_seed(0), device="cpu")
    other.edge_weight = whole.edge_weight * factors.to(whole.edge_weight)
    watches = [_Watch(name, layer) for name, layer in _layers(model)]
    try:
        with without_trace(model):
            logits = evaluated(model, whole).double()
            for watch in watches:
                watch.compare = True
            evaluated(model, other)
    finally:
        for watch in watches:
            watch.remove()
    with without_trace(model):
        moved = evaluated(model, other).double() - logits
    ignoring = [watch.name for watch in watches if watch.ignored]
    if ignoring:
        raise ValueError(
            f"model must use edge_weight, but it changes nothing in {_listed(ignoring)}; hand batch.edge_weight on to "
            f"the layers that take it, and {WAY_OUT}"
        )
    if not bool((logits != logits[:1]).any()) and not bool(moved.any()):
        return False
    if not _differ(moved, logits):
        raise ValueError(
            f"model must use edge_weight, but {type(model).__name__} gives the same logits with other weights; "
            f"hand batch.edge_weight on to its layers; {WAY_OUT}"
        )
    return True


@dataclass(frozen=True)
class AtWeightedEdges(AtInputs):
    """`AtInputs` for a model that must heed `edge_weight`, which is checked: at once, and on the first batch.

    For `IfMixup()` and `SMixup(...)`, whose labels would be wrong for a model that sees all edges alike.

    Raises:
        ValueError: (on a model, or at the first batch) it does not; the message names the layers and the way out.
    """

    def on(self, model: nn.Module) -> "PlacedAtWeightedEdges":
        """Look at the layers of `model` and return the callable."""
        refuse_unweighted(model)
        return PlacedAtWeightedEdges(model)


class PlacedAtWeightedEdges(PlacedAtInputs):
    """`AtWeightedEdges` on one model; use `AtWeightedEdges().on(model)`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self._probed = False

    def __call__(self, inputs: Any, draw: Draw, clean: Tensor | None, *, size: int, generator: Generator) -> Passed:
        """Run the model on mixed inputs; see `Placed`."""
        if not self._probed:
            self._probed = probe_edge_weights(self._model, inputs)
        return super().__call__(inputs, draw, clean, size=size, generator=generator)


def refuse_unequal_attributes(graphs: Sequence[Any]) -> None:
    """Raise unless all graphs have the same attributes: a `Batch` silently keeps those of its first graph only.

    Args:
        graphs: `torch_geometric` `Data`, before they are put into a batch.

    Raises:
        ValueError: one has others than the first.

    >>> from torch_geometric.data import Data
    >>> refuse_unequal_attributes([Data(x=torch.ones(2, 1)), Data(x=torch.ones(2, 1), edge_weight=torch.ones(0))])
    Traceback (most recent call last):
        ...
    ValueError: graphs must have the same attributes, but graph 1 differs from graph 0 in edge_weight; give all ...
    """
    for number, graph in enumerate(graphs):
        differing = sorted(set(graph.keys()) ^ set(graphs[0].keys()))
        if differing:
            raise ValueError(
                f"graphs must have the same attributes, but graph {number} differs from graph 0 in "
                f"{', '.join(differing)}; give all of them these, or none"
            )


class _Watch:
    """Records what a layer takes and gives, then compares what it gives for the same features at other weights."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        self.name = f"{name} ({type(layer).__name__})" if name else type(layer).__name__
        self.compare = False
        self._features: list[Any] = []
        self._given: list[Any] = []
        self._changed: list[bool] = []
        self._hooks = (
            layer.register_forward_pre_hook(self._on_input, with_kwargs=True),
            layer.register_forward_hook(self._on_output),
        )

    def _on_input(self, layer: nn.Module, args: Any, kwargs: Any) -> Any:
        """Record the features, or put those recorded in their place: what comes before has changed them, too."""
        if not self.compare:
            self._features.append(args[0] if args else kwargs.get("x"))
            return None
        features = self._features[len(self._changed)]
        return ((features, *args[1:]), kwargs) if args else (args, {**kwargs, "x": features})

    def _on_output(self, layer: nn.Module, args: Any, output: Any) -> None:
        if not self.compare:
            self._given.append(output)
            return
        first, other = (value[0] if isinstance(value, tuple) else value for value in (self._given.pop(0), output))
        # where all units are dead, nothing can change
        self._changed.append(not bool(first.any()) or _differ(other.double() - first.double(), first.double()))

    @property
    def ignored(self) -> bool:
        """Whether the layer ran and gave the same each time."""
        return bool(self._changed) and not any(self._changed)

    def remove(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()


def _layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the layers of `model` that pass messages, without those that only hold others."""
    kinds = (MessagePassing, GraphIsomorphismLayer)
    found = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, kinds)]
    return [
        (name, layer)
        for name, layer in found
        if not any(isinstance(part, kinds) for part in layer.modules() if part is not layer)
    ]


def _could_weigh(layer: nn.Module) -> bool:
    if isinstance(layer, BasicGNN):
        return bool(layer.supports_edge_weight or layer.supports_edge_attr)
    return not {"edge_weight", "edge_attr"}.isdisjoint(inspect.signature(layer.forward).parameters)


def _differ(moved: Tensor, plain: Tensor) -> bool:
    """Return whether a change is more than what sums in another order make."""
    return bool(moved.norm() > 1e-4 * plain.norm())


def _listed(names: Sequence[str]) -> str:
    """Return the first few names."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
