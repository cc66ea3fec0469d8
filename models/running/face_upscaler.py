"""Restores faces with an upscaler, for when no face network's weights are there.

An aligned crop holds a face at a size that its source did not have: most crops are enlarged.
So the crop is first reduced to about the detail it holds, then enlarged by the network, which
sharpens and cleans it, then fitted to the crop's size. Nothing is invented, unlike with a face
network; a strongly damaged face stays so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from restore_batch.models.base import Upscaler

_SMALLEST_PX = 64
_HOPELESS_PX = 64
"""Crops from fewer source pixels are left alone: an upscaler draws cracks into them."""
_LARGEST_PX = 256
_DETAIL = 0.55
"""Share of its native size that a face is reduced to: grain averages out, features stay. At the
native size the upscaler sharpens grain into creases (seen on prints with grain and JPEG)."""
_STEP_PX = 16
# 8 crops of 256 px are one half-megapixel tile: what any upscaler that fits at all takes.
_CROPS_A_BATCH = 8


class FaceByUpscaler:
    """A :class:`~restore_batch.models.base.Restorer` made of an ``Upscaler``.

    ``face_px``: side of the crops. The input of the network follows the face's size in its
    source, from 64 px to 256 px (16 times the work), and is never more than twice what the
    network's output needs.
    """

    def __init__(self, upscaler: Upscaler, face_px: int = 512) -> None:
        self.face_px = face_px
        self._upscaler = upscaler

    def working_px(self, native_px: float | None) -> int:
        """Side given to the network for a crop that covers ``native_px`` of its source.

        None (not known) counts as a large face: detail is never thrown away unseen.
        """
        side = _LARGEST_PX
        if native_px is not None and math.isfinite(native_px):
            # In steps, so that faces of about one size share a batch.
            wanted = round(_DETAIL * native_px / _STEP_PX) * _STEP_PX
            side = min(max(wanted, _SMALLEST_PX), _LARGEST_PX)
        return max(1, min(side, self.face_px, 2 * self.face_px // self._upscaler.scale))

    def __call__(
        self, crops: Sequence[np.ndarray], native_px: Sequence[float] | None = None
    ) -> list[np.ndarray]:
        """N crops, rgb_hwc uint8 of side ``face_px``; the same shape and dtype back.

        ``native_px``: for each crop the side in source pixels that it covers. Raises ValueError
        on another size or dtype, or when the two differ in length.
        """
        if native_px is not None and len(native_px) != len(crops):
            raise ValueError(f"{len(crops)} crops but {len(native_px)} native sizes")
        expected = (self.face_px, self.face_px, 3)
        for crop in crops:
            if crop.shape != expected or crop.dtype != np.uint8:
                raise ValueError(f"expected {expected} uint8, got {crop.shape} {crop.dtype}")
        by_side: dict[int, list[int]] = {}
        restored: dict[int, np.ndarray] = {}
        for i in range(len(crops)):
            if native_px is not None and native_px[i] < _HOPELESS_PX:
                restored[i] = crops[i]
                continue
            side = self.working_px(None if native_px is None else native_px[i])
            by_side.setdefault(side, []).append(i)
        for side, indices in by_side.items():
            for start in range(0, len(indices), _CROPS_A_BATCH):
                some = indices[start : start + _CROPS_A_BATCH]
                restored.update(
                    zip(some, self._enlarge([crops[i] for i in some], side), strict=True)
                )
        return [restored[i] for i in range(len(crops))]

    def _enlarge(self, crops: Sequence[np.ndarray], side: int) -> list[np.ndarray]:
        import cv2
        import torch

        small = [cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) for crop in crops]
        rgb_nchw = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 255
        large = self._upscaler(rgb_nchw).permute(0, 2, 3, 1).float().cpu().numpy()
        return [self._fit(rgb_hwc) for rgb_hwc in large]

    def _fit(self, rgb_hwc: np.ndarray) -> np.ndarray:
        """Float picture in [0, 1] to uint8 of side ``face_px``; enlarging overshoots."""
        import cv2

        if rgb_hwc.shape[0] != self.face_px:
            shrinks = rgb_hwc.shape[0] > self.face_px
            method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
            rgb_hwc = cv2.resize(rgb_hwc, (self.face_px, self.face_px), interpolation=method)
        pixels: np.ndarray = np.clip(np.rint(rgb_hwc * 255), 0, 255).astype(np.uint8)
        return pixels
