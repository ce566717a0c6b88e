"""How content mixes: policies draw plans from a batch and a pairing."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from mixkit.pairing import Pairing
from mixkit.plan import BlendPlan, MaskPlan, Plan, check_blendable, check_length


class Policy(Protocol):
    """Draws a plan; a frozen dataclass that holds options only."""

    def draw(self, inputs: Any, pairing: Pairing, generator: Generator) -> Plan:
        """Draw for `inputs` (B, ...): looks at shapes, or at content for saliency."""
        ...


@dataclass(frozen=True)
class Blend:
    """The weighted mean of sample and partner: mixup (Zhang et al. 2018, arXiv:1710.09412, eq. 1).

    >>> pairing = Pairing(partner=torch.tensor([1, 0]), lam=torch.tensor([0.5, 1.0]))
    >>> Blend().draw(torch.zeros(2, 3), pairing, torch.Generator()).apply(torch.tensor([[0.0], [2.0]]))
    tensor([[1.],
            [2.]])
    """

    def draw(self, inputs: Any, pairing: Pairing, generator: Generator) -> BlendPlan:
        """Return the plan that blends by `pairing`.

        Raises:
            ValueError: `inputs` holds integer codes or is no tensor (a graph batch, say); lengths differ.
        """
        check_blendable(inputs)
        check_length(inputs, len(pairing))
        return BlendPlan(pairing)


@dataclass(frozen=True)
class CutMix:
    """Paste a box of each partner into the sample; the label follows the cells (Yun et al. 2019, arXiv:1905.04899).

    On (B, C, T) a segment, on (B, C, H, W) a box, on (B, C, T, H, W) the same box in every frame.  A box of area
    1 - lam is centred uniformly (eqs. 1-2); where the border clips it, the plan's lam becomes the share really kept.

    NOTE[DIFF] One box a sample, as `BetaPairs` draws one lam a sample; the paper's listing shares both in a batch.

    >>> pairing = Pairing(partner=torch.tensor([1, 0]), lam=torch.tensor([1.0, 0.5]))
    >>> images = torch.rand(2, 3, 8, 8)
    >>> plan = CutMix().draw(images, pairing, torch.Generator().manual_seed(0))
    >>> torch.equal(plan.apply(images)[0], images[0])      # lam = 1 keeps everything
    True
    """

    def draw(self, inputs: Any, pairing: Pairing, generator: Generator) -> MaskPlan:
        """Return the plan of one box a sample.

        Raises:
            ValueError: `inputs` is no tensor of three axes or more; lengths differ.
        """
        check_length(inputs, len(pairing))
        if inputs.ndim < 3:
            raise ValueError(
                f"CutMix needs inputs (B, C, ...) with axes to cut along, got shape {tuple(inputs.shape)}; "
                "use Blend for flat features"
            )
        grid = tuple(inputs.shape[2:]) if inputs.ndim == 3 else tuple(inputs.shape[-2:])
        mask = outside_boxes(pairing.lam, grid, generator)
        lam = mask.flatten(1).double().mean(1).float()
        return MaskPlan(Pairing(pairing.partner, lam), mask=mask)


def outside_boxes(lam: Tensor, grid: tuple[int, ...], generator: Generator) -> Tensor:
    """Return bool (B, *grid): False inside a box of share 1 - lam with a uniform centre, clipped at the border."""
    sizes = torch.tensor(grid, dtype=torch.float64, device="cpu")
    edges = torch.floor(sizes * (1 - lam.double())[:, None] ** (1 / len(grid)))
    uniform = torch.rand(len(lam), len(grid), dtype=torch.float64, generator=generator, device="cpu")
    centres = torch.floor(uniform * sizes)
    low = centres - torch.floor(edges / 2)
    high = low + edges
    inside = torch.ones(len(lam), *[1] * len(grid), dtype=torch.bool, device="cpu")
    for axis, size in enumerate(grid):
        cells = torch.arange(size, device="cpu")
        hit = (cells >= low[:, axis, None]) & (cells < high[:, axis, None])
        inside = inside & hit.view(len(lam), *[1] * axis, size, *[1] * (len(grid) - 1 - axis))
    return ~inside
