"""Learning new words from a few clips: choosing the clips, and a pre-trained network with a new last layer."""

import copy
import math

import torch
from torch import Generator, Tensor, nn

from mixkit.pairing import random_order
from mixkit.randomness import fresh_generator


def shots(labels: Tensor, per_class: int, generator: Generator) -> Tensor:
    """Return the rows of `per_class` randomly chosen clips of each class, int64 (per_class * classes,), ascending.

    Fewer clips are a part of more: with a generator in the same state, the rows for 5 are among those for 10.

    Args:
        labels: class codes (n,), whole numbers; classes are those that occur.
        per_class: clips of each class, at least 1.
        generator: where the choice comes from, on the CPU.

    Raises:
        ValueError: labels are not whole numbers (n,), `per_class` is below 1, or a class has fewer clips.

    >>> labels = torch.tensor([0, 1, 0, 1, 1, 0])
    >>> labels[shots(labels, 2, torch.Generator().manual_seed(0))].sort().values
    tensor([0, 0, 1, 1])
    """
    if labels.ndim != 1 or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"labels must be class codes (n,), got {labels.dtype} {tuple(labels.shape)}")
    if per_class < 1:
        raise ValueError(f"per_class must be at least 1, got per_class={per_class}")
    labels = labels.cpu()
    order = random_order(len(labels), generator)
    chosen = []
    for label in torch.unique(labels).tolist():
        rows = order[labels[order] == label]
        if len(rows) < per_class:
            raise ValueError(
                f"every class must have {per_class} clips, got {len(rows)} of class {label}; lower per_class, or leave "
                "the class out"
            )
        chosen.append(rows[:per_class])
    return torch.cat([torch.empty(0, dtype=torch.int64), *chosen]).sort().values


def with_new_head(network: nn.Module, classes: int, generator: Generator | None = None) -> nn.Module:
    """Return a copy of a network whose last linear layer is new, with `classes` outputs.

    "Last" is in the order in which submodules were added.  The new layer is drawn as `torch.nn.Linear` draws its own,
    with a bias where the old one has one, and stands on its device with its dtype; all else is a copy of what was
    learned.  Sites of mixing that were installed on the network do nothing in the copy: build a new objective on it.

    Args:
        network: keeps its weights.
        classes: number of logits, at least 1.
        generator: on the CPU; None: fresh entropy.

    Raises:
        ValueError: there is no linear layer, or `classes` is below 1.

    >>> from mixkit_audio import AudioNet
    >>> base = AudioNet(8000, None, None, classes=6)
    >>> with_new_head(base, 3)(torch.zeros(2, 1, 4000)).shape
    torch.Size([2, 3])
    """
    if classes < 1:
        raise ValueError(f"classes must be at least 1, got classes={classes}")
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not names:
        raise ValueError(f"network must have a linear layer to replace, got {type(network).__name__} without any")
    changed = copy.deepcopy(network)
    old = changed.get_submodule(names[-1])
    assert isinstance(old, nn.Linear)
    new = _drawn_linear(old, classes, fresh_generator() if generator is None else generator)
    if not names[-1]:
        return new
    parent, _, name = names[-1].rpartition(".")
    setattr(changed.get_submodule(parent), name, new)
    return changed


def _drawn_linear(old: nn.Linear, classes: int, generator: Generator) -> nn.Linear:
    """Return a layer on the inputs of `old`: weights and biases uniform within 1 / sqrt(inputs)."""
    # on "meta" nothing is drawn from torch's global generator
    new = nn.Linear(old.in_features, classes, bias=old.bias is not None, device="meta", dtype=old.weight.dtype)
    new = new.to_empty(device=old.weight.device)
    bound = 1 / math.sqrt(old.in_features)
    with torch.no_grad():
        for weights in new.parameters():
            drawn = torch.rand(weights.shape, generator=generator, device="cpu")
            weights.copy_((2 * drawn - 1) * bound)
    return new.train(old.training)
