"""How much memory a training step takes, comparable between methods on any device."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class StepMemory:
    """Peak memory of a training.

    On CUDA what the allocator reports.  Elsewhere, where processes share everything, a count: parameters, for
    those that are trained also gradients and Adam's two moments, and the most that the graphs of the
    first steps keep at a time for the backward pass.

    Args:
        model: whose parameters count.
        device: where it trains.
    """

    WATCHED_STEPS = 2  # all steps but an epoch's last are alike; watching costs time

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._cuda = device if device.type == "cuda" else None
        self._state = sum(p.numel() * p.element_size() * (4 if p.requires_grad else 1) for p in model.parameters())
        self._parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}  # counted already
        self._kept = 0
        self._steps = 0
        if self._cuda is not None:
            torch.cuda.reset_peak_memory_stats(self._cuda)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count what is kept for the backward pass inside."""
        self._steps += 1
        if self._cuda is not None or self._steps > self.WATCHED_STEPS:
            yield
            return
        ledger = Ledger(left_out=self._parameters)
        with torch.autograd.graph.saved_tensors_hooks(ledger.keep, lambda kept: kept.tensor):
            yield
        self._kept = max(self._kept, ledger.most)

    def peak(self) -> int:
        """Return the peak in bytes so far."""
        if self._cuda is not None:
            return torch.cuda.max_memory_allocated(self._cuda)
        return self._state + self._kept


class Ledger:
    """Counts the bytes that graphs hold at a time: each storage once, from the first tensor kept to the last let go.

    Args:
        left_out: addresses of storages that do not count.
    """

    def __init__(self, left_out: set[int]) -> None:
        self._left_out = left_out
        self._holders: dict[int, int] = {}  # of each storage
        self._bytes = 0
        self.most = 0

    def keep(self, tensor: Tensor) -> "Kept":
        """Count `tensor` until what is returned goes."""
        storages = [part.untyped_storage() for part in dense_parts(tensor.detach())]
        kept = Kept(tensor.detach())  # with its graph, an operation's own output would keep itself alive
        for address, size in {s.data_ptr(): s.nbytes() for s in storages if s.data_ptr() not in self._left_out}.items():
            self._holders[address] = self._holders.get(address, 0) + 1
            if self._holders[address] == 1:
                self._bytes += size
            weakref.finalize(kept, self._let_go, address, size)
        self.most = max(self.most, self._bytes)
        return kept

    def _let_go(self, address: int, size: int) -> None:
        """Forget one holder of a storage."""
        self._holders[address] -= 1
        if not self._holders[address]:
            del self._holders[address]
            self._bytes -= size


class Kept:
    """A tensor that a graph holds."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def dense_parts(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return the dense tensors that hold `tensor`: itself, or indices and values of a sparse one."""
    if tensor.layout is torch.sparse_coo:
        return tensor._indices(), tensor._values()
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return (tensor,)
