"""Three different generators that all go by the name SRGAN.

``SRResNet`` is the network of the paper; ``MSRResNet`` the one that mmagic (and BasicSR before
it) trains as SRGAN; ``Generator`` a small one that is widely copied. All map RGB in [0, 1] to
RGB ``scale`` times as large. State-dict keys are those of the authors' checkpoints.

Source: Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative
Adversarial Network", section 2.1.1 and figure 4.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def doublings(scale: int) -> int:
    """How often a picture is doubled to be ``scale`` times as large; ValueError if it is not."""
    steps = scale.bit_length() - 1
    if scale < 2 or scale != 1 << steps:
        raise ValueError(f"scale must be 2, 4, 8 …, not {scale}")
    return steps


class PaperResidual(nn.Module):
    """Convolution, batch norm, PReLU, convolution, batch norm, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.rcb = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.rcb(x)


class PaperUpsample(nn.Module):
    """Doubles the size: four times the channels, rearranged into pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.upsample_block = nn.Sequential(
            nn.Conv2d(channels, channels * 4, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.upsample_block(x)


class SRResNet(nn.Module):
    """The generator of the paper.

    In: (N, ``in_channels``, H, W) in [0, 1]. Out: (N, ``out_channels``, H*s, W*s), clamped to
    [0, 1], s = ``upscale``.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        channels: int = 64,
        num_rcb: int = 16,
        upscale: int = 4,
    ) -> None:
        super().__init__()
        self.scale = upscale
        self.conv1 = nn.Sequential(nn.Conv2d(in_channels, channels, 9, padding=4), nn.PReLU())
        self.trunk = nn.Sequential(*(PaperResidual(channels) for _ in range(num_rcb)))
        self.conv2 = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.upsampling = nn.Sequential(
            *(PaperUpsample(channels) for _ in range(doublings(upscale)))
        )
        self.conv3 = nn.Conv2d(channels, out_channels, 9, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.conv1(x)
        deep = self.conv2(self.trunk(shallow))
        return self.conv3(self.upsampling(shallow + deep)).clamp(0.0, 1.0)


class PlainResidual(nn.Module):
    """Convolution, ReLU, convolution, added to the input; no normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x)))


class PixelShufflePack(nn.Module):
    """A convolution and the rearrangement of its channels into ``scale`` times the size."""

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.upsample_conv = nn.Conv2d(channels, channels * scale**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.upsample_conv(x), self.scale)


class MSRResNet(nn.Module):
    """mmagic's SRGAN generator: no batch norm, and it corrects the bilinearly enlarged input.

    In: (N, ``in_channels``, H, W) in [0, 1]. Out: (N, ``out_channels``, H*s, W*s), not clamped,
    s = ``upscale_factor``, one of 2, 3 and 4.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        mid_channels: int = 64,
        num_blocks: int = 16,
        upscale_factor: int = 4,
    ) -> None:
        super().__init__()
        if upscale_factor not in (2, 3, 4):
            raise ValueError(f"MSRResNet exists for 2, 3 and 4 times, not {upscale_factor}")
        self.scale = upscale_factor
        self.conv_first = nn.Conv2d(in_channels, mid_channels, 3, padding=1)
        self.trunk_net = nn.Sequential(*(PlainResidual(mid_channels) for _ in range(num_blocks)))
        self.upsample1 = PixelShufflePack(mid_channels, 2 if upscale_factor == 4 else self.scale)
        self.upsample2 = PixelShufflePack(mid_channels, 2) if upscale_factor == 4 else None
        self.conv_hr = nn.Conv2d(mid_channels, mid_channels, 3, padding=1)
        self.conv_last = nn.Conv2d(mid_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.upsample1(self.trunk_net(F.leaky_relu(self.conv_first(x), 0.1)))
        if self.upsample2 is not None:
            features = self.upsample2(features)
        correction = self.conv_last(F.leaky_relu(self.conv_hr(features), 0.1))
        enlarged = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return enlarged + correction


class SmallResidual(nn.Module):
    """The paper's residual block under other names, with biases before the batch norms."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))


class SmallUpsample(nn.Module):
    """Doubles the size: convolution, pixel shuffle, PReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels * 4, 3, padding=1)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(F.pixel_shuffle(self.conv(x), 2))


class Generator(nn.Module):
    """The small SRGAN generator: five residual blocks and a tanh, which the paper has not.

    ``trunk_end`` is what follows the convolution that ends the residual trunk: batch norm in
    the newer code, PReLU in the older, with which the published weights were trained.

    In: (N, 3, H, W) in [0, 1]. Out: (N, 3, H*s, W*s) in [0, 1], s = ``scale_factor``.
    """

    def __init__(
        self,
        scale_factor: int = 4,
        channels: int = 64,
        trunk_end: Literal["batch_norm", "prelu"] = "batch_norm",
    ) -> None:
        super().__init__()
        self.scale = scale_factor
        self.block1 = nn.Sequential(nn.Conv2d(3, channels, 9, padding=4), nn.PReLU())
        for index in range(2, 7):
            setattr(self, f"block{index}", SmallResidual(channels))
        end = nn.BatchNorm2d(channels) if trunk_end == "batch_norm" else nn.PReLU()
        self.block7 = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), end)
        self.block8 = nn.Sequential(
            *(SmallUpsample(channels) for _ in range(doublings(scale_factor))),
            nn.Conv2d(channels, 3, 9, padding=4),
        )

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.block1(x)
        deep = shallow
        for index in range(2, 8):
            deep = getattr(self, f"block{index}")(deep)
        return (torch.tanh(self.block8(shallow + deep)) + 1) / 2
