"""A restored picture that notebooks show beside its original."""

from __future__ import annotations

import base64
import io
from typing import Any

import cv2
import numpy as np
from PIL import Image

_SHOWN_PX = 720
_QUALITY = 90


class RestoredImage(np.ndarray):
    """(H, W, 3) uint8 or uint16 sRGB: an array in every respect. ``original``: what it was restored
    from, (H', W', 3) of the same dtype; None of whatever is computed from it.
    """

    original: np.ndarray | None = None

    @classmethod
    def of(cls, restored: np.ndarray, original: np.ndarray) -> RestoredImage:
        """``restored`` itself, seen as such a picture."""
        image: RestoredImage = restored.view(cls)
        image.original = original
        return image

    def __array_wrap__(self, array: np.ndarray, *rest: Any) -> Any:
        # What is computed is no picture any more.
        return array.view(np.ndarray)[()]

    def _repr_html_(self) -> str | None:
        """Before and after side by side, for notebooks; None of anything but a whole picture."""
        if self.original is None:
            return None
        height, width = self.shape[:2]
        cells = "".join(
            f'<figure style="margin:0 4px;display:inline-block"><img alt="{name}" width="{shown}"'
            f' src="data:image/jpeg;base64,{_jpeg(picture, shown)}">'
            f"<figcaption>{name}, {picture.shape[1]}×{picture.shape[0]}</figcaption></figure>"
            for name, picture, shown in (
                ("before", self.original, _shown_width(width, height)),
                ("after", np.asarray(self), _shown_width(width, height)),
            )
        )
        return f"<div>{cells}</div>"


def _shown_width(width: int, height: int) -> int:
    return max(1, round(width * min(1.0, _SHOWN_PX / max(width, height))))


def _jpeg(rgb_hwc: np.ndarray, width: int) -> str:
    """A JPEG of a picture at that width, as base64."""
    if rgb_hwc.dtype != np.uint8:
        rgb_hwc = np.round(rgb_hwc / 257.0).astype(np.uint8)
    height = max(1, round(rgb_hwc.shape[0] * width / rgb_hwc.shape[1]))
    way = cv2.INTER_AREA if width < rgb_hwc.shape[1] else cv2.INTER_CUBIC
    resized = cv2.resize(np.ascontiguousarray(rgb_hwc), (width, height), interpolation=way)
    file = io.BytesIO()
    Image.fromarray(resized).save(file, format="JPEG", quality=_QUALITY)
    return base64.b64encode(file.getvalue()).decode("ascii")
