"""A pipeline of torchaudio's transforms and mixing policies: waveforms in, features and labels out."""

from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from mixkit.mix import Mixing
from mixkit.plan import check_targets
from mixkit.worker_generators import WorkerGenerator
from mixkit_audio.clips import Clips

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""What front ends take on some device; torch says which where."""


class Features(NamedTuple):
    """What a pipeline gives out.

    Attributes:
        inputs: float (B, ..., T), mixed in training.
        targets: float (B, K) or (B, K, frames), mixed alike; None where none were given.
        lengths: int64 (B,), valid frames; None where none were given.
        clean: the features without any mixing, from the same pass; None unless asked for.
    """

    inputs: Tensor
    targets: Tensor | None
    lengths: Tensor | None
    clean: Tensor | None


class Pipeline(nn.Module):
    """Transforms and mixes in order: `nn.Module`s (torchaudio's, your own) and `Mix`, `OneOf`, `MixTraining` ...

    Calling it with (inputs, targets) returns mixed features and targets, with inputs alone features alone.  In `eval()`
    mixes do nothing; what transforms do there is up to them (torchaudio's masks stay on: put them behind a module that
    looks at `training`).  Mix before normalising features, and mask after mixing.

    Lengths follow each transform's own ratio of frames.  A stage that gives out whole clips at once has to keep the
    batch axis first and time last.

    It works in a training loop, inside a model as its front end, and in a `collate_fn`, where every loader worker draws
    from a generator of its own, see `mixkit.worker_generators`.

    Args:
        stages: in order.
        generator: where mixes draw from, a CPU generator; None: a private one from fresh entropy.

    Attributes:
        progress: share of the training that is over, from 0 to 1; a loop sets it for mixes with `until` below 1.

    Raises:
        TypeError: a stage is neither a module nor a mix.

    >>> from mixkit import BetaPairs, Mix
    >>> from mixkit_audio import WaveMix
    >>> pipeline = Pipeline(Mix(WaveMix(), BetaPairs(0.2)), nn.AvgPool1d(10))
    >>> x, t = pipeline(torch.randn(4, 1, 16000), torch.eye(4))
    >>> x.shape, t.shape
    (torch.Size([4, 1, 1600]), torch.Size([4, 4]))
    """

    def __init__(self, *stages: nn.Module | Mixing, generator: Generator | None = None) -> None:
        super().__init__()
        for i, stage in enumerate(stages):
            mixes = hasattr(stage, "partner_share") and not isinstance(stage, type)  # a policy has none
            if not isinstance(stage, nn.Module) and not mixes:
                raise TypeError(
                    f"stages must be modules or mixes, got {type(stage).__name__} at {i}; "
                    "wrap a policy in Mix(policy, pairs)"
                )
        self.transforms = nn.ModuleList(stage for stage in stages if isinstance(stage, nn.Module))
        self._generators = WorkerGenerator(generator)
        self.progress = 0.0
        modules = iter(range(len(self.transforms)))
        self._stages: list[int | Mixing] = [
            next(modules) if isinstance(stage, nn.Module) else stage for stage in stages
        ]

    @property
    def generator(self) -> Generator:
        """Where mixes draw from outside loader workers."""
        return self._generators.own

    def forward(
        self, inputs: Tensor, targets: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor | tuple[Tensor, ...]:
        """Return (features, targets), with lengths behind where they were given; features alone without targets.

        Args:
            inputs: float (B, T), (B, C, T), or spectrograms (B, F, T), (B, C, F, T); not changed.
            targets: float (B, K) or (B, K, frames); needed in training if the pipeline mixes.
            lengths: int64 (B,), valid samples; with them mixes have to be of policies that take `Clips`.

        Raises:
            ValueError: targets are missing, inputs are of another dtype or shape, a policy takes no lengths.
        """
        found = self.both(inputs, targets, lengths, clean=False)
        parts = [part for part in (found.inputs, found.targets, found.lengths) if part is not None]
        return parts[0] if len(parts) == 1 else tuple(parts)

    def both(
        self, inputs: Tensor, targets: Tensor | None = None, lengths: Tensor | None = None, *, clean: bool = True
    ) -> Features:
        """Return mixed features with the clean ones of the same pass, for penalties on clean rows (MixupE).

        Transforms run once, on the mixed and the clean rows together: both see the same random masks only as far as a
        transform draws them for a batch.
        """
        check_inputs(inputs)
        clips = Clips(inputs, lengths) if lengths is not None else inputs
        beside = clips if clean else None
        for stage in self._stages:
            if isinstance(stage, int):
                clips, beside = self._transformed(self.transforms[stage], clips, beside)
            elif self.training:
                if targets is None:
                    raise ValueError(f"targets must be given, {type(stage).__name__} mixes them with the clips")
                check_targets(targets, len(inputs))
                plan = stage.draw(clips, targets, self._generators.here(), progress=self.progress)
                clips, targets = plan.apply(clips), plan.targets(targets)  # type: ignore[arg-type]  # plans of this package take clips
        values = clips.values if isinstance(clips, Clips) else clips
        unmixed = beside.values if isinstance(beside, Clips) else beside
        return Features(values, targets, clips.lengths if isinstance(clips, Clips) else None, unmixed)

    def _transformed(self, module: nn.Module, clips: Any, beside: Any) -> tuple[Any, Any]:
        """Return both through a transform, in one pass."""
        values = clips.values if isinstance(clips, Clips) else clips
        size = len(values)
        together = values
        if beside is not None:
            together = torch.cat([values, beside.values if isinstance(beside, Clips) else beside])
        try:
            out = module(together)
        except RuntimeError as error:  # torch's own words name neither the stage nor a remedy
            if other := other_precisions(module, together):
                raise ValueError(
                    f"inputs must have the dtype of {type(module).__name__}, {other[0]}, got {together.dtype}; "
                    "convert the inputs, or the pipeline with .double() say"
                ) from error
            raise
        if not isinstance(out, Tensor) or len(out) != len(together):
            what = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(f"{type(module).__name__} must give out one tensor of {len(together)} rows, got {what}")
        mixed, clean = out[:size], None if beside is None else out[size:]
        if not isinstance(clips, Clips):
            return mixed, clean
        ratio = out.shape[-1] / together.shape[-1]
        frames = [scaled(part.lengths, ratio, out.shape[-1]) for part in (clips, beside) if part is not None]
        return Clips(mixed, frames[0]), None if clean is None else Clips(clean, frames[1])


def scaled(lengths: Tensor, ratio: float, most: int) -> Tensor:
    """Return lengths after a transform that gives out `ratio` frames for each: a frame that has begun counts."""
    return (lengths.double() * ratio).ceil().long().clamp(max=most)


def other_precisions(module: nn.Module, inputs: Tensor) -> list[torch.dtype]:
    """Return floating-point dtypes of weights, windows and filters in `module` that are not that of `inputs`."""
    kept = [tensor.dtype for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point()]
    return [dtype for dtype in kept if dtype != inputs.dtype]


def check_inputs(inputs: Tensor) -> None:
    """Raise ValueError unless inputs are floating-point clips."""
    if not isinstance(inputs, Tensor) or inputs.ndim < 2:
        what = f"shape {tuple(inputs.shape)}" if isinstance(inputs, Tensor) else type(inputs).__name__
        raise ValueError(f"inputs must be a tensor (B, ..., T), got {what}")
    if inputs.dtype not in DTYPES:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        raise ValueError(f"inputs must be one of {names}, got {inputs.dtype}; 16-bit samples become .float() / 32768")
