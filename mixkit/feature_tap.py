"""Catching what passes a named site of a network, without changing what comes out."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from mixkit.sites import install, single_tensor


class FeatureTap:
    """Takes the features that pass a site of a network, by a hook installed once.

    Holds no reference to the network, so that a copy of the network gets a hook that never acts.

    Args:
        model: the network.
        site: a submodule's name, or its input as "name:input".

    Raises:
        ValueError: there is no such submodule.
    """

    def __init__(self, model: nn.Module, site: str) -> None:
        self._site = site
        self._caught: list[Tensor] | None = None
        self._whole = True
        install(self, model, site)

    def on_output(self, module: nn.Module, args: Any, output: Any) -> None:
        """Look at the module's output, as a forward hook."""
        self._catch(output)

    def on_input(self, module: nn.Module, args: Any) -> None:
        """Look at the module's first input, as a forward pre-hook."""
        self._catch(args[0] if args else None)

    def _catch(self, value: Any) -> None:
        """Keep what passes, and stop the pass unless all of it is wanted."""
        if self._caught is None:
            return
        self._caught.append(single_tensor(value, self._site))
        if not self._whole:
            raise _Enough

    @contextmanager
    def _catching(self, whole: bool) -> Iterator[list[Tensor]]:
        caught: list[Tensor] = []
        self._caught, self._whole = caught, whole
        try:
            yield caught
        finally:
            self._caught = None

    @torch.no_grad()
    def look(self, model: nn.Module, inputs: Any, *, whole: bool) -> tuple[Tensor, Tensor | None]:
        """Return the features of `model` for `inputs`, and its logits if the `whole` pass is wanted.

        Raises:
            RuntimeError: the site did not run once.
        """
        logits: Tensor | None = None
        with self._catching(whole) as caught, suppress(_Enough):
            logits = model(inputs)
        if len(caught) != 1:
            raise RuntimeError(
                f"site {self._site!r} must run once per forward pass, but ran {len(caught)} times; "
                "choose a submodule that the model calls once"
            )
        return caught[0], logits


class _Enough(Exception):
    """Ends a forward pass whose rest nobody needs."""
