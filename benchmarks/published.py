"""Networks in the order of work that their papers' code has: what ours are timed against.

NCHW memory, float32, modulated convolutions as grouped ones of weights scaled for each picture,
interpolation before the convolution that follows it. The results are ours to rounding, so only the
order is compared. Sources: Karras et al. 2020, section 2 (grouped convolution); Wang et al. 2021
(GFP-GAN), section 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
import torch.nn.functional as F
from torch import nn

from restore_batch.models.nets import gfpgan, stylegan2
from restore_batch.models.nets.doubling import double


def contiguous(net: nn.Module) -> nn.Module:
    """``net`` with its weights in NCHW memory, in place."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.data = parameter.data.contiguous()
    return net


@contextmanager
def published() -> Iterator[None]:
    """Within it, networks of this package compute in the papers' order."""
    with (
        mock.patch.object(stylegan2.ModulatedConv2d, "forward", _modulated),
        mock.patch.object(gfpgan.DownBlock, "forward", _down),
        mock.patch.object(gfpgan.UpBlock, "forward", _up),
    ):
        yield


def _modulated(
    self: stylegan2.ModulatedConv2d, x: torch.Tensor, code: torch.Tensor, gain: float = 1.0
) -> torch.Tensor:
    if self.upsampling == "fir":
        raise ValueError("only networks that resample bilinearly are timed")
    count, channels = x.shape[:2]
    weight = self.weight * self.modulation(code).view(count, 1, channels, 1, 1)
    if self.demodulate:
        energy = weight.square().sum(dim=(2, 3, 4), keepdim=True)
        weight = weight * (gain * torch.rsqrt(energy + stylegan2.DEMODULATION_EPS))
    if self.upsampling == "bilinear":
        x = double(x)
    grouped = x.reshape(1, count * channels, *x.shape[2:])
    out = F.conv2d(grouped, weight.flatten(0, 1), padding=self.padding, groups=count)
    return out.view(count, -1, *x.shape[2:])


def _down(self: gfpgan.DownBlock, x: torch.Tensor) -> torch.Tensor:
    out = _halved(F.leaky_relu(self.conv1(x), stylegan2.SLOPE))
    out = F.leaky_relu(self.conv2(out), stylegan2.SLOPE)
    return out + self.skip(_halved(x))


def _up(self: gfpgan.UpBlock, x: torch.Tensor) -> torch.Tensor:
    out = double(F.leaky_relu(self.conv1(x), stylegan2.SLOPE))
    out = F.leaky_relu(self.conv2(out), stylegan2.SLOPE)
    return out + self.skip(double(x))


def _halved(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
