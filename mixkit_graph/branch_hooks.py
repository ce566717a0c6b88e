"""The hooks of two-branch mixing: pairs are mixed again before layers, BatchNorm looks at the graph's own rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mixkit_graph.virtual_nodes import Layout


class Acting(NamedTuple):
    """What a pass is mixed by.

    Attributes:
        layout: which rows are which.
        lam: float32 (M,), on the device of the features.
        given: the graph's own `x`, in which the two rows of a pair are equal; or None.
        from_first: mix before the first layer, too, because what it gets is not made of `x` alone.
        look: note whether the first layer gets equal rows for the two nodes of each pair.
    """

    layout: Layout
    lam: Tensor
    given: Any
    from_first: bool
    look: bool = False


class BranchHooks:
    """The hooks on one model; they do nothing until a pass is to be mixed.

    They hold no reference to the model, so that a copy of it (an EMA teacher) gets hooks that never act.

    Attributes:
        runs: how often each layer ran since the hooks were last made active, by name.
        served: the layers that got all nodes, with the virtual ones.
        alike: whether the first of them got equal rows for the two nodes of each pair, if that was looked at.
        acting: what the current pass is mixed by; None: it is a plain one.
    """

    def __init__(self) -> None:
        self.runs: dict[str, int] = {}
        self.served: set[str] = set()
        self.alike = True
        self.acting: Acting | None = None

    def on_layer(self, name: str, layer: nn.Module) -> None:
        """Install on a layer, whose first argument is the nodes' features, for good."""
        self.runs[name] = 0
        layer.register_forward_pre_hook(LayerHook(self, name).before, with_kwargs=True)

    def on_norm(self, norm: _BatchNorm) -> None:
        """Install on a BatchNorm, for good."""
        hook = NormHook(self)
        norm.register_forward_pre_hook(hook.before)
        norm.register_forward_hook(hook.after)

    @contextmanager
    def active(self, acting: Acting) -> Iterator[None]:
        """Mix what runs inside."""
        self.acting, self.alike, self.served = acting, True, set()
        self.runs = dict.fromkeys(self.runs, 0)
        try:
            yield
        finally:
            self.acting = None

    def mixed(self, name: str, features: Any) -> Any:
        """Return a layer's input, a tensor or a tuple or dict of them, with pairs mixed again."""
        acting, parts = self.acting, parts_of(features)
        assert acting is not None
        # what has another number of rows is of other nodes
        of_nodes = {key: x for key, x in parts.items() if isinstance(x, Tensor) and len(x) == acting.layout.total}
        if not of_nodes:
            return features
        first = not self.served
        self.served.add(name)
        if first and not acting.from_first:
            new = [x for x in of_nodes.values() if x is not acting.given]
            self.alike = not acting.look or all(map(acting.layout.alike, new))
            return features
        # one tensor that is given twice, as source and as target, is mixed once
        done = {id(x): x if x is acting.given else acting.layout.remixed(x, acting.lam) for x in of_nodes.values()}
        return put_back(features, {key: done[id(x)] for key, x in of_nodes.items()})


class LayerHook:
    """The hook at one layer."""

    def __init__(self, hooks: BranchHooks, name: str) -> None:
        self.hooks = hooks
        self.name = name

    def before(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        """Replace the layer's first argument, as a forward pre-hook."""
        if self.hooks.acting is None:
            return None
        self.hooks.runs[self.name] += 1
        if args:
            return (self.hooks.mixed(self.name, args[0]), *args[1:]), kwargs
        name = next(iter(kwargs), "x")
        return args, {**kwargs, name: self.hooks.mixed(self.name, kwargs.get(name))}


class NormHook:
    """The hook at one BatchNorm: its statistics are those of the graph's own nodes, as without mixing."""

    def __init__(self, hooks: BranchHooks) -> None:
        self.hooks = hooks
        self._held: tuple[Tensor, Tensor] | None = None

    def before(self, module: nn.Module, args: Any) -> Any:
        """Take the virtual rows away."""
        self._held = None
        if self.hooks.acting is None or len(args[0]) != self.hooks.acting.layout.total:
            return None
        own = self.hooks.acting.layout.own
        self._held = args[0][:own], args[0][own:]
        return (self._held[0], *args[1:])

    def after(self, module: Any, args: Any, output: Tensor) -> Tensor | None:
        """Put the virtual rows back, normalised by the statistics that the others were normalised by."""
        if self._held is None:
            return None
        (own, virtual), self._held = self._held, None
        mean, var = module.running_mean, module.running_var
        if module.training or mean is None:
            axes = [0, *range(2, own.ndim)]
            var, mean = torch.var_mean(own, axes, correction=0)
        shape = (1, -1, *[1] * (own.ndim - 2))
        scale = (var + module.eps).rsqrt()
        if module.weight is not None:
            scale = scale * module.weight
        out = (virtual - mean.view(shape)) * scale.view(shape)
        if module.bias is not None:
            out = out + module.bias.view(shape)
        return torch.cat([output, out.to(output.dtype)])


def parts_of(features: Any) -> dict[Any, Any]:
    """Return the tensors that a layer got, by their place."""
    if isinstance(features, dict):
        return features
    if isinstance(features, (tuple, list)):
        return dict(enumerate(features))
    return {None: features}


def put_back(features: Any, mixed: dict[Any, Tensor]) -> Any:
    """Return `features` with some of its tensors replaced."""
    if isinstance(features, dict):
        return {**features, **mixed}
    if isinstance(features, (tuple, list)):
        return tuple(mixed.get(place, part) for place, part in enumerate(features))
    return mixed[None]
