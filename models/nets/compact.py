"""The compact restorer's network: a U-Net at an eighth of the face's size that corrects its input.

It works where the crop is 256 px wide. Finer detail of a larger crop is neither made nor lost: it
passes through, weakened where the network finds that it is damage.

Sources: U-Net, Ronneberger et al. 2015 (arXiv:1505.04597); the picture folded into channels, Shi
et al. 2016 (arXiv:1609.05158); channel attention, Zhang et al. 2018 (RCAN, arXiv:1807.02758).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

WORKING_PX = 256
FOLD = 4
"""Pixels a side that become the channels of one position: the U-Net's top is 64x64."""

_LAYOUT_PX = 16
_DETAIL_BANDS = 2
# Blocks start close to the identity, so that a deep stack without normalisation is stable.
_FIRST_STEP = 0.1


class ResidualBlock(nn.Module):
    """``x + g(x) * conv(silu(conv(x)))``, 3x3 without normalisation, whose statistics would tie a
    face to its neighbours in the batch. g is channel attention where asked for, else 1."""

    def __init__(self, channels: int, attention: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.attention = ChannelAttention(channels) if attention else None
        with torch.no_grad():
            self.second.weight.mul_(_FIRST_STEP)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change = self.second(F.silu(self.first(x)))
        return x + (change if self.attention is None else self.attention(change))


class ChannelAttention(nn.Module):
    """Weighs each channel by what the whole face shows: how blurred, how noisy it is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(2 * channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # The spread says how much noise there is, which the mean cannot.
        variance, mean = torch.var_mean(x.float(), dim=(2, 3), keepdim=True, correction=0)
        seen = torch.cat([mean, (variance + 1e-6).sqrt()], dim=1)
        return x * (2 * torch.sigmoid(self.excite(F.silu(self.squeeze(seen)))))


class CompactRestorer(nn.Module):
    """Restores aligned faces; see the module.

    ``widths``: channels at 64, 32 and 16 positions a side; ``blocks``: residual blocks at each,
    the first two numbers once on the way down and once on the way up.
    """

    def __init__(
        self, widths: Sequence[int] = (64, 128, 192), blocks: Sequence[int] = (2, 2, 4)
    ) -> None:
        super().__init__()
        top, middle, bottom = widths
        self.fold = nn.Conv2d(3 * FOLD**2, top, 3, padding=1)
        self.down_top = _stack(top, blocks[0])
        self.reduce_top = nn.Conv2d(top, middle, 2, stride=2)
        self.down_middle = _stack(middle, blocks[1])
        self.reduce_middle = nn.Conv2d(middle, bottom, 2, stride=2)
        # Faces are aligned: what usually is at a place can be learned for the place.
        self.layout = nn.Parameter(torch.zeros(1, bottom, _LAYOUT_PX, _LAYOUT_PX))
        self.bottom = _stack(bottom, blocks[2], attention=True)
        self.enlarge_middle = nn.ConvTranspose2d(bottom, middle, 2, stride=2)
        self.up_middle = _stack(middle, blocks[1])
        self.enlarge_top = nn.ConvTranspose2d(middle, top, 2, stride=2)
        self.up_top = _stack(top, blocks[0])
        self.correction = nn.Conv2d(top, 3 * FOLD**2, 3, padding=1)
        self.gain = nn.Conv2d(top, 1 + _DETAIL_BANDS, 1)
        with torch.no_grad():
            # An untrained network changes nothing.
            for head in (self.correction, self.gain):
                head.weight.zero_()
                cast(torch.Tensor, head.bias).zero_()

    def forward(self, signed_nchw: torch.Tensor) -> torch.Tensor:
        """(N, 3, S, S) RGB in [-1, 1], S 256 or 512; the same shape, unclamped, float32.

        Raises ValueError for another size. (Other multiples of 64 would run, but the network
        knows faces at one size only.)
        """
        side = signed_nchw.shape[-1]
        if signed_nchw.shape[1:] not in ((3, side, side),) or side not in (
            WORKING_PX,
            2 * WORKING_PX,
        ):
            raise ValueError(
                f"expected (N, 3, S, S) with S 256 or 512, got {tuple(signed_nchw.shape)}"
            )
        picture = signed_nchw.float()
        working = F.avg_pool2d(picture, 2) if side > WORKING_PX else picture
        features = self._features(F.pixel_unshuffle(working, FOLD))
        correction = F.pixel_shuffle(self.correction(features).float(), FOLD)
        gains = self.gain(features).float() + 1
        restored = _reweighted(working, gains[:, 1:]) + correction
        if side > WORKING_PX:
            restored = _doubled(restored) + _spread(gains[:, :1], side) * (
                picture - _doubled(working)
            )
        return restored

    def _features(self, folded: torch.Tensor) -> torch.Tensor:
        top = self.down_top(self.fold(folded))
        middle = self.down_middle(self.reduce_top(top))
        bottom = self.bottom(self.reduce_middle(middle) + self.layout)
        middle = self.up_middle(self.enlarge_middle(bottom) + middle)
        return self.up_top(self.enlarge_top(middle) + top)


def _stack(channels: int, count: int, attention: bool = False) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels, attention) for _ in range(count)))


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _spread(gains: torch.Tensor, side: int) -> torch.Tensor:
    return F.interpolate(gains, size=(side, side), mode="bilinear", align_corners=False)


def _reweighted(picture: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
    """``picture`` with its finest bands, each an octave, multiplied by ``gains``, finest first.

    Grain is thus removed by saying where it is, not by drawing its negative pixel by pixel.
    Source of the bands: Burt and Adelson 1983, "The Laplacian Pyramid as a Compact Image Code".
    """
    bands = []
    level = picture
    for _ in range(gains.shape[1]):
        coarser = F.avg_pool2d(level, 2)
        bands.append(level - _doubled(coarser))
        level = coarser
    for i in reversed(range(len(bands))):
        level = _doubled(level) + _spread(gains[:, i : i + 1], bands[i].shape[-1]) * bands[i]
    return level


def infer(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The constructor's arguments of a state dict of those shapes.

    Raises KeyError or IndexError where they are not this network's.
    """
    stacks = ("down_top", "down_middle", "bottom")
    ends = ("fold.bias", "reduce_top.bias", "reduce_middle.bias")
    return {
        "widths": [int(shapes[end][0]) for end in ends],
        "blocks": [
            sum(key.startswith(f"{stack}.") and key.endswith(".first.weight") for key in shapes)
            for stack in stacks
        ],
    }
