"""RRDBNet: residual-in-residual dense blocks, the network of ESRGAN and Real-ESRGAN.

Wang et al. 2018, "ESRGAN", section 3.1; Wang et al. 2021, "Real-ESRGAN", section 3.3. The network
itself always enlarges four times: for factors 2 and 1 it is fed 2x2 or 4x4 blocks of pixels as
channels ("pixel unshuffle"). Its trunk is also GLEAN's encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from restore_batch.models.nets.layout import exactly

SLOPE = 0.2
RESIDUAL_SCALE = 0.2


class DenseBlock(nn.Module):
    """Five convolutions, each fed with the input and all outputs before it."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(channels + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(channels + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(channels + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(channels + 4 * growth, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dense = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            grown = F.leaky_relu_(conv(dense), SLOPE)
            dense = torch.cat([dense, grown], dim=1)
        return self.conv5(dense).mul_(RESIDUAL_SCALE).add_(x)


class RRDB(nn.Module):
    """Three dense blocks in one residual."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(channels, growth)
        self.rdb2 = DenseBlock(channels, growth)
        self.rdb3 = DenseBlock(channels, growth)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rdb3(self.rdb2(self.rdb1(x))).mul_(RESIDUAL_SCALE).add_(x)


class RRDBTrunk(nn.Module):
    """A convolution, the blocks, a convolution, and the sum of first and last: no upsampling."""

    def __init__(self, in_channels: int, channels: int, blocks: int, growth: int) -> None:
        super().__init__()
        self.conv_first = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(channels, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, ``in_channels``, H, W) to (N, ``channels``, H, W)."""
        features = self.conv_first(x)
        return self.conv_body(self.body(features)).add_(features)


class RRDBNet(RRDBTrunk):
    """Argument names are the authors'; ``scale`` is 4, 2 or 1."""

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        scale: int = 4,
        num_feat: int = 64,
        num_block: int = 23,
        num_grow_ch: int = 32,
    ) -> None:
        self.unshuffle = {4: 1, 2: 2, 1: 4}[scale]
        super().__init__(num_in_ch * self.unshuffle**2, num_feat, num_block, num_grow_ch)
        self.scale = scale
        self.conv_up1 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.conv_up2 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.conv_hr = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.conv_last = nn.Conv2d(num_feat, num_out_ch, 3, padding=1)

    @property
    def multiple_px(self) -> int:
        """Height and width of the input must be multiples of this."""
        return self.unshuffle

    @property
    def floats_per_pixel(self) -> int:
        """Numbers alive at once per pixel of the input, at the peak, as measured.

        The last convolution but one of the enlarged picture sets it: its input, its output and
        what is left of the level below.
        """
        widest = 16 * (2 * self.conv_hr.out_channels + 6) + 5 * self.conv_hr.out_channels
        return widest // self.unshuffle**2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) RGB in [0, 1] to (N, 3, H*scale, W*scale), unclamped."""
        if self.unshuffle > 1:
            x = F.pixel_unshuffle(x, self.unshuffle)
        x = super().forward(x)
        for conv in (self.conv_up1, self.conv_up2):
            x = F.leaky_relu_(conv(F.interpolate(x, scale_factor=2, mode="nearest")), SLOPE)
        return exactly(self.conv_last, F.leaky_relu_(self.conv_hr(x), SLOPE))


def infer(shapes: Mapping[str, torch.Size]) -> dict[str, Any]:
    """Constructor arguments of :class:`RRDBNet` from the shapes of its state dict.

    Raises KeyError where keys are missing.
    """
    features, in_channels = shapes["conv_first.weight"][:2]
    out_channels = shapes["conv_last.weight"][0]
    blocks = {int(key.split(".")[1]) for key in shapes if key.startswith("body.")}
    return {
        "num_in_ch": out_channels,
        "num_out_ch": out_channels,
        "scale": {1: 4, 4: 2, 16: 1}[in_channels // out_channels],
        "num_feat": features,
        "num_block": max(blocks) + 1,
        "num_grow_ch": shapes["body.0.rdb1.conv1.weight"][0],
    }
