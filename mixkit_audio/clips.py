"""Clips of unequal lengths in one tensor: values padded along time, and how much of each is real."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Clips:
    """Padded waveforms (B, ..., samples) or spectrograms (B, ..., bins, frames) with their lengths.

    Attributes:
        values: float (B, ..., T), time last.
        lengths: int64 (B,), valid samples or frames, in 0 ... T; best on the CPU, also beside values on an accelerator,
            where looking at them means to wait for it.

    Raises:
        ValueError: values have no time axis, or lengths are not one whole number a clip within it.

    >>> clips = Clips(torch.zeros(2, 1, 5), torch.tensor([5, 3]))
    >>> clips.valid().tolist()
    [[True, True, True, True, True], [True, True, True, False, False]]
    """

    values: Tensor
    lengths: Tensor

    def __post_init__(self) -> None:
        if self.values.ndim < 2:
            raise ValueError(f"values must be (B, ..., T), got shape {tuple(self.values.shape)}")
        if not isinstance(self.lengths, Tensor):
            raise ValueError(
                f"lengths must be an int64 tensor ({len(self.values)},), got {type(self.lengths).__name__}"
            )
        if self.lengths.shape != self.values.shape[:1] or self.lengths.dtype != torch.int64:
            raise ValueError(
                f"lengths must be int64 ({len(self.values)},), got {self.lengths.dtype} {tuple(self.lengths.shape)}; "
                "they count samples or frames"
            )
        # on an accelerator a look at the values would wait for the device
        if self.lengths.device.type == "cpu" and len(self.lengths):
            low, high = int(self.lengths.min()), int(self.lengths.max())
            if low < 0 or high > self.values.shape[-1]:
                raise ValueError(f"lengths must be in 0..{self.values.shape[-1]}, got {low} to {high}")

    def __len__(self) -> int:
        return len(self.values)

    def to(self, device: torch.device | str) -> "Clips":
        """Return the clips on a device."""
        return Clips(self.values.to(device), self.lengths.to(device))

    def rows(self, index: Tensor) -> "Clips":
        """Return the clips at int64 `index` (M,)."""
        return Clips(self.values[index.to(self.values.device)], self.lengths[index.to(self.lengths.device)])

    def valid(self) -> Tensor:
        """Return bool (B, T): True where a clip is real, False where it is padding."""
        return within(self.lengths, self.values.shape[-1], self.values.device)

    def holding(self, values: Tensor) -> "Clips":
        """Return other values of the same lengths."""
        return replace(self, values=values)


def as_clips(inputs: Any) -> Clips:
    """Return `inputs` if they are clips; a tensor (B, ..., T) becomes clips of full length.

    Raises:
        ValueError: `inputs` are neither, or hold whole numbers.
    """
    if isinstance(inputs, Clips):
        return inputs
    if not isinstance(inputs, Tensor) or inputs.ndim < 2:
        what = f"shape {tuple(inputs.shape)}" if isinstance(inputs, Tensor) else type(inputs).__name__
        raise ValueError(f"inputs must be a tensor (B, ..., T) or Clips, got {what}")
    # beside inputs on an accelerator too: what is known here needs no look at the device later
    return Clips(inputs, torch.full((len(inputs),), inputs.shape[-1], dtype=torch.int64, device="cpu"))


def all_full(lengths: Tensor, size: int) -> bool:
    """Return whether every length is `size`, as far as that is known without waiting for an accelerator."""
    return lengths.device.type == "cpu" and bool((lengths == size).all())


def padded_with(values: Tensor, lengths: Tensor, padding: float) -> Tensor:
    """Return `values` (B, ..., T) with `padding` behind each length; the same tensor where it is known to have none."""
    if all_full(lengths, values.shape[-1]):
        return values
    valid = within(lengths, values.shape[-1], values.device)
    return torch.where(along_time(valid, values.ndim), values, padding)


def like(inputs: Any, clips: Clips) -> Any:
    """Return `clips` as what `inputs` were: clips, or a plain tensor."""
    return clips if isinstance(inputs, Clips) else clips.values


def within(lengths: Tensor, frames: int, device: torch.device) -> Tensor:
    """Return bool (B, frames): True before each length."""
    return torch.arange(frames, device=device)[None] < lengths.to(device)[:, None]


def along_time(mask: Tensor, ndim: int) -> Tensor:
    """Return `mask` (B, T) with single axes between, for tensors of `ndim` axes."""
    return mask.view(len(mask), *[1] * (ndim - 2), mask.shape[-1])


def per_clip(weight: Tensor, like_: Tensor) -> Tensor:
    """Return `weight` (B,) with single axes behind, on the device of `like_` and in float32 or better."""
    dtype = torch.promote_types(torch.float32, like_.dtype) if like_.is_floating_point() else torch.float32
    return weight.to(like_.device, dtype).view(-1, *[1] * (like_.ndim - 1))


def check_float(values: Tensor, what: str) -> None:
    """Raise ValueError unless `values` are floating-point numbers."""
    if not values.is_floating_point():
        raise ValueError(f"{what} mixes floating-point values, got {values.dtype}; convert with .float() / 32768 or so")
