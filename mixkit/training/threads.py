"""How trainings on the CPU use its threads: one each."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_inside: list[int] = []  # the number of threads before the first training that is under way began


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Use one thread on the CPU: runs share the cores, and the numbers depend on none but the seed.

    What was set before comes back when the last training of this process ends.
    """
    if device.type != "cpu":
        yield
        return
    with _lock:
        _inside.append(_inside[0] if _inside else torch.get_num_threads())
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            before = _inside.pop()
            torch.set_num_threads(1 if _inside else before)
