"""The network of whole pictures: a U-Net that corrects a picture, at its size and at twice it.

A thin path at the picture's own size keeps the finest detail; what is damage is found at a half, a
quarter and an eighth of it. One trunk serves a head for each scale. Nothing is averaged over the
picture, so that a tile of it gives what the whole would.

Sources: U-Net, Ronneberger et al. 2015 (arXiv:1505.04597); sub-pixel convolution, Shi et al. 2016
(arXiv:1609.05158); residual blocks without normalisation, Lim et al. 2017 (EDSR, arXiv:1707.02921).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

MULTIPLE_PX = 8
"""Sizes that the network takes are multiples of this."""

_HEADS = {1: "x1", 2: "x2"}
_SLOPE = 0.1
# Blocks start close to the identity, so that a deep stack without normalisation is stable.
_FIRST_STEP = 0.1
_LOBES = 4
_BAND_PIXELS, _LEAST_BAND_PX = 1 << 16, 32
"""What is as large as the picture is held for so many of its pixels at once, but at least for so
many rows: smaller bands are mostly rows that their neighbours compute, too."""


class Block(nn.Module):
    """``x + conv(act(conv(x)))``, 3x3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        with torch.no_grad():
            self.second.weight.mul_(_FIRST_STEP)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = self.second(_act(self.first(x)))
        return x + change if self.training else change.add_(x)


class PhotoNet(nn.Module):
    """Corrects pictures; see the module.

    ``inputs``: channels of what comes in. ``scale``: 1 or 2; ``with_same``: whether one of 2 has
    the head of 1, too, so that both learn from one pass. ``widths``: channels at the picture's
    size, at a half, a quarter and an eighth of it. ``blocks``: residual blocks at a half and a
    quarter, on the way down and again on the way up, and at an eighth. ``double_width`` and
    ``double_blocks``: channels and blocks of the head that doubles, at the picture's size. Raises
    ValueError for another scale.
    """

    def __init__(
        self,
        scale: int = 1,
        widths: Sequence[int] = (32, 48, 96, 160),
        blocks: Sequence[int] = (1, 1, 3),
        double_width: int = 48,
        double_blocks: int = 2,
        with_same: bool = False,
        inputs: int = 3,
    ) -> None:
        super().__init__()
        if scale not in _HEADS:
            raise ValueError(f"scale {scale}: expected 1 or 2")
        full, half, quarter, eighth = widths
        scales = (1, 2) if with_same else (scale,)
        self.scales = scales
        self._widest = max(full, double_width if 2 in scales else 0)
        self._half = half
        self.inputs = inputs
        self.entry = nn.Conv2d(inputs, full, 3, padding=1)
        self.down_half = nn.Conv2d(full, half, 2, stride=2)
        self.in_half = _stack(half, blocks[0])
        self.down_quarter = nn.Conv2d(half, quarter, 2, stride=2)
        self.in_quarter = _stack(quarter, blocks[1])
        self.down_eighth = nn.Conv2d(quarter, eighth, 2, stride=2)
        self.in_eighth = _stack(eighth, blocks[2])
        self.up_quarter = nn.ConvTranspose2d(eighth, quarter, 2, stride=2)
        self.out_quarter = _stack(quarter, blocks[1])
        self.up_half = nn.ConvTranspose2d(quarter, half, 2, stride=2)
        self.out_half = _stack(half, blocks[0])
        self.up_full = nn.ConvTranspose2d(half, full, 2, stride=2)
        heads: dict[str, nn.Sequential] = {}
        if 1 in scales:
            heads["x1"] = nn.Sequential(
                nn.Conv2d(full, full, 3, padding=1),
                nn.LeakyReLU(_SLOPE, inplace=True),
                nn.Conv2d(full, 3, 3, padding=1),
            )
        if 2 in scales:
            heads["x2"] = nn.Sequential(
                nn.Conv2d(full, double_width, 3, padding=1),
                *(Block(double_width) for _ in range(double_blocks)),
                nn.LeakyReLU(_SLOPE, inplace=True),
                nn.Conv2d(double_width, 12, 3, padding=1),
            )
        self.heads = nn.ModuleDict(heads)
        # How far from a pixel what its results are made of lies; even, as bands are halved.
        convolutions = max(
            sum(isinstance(each, nn.Conv2d) for each in head.modules()) for head in heads.values()
        )
        self._reach = convolutions + convolutions % 2
        with torch.no_grad():
            # An untrained network changes nothing, and enlarges plainly.
            for head in self.heads.values():
                last = cast(nn.Sequential, head)[-1]
                for parameter in last.parameters():
                    parameter.zero_()

    def forward(self, rgb_nchw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(N, ``inputs``, H, W), the first three RGB in [0, 1], H and W multiples of 8. For each of
        ``scales`` what is to be added to the picture, or to its plain enlargement:
        (N, 3, scale H, scale W), float32.

        Raises ValueError for another size.
        """
        height, width = rgb_nchw.shape[-2:]
        if (
            rgb_nchw.ndim != 4
            or rgb_nchw.shape[1] != self.inputs
            or height % MULTIPLE_PX
            or width % MULTIPLE_PX
        ):
            raise ValueError(
                f"expected (N, {self.inputs}, H, W) in multiples of {MULTIPLE_PX},"
                f" got {tuple(rgb_nchw.shape)}"
            )
        centred = rgb_nchw - 0.5
        if self.training or centred.device.type != "cpu" or height <= _band_rows(width):
            full = self._full(centred, 0, height)
            return self._ends(self._inner(self.down_half(full)), full)
        return self._by_bands(centred)

    def _by_bands(self, centred: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The same to the bit in a fourth of the memory: of what is as large as the picture, some
        rows at a time."""
        height, width = centred.shape[-2:]
        rows = _band_rows(width)
        tops = range(0, height, rows)
        half = self._inner(
            torch.cat([self.down_half(self._full(centred, top, top + rows)) for top in tops], dim=2)
        )
        count = len(centred)
        shapes = [(count, 3, height * scale, width * scale) for scale in self.scales]
        found = [centred.new_empty(shape, dtype=torch.float32) for shape in shapes]
        for top in tops:
            start, stop = max(0, top - self._reach), min(height, top + rows + self._reach)
            full = self._full(centred, start, stop)
            ends = self._ends(half[:, :, start // 2 : stop // 2], full)
            for scale, whole, end in zip(self.scales, found, ends, strict=True):
                band = whole[:, :, top * scale : (top + rows) * scale]
                skipped = (top - start) * scale
                band.copy_(end[:, :, skipped : skipped + band.shape[2]])
        return tuple(found)

    def _full(self, centred: torch.Tensor, top: int, bottom: int) -> torch.Tensor:
        """What is seen in some rows, at the picture's own size."""
        start = max(0, top - 1)
        seen = self.entry(centred[:, :, start : bottom + 1])
        return _act(seen[:, :, top - start : bottom - start])

    def _inner(self, half: torch.Tensor) -> torch.Tensor:
        half = self.in_half(half)
        quarter = self.in_quarter(self.down_quarter(half))
        eighth = self.in_eighth(self.down_eighth(quarter))
        quarter = self._sum(self.up_quarter(eighth), quarter)
        quarter = self.out_quarter(quarter)
        half = self._sum(self.up_half(quarter), half)
        del quarter
        return self.out_half(half)

    def _ends(self, half: torch.Tensor, full: torch.Tensor) -> tuple[torch.Tensor, ...]:
        features = _act(self._sum(self.up_full(half), full))
        found = []
        if 1 in self.scales:
            found.append(self.heads["x1"](features).float())
        if 2 in self.scales:
            found.append(F.pixel_shuffle(self.heads["x2"](features).float(), 2))
        return tuple(found)

    def _sum(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return x + other if self.training else x.add_(other)

    @property
    def floats_per_pixel(self) -> int:
        """Working memory per pixel of the input, in numbers: what is alive at once."""
        return 4 * self._widest + self._half + 24


def cut(state: Mapping[str, torch.Tensor], scale: int) -> dict[str, torch.Tensor]:
    """The state dict of the trunk and the head of one scale."""
    own = f"heads.{_HEADS[scale]}."
    return {
        key: value
        for key, value in state.items()
        if key.startswith(own) or not key.startswith("heads.")
    }


def _band_rows(width: int) -> int:
    """How many rows of a picture are worked on at once on a CPU; even."""
    return max(_LEAST_BAND_PX, _BAND_PIXELS // width // 2 * 2)


def _act(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, _SLOPE, inplace=True)


def _stack(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(channels) for _ in range(count)))


def plain(rgb_nchw: torch.Tensor, scale: int) -> torch.Tensor:
    """What the network's result is added to: the picture, or (scale 2) its enlargement by Lanczos.

    (N, 3, H, W) float32 to (N, 3, scale H, scale W) float32, unclamped.
    """
    return rgb_nchw if scale == 1 else lanczos_doubled(rgb_nchw)


def lanczos_doubled(rgb_nchw: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) float32 at twice the size, windowed sinc with four lobes, edges repeated: what
    OpenCV's INTER_LANCZOS4 gives, but for its rounding."""
    with torch.autocast(rgb_nchw.device.type, enabled=False):
        edged = F.pad(rgb_nchw.float(), (_LOBES,) * 4, mode="replicate")
        # As one convolution of all channels, most of whose weights are 0, a quarter of the time
        # that one line of taps after the other takes on each channel.
        edged = edged.contiguous(memory_format=torch.channels_last)
        filters = _doubling_filters().to(edged.device)
        count, _, height, width = rgb_nchw.shape
        if edged.device.type != "cpu":
            return F.pixel_shuffle(F.conv2d(edged, filters), 2)
        doubled = edged.new_empty(count, 3, 2 * height, 2 * width)
        rows = _band_rows(width)
        for top in range(0, height, rows):
            band = doubled[:, :, 2 * top : 2 * (top + rows)]
            seen = F.conv2d(edged[:, :, top : top + rows + 2 * _LOBES], filters)
            band.copy_(F.pixel_shuffle(seen, 2))
        return doubled


@cache
def _doubling_filters() -> torch.Tensor:
    """(12, 3, 9, 9): the weights of each of the three channels for each of its four pixels."""
    # What is kept must also serve where gradients are taken.
    with torch.inference_mode(False):
        taps = _doubling_taps()
        filters = torch.zeros(3, 4, 3, 2 * _LOBES + 1, 2 * _LOBES + 1)
        for channel in range(3):
            for place in range(4):
                filters[channel, place, channel] = torch.outer(taps[place // 2], taps[place % 2])
        return filters.flatten(0, 1).contiguous(memory_format=torch.channels_last)


def _doubling_taps() -> torch.Tensor:
    """(2, 9): the weights of the pixels -4 … 4 about each for the two that take its place."""
    rows = []
    for centre in (-0.25, 0.25):
        distance = [place - centre for place in range(-_LOBES, _LOBES + 1)]
        weights = [_sinc(d) * _sinc(d / _LOBES) if abs(d) < _LOBES else 0.0 for d in distance]
        rows.append([weight / sum(weights) for weight in weights])
    return torch.tensor(rows)


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x)


def infer(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The constructor's arguments of a state dict of those shapes.

    Raises KeyError or IndexError where they are not this network's.
    """
    ends = ("entry", "down_half", "down_quarter", "down_eighth")
    scales = [scale for scale, head in _HEADS.items() if f"heads.{head}.0.weight" in shapes]
    found: dict[str, Any] = {
        "scale": max(scales, default=1),
        "widths": [int(shapes[f"{end}.bias"][0]) for end in ends],
        "blocks": [_count(shapes, f"in_{level}.") for level in ("half", "quarter", "eighth")],
    }
    if len(scales) > 1:
        found["with_same"] = True
    if (inputs := int(shapes["entry.weight"][1])) != 3:
        found["inputs"] = inputs
    if 2 in scales:
        found["double_width"] = int(shapes["heads.x2.0.bias"][0])
        found["double_blocks"] = _count(shapes, "heads.x2.")
    return found


def _count(shapes: Mapping[str, Sequence[int]], prefix: str) -> int:
    return sum(key.startswith(prefix) and key.endswith(".first.weight") for key in shapes)
