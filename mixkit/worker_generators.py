"""`WorkerGenerator`: one generator that is another in each loader worker, rank and epoch."""

from typing import Any

import torch
from torch import Generator
from torch.utils.data import get_worker_info

from mixkit.randomness import derived_generator, fresh_generator, rank


class WorkerGenerator:
    """Gives the generator to draw from where it is asked: its own, or in a loader's worker one derived from it.

    A worker's is derived from (this generator's seed, rank, the worker's seed of this epoch): different in every worker
    and epoch, the same again if the loader is seeded.  It can be sent to workers that are spawned.

    Args:
        generator: a CPU generator; None: a private one from fresh entropy.

    >>> own = torch.Generator().manual_seed(3)
    >>> WorkerGenerator(own).here() is own
    True
    """

    def __init__(self, generator: Generator | None) -> None:
        self.own = fresh_generator() if generator is None else generator
        self._derived: dict[int, Generator] = {}

    def here(self) -> Generator:
        """Return this process's generator."""
        worker = get_worker_info()
        if worker is None:
            return self.own
        if worker.seed not in self._derived:
            seed = self.own.initial_seed() % 2**63
            self._derived[worker.seed] = derived_generator(seed, rank(), worker.seed % 2**63)
        return self._derived[worker.seed]

    def __getstate__(self) -> dict[str, Any]:
        """Return what goes to a worker where processes are spawned; torch cannot send a generator there."""
        return {"seed": self.own.initial_seed(), "words": self.own.get_state().numpy().tobytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.own = torch.Generator().manual_seed(state["seed"])
        self.own.set_state(torch.frombuffer(bytearray(state["words"]), dtype=torch.uint8))
        self._derived = {}
