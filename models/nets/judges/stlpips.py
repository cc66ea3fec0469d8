"""ST-LPIPS: how alike two pictures look, by the features of an AlexNet that a shift hardly changes.

AlexNet (Krizhevsky 2014, arXiv:1404.5997) whose strides are blurred halvings (Zhang 2019,
arXiv:1904.11486); a linear layer over each of five squared differences says how much each feature
counts (Zhang et al. 2018, arXiv:1801.03924). Trained as a whole, against people's judgement, by
Ghildyal and Liu 2022, "Shift-tolerant Perceptual Similarity Metric" (arXiv:2207.13686), whose keys
these are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

WIDTHS = (64, 192, 384, 256, 256)
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
SMALLEST_PX = 24
# Where no feature is seen, the slope of the length would be infinite.
_TINY = 1e-20


class BlurredHalving(nn.Module):
    """Every second pixel of a picture that was blurred by (1, 2, 1), reflected by two pixels."""

    filt: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("filt", torch.outer(line, line).repeat(channels, 1, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.pad(x, (2, 2, 2, 2), "reflect"), self.filt, stride=2, groups=x.shape[1])


class _Scaling(nn.Module):
    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("shift", SHIFT), ("scale", SCALE)):
            self.register_buffer(name, torch.tensor(values)[None, :, None, None])

    def forward(self, signed: torch.Tensor) -> torch.Tensor:
        return (signed - self.shift) / self.scale


class _Linear(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        # The first, of the authors', drops features out while it learns.
        self.model = nn.Sequential(nn.Identity(), nn.Conv2d(channels, 1, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.model(x)
        return result


class STLPIPS(nn.Module):
    """Features of pictures and, from them, :meth:`distances`. ``widths``: channels of the five."""

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        one, two, three, four, five = widths
        self.scaling_layer = _Scaling()
        slices: list[list[tuple[int, nn.Module]]] = [
            [(0, nn.Conv2d(3, one, 11, padding=2)), (1, BlurredHalving(one)), (2, nn.ReLU())],
            [
                (3, nn.MaxPool2d(3, 1)),
                (4, BlurredHalving(one)),
                (5, nn.Conv2d(one, two, 5, padding=2)),
                (6, nn.ReLU()),
            ],
            [
                (7, nn.MaxPool2d(3, 1)),
                (8, BlurredHalving(two)),
                (9, nn.Conv2d(two, three, 3, padding=1)),
                (10, nn.ReLU()),
            ],
            [(11, nn.Conv2d(three, four, 3, padding=1)), (12, nn.ReLU())],
            [(13, nn.Conv2d(four, five, 3, padding=1)), (14, nn.ReLU())],
        ]
        self.net = nn.ModuleDict(
            {
                f"slice{number}": nn.Sequential(
                    OrderedDict((str(place), module) for place, module in layers)
                )
                for number, layers in enumerate(slices, start=1)
            }
        )
        for number, width in enumerate(widths):
            self.add_module(f"lin{number}", _Linear(width))

    def forward(self, signed_nchw: torch.Tensor) -> list[torch.Tensor]:
        """(N, 3, H, W) RGB in [-1, 1], at least 24 px a side, to the features behind each ReLU.

        Raises ValueError for smaller ones.
        """
        if min(signed_nchw.shape[-2:]) < SMALLEST_PX:
            raise ValueError(
                f"ST-LPIPS needs at least {SMALLEST_PX} px a side, got {tuple(signed_nchw.shape)}"
            )
        x = self.scaling_layer(signed_nchw)
        found = []
        for part in self.net.values():
            x = part(x)
            found.append(x)
        return found

    def distances(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """How differently two batches of pictures look, (N, 3, H, W) RGB in [-1, 1] each: (N,)
        float32, 0 for equal ones. ``other`` is what is aimed at: it gets no gradient."""
        seen = self(one)
        with torch.no_grad():
            wanted = self(other)
        total = torch.zeros(len(one), device=one.device)
        for number, (x, y) in enumerate(zip(seen, wanted, strict=True)):
            difference = (_unit(x) - _unit(y)).square()
            with torch.autocast(one.device.type, enabled=False):
                weighed = getattr(self, f"lin{number}")(difference)
            total = total + weighed.mean((1, 2, 3))
        return total


def _unit(x: torch.Tensor) -> torch.Tensor:
    """Features of length 1 at each place, float32."""
    x = x.float()
    return x / ((x.square().sum(1, keepdim=True) + _TINY).sqrt() + 1e-10)
