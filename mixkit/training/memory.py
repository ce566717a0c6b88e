"""How much memory a training step takes, comparable between methods on any device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class StepMemory:
    """Peak memory of a training.

    On CUDA what the allocator reports.  Elsewhere, where processes share everything, a count: parameters, their
    gradients and Adam's two moments, and the tensors that the first steps keep for the backward pass.

    Args:
        model: whose parameters count.
        device: where it trains.
    """

    WATCHED_STEPS = 2  # all steps but an epoch's last are alike; watching costs time

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._cuda = device if device.type == "cuda" else None
        self._state = 4 * sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
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
        storages: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            for part in dense_parts(tensor.detach()):
                storage = part.untyped_storage()
                if storage.data_ptr() not in self._parameters:
                    storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            yield
        self._kept = max(self._kept, sum(storages.values()))

    def peak(self) -> int:
        """Return the peak in bytes so far."""
        if self._cuda is not None:
            return torch.cuda.max_memory_allocated(self._cuda)
        return self._state + self._kept


def dense_parts(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return the dense tensors that hold `tensor`: itself, or indices and values of a sparse one."""
    if tensor.layout is torch.sparse_coo:
        return tensor._indices(), tensor._values()
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return (tensor,)
