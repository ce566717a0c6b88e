"""Two-branch mixing of the nodes of a graph, in its exact form with virtual nodes: `TwoBranch`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mixkit.pairing import Pairing
from mixkit.placement import Draw, Passed
from mixkit.plan import BlendPlan
from mixkit.sites import evaluated, find_site, unwrapped, without_trace
from mixkit_graph.branch_checks import check_layer, check_norms, check_same, message_passing
from mixkit_graph.branch_hooks import Acting, BranchHooks
from mixkit_graph.models import labelled_rows, nodes_of
from mixkit_graph.virtual_nodes import blended, with_virtual_nodes


@dataclass(frozen=True)
class TwoBranch:
    """Nodes are mixed at every layer, each with its own neighbours: two-branch convolution (Wang et al. 2021, WWW).

    A mixed node has two branches: in each layer one aggregates the neighbours of the first member, one those of the
    second, around the mixed node itself, and lam times the one plus 1 - lam times the other is the mixed node of the
    next layer.  Neighbours are never mixed themselves.

    Here every pair gets two virtual nodes behind the graph's own, with copies of the in-edges of one member each; both
    start from the blend of the members' `x` and are mixed again before each message passing layer and once more at
    the logits.  That is the same computation on an unmodified network, at the cost of a few more edges.  Nodes of the
    graph itself hear nothing of it: clean logits come out of the same pass, bit for bit those of a plain one (but for
    tiny graphs, where the order in which a matrix product is summed up depends on the number of rows).

    The model takes a `torch_geometric` `Data` or `HeteroData` and gives out logits of `labelled_rows`, in their order:
    see `NodeModel`.  Of a neighbour-sampled piece the seeds are mixed.  The first batch probes the network: with
    lam = 1 it must give out the plain logits.

    What acts row by row (activations, residual connections, jumping knowledge, `LayerNorm`) is as it is elsewhere;
    `BatchNorm` takes its statistics from the graph's own nodes, as in a plain pass.  A layer that takes several steps
    at once (`APPNP`, `SGConv`) mixes before the first of them only.  Where a block uses its input a second time (a
    residual connection around the layer, with a norm or an activation behind the sum), name the blocks as layers.

    NOTE[DIFF] Where a network has layers behind the last convolution, branches are mixed at the logits.  Dropout in
    front of the first layer draws for each branch by itself.

    Args:
        layers: names of the layers, as `model.named_modules()` has them, whose first argument is the nodes' features;
            None: all `MessagePassing` modules.
        node_type: of heterogeneous graphs, the type of nodes that are samples.

    Raises:
        ValueError: (on a model) there is no such layer, a layer caches its edges or aggregates against their direction,
            a norm looks at the graph as a whole; (at a batch) the plan is no blend, targets are not one a sample, or
            there is no such type of nodes.
        RuntimeError: (at a batch) a layer does not run exactly once a pass, or does not get all nodes; (at the first
            batch) a network does not give out its plain logits for lam = 1.

    >>> from torch_geometric.nn import GCNConv
    >>> TwoBranch().on(GCNConv(3, 2, cached=True))
    Traceback (most recent call last):
        ...
    ValueError: layers must not remember their edges, but GCNConv has cached=True; build it with cached=False
    """

    layers: Sequence[str] | None = None
    node_type: str | None = None

    def on(self, model: nn.Module) -> "PlacedTwoBranch":
        """Install the hooks on `model` and return the callable."""
        inner = unwrapped(model)
        layers = dict(message_passing(inner) if self.layers is None else self._named(inner))
        if not layers:
            raise ValueError(
                f"the model must have message passing layers, got {type(inner).__name__} without any; name its layers: "
                'TwoBranch(layers=["conv1", "conv2"])'
            )
        for layer in layers.values():
            check_layer(layer)
        check_norms(inner)
        hooks = BranchHooks()
        for name, layer in layers.items():
            hooks.on_layer(name, layer)
        for module in inner.modules():
            if isinstance(module, _BatchNorm):
                hooks.on_norm(module)
        return PlacedTwoBranch(model, hooks, self.node_type)

    def _named(self, model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        """Yield the named layers."""
        for name in self.layers or ():
            layer, at_input = find_site(model, name)
            if at_input:
                raise ValueError(f"layers must name submodules, got {name!r}; leave ':input' away")
            yield name, layer


class PlacedTwoBranch:
    """`TwoBranch` on one model; use `TwoBranch(...).on(model)`."""

    def __init__(self, model: nn.Module, hooks: BranchHooks, node_type: str | None) -> None:
        self._model = model
        self._hooks = hooks
        self._node_type = node_type
        self._from_first: bool | None = None

    def __call__(self, inputs: Any, draw: Draw, clean: Tensor | None, *, size: int, generator: Generator) -> Passed:
        """Run the model on the graph with virtual nodes; see `Placed`."""
        nodes = nodes_of(inputs, self._node_type)
        rows = labelled_rows(nodes)
        if len(rows) != size:
            raise ValueError(f"targets must be one a labelled row, got {size} for {len(rows)} rows")
        from_first = self._probe(inputs, rows) if self._from_first is None else self._from_first
        if size > 1:  # a pair of one node with itself can't tell, and nothing is mixed in it
            self._from_first = from_first
        plan = draw(torch.empty(size, *_shape(nodes), device="meta"))
        if not isinstance(plan, BlendPlan):
            raise ValueError(
                f"TwoBranch needs a plan that blends whole nodes, got {type(plan).__name__}; take Mix(Blend(), ...)"
            )
        count = 0 if clean is None else len(clean)
        logits = self._run(self._model, inputs, rows, plan.pairing, clean, from_first=from_first)
        self._check_runs()
        lam = plan.pairing.lam.to(logits.device)
        mixed = blended(logits[count : count + size], logits[count + size :], lam)
        return Passed(mixed, None if clean is None else logits[:count], plan)

    def _run(
        self,
        call: Any,
        data: Any,
        rows: Tensor,
        pairing: Pairing,
        clean: Tensor | None,
        *,
        from_first: bool,
        look: bool = False,
    ) -> Tensor:
        """Return what `call` gives out for the graph with virtual nodes: clean rows, first branches, second ones."""
        expanded, layout = with_virtual_nodes(data, rows, pairing, clean=clean, node_type=self._node_type)
        nodes = expanded if self._node_type is None else expanded[self._node_type]
        x = nodes.x if "x" in nodes and nodes.x.is_floating_point() else None
        acting = Acting(layout, pairing.lam.to(rows.device), x, from_first, look)
        with self._hooks.active(acting):
            logits: Tensor = call(expanded)
        if len(logits) != len(nodes.rows):
            raise RuntimeError(
                f"the model must give out a row of logits for each of data.rows, got {len(logits)} for "
                f"{len(nodes.rows)}; wrap it in NodeModel"
            )
        return logits

    def _check_runs(self) -> None:
        """Raise RuntimeError unless every layer ran once, on all nodes."""
        for name, runs in self._hooks.runs.items():
            few = self._node_type is None or not self._hooks.served
            if runs > 1 or (runs == 0 and few):
                reason = "use a layer of its own for each step, and no activation checkpointing around it"
                if runs == 0:
                    reason = (
                        "leave it out with TwoBranch(layers=[...]); or the model was compiled and run before: build "
                        "the objective first, or call torch.compiler.reset()"
                    )
                raise RuntimeError(f"layer {name!r} must run once per forward pass, but ran {runs} times; {reason}")
            if few and name not in self._hooks.served:
                raise RuntimeError(
                    f"layer {name!r} must get the features of all nodes, but got other rows; leave out trim_to_layer "
                    "and pooling in between"
                )

    def _probe(self, inputs: Any, rows: Tensor) -> bool:
        """Check that lam = 1 gives out the plain logits; return whether to mix before the first layer, too.

        Parameters, gradients, buffers, modes and all generators are left as they were.
        """
        model, size = unwrapped(self._model), len(rows)  # compiling passes that are run once would take long
        every = torch.arange(size, device="cpu")
        nothing = Pairing(every.roll(1), torch.ones(size, dtype=torch.float32, device="cpu"))
        with without_trace(model):
            logits = self._run(
                lambda data: evaluated(model, data), inputs, rows, nothing, every, from_first=False, look=True
            )
            self._check_runs()
            plain = evaluated(model, inputs)
            from_first = not self._hooks.alike
            self._run(lambda data: train_pass(model, data), inputs, rows, nothing, every, from_first=from_first)
            self._check_runs()
        check_same(plain, logits[:size], "clean nodes")
        check_same(plain, logits[size : 2 * size], "nodes that keep all of themselves")
        return from_first


def train_pass(model: nn.Module, data: Any) -> Tensor:
    """Run forward and backward on stand-ins of parameters and buffers; activation checkpointing runs layers again."""
    stand_ins = {name: p.detach().requires_grad_(p.requires_grad) for name, p in model.named_parameters()}
    stand_ins |= {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.enable_grad():
        logits: Tensor = torch.func.functional_call(model, stand_ins, (data,))
        if logits.requires_grad:
            torch.autograd.backward(logits.float().sum())
    return logits.detach()


def _shape(nodes: Any) -> tuple[int, ...]:
    """Return the shape of a node's features."""
    return tuple(nodes.x.shape[1:]) if "x" in nodes else ()
