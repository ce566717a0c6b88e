"""`AtNodes`: where graphs are mixed node by node, at a named site inside an unmodified model."""

from dataclasses import dataclass
from typing import Any

from torch import Generator, Tensor, nn

from mixkit.clean import take
from mixkit.placement import Draw, Passed
from mixkit.plan import Plan
from mixkit.sites import SiteHook, evaluated, install, tolerance, unwrapped, without_trace
from mixkit_graph.aligned import AlignedPlan, graph_of_nodes


@dataclass(frozen=True)
class AtNodes:
    """The nodes' features that a submodule gives out are mixed, or its first input with "name:input".

    For the plans of `NodeTokens`: graphs keep their structure, and their nodes take features of the partner's.  A hook
    is installed once and reads the current plan; the model stays as it is and takes a `torch_geometric` `Batch`.  Clean
    rows take a forward pass of their own.

    Choose the last site whose rows are nodes: the pooling's input, or the output of what is before it.  The first batch
    probes it: a site must run once a pass, have a row a node, and nothing of the nodes' features may go around it.

    Args:
        site: name of a submodule, as `model.named_modules()` has it.

    Raises:
        ValueError: (on a model) no submodule has that name; the message lists those there are.  (At a batch) the plan
            is not one of nodes.
        RuntimeError: (at the first batch) there is a path around the site; (at any batch) its rows are not the batch's
            nodes, or it did not run once a pass.

    >>> from torch import nn
    >>> AtNodes("readuot").on(nn.Sequential())
    Traceback (most recent call last):
        ...
    ValueError: site must name a submodule, or its input as 'name:input', got 'readuot' Sequential has no submodules
    """

    site: str

    def on(self, model: nn.Module) -> "PlacedAtNodes":
        """Install the hook on `model` and return the callable."""
        hook = SiteHook(self.site)
        install(hook, model, self.site)
        return PlacedAtNodes(model, hook)


class PlacedAtNodes:
    """`AtNodes` on one model; use `AtNodes(...).on(model)`."""

    def __init__(self, model: nn.Module, hook: SiteHook) -> None:
        self._model = model
        self._hook = hook
        self._probed = False

    def __call__(self, inputs: Any, draw: Draw, clean: Tensor | None, *, size: int, generator: Generator) -> Passed:
        """Run the model with the plan applied to nodes; see `Placed`."""
        nodes = len(graph_of_nodes(inputs)[0])
        if not self._probed:
            self._probed = self._probe(inputs, nodes)
        plan = draw(inputs)
        if not isinstance(plan, AlignedPlan):
            raise ValueError(
                f"AtNodes needs a plan of nodes, as NodeTokens makes them, got {type(plan).__name__}; "
                "other methods mix graphs at AtSite(site) behind the pooling"
            )
        mixed = self._run(inputs, plan, nodes)
        return Passed(mixed, None if clean is None else take(self._model(inputs), clean), plan)

    def _run(self, inputs: Any, plan: Plan, nodes: int) -> Tensor:
        """Return the logits of a pass that is mixed by `plan`."""

        def act(features: Tensor) -> Tensor:
            self._check_rows(features, nodes)
            return plan.apply(features)

        with self._hook.acting(act):
            logits: Tensor = self._model(inputs)
        self._hook.check_once()
        return logits

    def _check_rows(self, features: Tensor, nodes: int) -> None:
        """Raise RuntimeError unless `features` are (nodes, D)."""
        if features.ndim != 2 or len(features) != nodes:
            raise RuntimeError(
                f"site {self._hook.site!r} must pass one row a node, ({nodes}, D), got {tuple(features.shape)}; "
                "choose a site before the pooling"
            )

    def _probe(self, inputs: Any, nodes: int) -> bool:
        """Check that all of the nodes' features pass the site; return whether the batch could tell.

        With what passes the site held fixed, other features in the inputs must not change the logits.
        """
        x = getattr(inputs, "x", None)
        if not isinstance(x, Tensor) or len(x) != nodes:
            return False
        model, other = unwrapped(self._model), inputs.clone()  # compiling passes that are run once would take long
        other.x = x.roll(1, 0)
        passed: list[Tensor] = []

        def look(features: Tensor) -> Tensor:
            self._check_rows(features, nodes)
            passed.append(features)
            return features

        with without_trace(model):
            with self._hook.acting(look):
                plain = evaluated(model, inputs).double()
            self._hook.check_once()
            with self._hook.acting(lambda features: passed[0]):
                held = evaluated(model, other).double()
            moved = (evaluated(model, other).double() - plain).norm()
        allowed = tolerance(plain, moved)
        if (held - plain).norm() > allowed:
            raise RuntimeError(
                f"site {self._hook.site!r} must carry everything: with its features held fixed, others in the inputs "
                "still change the logits; there is a path around it (a residual connection, layers put side by side); "
                "choose a submodule that every path passes through, such as the input of the pooling"
            )
        return bool(moved > allowed)
