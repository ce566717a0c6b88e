"""Named sites inside a model: finding them, hooking them once, probing that rows stay apart behind them."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mixkit.clean import take

Apply = Callable[[Tensor], Tensor]


class SiteHook:
    """The hook at one site; does nothing until a plan is active.

    Holds no reference to a model, so that a copy of the model (an EMA teacher) gets a hook that never acts.
    """

    def __init__(self, site: str) -> None:
        self.site = site
        self._act: Apply | None = None
        self._runs = 0

    def on_output(self, module: nn.Module, args: Any, output: Any) -> Any:
        """Replace the module's output, as a forward hook."""
        return None if self._act is None else self._replace(output)

    def on_input(self, module: nn.Module, args: Any) -> Any:
        """Replace the module's first input, as a forward pre-hook."""
        return None if self._act is None else (self._replace(args[0] if args else None), *args[1:])

    def _replace(self, value: Any) -> Tensor:
        """Return what `value` is replaced by, and count."""
        assert self._act is not None
        self._runs += 1
        return self._act(single_tensor(value, self.site))

    def check_once(self) -> None:
        """Raise RuntimeError unless the hook acted once since it was last made active."""
        if self._runs == 1:
            return
        reason = "choose a submodule that the model calls once, outside activation checkpointing"
        if self._runs == 0:
            reason = (
                "the model skipped it, or was compiled and run before: build the objective first, "
                "or call torch.compiler.reset()"
            )
        raise RuntimeError(f"site {self.site!r} must run once per forward pass, but ran {self._runs} times; {reason}")

    @contextmanager
    def active(self, apply: Apply, rows: Tensor | None, clean: Tensor | None) -> Iterator[None]:
        """Mix what passes the site with `apply`, rows `rows` only, with the clean rows `clean` behind them."""

        def act(features: Tensor) -> Tensor:
            own = features if rows is None else features[rows.to(features.device)]
            mixed = apply(own)
            return mixed if clean is None else torch.cat([mixed, take(own, clean)])

        with self.acting(act):
            yield

    @contextmanager
    def acting(self, act: Apply) -> Iterator[None]:
        """Replace what passes the site with `act` of it."""
        self._act, self._runs = act, 0
        try:
            yield
        finally:
            self._act = None


class TwoSided(Protocol):
    """A hook that can stand at a module's output or at its input."""

    def on_output(self, module: nn.Module, args: Any, output: Any) -> Any:
        """Look at, or replace, the module's output."""
        ...

    def on_input(self, module: nn.Module, args: Any) -> Any:
        """Look at, or replace, the module's inputs."""
        ...


def install(hook: TwoSided, model: nn.Module, site: str) -> None:
    """Install `hook` at a site of `model`, for good.

    Raises:
        ValueError: there is no such site; see `find_site`.
    """
    module, at_input = find_site(model, site)
    if at_input:
        module.register_forward_pre_hook(hook.on_input)
    else:
        module.register_forward_hook(hook.on_output)


def single_tensor(value: Any, site: str) -> Tensor:
    """Return `value` if it is a tensor.

    Raises:
        RuntimeError: the site gives or takes something else.
    """
    if not isinstance(value, Tensor):
        what = "no positional argument" if value is None else type(value).__name__
        raise RuntimeError(f"site {site!r} must pass one tensor, got {what}; choose another submodule")
    return value


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside torch.compile's and DDP's wrappers."""
    while True:
        # torch.compile's wrapper holds it under this name; importing its class would cost seconds
        inner = model._modules.get("_orig_mod")
        if isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            inner = model.module
        if inner is None:
            return model
        model = inner


def find_site(model: nn.Module, site: str) -> tuple[nn.Module, bool]:
    """Return the submodule that `site` names and whether its input is meant ("name:input").

    Raises:
        ValueError: there is no such submodule; the message lists those there are.
    """
    model = unwrapped(model)
    name, _, side = site.partition(":")
    modules = {key: module for key, module in model.named_modules() if key}
    if name not in modules or side not in ("", "input"):
        close = get_close_matches(name, modules, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"site must name a submodule, or its input as 'name:input', got {site!r}{hint} "
            f"{type(model).__name__} has {', '.join(modules) or 'no submodules'}"
        )
    return unwrapped(modules[name]), side == "input"


def probe(model: nn.Module, hook: SiteHook, inputs: Any, rows: Tensor | None, size: int) -> tuple[torch.Size, bool]:
    """Check that a site can be mixed at; return the shape of one of its rows, and whether the batch could tell.

    A single row cannot, nor can logits that are all alike (a head that starts at zero).  The model's parameters,
    gradients, buffers and modes and all generators are left as they were.

    Raises:
        RuntimeError: the site does not run exactly once in a forward and backward pass; its rows are not the batch's;
            or permuting its rows does not permute the logits (a path around the site, logits that mix rows).
    """
    model = unwrapped(model)  # compiling passes that are run once would take long
    shapes: list[torch.Size] = []

    def look(features: Tensor) -> Tensor:
        shapes.append(features.shape)
        return features * torch.ones_like(features)  # keeps a tensor for backward, as mixing does: checkpointing shows

    def order(features: Tensor, shift: int) -> Tensor:
        own = features if rows is None else features[rows.to(features.device)]
        return own.roll(shift, 0)

    with without_trace(model):
        with hook.acting(look):
            if size > 1:
                _train_pass(model, inputs)
            else:
                evaluated(model, inputs)
        hook.check_once()
        _check_rows(hook.site, shapes[0], rows, size)
        if size < 2:
            return shapes[0][1:], False
        with hook.acting(lambda features: order(features, 0)):
            plain = evaluated(model, inputs)
        with hook.acting(lambda features: order(features, 1)):
            permuted = evaluated(model, inputs)
    return shapes[0][1:], _check_permuted(hook.site, plain.double(), permuted.double())


def _check_rows(site: str, shape: torch.Size, rows: Tensor | None, size: int) -> None:
    """Raise RuntimeError unless the site passed one row a sample."""
    found = shape[0] if rows is None else len(rows)
    if found != size:
        raise RuntimeError(
            f"site {site!r} must have one row a sample, got {found} rows for {size} samples; choose a site behind "
            "the pooling, or name the samples' rows with AtSite(site, rows=...)"
        )


def _check_permuted(site: str, plain: Tensor, permuted: Tensor) -> bool:
    """Return whether rows differ enough to tell.

    Raises:
        RuntimeError: `permuted` is not `plain` with its rows rolled by one.
    """
    expected = plain.roll(1, 0)
    moved = (expected - plain).norm()
    allowed = tolerance(plain, moved)
    if (permuted - expected).norm() > allowed:
        raise RuntimeError(
            f"site {site!r} must carry everything: permuting its rows must permute the logits, but did not; there is "
            "a path around it (a residual connection), or logits mix rows; choose a submodule that every path passes "
            "through"
        )
    return bool(moved > allowed)


def tolerance(plain: Tensor, moved: Tensor) -> Tensor:
    """Return how far logits may be off that should agree: a little of the norm `moved` by which a change moved them."""
    allowed: Tensor = 0.02 * moved + 1e-5 * plain.norm()
    return allowed


class _TrainPass(nn.Module):
    """A forward and backward pass as training would run them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Any) -> None:
        logits = self.model(inputs)
        if logits.requires_grad:
            logits.float().sum().backward()


def _train_pass(model: nn.Module, inputs: Any) -> None:
    """Run forward and backward on stand-ins of parameters and buffers, so that those of the model stay as they are.

    `torch.autograd.grad` would do without stand-ins, but not with reentrant checkpointing.
    """
    whole = _TrainPass(model)
    stand_ins = {name: p.detach().requires_grad_(p.requires_grad) for name, p in whole.named_parameters()}
    stand_ins |= {name: buffer.clone() for name, buffer in whole.named_buffers()}
    with torch.enable_grad():
        torch.func.functional_call(whole, stand_ins, (inputs.detach() if isinstance(inputs, Tensor) else inputs,))


def evaluated(model: nn.Module, inputs: Any) -> Tensor:
    """Return the logits in evaluation mode; all modes are put back, also of modules that differ from the whole."""
    modes = {module: module.training for module in model.modules()}
    try:
        for module in modes:  # `model.eval()` may do more than that in the caller's classes
            module.training = False
        with torch.no_grad():
            return model(inputs)  # type: ignore[no-any-return]  # modules return anything
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def without_trace(model: nn.Module) -> Iterator[None]:
    """Put all global generators back as they were, torch's, NumPy's and Python's."""
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - models may draw from the global one
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002 - as above
