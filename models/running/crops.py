"""Face crops to network input and back: what all restorers of aligned faces share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ConfigDict, Field

from restore_batch.models.base import Options, Precision, Runtime

if TYPE_CHECKING:
    import torch


class CropOptions(Options):
    """Options of every restorer that runs crops in batches."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    batch_size: int = Field(default=8, ge=1)
    """Faces at once on a GPU."""


def check_crops(crops: Sequence[np.ndarray], face_px: int) -> None:
    """Raise ValueError unless all are rgb_hwc uint8 of side ``face_px``."""
    expected = (face_px, face_px, 3)
    for i, crop in enumerate(crops):
        if crop.shape != expected or crop.dtype != np.uint8:
            raise ValueError(
                f"face crop {i}: expected uint8 {expected}, got {crop.dtype} {crop.shape}"
            )


def to_signed(crops: Sequence[np.ndarray], device: str) -> torch.Tensor:
    """Crops, rgb_hwc uint8, as one (N, 3, H, W) float32 in [-1, 1], channels last in memory."""
    import torch

    rgb_nhwc = torch.from_numpy(np.stack(crops)).to(device)
    return rgb_nhwc.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def to_uint8(signed_nchw: torch.Tensor) -> list[np.ndarray]:
    """(N, 3, H, W) in [-1, 1] to N pictures, rgb_hwc uint8, clamped and rounded."""
    import torch

    rgb = signed_nchw.float().clamp_(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8)
    return list(rgb.permute(0, 2, 3, 1).contiguous().cpu().numpy())


def run_batches(
    crops: Sequence[np.ndarray],
    forward: Callable[[torch.Tensor], torch.Tensor],
    runtime: Runtime,
    batch_size: int,
) -> list[np.ndarray]:
    """Put crops through a network of signed pictures, (N, 3, H, W) float32 in [-1, 1].

    On the CPU one at a time: a batch is no faster there, and the order of additions, so the last
    bit of the result, must not depend on the company a face has. Elsewhere in batches, in the
    runtime's precision; one that does not fit into memory is halved.
    """
    import torch

    size = batch_size if runtime.device != "cpu" else 1
    restored: list[np.ndarray] = []
    while len(restored) < len(crops):
        batch = crops[len(restored) : len(restored) + size]
        try:
            with torch.inference_mode(), mixed(runtime.device, runtime.precision):
                restored += to_uint8(forward(to_signed(batch, runtime.device)))
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            size = len(batch) // 2
    return restored


class CropRestorer:
    """A :class:`~restore_batch.models.base.Restorer` of a network that does its work in one pass.

    ``forward``: pictures of side ``face_px``, (N, 3, S, S) float32 in [-1, 1], to restored ones,
    through ``net``, which moves to the runtime's device here.
    """

    def __init__(
        self,
        net: torch.nn.Module,
        forward: Callable[[torch.Tensor], torch.Tensor],
        face_px: int,
        runtime: Runtime,
        batch_size: int,
    ) -> None:
        from restore_batch.models.nets.layout import channels_last

        channels_last(net.to(runtime.device))
        self.face_px = face_px
        self._forward = forward
        self._runtime = runtime
        self._batch_size = batch_size

    def __call__(self, crops: Sequence[np.ndarray]) -> list[np.ndarray]:
        """N crops, rgb_hwc uint8 of side ``face_px``; the same shape and dtype back."""
        check_crops(crops, self.face_px)
        return run_batches(crops, self._forward, self._runtime, self._batch_size)


def without_float16(runtime: Runtime) -> Runtime:
    """``runtime`` in float32 instead of float16, for networks whose features overflow it."""
    return replace(runtime, precision="float32") if runtime.precision == "float16" else runtime


def mixed(device: str, precision: Precision) -> torch.autocast:
    """Autocast to ``precision``; no change for float32."""
    import torch

    dtype = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(torch.device(device).type, dtype=dtype, enabled=precision != "float32")
