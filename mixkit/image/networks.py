"""Two small networks for pictures; inputs stay in [0, 1] and the first submodule normalises them."""

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """Subtract the mean of each channel and divide by its standard deviation; both are buffers.

    Inside the network, so that noise and attacks act on inputs in [0, 1], whatever the training rows were.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.reshape(1, -1, 1, 1))
        self.register_buffer("std", std.reshape(1, -1, 1, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, C, H, W) in [0, 1] -> the same shape, mean 0 and deviation 1 per channel."""
        return (inputs - self.mean) / self.std


class SmallConvNet(nn.Module):
    """Three convolutions with BatchNorm, for pictures of at most 16 pixels a side; about 24,000 parameters.

    Submodules, each run once per forward pass: `normalize`, `stage1`, `stage2`, `stage3`, `head`.

    Args:
        mean: mean of each channel of the training rows, (C,).
        std: their standard deviations, (C,).
        classes: number of logits.

    >>> net = SmallConvNet(torch.zeros(1), torch.ones(1), 10)
    >>> net(torch.rand(4, 1, 8, 8)).shape
    torch.Size([4, 10])
    """

    def __init__(self, mean: Tensor, std: Tensor, classes: int) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std)
        self.stage1 = _convolution(len(mean), 16, stride=1)
        self.stage2 = _convolution(16, 32, stride=2)
        self.stage3 = _convolution(32, 64, stride=1)
        self.head = nn.Linear(64, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, C, H, W) in [0, 1] -> logits (B, classes)."""
        hidden: Tensor = self.stage3(self.stage2(self.stage1(self.normalize(inputs))))
        logits: Tensor = self.head(hidden.mean((2, 3)))
        return logits


class SmallResNet(nn.Module):
    """A pre-activation residual network (He et al., 2016, arXiv:1603.05027); about 240,000 parameters.

    Stages of 1, 2 and 3 blocks with 16, 32 and 64 channels.  Made for processors: the stem halves the picture (and
    quarters one of more than 40 pixels a side), which costs a quarter of the time of full resolution.
    Submodules, each run once per forward pass: `normalize`, `stem`, `stage1`, `stage2`, `stage3`, `final`,
    `head`.

    Args:
        mean: mean of each channel of the training rows, (C,).
        std: their standard deviations, (C,).
        classes: number of logits.
        side: height and width of the inputs.

    >>> net = SmallResNet(torch.zeros(3), torch.ones(3), 10, side=32)
    >>> net(torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 10])
    """

    def __init__(self, mean: Tensor, std: Tensor, classes: int, side: int) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std)
        step = 4 if side > 40 else 2
        self.stem = nn.Conv2d(len(mean), 16, 2 * step, stride=step, padding=step // 2, bias=False)
        self.stage1 = PreActBlock(16, 16, stride=1)
        self.stage2 = nn.Sequential(PreActBlock(16, 32, stride=2), PreActBlock(32, 32, stride=1))
        self.stage3 = nn.Sequential(PreActBlock(32, 64, stride=2), *(PreActBlock(64, 64, stride=1) for _ in "12"))
        self.final = nn.Sequential(nn.BatchNorm2d(64), nn.ReLU())
        self.head = nn.Linear(64, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, C, H, W) in [0, 1] -> logits (B, classes)."""
        hidden = self.stage3(self.stage2(self.stage1(self.stem(self.normalize(inputs)))))
        logits: Tensor = self.head(self.final(hidden).mean((2, 3)))
        return logits


class PreActBlock(nn.Module):
    """BatchNorm, ReLU, convolution, twice, around a shortcut that is projected where shapes change."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inside)
        self.conv1 = nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        same = stride == 1 and inside == outside
        self.project = None if same else nn.Conv2d(inside, outside, 1, stride=stride, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, inside, H, W) -> (B, outside, H / stride, W / stride)."""
        active = torch.relu(self.norm1(inputs))
        shortcut = inputs if self.project is None else self.project(active)
        residual: Tensor = self.conv2(torch.relu(self.norm2(self.conv1(active))))
        return shortcut + residual


def _convolution(inside: int, outside: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    )
