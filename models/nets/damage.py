"""The damage network: a small U-Net that says of every pixel whether it is damage.

Beside the picture it is shown what is small and light or dark in it, its top hats, and how much
these stand out from those around: a scratch on a wall does, a twig among twigs does not. It folds
2x2 pixels into channels and halves three or four times from there, so that it sees some 150 or 350
pixels around each. There are no statistics of the whole picture, hence no seams between tiles.

Sources: U-Net, Ronneberger et al. 2015 (arXiv:1505.04597); the picture folded into channels, Shi
et al. 2016 (arXiv:1609.05158); top hats, Meyer 1979, "Iterative Image Transformations for an
Automatic Screening of Cervical Smears".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from restore_batch.models.nets.compact import ResidualBlock

FOLD = 2

_HATS_PX = (5, 13)
_LUMA = (0.299, 0.587, 0.114)
_FAINT = 0.03  # of 2: hats in even surroundings, where any grain would stand out
_MOST = 12.0
# Damage is rare: an untrained network expects none.
_RARE = -3.0


class DamageNet(nn.Module):
    """Pictures to the logits of damage; see the module.

    ``widths``: channels at a half, a quarter, an eighth of the size and so on; ``blocks``:
    residual blocks at each, all but the last once on the way down and once on the way up.

    ``multiple_px``: sides that the network takes are multiples of it.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 48, 64, 96),
        blocks: Sequence[int] = (1, 1, 1, 1),
    ) -> None:
        super().__init__()
        self.multiple_px = FOLD << (len(widths) - 1)
        self.fold = nn.Conv2d((3 + 4 * len(_HATS_PX)) * FOLD**2, widths[0], 3, padding=1)
        steps = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(_stack(w, n) for w, n in zip(widths, blocks, strict=True))
        self.reduce = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in steps)
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in steps)
        self.up = nn.ModuleList(_stack(w, n) for w, n in zip(widths[:-1], blocks, strict=False))
        self.logit = nn.Conv2d(widths[0], FOLD**2, 3, padding=1)
        with torch.no_grad():
            cast(torch.Tensor, self.logit.bias).fill_(_RARE)

    def forward(self, signed_nchw: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) RGB in [-1, 1], H and W multiples of ``multiple_px``: (N, 1, H, W) logits,
        float32.

        Raises ValueError for other sizes.
        """
        height, width = signed_nchw.shape[2:]
        if height % self.multiple_px or width % self.multiple_px:
            sides = f"sides that are multiples of {self.multiple_px}"
            raise ValueError(f"expected {sides}, got {width}x{height}")
        with torch.no_grad():  # they are shown, not learned
            hats = torch.cat(top_hats(signed_nchw), dim=1)
            shown = torch.cat([signed_nchw, hats, standing_out(hats)], dim=1)
        x = self.fold(F.pixel_unshuffle(shown, FOLD))
        passed = []
        for level, stack in enumerate(self.down):
            x = stack(x)
            if level < len(self.reduce):
                passed.append(x)
                x = self.reduce[level](x)
        for level in reversed(range(len(self.enlarge))):
            x = self.up[level](self.enlarge[level](x) + passed[level])
        return F.pixel_shuffle(self.logit(x).float(), FOLD)


def top_hats(signed_nchw: torch.Tensor) -> list[torch.Tensor]:
    """What is lighter and what is darker than its surroundings and fits into a square of 5 and of
    13 pixels: (N, 1, H, W) in [0, 2] each."""
    luma = sum(w * signed_nchw[:, i : i + 1] for i, w in enumerate(_LUMA))
    assert isinstance(luma, torch.Tensor)
    hats = []
    for side in _HATS_PX:
        opened = _dilated(-_dilated(-luma, side), side)
        closed = -_dilated(-_dilated(luma, side), side)
        hats += [luma - opened, closed - luma]
    return hats


def standing_out(hats: torch.Tensor) -> torch.Tensor:
    """Top hats over their mean in some 36 pixels around, (N, C, H, W) in [0, 2]."""
    cells = F.avg_pool2d(hats, 4)
    around = F.avg_pool2d(cells, 9, stride=1, padding=4, count_include_pad=False)
    mean = F.interpolate(around, scale_factor=4, mode="bilinear", align_corners=False)
    return (hats / (mean + _FAINT)).clamp(max=_MOST) / (_MOST / 2)


def _dilated(x: torch.Tensor, side: int) -> torch.Tensor:
    return _largest(_largest(x, side, -1), side, -2)


def _largest(x: torch.Tensor, side: int, dim: int) -> torch.Tensor:
    """The largest of ``side`` numbers around each, along one axis. Those of 1, 2, 4... numbers are
    made of each other: a pooling layer compares all, and keeps where it found them."""
    half = side // 2
    padding = (half, half) if dim == -1 else (0, 0, half, half)
    most, length = F.pad(x, padding, value=-math.inf), 1
    while length < side:
        step = min(length, side - length)
        kept = most.shape[dim] - step
        most = torch.maximum(most.narrow(dim, 0, kept), most.narrow(dim, step, kept))
        length += step
    return most


def _stack(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))


def infer(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The constructor's arguments of a state dict of those shapes.

    Raises KeyError where they are not this network's.
    """
    widths = [int(shapes["fold.bias"][0])]
    while (key := f"reduce.{len(widths) - 1}.bias") in shapes:
        widths.append(int(shapes[key][0]))
    blocks = [
        sum(k.startswith(f"down.{level}.") and k.endswith(".first.weight") for k in shapes)
        for level in range(len(widths))
    ]
    return {"widths": widths, "blocks": blocks}
