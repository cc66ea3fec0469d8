"""SRVGGNetCompact: a plain stack of convolutions for video, from Real-ESRGAN's later releases.

Wang et al. 2021 (Real-ESRGAN) published it after the paper; there is no other description. All
convolutions work at the size of the input, a pixel shuffle enlarges once, at the end, and the
network adds its result to the input enlarged by repeating pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

Activation = Literal["prelu", "relu", "leakyrelu"]


def _activation(kind: Activation, channels: int) -> nn.Module:
    if kind == "prelu":
        return nn.PReLU(channels)
    return nn.LeakyReLU(0.1, inplace=True) if kind == "leakyrelu" else nn.ReLU(inplace=True)


class SRVGGNetCompact(nn.Module):
    """Argument names are the authors'."""

    multiple_px = 1

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_conv: int = 16,
        upscale: int = 4,
        act_type: Activation = "prelu",
    ) -> None:
        super().__init__()
        self.scale = upscale
        self.channels = num_feat
        widths = [num_in_ch] + [num_feat] * (num_conv + 1)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1), _activation(act_type, after)]
        layers.append(nn.Conv2d(num_feat, num_out_ch * upscale**2, 3, padding=1))
        self.body = nn.Sequential(*layers)

    @property
    def floats_per_pixel(self) -> int:
        """Numbers alive at once per pixel of the input, at the peak, as measured."""
        return 3 * self.channels + 9 * self.scale**2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) RGB in [0, 1] to (N, 3, H*upscale, W*upscale), unclamped."""
        enlarged = F.interpolate(x, scale_factor=self.scale, mode="nearest")
        return enlarged.add_(F.pixel_shuffle(self.body(x), self.scale))


def infer(shapes: Mapping[str, torch.Size]) -> dict[str, Any]:
    """Constructor arguments of :class:`SRVGGNetCompact` from the shapes of its state dict.

    Which activation without weights was used leaves no trace; ReLU is assumed then. Raises
    KeyError where keys are missing.
    """
    last = max(int(key.split(".")[1]) for key in shapes if key.startswith("body."))
    features, in_channels = shapes["body.0.weight"][:2]
    out_channels = shapes[f"body.{last}.weight"][0]
    return {
        "num_in_ch": in_channels,
        "num_out_ch": in_channels,
        "num_feat": features,
        "num_conv": last // 2 - 1,
        "upscale": round((out_channels / in_channels) ** 0.5),
        "act_type": "prelu" if "body.1.weight" in shapes else "relu",
    }
