"""The data-level front door: `Mixer` turns (inputs, labels) into mixed inputs and soft targets."""

from typing import Any

import torch
from torch import Generator, Tensor
from torch.utils.data import default_collate

from mixkit.mix import Mixing
from mixkit.objectives import check_lengths, check_values
from mixkit.plan import PairPlan, Plan
from mixkit.tasks import Task
from mixkit.worker_generators import WorkerGenerator


class Mixer:
    """Mixes batches for an own loop with an own loss.

    `mixer(inputs, labels)` returns mixed inputs and float targets (B, K); `mixer.pair(inputs, labels)` returns the
    older (x, y_a, y_b, lam); `DataLoader(..., collate_fn=mixer)` collates and mixes.

    In loader workers the draws come from a generator derived from (this generator's seed, rank, the worker's seed of
    this epoch): different in every worker and epoch, the same again if the loader is seeded.  `set_progress` reaches
    workers that are already running.

    Args:
        mix: what is mixed with whom: `Mix`, `OneOf` or `Chain`.
        task: encodes labels.
        generator: where draws come from, a CPU generator; None: a private one from fresh entropy.

    >>> from mixkit import BetaPairs, Blend, Mix, MultiClass
    >>> mixer = Mixer(Mix(Blend(), BetaPairs(1.0)), MultiClass(10))
    >>> x, t = mixer(torch.rand(4, 3, 8, 8), torch.tensor([3, 1, 4, 1]))
    >>> x.shape, t.shape, t.sum(1)
    (torch.Size([4, 3, 8, 8]), torch.Size([4, 10]), tensor([1., 1., 1., 1.]))
    """

    def __init__(self, mix: Mixing, task: Task, generator: Generator | None = None) -> None:
        self.mix = mix
        self.task = task
        self._generators = WorkerGenerator(generator)
        # in shared memory: a worker that runs since the first epoch must see what is set in the tenth
        self._progress: Tensor = torch.zeros(1, dtype=torch.float64, device="cpu")
        self._progress.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    @property
    def generator(self) -> Generator:
        """Where draws come from outside loader workers."""
        return self._generators.own

    def set_progress(self, progress: float) -> None:
        """Say how much of the training is done; from the mix's `until` on (at the latest from 1.0) nothing is mixed.

        Args:
            progress: in [0, 1].

        Raises:
            ValueError: progress is out of range.
        """
        if not 0 <= progress <= 1:
            raise ValueError(f"progress must be in [0, 1], got {progress=}")
        self._progress.fill_(progress)

    def __call__(self, inputs: Any, labels: Any = None) -> tuple[Tensor, Tensor]:
        """Return mixed inputs and targets float32 (B, K).

        Args:
            inputs: a tensor (B, ...); or, without `labels`, a list of (input, label) samples as a loader hands it to
                its collate_fn.
            labels: as `task.encode` takes them.

        Raises:
            ValueError: labels are missing or do not fit the inputs; inputs cannot be mixed.
        """
        if labels is None:
            inputs, labels = default_collate(checked_samples(inputs))
        plan, targets = self._draw(inputs, labels)
        return plan.apply(inputs), plan.targets(targets)

    def pair(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (mixed inputs, labels, partners' labels, lam float32 (B,)): for a loss of two terms a sample.

        The labels come back as they were given, lam is the weight of the first.

        Raises:
            ValueError: the mix draws chains, whose samples have more than two sources.
        """
        plan, _ = self._draw(inputs, labels)
        if not isinstance(plan, PairPlan):
            raise ValueError(f"pair must have a mix of two samples, got {self.mix}; use mixer(inputs, labels)")
        own, _ = plan.shares()
        return plan.apply(inputs), labels, labels[plan.pairing.partner.to(labels.device)], own.to(inputs.device)

    def plan(self, inputs: Any, labels: Any) -> Plan:
        """Return a plan for a batch, to apply to several views, masks and targets."""
        return self._draw(inputs, labels)[0]

    def _draw(self, inputs: Any, labels: Any) -> tuple[Plan, Tensor]:
        """Return a plan and the encoded targets, on the inputs' device."""
        targets = self.task.encode(labels)
        check_lengths(inputs, targets)
        if bool(targets.isnan().any()):
            raise ValueError(
                "labels must all be there: soft targets cannot say that one is missing; drop those rows, "
                "or train through an objective"
            )
        if isinstance(inputs, Tensor):
            targets = targets.to(inputs.device)
        if targets.device.type == "cpu":  # elsewhere a look at the inputs would wait for the device
            check_values(inputs, targets, None)
        progress = float(self._progress)
        return self.mix.draw(inputs, targets, self._generators.here(), progress=progress), targets

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._progress.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it untyped


def checked_samples(samples: Any) -> list[Any]:
    """Return `samples` if they are a list of (input, label) pairs.

    Raises:
        ValueError: they are not; most likely labels were forgotten.
    """
    if not (
        isinstance(samples, list) and samples and all(isinstance(s, tuple | list) and len(s) == 2 for s in samples)
    ):
        raise ValueError(
            f"labels must be given with inputs, got only {type(samples).__name__}; "
            "as a collate_fn the mixer takes a list of (input, label) samples"
        )
    return samples
