"""Directional derivatives by forward mode that can be differentiated once more, for MixupE's accurate form.

torch's own forward-mode rules of some layers cannot be differentiated again: those of normalisation give wrong
gradients without a word (pytorch/pytorch issues 196699 and 196700), those of softmax raise.  Here these layers are
written out.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from mixkit.tasks import precise


def directional(model: nn.Module, inputs: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits (B, K) of `inputs` and their derivative in `direction`, both differentiable by parameters.

    The batch statistics of BatchNorm count as constants of the inputs; its running averages are updated.

    Raises:
        RuntimeError: the logits do not depend on the inputs by differentiable steps.
    """
    load_rules()
    with forward_ad.dual_level(), WrittenOut():
        # torch leaves these two untyped
        dual = forward_ad.make_dual(inputs, direction)  # type: ignore[no-untyped-call]
        logits, tangent = forward_ad.unpack_dual(model(dual))  # type: ignore[no-untyped-call]
    if tangent is None:
        raise RuntimeError(
            f"forward mode needs logits that depend on the inputs, but {type(model).__name__} breaks the path "
            "(detach, no_grad, NumPy); use FiniteDifference()"
        )
    return logits, tangent


@cache
def load_rules() -> None:
    """Let torch compile its rules for forward mode, which it does at the first use and warns about to itself."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore", FutureWarning)
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))  # type: ignore[no-untyped-call]  # torch leaves it untyped


class WrittenOut(TorchFunctionMode):
    """Inside, the layers of `REPLACED` are computed from elementary operations."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run what replaces `func`, or `func` itself."""
        return REPLACED.get(func, func)(*args, **(kwargs or {}))


def batch_norm(  # noqa: PLR0917 - the arguments of F.batch_norm
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise as `F.batch_norm`, by batch statistics that are constants in forward mode."""
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    values = forward_ad.unpack_dual(x).primal  # type: ignore[no-untyped-call]  # torch leaves it untyped
    axes = [0, *range(2, x.ndim)]
    if running_mean is not None and running_var is not None:
        variance, mean = torch.var_mean(values.detach(), axes)  # the unbiased variance, as torch's own
        # `.data`, because the graph of an earlier pass of the step holds them, too, and must not see them change
        running_mean.data.lerp_(mean.to(running_mean), momentum)
        running_var.data.lerp_(variance.to(running_var), momentum)
    return by_channel(standardised(x, values, axes, eps), weight, bias).to(x.dtype)


def instance_norm(  # noqa: PLR0917 - the arguments of F.instance_norm
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise as `F.instance_norm`; running averages, which it rarely has, stay as they are."""
    if not use_input_stats:
        return F.instance_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    return by_channel(standardised(x, x, list(range(2, x.ndim)), eps), weight, bias).to(x.dtype)


def layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise as `F.layer_norm`."""
    y = standardised(x, x, list(range(-len(normalized_shape), 0)), eps)
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias).to(x.dtype)


def standardised(x: Tensor, values: Tensor, axes: list[int], eps: float) -> Tensor:
    """Return `x` centred and scaled by mean and variance of `values` over `axes`, in float32 or better."""
    variance, mean = torch.var_mean(precise(values), axes, correction=0, keepdim=True)
    deviation: Tensor = (variance + eps).sqrt()
    return (precise(x) - mean) / deviation


def by_channel(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return `y` (B, C, ...) times `weight` (C,) plus `bias` (C,)."""
    shape = [1, -1, *[1] * (y.ndim - 2)]
    y = y if weight is None else y * weight.view(shape)
    return y if bias is None else y + bias.view(shape)


def softmax(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    """Return `torch.softmax(x, dim)`."""
    return log_softmax(x, dim, dtype).exp()


def log_softmax(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    """Return `torch.log_softmax(x, dim)`."""
    x = x if dtype is None else x.to(dtype)
    shifted = x - x.amax(dim, keepdim=True)
    return shifted - shifted.exp().sum(dim, keepdim=True).log()


REPLACED: dict[Any, Callable[..., Tensor]] = {
    F.batch_norm: batch_norm,
    F.instance_norm: instance_norm,
    F.layer_norm: layer_norm,
    F.softmax: lambda x, dim, _stacklevel=3, dtype=None: softmax(x, dim, dtype),
    F.log_softmax: lambda x, dim, _stacklevel=3, dtype=None: log_softmax(x, dim, dtype),
    torch.softmax: softmax,
    torch.log_softmax: log_softmax,
    Tensor.softmax: softmax,
    Tensor.log_softmax: log_softmax,
}
