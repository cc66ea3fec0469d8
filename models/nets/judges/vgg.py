"""VGG-16 and VGG-19 up to a chosen layer, whose features perceptual objectives compare.

Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(arXiv:1409.1556), table 1, columns D and E. Keys are torchvision's, without the classifier.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import torch
from torch import nn

CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""How many convolutions each of the five blocks has, by depth."""

WIDTHS = (64, 128, 256, 512, 512)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Preparation = Literal["imagenet", "as_is"]


def layer_indices(depth: int) -> dict[str, int]:
    """Position in torchvision's ``features`` of every layer: conv1_1, relu1_1, conv1_2, …"""
    indices: dict[str, int] = {}
    position = 0
    for block, count in enumerate(CONVOLUTIONS[depth], start=1):
        for conv in range(1, count + 1):
            indices[f"conv{block}_{conv}"] = position
            indices[f"relu{block}_{conv}"] = position + 1
            position += 2
        position += 1
    return indices


class VGGFeatures(nn.Module):
    """Features of ``layers``, by name: "conv3_4" is ahead of its ReLU and "relu3_4" behind it.

    Nothing above the last of ``layers`` is built. ``preparation``: "imagenet" brings [-1, 1] to
    the statistics that the published weights were trained with; "as_is" feeds the pictures as
    they are, as pix2pixHD and HiFaceGAN did. ``widths`` are the channels of the five blocks.
    Raises ValueError for a layer that there is not.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        layers: Collection[str],
        depth: int = 19,
        preparation: Preparation = "imagenet",
        widths: Sequence[int] = WIDTHS,
    ) -> None:
        super().__init__()
        indices = layer_indices(depth)
        unknown = sorted(set(layers) - indices.keys())
        if unknown or not layers:
            raise ValueError(f"VGG-{depth} has no layer {', '.join(unknown) or '(none given)'}")
        self.layers = {indices[name]: name for name in layers}
        self.preparation = preparation
        modules: list[nn.Module] = []
        before = 3
        for count, width in zip(CONVOLUTIONS[depth], widths, strict=True):
            for _ in range(count):
                # Not in place: the features ahead of it may be asked for.
                modules += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            modules.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*modules[: max(self.layers) + 1])
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, signed_nchw: torch.Tensor) -> dict[str, torch.Tensor]:
        """(N, 3, H, W) RGB in [-1, 1], at least 16 px a side, to the features of each layer."""
        x = signed_nchw
        if self.preparation == "imagenet":
            x = ((x + 1) / 2 - self.mean) / self.std
        found = {}
        for index, module in enumerate(self.features):
            x = module(x)
            if index in self.layers:
                found[self.layers[index]] = x
        return found
