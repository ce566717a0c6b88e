"""What happens to images outside the network: the random shift of training, and drawing for reports."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mixkit.png import png_data_uri


def random_shift(images: Tensor, generator: Generator, most: int) -> Tensor:
    """Shift each image by its own offset of up to `most` pixels in both directions; borders are reflected.

    Args:
        images: (B, C, H, W); not changed.
        generator: where the offsets come from.
        most: the largest shift, less than height and width.

    >>> images = torch.rand(2, 3, 8, 8)
    >>> torch.equal(random_shift(images, torch.Generator(), most=0), images)
    True
    """
    count, _, height, width = images.shape
    padded = F.pad(images, (most, most, most, most), mode="reflect")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: (B, C, 2 most + 1, 2 most + 1, H, W)
    down, right = torch.randint(2 * most + 1, (2, count), generator=generator).to(images.device)
    return windows[torch.arange(count, device=images.device), :, down, right]


def show_image(images: Tensor, i: int) -> str:
    """Image `i` of (B, C, H, W) in [0, 1] as an HTML fragment, enlarged without smoothing."""
    pixels = images[i].detach().float().clamp(0, 1).mul(255).round().to(torch.uint8).cpu()
    grey = pixels.shape[0] == 1
    uri = png_data_uri((pixels[0] if grey else pixels.permute(1, 2, 0)).contiguous().numpy())
    return f'<img src="{uri}" width="112" height="112" style="image-rendering: pixelated" alt="image">'
