"""Inception v3 as TensorFlow published it in 2015, whose features FID and KID compare.

torchvision's network with its keys, but for what differs in that graph: averages leave out what
lies beyond the border, the last block takes maxima instead, and there are 1008 classes.

Source: Szegedy et al. 2016 (arXiv:1512.00567); Heusel et al. 2017 (arXiv:1706.08500), section 4;
the weights as the package pytorch-fid converted them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torchvision.models import inception

FEATURES = 2048
INPUT_PX = 299


class _Pooled(nn.Module):
    """Takes the place of a block's branch that pools and then convolves."""

    branch_pool: nn.Module

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)

    def _forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        *branches, _ = super()._forward(x)  # type: ignore[misc]
        return [*branches, self.branch_pool(self.pooled(x))]


class _A(_Pooled, inception.InceptionA):
    pass


class _C(_Pooled, inception.InceptionC):
    pass


class _E(_Pooled, inception.InceptionE):
    pass


class _Last(_E):
    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        return functional.max_pool2d(x, 3, stride=1, padding=1)


class InceptionFeatures(inception.Inception3):
    """(N, 3, H, W) RGB in [0, 1] to (N, 2048): the averages of the last block, at 299 px a side,
    to which pictures are resized bilinearly."""

    def __init__(self) -> None:
        blocks: list[Any] = [
            inception.BasicConv2d, _A, inception.InceptionB, _C, inception.InceptionD, _E,
            inception.InceptionAux,
        ]  # fmt: skip
        super().__init__(1008, aux_logits=False, inception_blocks=blocks, init_weights=False)
        self.Mixed_7c = _Last(2048)
        self.fc = nn.Linear(FEATURES, 1008)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        if x.shape[-2:] != (INPUT_PX, INPUT_PX):
            x = functional.interpolate(x, (INPUT_PX, INPUT_PX), mode="bilinear")
        x = 2 * x - 1
        for name, block in self.named_children():
            if name == "avgpool":
                break
            x = block(x)
        return x.mean((2, 3))
