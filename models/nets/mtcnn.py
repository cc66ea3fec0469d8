"""The three small networks of MTCNN: proposal, refinement, output.

Source: Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks", figure 2. State-dict keys are those of facenet-pytorch. Inputs are RGB,
(pixel - 127.5) / 128, best channels last in memory. The fully connected layers read the features
in the order x, y, channel, because the first release of the weights was for a column-major
framework.

With so few channels, activations and pooling take longer than the convolutions unless they go
over memory as it lies; :func:`_activated` and :func:`_pooled` do, with the numbers of torch's own.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Self

import torch
from torch import nn
from torch.nn import functional as F


def _activated(features_nchw: torch.Tensor, activation: nn.PReLU) -> torch.Tensor:
    """The activation of each channel, row by row of a picture that is channels last."""
    n, channels, height, width = features_nchw.shape
    rows = features_nchw.permute(0, 2, 3, 1).reshape(n * height, width * channels)
    active = F.prelu(rows, activation.weight.repeat(width))
    return active.view(n, height, width, channels).permute(0, 3, 1, 2)


def _pooled(features_nchw: torch.Tensor, kernel: int) -> torch.Tensor:
    """The maxima of windows of ``kernel`` (2 or 3) at stride 2, along rows, then columns; windows
    that reach over the end count."""
    return _pooled_along(_pooled_along(features_nchw, 2, kernel), 3, kernel)


def _pooled_along(x: torch.Tensor, dim: int, kernel: int) -> torch.Tensor:
    length = x.shape[dim]
    count = -(-(length - kernel) // 2) + 1
    ahead = (slice(None),) * dim
    even, odd = x[*ahead, 0::2], x[*ahead, 1::2].narrow(dim, 0, min(count, length // 2))
    most = even.narrow(dim, 0, count)
    whole = odd.shape[dim]
    pooled = torch.maximum(most.narrow(dim, 0, whole), odd)
    if whole < count:
        pooled = torch.cat([pooled, most.narrow(dim, whole, count - whole)], dim)
    if kernel == 3:
        third = even.narrow(dim, 1, min(count, even.shape[dim] - 1))
        inside = pooled.narrow(dim, 0, third.shape[dim])
        torch.maximum(inside, third, out=inside)
    return pooled


def _flatten_column_major(features_nchw: torch.Tensor) -> torch.Tensor:
    return features_nchw.permute(0, 3, 2, 1).flatten(1)


class PNet(nn.Module):
    """Proposals: a 12 px window at stride 2, on a picture of any size from 12 px on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, rgb_nchw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Face probability (N, h, w) and box offsets (N, 4, h, w), one a window."""
        x = _pooled(_activated(self.conv1(rgb_nchw), self.prelu1), 2)
        x = _activated(self.conv2(x), self.prelu2)
        x = _activated(self.conv3(x), self.prelu3)
        # Both heads in one pass; of two classes the softmax is the sigmoid of their difference.
        heads = (self.conv4_1, self.conv4_2)
        weight, bias = (
            torch.cat(t) for t in zip(*((h.weight, h.bias) for h in heads), strict=True)
        )
        out = F.conv2d(x, weight, bias)
        return torch.sigmoid(out[:, 1] - out[:, 0]), out[:, 2:]


class RNet(nn.Module):
    """Refinement of 24 px crops."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, rgb_nchw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Face probability (N,) and box offsets (N, 4)."""
        x = _pooled(_activated(self.conv1(rgb_nchw), self.prelu1), 3)
        x = _pooled(_activated(self.conv2(x), self.prelu2), 3)
        x = _activated(self.conv3(x), self.prelu3)
        x = self.prelu4(self.dense4(_flatten_column_major(x)))
        return self.dense5_1(x).softmax(dim=1)[:, 1], self.dense5_2(x)


class ONet(nn.Module):
    """Final box and landmarks of 48 px crops."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, rgb_nchw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Face probability (N,), box offsets (N, 4), landmarks (N, 10): five x, then five y."""
        x = _pooled(_activated(self.conv1(rgb_nchw), self.prelu1), 3)
        x = _pooled(_activated(self.conv2(x), self.prelu2), 3)
        x = _pooled(_activated(self.conv3(x), self.prelu3), 2)
        x = _activated(self.conv4(x), self.prelu4)
        x = self.prelu5(self.dense5(_flatten_column_major(x)))
        return self.dense6_1(x).softmax(dim=1)[:, 1], self.dense6_2(x), self.dense6_3(x)


class Refiners(nn.Module):
    """The networks that see what another proposes: R-Net and O-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.rnet = RNet()
        self.onet = ONet()

    def of_pixels(self) -> Self:
        """A copy whose networks of MTCNN take pixels in [0, 255] as they are: what shifts and
        scales them is in the weights of their first layers, which fill no borders."""
        cascade = copy.deepcopy(self)
        with torch.no_grad():
            for net in cascade.children():
                first = getattr(net, "conv1", None)
                if isinstance(first, nn.Conv2d):
                    shift = first.weight.sum(dim=(1, 2, 3)) * (127.5 / 128)
                    first.get_parameter("bias").sub_(shift)
                    first.weight.div_(128)
        return cascade


class Cascade(Refiners):
    """The three networks in one module, so that one state dict loads them."""

    def __init__(self) -> None:
        super().__init__()
        self.pnet = PNet()


# The Keras form is a bare list of arrays in the order the layers were made, which puts the box
# head before the class head.
_KERAS_LAYERS = {
    "pnet": ("conv1", "prelu1", "conv2", "prelu2", "conv3", "prelu3", "conv4_2", "conv4_1"),
    "rnet": (
        *("conv1", "prelu1", "conv2", "prelu2", "conv3", "prelu3"),
        *("dense4", "prelu4", "dense5_2", "dense5_1"),
    ),
    "onet": (
        *("conv1", "prelu1", "conv2", "prelu2", "conv3", "prelu3", "conv4", "prelu4"),
        *("dense5", "prelu5", "dense6_2", "dense6_3", "dense6_1"),
    ),
}


def keras_keys() -> dict[str, str]:
    """State-dict key of each array of the Keras form, whose names are ``pnet.0``, ``pnet.1``…"""
    keys = {}
    for net, layers in _KERAS_LAYERS.items():
        names = [
            f"{net}.{layer}.{part}"
            for layer in layers
            for part in (("weight",) if layer.startswith("prelu") else ("weight", "bias"))
        ]
        keys.update({f"{net}.{i}": name for i, name in enumerate(names)})
    return keys


def from_keras(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The Keras form as a state dict: kernels (h, w, in, out) to (out, in, h, w), matrices
    transposed, the slopes of the activations to vectors. Other keys stay as they are."""
    keys = keras_keys()
    return {
        keys.get(key, key): _from_keras(keys[key], value) if key in keys else value
        for key, value in state.items()
    }


def _from_keras(key: str, value: torch.Tensor) -> torch.Tensor:
    if ".prelu" in key:
        value = value.flatten()
    elif value.ndim == 4:
        value = value.permute(3, 2, 0, 1)
    elif value.ndim == 2:
        value = value.T
    return value.contiguous()
