"""dlib's face recognition network and the file that its weights come in.

Source: King 2017, "High Quality Face Recognition with Deep Metric Learning"
(blog.dlib.net/2017/02), a residual network (He et al. 2016) of 29 convolutions with half the
channels; the layers as dlib's documentation of its deep learning interface defines them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

INPUT_PX = 150
DIMENSIONS = 128
_STEM = 32
# (channels, whether the block halves the size), from the input.
_BLOCKS = (
    *((32, False),) * 3,
    (64, True), *((64, False),) * 3,
    (128, True), *((128, False),) * 2,
    (256, True), *((256, False),) * 2,
    (256, True),
)  # fmt: skip
_MEAN_RGB = (122.782, 117.001, 104.298)
_RANGE = 256.0


class _Scaled(nn.Module):
    """Convolution and the scale and shift per channel that its batch normalisation became."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int) -> None:
        super().__init__()
        padding = side // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, side, stride, padding)
        self.scale = nn.Parameter(torch.ones(outputs))
        self.shift = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) * self.scale[:, None, None] + self.shift[:, None, None]


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first = _Scaled(inputs, outputs, 3, 2 if halves else 1)
        self.second = _Scaled(outputs, outputs, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change = self.second(F.relu(self.first(x)))
        kept = F.avg_pool2d(x, 2) if self.halves else x
        return F.relu(_sum(change, kept))


def _sum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """dlib's addition: what only one of the two has, at the far ends, counts as it is."""
    shape = [max(sizes) for sizes in zip(a.shape[1:], b.shape[1:], strict=True)]

    def padded(x: torch.Tensor) -> torch.Tensor:
        missing = [want - has for want, has in zip(shape, x.shape[1:], strict=True)]
        return F.pad(x, [n for more in reversed(missing) for n in (0, more)])

    return padded(a) + padded(b)


class DlibFaceNet(nn.Module):
    """A face as 128 numbers; two pictures of one person are less than about 0.6 apart."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Scaled(3, _STEM, 7, 2)
        widths = (_STEM, *(channels for channels, _ in _BLOCKS))
        self.blocks = nn.Sequential(
            *(
                _Block(before, channels, halves)
                for before, (channels, halves) in zip(widths, _BLOCKS, strict=False)
            )
        )
        self.head = nn.Linear(widths[-1], DIMENSIONS, bias=False)
        self.mean: torch.Tensor
        self.register_buffer("mean", torch.tensor(_MEAN_RGB)[:, None, None], persistent=False)

    def forward(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
        """(N, 3, 150, 150) RGB from 0 to 255, a face chip; (N, 128), not of unit length."""
        x = F.relu(self.stem((rgb_nchw - self.mean) / _RANGE))
        x = self.blocks(F.max_pool2d(x, 3, 2))
        vectors: torch.Tensor = self.head(x.mean(dim=(2, 3)))
        return vectors


# -- the file ---------------------------------------------------------------------------------


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """The state dict of :class:`DlibFaceNet` from dlib's ``.dat``: plain numbers, no code is run.

    Raises ValueError, which says where, when it is another network's.
    """
    data = path.read_bytes()
    layers = [
        "stem",
        *(f"blocks.{i}.{k}" for i in range(len(_BLOCKS)) for k in ("first", "second")),
    ]
    shapes = {key: value.shape for key, value in DlibFaceNet().state_dict().items()}
    state, at = {}, 0
    for layer in layers:
        weight = shapes[f"{layer}.conv.weight"]
        values, at = _numbers(data, b"\x05con_4", at, weight.numel() + weight[0], path)
        state[f"{layer}.conv.weight"] = values[: weight.numel()].reshape(weight)
        state[f"{layer}.conv.bias"] = values[weight.numel() :]
        values, at = _numbers(data, b"\x07affine_", at, 2 * weight[0], path)
        state[f"{layer}.scale"], state[f"{layer}.shift"] = values.reshape(2, -1).clone()
    head = shapes["head.weight"]
    at = data.find(b"\x04fc_2", at)
    # Its outputs and inputs stand before its numbers.
    _, at = _integer(data, at + 5)
    values, _ = _numbers(data, b"", at, head.numel(), path)
    state["head.weight"] = values.reshape(head[1], head[0]).T.contiguous()
    return state


def _numbers(
    data: bytes, tag: bytes, start: int, count: int, path: Path
) -> tuple[torch.Tensor, int]:
    """The ``count`` float32 of the first array after ``tag``, and where it ends."""
    at = data.find(tag, start)
    if at >= 0:
        at = data.find(b"\x01\x02", at + len(tag))
    if at < 0:
        raise ValueError(f"{path}: expected a layer {tag[1:].decode()!r} after byte {start}")
    at += 2
    found = 1
    for _ in range(4):
        size, at = _integer(data, at)
        found *= size
    if found != count:
        raise ValueError(f"{path}: {found} numbers in the array before byte {at}, expected {count}")
    stop = at + 4 * count
    if stop > len(data):
        raise ValueError(f"{path}: it ends within the array at byte {at}")
    return torch.from_numpy(np.frombuffer(data[at:stop], "<f4").copy()), stop


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """dlib writes how many bytes a number takes, then those, lowest first."""
    length = data[at] & 0x0F
    return int.from_bytes(data[at + 1 : at + 1 + length], "little"), at + 1 + length
