"""Generators: fresh ones, ones derived from (seed, rank, worker, ...), and NumPy's seeded from torch's.

No function here reads or writes a global generator.
"""

import os

import numpy as np
import torch


def fresh_generator() -> torch.Generator:
    """Return a CPU generator seeded from the system's entropy.

    >>> a, b = fresh_generator(), fresh_generator()
    >>> a.initial_seed() == b.initial_seed()
    False
    """
    generator = torch.Generator()
    generator.seed()
    return generator


def derived_seed(*keys: int) -> int:
    """Return a 63-bit seed that depends on every one of the non-negative `keys` (64 bits) and on their order.

    >>> derived_seed(0, 1) == derived_seed(1, 0)
    False
    """
    # NumPy pads entropy with zeros and cuts it into words of 32 bits: alone it would take (0,), (0, 0) and (2**32, 0)
    # for (0,), (0,) and (0, 1)
    words = [len(keys), *(word for key in keys for word in (key & 0xFFFFFFFF, key >> 32))]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]) >> 1


def derived_generator(*keys: int) -> torch.Generator:
    """Return a CPU generator for (seed, rank, worker, ...): different for different keys, the same for the same.

    >>> torch.rand(1, generator=derived_generator(0, 1)).equal(torch.rand(1, generator=derived_generator(0, 1)))
    True
    """
    return torch.Generator().manual_seed(derived_seed(*keys))


def numpy_generator(generator: torch.Generator) -> np.random.Generator:
    """Return a NumPy generator seeded by one draw from `generator`.

    NumPy's samplers are exact where torch's are not or take no generator (Beta, for one).
    """
    return np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=generator, device="cpu")))


def rank() -> int:
    """Return this process's rank: from torch.distributed where it runs, else from torchrun's RANK, else 0.

    Loader workers inherit RANK from their rank's process but not its process group.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank()
    return int(os.environ.get("RANK", "0"))
