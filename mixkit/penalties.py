"""Penalties on clean logits: MixupE in the paper's form, in the released code's four versions, and the accurate one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mixkit.forward_mode import directional
from mixkit.plan import Plan
from mixkit.sites import unwrapped
from mixkit.tasks import Task, positive


@dataclass(frozen=True, eq=False)
class Step:
    """What a penalty may look at: one step's clean rows.

    Attributes:
        model: inputs -> logits; calling it costs a forward pass.
        inputs: the clean rows' inputs; None where they cannot be indexed and the penalty must do with the logits.
        logits: their logits (C, K), with graph.
        targets: their targets float (C, K).
        weights: their weights, (C,) or of the targets' shape, or None.
        plan: what was drawn for the batch.
        task: what the logits mean.
        partner_share: E[a] = 2 E[lam (1 - lam)] of the mix.
    """

    model: nn.Module
    inputs: Any
    logits: Tensor
    targets: Tensor
    weights: Tensor | None
    plan: Plan
    task: Task
    partner_share: float


Penalty = Callable[[Step], Tensor]


class Estimator(Protocol):
    """The first directional derivative of each clean row's loss towards the mean input, q (C,), signed."""

    def __call__(self, step: Step) -> Tensor:
        """Return q (C,)."""
        ...


class Law(Protocol):
    """What is averaged by weight: a function of q, entry by entry."""

    def __call__(self, q: Tensor) -> Tensor:
        """Return the contribution of each q."""
        ...


@dataclass(frozen=True)
class Fast:
    """q-hat = (y - g(f)) . f on the clean logits (eq. 5); equals q for centred data and nets without biases.

    Args:
        detach_error: no gradient through y - g(f); that of the sum is then the clean cross-entropy's (version 4).
    """

    detach_error: bool = False

    def __call__(self, step: Step) -> Tensor:
        """Return q-hat (C,) = entropy of the prediction minus cross-entropy, in float32 or better."""
        if not self.detach_error:
            return step.task.residual(step.logits, step.targets, step.weights)
        error = step.task.error(step.logits, step.targets, step.weights).detach()
        return (error * step.logits.to(error.dtype)).flatten(1).sum(1)


@dataclass(frozen=True)
class ForwardMode:
    """q = (g(f) - y) . J_f (mean - x), accurate (eq. 4), by forward-mode differentiation: one more forward pass.

    f is a function of one sample: BatchNorm's batch statistics count as constants.  (As functions of the batch they
    would undo the very move towards the mean, and q would be 0 behind any linear layer.)  Their running averages are
    updated once more.  Fused attention has no forward-mode rule in torch and raises: take `FiniteDifference`.

    NOTE[DIFF] The released code takes q from a double backward pass.  Without BatchNorm that is the same number; with
    it, its q_i holds what moving sample i does to all losses of the batch.

    Args:
        detach_error: no gradient through g(f) - y, as in the released versions 1 and 2.
        mean: E[x'], broadcastable to the inputs; None: the mean of the clean rows.  In audio, give the mean a frequency
            bin.
    """

    detach_error: bool = False
    mean: Tensor | None = None

    def __call__(self, step: Step) -> Tensor:
        """Return q (C,).

        Raises:
            ValueError: inputs are no float tensor.
        """
        inputs = float_inputs(step.inputs)
        logits, tangent = directional(unwrapped(step.model), inputs, towards_mean(inputs, self.mean))
        return slope(step, logits, tangent, self.detach_error)


@dataclass(frozen=True)
class FiniteDifference:
    """q = (g(f) - y) . [f(x + h (mean - x)) - f(x)] / h: accurate up to h, for models without forward-mode rules.

    Both points are run in one pass, so that BatchNorm normalises both by the same statistics and updates its running
    averages once more.  What would drown the difference is refused: dropout and other noise, logits in half precision.

    Args:
        step_size: h, positive.
        detach_error: no gradient through g(f) - y.
        mean: E[x'], broadcastable to the inputs; None: the mean of the clean rows.

    Raises:
        ValueError: step_size is not positive; (when called) inputs are no float tensor, the model draws random numbers,
            or its logits are float16 or bfloat16.
    """

    step_size: float = 1e-2
    detach_error: bool = False
    mean: Tensor | None = None

    def __post_init__(self) -> None:
        if not self.step_size > 0:
            raise ValueError(f"step_size must be positive, got step_size={self.step_size!r}")

    def __call__(self, step: Step) -> Tensor:
        """Return q (C,)."""
        inputs = float_inputs(step.inputs)
        moved = inputs + self.step_size * towards_mean(inputs, self.mean)
        before = random_state(inputs.device)
        logits, ahead = step.model(torch.cat([inputs, moved])).chunk(2)
        if not torch.equal(before, random_state(inputs.device)):
            raise ValueError(
                "FiniteDifference needs a model without active dropout or other noise, but a forward pass of "
                f"{type(step.model).__name__} drew random numbers; use ForwardMode()"
            )
        if logits.dtype in (torch.float16, torch.bfloat16):
            raise ValueError(
                f"FiniteDifference needs logits in float32 or better, got {logits.dtype}; use ForwardMode(), "
                "or leave autocast"
            )
        return slope(step, logits, (ahead - logits) / self.step_size, self.detach_error)


@dataclass(frozen=True)
class Absolute:
    """|q|: the paper's law (eq. 7)."""

    def __call__(self, q: Tensor) -> Tensor:
        """Return |q|."""
        return q.abs()


@dataclass(frozen=True)
class Signed:
    """sign * q, for q below a threshold: the laws of the released versions 1, 3 and 4.

    Args:
        sign: 1.0 or -1.0.
        threshold: entries at or above it count 0; the mean still divides by all.
    """

    sign: float = -1.0
    threshold: float = float("inf")

    def __call__(self, q: Tensor) -> Tensor:
        """Return sign * q where q < threshold, else 0."""
        return self.sign * torch.where(q < self.threshold, q, torch.zeros_like(q))


@dataclass(frozen=True)
class MixupE:
    """MixupE's penalty: eta E[a] mean_i |q_i| (Zou et al. 2023, UAI, arXiv:2212.13381, eq. 7).

    The default is the paper's form, Listing 1 of its supplement: q-hat by eq. 5, not detached, absolute value, E[a]
    from the pair sampler; for softmax it is computed as |entropy - cross-entropy| in float32.  `Mixed` adds it and
    rescales the sum to the mixed loss's value (eqs. 8-9).  The law does not change what is a method's own: with CutMix,
    C-Mixup and the like the penalty is an extension, because the theory assumes independent partners and a straight
    path.

    NOTE[DIFF] The released code differs from the paper and from itself: version 3 (its README's) subtracts q-hat below
    a threshold, without absolute values; version 4 detaches and amounts to clean cross-entropy; versions 1 and 2 take
    the accurate q, version 1 with a sign that contradicts eq. 7.  The paper's form is the default because its text,
    Listing 1 and its theorem agree on it; the others are `version1` ... `version4`.

    Args:
        eta: strength, non-negative; the paper chooses from 1e-4 ... 1, 1e-3 for most images, 1e-2 for speech.
        estimator: how q is had: `Fast()`, `ForwardMode()` or `FiniteDifference()`.
        law: what is summed: `Absolute()` or `Signed(...)`.

    Raises:
        ValueError: eta is negative or not finite.

    >>> MixupE(0.001)
    MixupE(eta=0.001, estimator=Fast(detach_error=False), law=Absolute())
    """

    eta: float
    estimator: Estimator = Fast()
    law: Law = Absolute()

    def __post_init__(self) -> None:
        if not 0 <= self.eta < float("inf"):
            raise ValueError(f"eta must be non-negative and finite, got eta={self.eta!r}")

    def __call__(self, step: Step) -> Tensor:
        """Return the penalty, a scalar; the mean is by weight, as the loss's."""
        _, mass = step.task.losses(step.logits.detach(), step.targets, step.weights)
        q = self.estimator(step) / positive(mass)  # a threshold is about a sample's q, whatever the sample weighs
        return self.eta * step.partner_share * (mass * self.law(q)).sum() / positive(mass.sum())

    @classmethod
    def version1(cls, eta: float, threshold: float) -> "MixupE":
        """Return the released version 1: + q where q < threshold; accurate q, error detached."""
        return cls(eta, ForwardMode(detach_error=True), Signed(1.0, threshold))

    @classmethod
    def version2(cls, eta: float) -> "MixupE":
        """Return the released version 2: |q|; accurate q, error detached."""
        return cls(eta, ForwardMode(detach_error=True), Absolute())

    @classmethod
    def version3(cls, eta: float, threshold: float) -> "MixupE":
        """Return the released version 3: - q-hat where q-hat < threshold; not detached."""
        return cls(eta, Fast(), Signed(-1.0, threshold))

    @classmethod
    def version4(cls, eta: float) -> "MixupE":
        """Return the released version 4: - q-hat; error detached, so its gradient is clean cross-entropy's."""
        return cls(eta, Fast(detach_error=True), Signed(-1.0))


def slope(step: Step, logits: Tensor, tangent: Tensor, detach_error: bool) -> Tensor:
    """Return (g(f) - y) . tangent, weighted as the loss, (C,)."""
    error = step.task.error(logits, step.targets, step.weights)
    error = error.detach() if detach_error else error
    return -(error * tangent.to(error.dtype)).flatten(1).sum(1)


def random_state(device: torch.device) -> Tensor:
    """Return the state of the global generator that a model on `device` draws from."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def towards_mean(inputs: Tensor, mean: Tensor | None) -> Tensor:
    """Return E[x'] - x for every row."""
    centre = inputs.mean(0, keepdim=True) if mean is None else mean.to(inputs)
    return centre - inputs


def float_inputs(inputs: Any) -> Tensor:
    """Return `inputs` if they are a float tensor.

    Raises:
        ValueError: they are not; the mean of structures or codes is not defined.
    """
    if not (isinstance(inputs, Tensor) and inputs.is_floating_point()):
        what = inputs.dtype if isinstance(inputs, Tensor) else type(inputs).__name__
        raise ValueError(f"the accurate form of MixupE needs float inputs, got {what}; use the fast one: MixupE(eta)")
    return inputs
