"""What logits mean: encoding of labels, losses, MixupE's residual, predictions, scores.

Targets are float (B, K) or (B, K, frames).  NaN in a target means that this label is missing: it contributes nothing
to any loss, penalty or mean.  `weights` are (B,), (B, K) or (B, K, frames); means are taken by weight, so that weight 2
equals the sample twice and weight 0 leaves it out.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MISSING = -100  # the label that torch's own losses ignore


class Task(ABC):
    """What the logits of a model mean; abstract.  All arithmetic is in float32 or better."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """K, the number of logits a sample."""

    @abstractmethod
    def encode(self, labels: Any) -> Tensor:
        """Return targets float32 (B, K) for labels as they come; missing labels become NaN."""

    @abstractmethod
    def losses(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return each sample's weighted loss and its mass, (B,) both: the mean loss is the ratio of their sums."""

    @abstractmethod
    def error(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return target - link(logits), weighted and reduced over K as the loss is, (B, K)."""

    @abstractmethod
    def residual(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return MixupE's q-hat = (target - link(logits)) . logits, float32 (B,), signed (Zou et al. 2023, eq. 5)."""

    @abstractmethod
    def predict(self, logits: Tensor) -> Tensor:
        """Return predictions in the units of the labels."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """Return link(logits): probabilities (B, K), or predicted values for regression."""

    @abstractmethod
    def score(self, logits: Tensor, targets: Tensor) -> float:
        """Return one number, higher is better: accuracy, or R^2 for regression; missing labels are left out."""

    def loss(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the scalar loss: the mean over samples by weight, 0 where all weights are 0.

        Raises:
            ValueError: shapes of logits, targets and weights do not fit, or targets are not float.
        """
        losses, mass = self.losses(logits, targets, weights)
        return losses.sum() / positive(mass.sum())


@dataclass(frozen=True)
class MultiClass(Task):
    """One class of K; softmax and cross-entropy.

    Args:
        num_classes: K, at least 2.
        label_smoothing: e in [0, 1): the encoded target is (1 - e) times one-hot plus e / K.
        class_weights: one weight a class.  A sample weighs what its target's classes weigh, so that hard labels give
            torch's own weighted mean and mixed ones the same loss as the two-label form.

    Raises:
        ValueError: an argument is out of range.

    >>> task = MultiClass(3)
    >>> task.encode([0, 2])
    tensor([[1., 0., 0.],
            [0., 0., 1.]])
    >>> task.predict(torch.tensor([[0.0, 3.0, 1.0]]))
    tensor([1])
    """

    num_classes: int
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, got num_classes={self.num_classes}")
        check_smoothing(self.label_smoothing)
        check_class_weights(self.class_weights, self.num_classes)

    @property
    def outputs(self) -> int:
        """K."""
        return self.num_classes

    def encode(self, labels: Any) -> Tensor:
        """Return float32 (B, K), or (B, K, frames) for labels (B, frames).

        Args:
            labels: integer codes 0..K-1, -100 where missing; or class probabilities float (B, K), kept as they are
                but for smoothing.

        Raises:
            ValueError: codes out of range, probabilities that do not sum to 1, labels of another kind.
        """
        labels = as_tensor(labels)
        check = check_soft if labels.is_floating_point() else one_hot
        return self.smooth(check(labels, self.num_classes), self.label_smoothing)

    def smooth(self, targets: Tensor, amount: float) -> Tensor:
        """Return (1 - amount) * targets + amount / K."""
        return targets if amount == 0 else (1 - amount) * targets + amount / self.num_classes

    def losses(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return weighted cross-entropies and masses, (B,) both."""
        logits, mass = self._weighted(logits, targets, weights)
        return -(mass * F.log_softmax(logits, 1)).flatten(1).sum(1), mass.flatten(1).sum(1)

    def error(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return target - softmax(logits), weighted, (B, K)."""
        logits, mass = self._weighted(logits, targets, weights)
        return mass - mass.sum(1, keepdim=True) * logits.softmax(1)

    def residual(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the entropy of the prediction minus the cross-entropy, float32 or better, (B,).

        Equals (target - softmax) . logits for targets that sum to 1, and does not cancel for large logits.
        """
        logits, mass = self._weighted(logits, targets, weights)
        log_p = F.log_softmax(logits, 1)
        return ((mass - mass.sum(1, keepdim=True) * log_p.exp()) * log_p).flatten(1).sum(1)

    def predict(self, logits: Tensor) -> Tensor:
        """Return the likeliest class, int64 (B,)."""
        return logits.argmax(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return softmax(logits) in float32 or better, (B, K)."""
        return precise(logits).softmax(1)

    def score(self, logits: Tensor, targets: Tensor) -> float:
        """Return the accuracy."""
        known = ~targets.isnan().any(1)
        return mean_of(logits.argmax(1) == targets.argmax(1), known)

    def _weighted(self, logits: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return precise logits and targets times weights, with 0 where a label is missing."""
        logits, targets, weight = checked(logits, targets, weights)
        if self.class_weights is not None:
            weight = weight * class_axis(self.class_weights, targets)
        return logits, weight * targets


@dataclass(frozen=True)
class MultiLabel(Task):
    """K labels that are on or off; sigmoid and binary cross-entropy, the mean over K.

    Args:
        num_labels: K, at least 1.
        exclusive: exactly one of K is on: labels are class codes, predictions are classes, trained with BCE as in
            DeiT III and "ResNet strikes back".
        label_smoothing: e in [0, 1): targets become (1 - e) t + e / 2.
        label_weights: one weight a label.

    Raises:
        ValueError: an argument is out of range.

    >>> MultiLabel(2).encode([[1, 0], [1, float("nan")]])
    tensor([[1., 0.],
            [1., nan]])
    """

    num_labels: int
    exclusive: bool = False
    label_smoothing: float = 0.0
    label_weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.num_labels < 1:
            raise ValueError(f"num_labels must be at least 1, got num_labels={self.num_labels}")
        check_smoothing(self.label_smoothing)
        check_class_weights(self.label_weights, self.num_labels)

    @property
    def outputs(self) -> int:
        """K."""
        return self.num_labels

    def encode(self, labels: Any) -> Tensor:
        """Return float32 (B, K), or (B, K, frames).

        Args:
            labels: values in [0, 1] or bool (B, K), NaN where missing; with `exclusive`, integer codes 0..K-1 (B,)
                or -100 where missing, too.

        Raises:
            ValueError: values or codes out of range, labels of another kind or width.
        """
        labels = as_tensor(labels)
        if self.exclusive and not labels.is_floating_point() and labels.ndim != 2:
            multi_hot = one_hot(labels, self.num_labels)
        else:
            multi_hot = check_multi_hot(labels, self.num_labels)
        return self.smooth(multi_hot, self.label_smoothing)

    def smooth(self, targets: Tensor, amount: float) -> Tensor:
        """Return (1 - amount) * targets + amount / 2."""
        return targets if amount == 0 else (1 - amount) * targets + amount / 2

    def losses(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return weighted binary cross-entropies (mean over K) and masses, (B,) both."""
        logits, targets, weight = self._weighted(logits, targets, weights)
        bce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return (weight * bce).flatten(1).sum(1), weight.flatten(1).sum(1)

    def error(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return (target - sigmoid(logits)) / K, weighted, (B, K)."""
        logits, targets, weight = self._weighted(logits, targets, weights)
        return weight * (targets - logits.sigmoid())

    def residual(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the mean over K of binary entropy minus binary cross-entropy, float32 or better, (B,)."""
        logits, targets, weight = self._weighted(logits, targets, weights)
        return (weight * (targets - logits.sigmoid()) * logits).flatten(1).sum(1)

    def predict(self, logits: Tensor) -> Tensor:
        """Return int64: labels on or off (B, K), or the likeliest class (B,) with `exclusive`."""
        return logits.argmax(1) if self.exclusive else (logits > 0).long()

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return sigmoid(logits) in float32 or better, (B, K)."""
        return precise(logits).sigmoid()

    def score(self, logits: Tensor, targets: Tensor) -> float:
        """Return the accuracy: of classes with `exclusive`, else of single labels."""
        if self.exclusive:
            return mean_of(logits.argmax(1) == targets.argmax(1), ~targets.isnan().any(1))
        return mean_of((logits > 0) == (targets > 0.5), ~targets.isnan())

    def _weighted(self, logits: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return precise logits, targets, and weights over K."""
        logits, targets, weight = checked(logits, targets, weights)
        if self.label_weights is not None:
            weight = weight * class_axis(self.label_weights, targets)
        return logits, targets, weight / self.num_labels


@dataclass(frozen=True)
class Regression(Task):
    """K real values; squared error on standardised targets, the mean over K.

    MixupE's theory needs targets centred; this task owns centring and scale: `encode` standardises, `predict` undoes.
    The residual is (y - f) . f, that of half the squared error; the factor 2 is part of eta.

    Args:
        mean: centre of each target.
        scale: positive scale of each target.

    Raises:
        ValueError: mean and scale are not K finite numbers each, or a scale is not positive.

    >>> task = Regression.fitted([1.0, 3.0])
    >>> task.predict(task.encode([1.0, 4.0])).flatten().tolist()
    [1.0, 4.0]
    """

    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.scale) or not self.mean:
            raise ValueError(f"mean and scale must have one number a target, got {self.mean=}, {self.scale=}")
        if not np.isfinite(self.mean).all():
            raise ValueError(f"mean must be finite, got mean={self.mean}")
        if not all(np.isfinite(s) and s > 0 for s in self.scale):
            raise ValueError(f"scale must be positive, got scale={self.scale}")

    @classmethod
    def fitted(cls, values: Any) -> "Regression":
        """Return the task that centres and scales like training targets `values` (n,) or (n, K)."""
        values = as_tensor(values).double()
        values = values[:, None] if values.ndim == 1 else values
        scale = values.std(0, correction=0)
        scale = torch.where(scale > 0, scale, 1.0)  # a constant target keeps its unit
        return cls(tuple(values.mean(0).tolist()), tuple(scale.tolist()))

    @property
    def outputs(self) -> int:
        """K."""
        return len(self.mean)

    def encode(self, labels: Any) -> Tensor:
        """Return standardised float32 (B, K) for real values (B,) or (B, K).

        Raises:
            ValueError: NaN or infinite values (give a missing label weight 0 and any finite value), another width.
        """
        values = as_tensor(labels).double()
        values = values[:, None] if values.ndim == 1 else values
        if values.shape[1] != self.outputs:
            raise ValueError(f"labels must have {self.outputs} columns, got shape {tuple(values.shape)}")
        if not bool(values.isfinite().all()):
            bad = int((~values.isfinite()).flatten(1).any(1).nonzero()[0])
            raise ValueError(
                f"labels must be finite, got labels[{bad}]={values[bad].tolist()}; "
                "drop the row, or give it weight 0 and any finite value"
            )
        return ((values - class_axis(self.mean, values)) / class_axis(self.scale, values)).float()

    def losses(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return weighted squared errors (mean over K) and masses, (B,) both."""
        logits, targets, weight = self._weighted(logits, targets, weights)
        return (weight * (logits - targets).square()).flatten(1).sum(1), weight.flatten(1).sum(1)

    def error(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return (target - logits) / K, weighted, (B, K)."""
        logits, targets, weight = self._weighted(logits, targets, weights)
        return weight * (targets - logits)

    def residual(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the mean over K of (target - logits) * logits, float32 or better, (B,)."""
        return (self.error(logits, targets, weights) * precise(logits)).flatten(1).sum(1)

    def predict(self, logits: Tensor) -> Tensor:
        """Return values in the units of the labels, float (B, K)."""
        logits = precise(logits)
        return logits * class_axis(self.scale, logits) + class_axis(self.mean, logits)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the predicted values: the identity is this task's link."""
        return self.predict(logits)

    def score(self, logits: Tensor, targets: Tensor) -> float:
        """Return R^2, over all outputs together."""
        logits, targets, weight = checked(logits, targets, None)
        centre = (weight * targets).sum(0) / positive(weight.sum(0))
        residual = (weight * (logits - targets).square()).sum()
        return 1 - float(residual / positive((weight * (targets - centre).square()).sum()))

    def _weighted(self, logits: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return precise logits, targets, and weights over K."""
        logits, targets, weight = checked(logits, targets, weights)
        return logits, targets, weight / self.outputs


def checked(logits: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return float32-or-better logits, targets without NaN, and weights of their shape, 0 where a label is missing."""
    if not targets.is_floating_point():
        raise ValueError(
            f"targets must be float of shape {tuple(logits.shape)}, got {targets.dtype} {tuple(targets.shape)}; "
            "encode labels with task.encode"
        )
    if logits.shape != targets.shape:
        raise ValueError(
            f"logits and targets must have one shape, got {tuple(logits.shape)} and {tuple(targets.shape)}"
        )
    logits = precise(logits)
    known = ~targets.isnan()
    weight = known.to(logits.dtype) / frames(targets)
    if weights is not None:
        weight = weight * expand_weights(weights, targets)
    return logits, torch.where(known, targets, 0.0).to(logits.dtype), weight


def frames(targets: Tensor) -> int:
    """Return the number of frames a sample: its loss is their mean."""
    return max(1, int(np.prod(targets.shape[2:])))


def expand_weights(weights: Tensor, targets: Tensor) -> Tensor:
    """Return `weights` (B,), (B, K) or (B, K, frames) with the axes of `targets`."""
    if weights.ndim == 0 or weights.ndim > targets.ndim or weights.shape != targets.shape[: weights.ndim]:
        raise ValueError(
            f"weights must have the shape of targets {tuple(targets.shape)} or its first axes, "
            f"got {tuple(weights.shape)}"
        )
    return weights.to(targets.device).view(*weights.shape, *[1] * (targets.ndim - weights.ndim))


def precise(logits: Tensor) -> Tensor:
    """Return `logits` in float32, or in float64 if they are."""
    return logits if logits.dtype == torch.float64 else logits.float()


def positive(mass: Tensor) -> Tensor:
    """Return `mass` with 1 where it is 0: sums over nothing are 0, not NaN."""
    return torch.where(mass > 0, mass, torch.ones_like(mass))


def mean_of(hits: Tensor, known: Tensor) -> float:
    """Return the mean of bool `hits` where `known`; NaN where nothing is known."""
    return float(hits[known].double().mean())


def class_axis(values: Sequence[float], like: Tensor) -> Tensor:
    """Return `values` (K,) along axis 1 of `like`, in its dtype."""
    dtype = like.dtype if like.dtype == torch.float64 else torch.float32
    return torch.tensor(values, dtype=dtype, device=like.device).view(1, -1, *[1] * (like.ndim - 2))


def as_tensor(labels: Any) -> Tensor:
    """Return labels (tensor, array, list) as a tensor.

    Raises:
        ValueError: they are not numbers, or are nested unevenly.
    """
    if isinstance(labels, Tensor):
        return labels
    try:
        return torch.as_tensor(np.array(labels))  # a copy: read-only arrays make torch warn
    except (TypeError, ValueError) as error:
        raise ValueError(f"labels must be numbers, got {type(labels).__name__}: {str(labels)[:60]}") from error


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return float32 one-hot targets with the class axis second, NaN where the label is missing."""
    if labels.ndim == 0 or labels.dtype == torch.bool or labels.is_complex():
        raise ValueError(f"labels must be integer codes (B,), got {labels.dtype} {tuple(labels.shape)}")
    labels = labels.long()
    missing = labels == MISSING
    wrong = ~missing & ((labels < 0) | (labels >= classes))
    if bool(wrong.any()):
        where = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"labels must be in 0..{classes - 1} (or {MISSING} where missing), "
            f"got labels{where}={int(labels[tuple(where)])}"
        )
    hot = F.one_hot(labels.masked_fill(missing, 0), classes).float()
    return hot.masked_fill(missing[..., None], torch.nan).movedim(-1, 1)


def check_soft(labels: Tensor, classes: int) -> Tensor:
    """Return class probabilities as float32 after checking them."""
    if labels.ndim < 2 or labels.shape[1] != classes:
        raise ValueError(
            f"labels must be integer codes (B,) or probabilities (B, {classes}), "
            f"got {labels.dtype} {tuple(labels.shape)}"
        )
    known = ~labels.isnan()
    sums = labels.nan_to_num().sum(1)
    proper = (known.all(1) & ((sums - 1).abs() < 1e-3)) | ~known.any(1)
    if not bool(((labels >= 0) | ~known).all()) or not bool(proper.all()):
        raise ValueError("labels of float dtype must be probabilities: non-negative, finite, each row sums to 1")
    return labels.float()


def check_multi_hot(labels: Tensor, width: int) -> Tensor:
    """Return multi-hot labels as float32 after checking them."""
    if labels.ndim < 2 or labels.shape[1] != width:
        raise ValueError(f"labels must have shape (B, {width}), got {labels.dtype} {tuple(labels.shape)}")
    values = labels.float()
    if not bool((values.isnan() | ((values >= 0) & (values <= 1))).all()):
        raise ValueError("labels must be in [0, 1], or NaN where missing")
    return values


def check_smoothing(value: float) -> None:
    """Raise ValueError unless `value` is in [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"label_smoothing must be in [0, 1), got label_smoothing={value!r}")


def check_class_weights(weights: Sequence[float] | None, classes: int) -> None:
    """Raise ValueError unless `weights` is None or one non-negative finite number a class."""
    if weights is None:
        return
    if len(weights) != classes or not all(np.isfinite(w) and w >= 0 for w in weights) or not any(weights):
        raise ValueError(f"class weights must be {classes} non-negative numbers, not all 0, got {weights}")
