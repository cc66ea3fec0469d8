"""Figures of one picture, from nine windows of it: a look that costs little, however large it is.

The result is looked at at the size of its original, at the same places: figures of pictures of
different sizes do not compare. Small pictures are looked at whole.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import cv2
import numpy as np

from restore_batch.models.metrics import blind, niqe
from restore_batch.models.metrics.base import NotComputedError
from restore_batch.stages.geometry import to_uint8
from restore_batch.stages.media import Figures, Frame

_ACROSS = 3
_SIDE_PX = 2 * niqe.PATCH_PX
"""On 36 patches NIQE says about what it says of the whole picture, on 9 something else."""
_LEAST_PATCHES = 25
"""On fewer, NIQE often tells a change the wrong way round: see docs/evaluation.md."""
_DIGITS = 3
"""More would differ from one machine to another."""


def figures_of(frame: Frame, size: tuple[int, int]) -> Figures:
    """Figures of ``frame``, seen as a picture of ``size`` (width, height)."""
    parts = [_seen(frame.rgb_hwc, window, size) for window in windows(size)]
    return Figures(
        _rounded(lambda: blind.sharpness_of_parts(parts)),
        _rounded(lambda: blind.noise_of_parts(parts)),
        _rounded(lambda: _niqe(parts, size)),
    )


Window = tuple[int, int, int, int]


def windows(size: tuple[int, int]) -> list[Window]:
    """Left, top, width and height of what is looked at of a picture of ``size``: three times three
    windows spread over it, or along a side that is no longer than they are, all of it."""
    columns, rows = (_spans(length) for length in size)
    return [(x, y, width, height) for (y, height), (x, width) in product(rows, columns)]


def _spans(length: int) -> list[tuple[int, int]]:
    if length <= _ACROSS * _SIDE_PX:
        return [(0, length)]
    middles = [length * (2 * number + 1) // (2 * _ACROSS) for number in range(_ACROSS)]
    return [(middle - _SIDE_PX // 2, _SIDE_PX) for middle in middles]


def _seen(rgb_hwc: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """That window of a picture of ``size``: (height, width, 3) uint8 of a larger or equal one."""
    left, top, width, height = window
    across, down = rgb_hwc.shape[1] / size[0], rgb_hwc.shape[0] / size[1]
    x, y = round(left * across), round(top * down)
    right = max(x + 1, round((left + width) * across))
    bottom = max(y + 1, round((top + height) * down))
    part = rgb_hwc[y:bottom, x:right]
    if part.shape[:2] != (height, width):
        part = cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(to_uint8(np.asarray(part)))


def _niqe(parts: list[np.ndarray], size: tuple[int, int]) -> float:
    patches = sum(niqe.patches_of(part.shape[0], part.shape[1]) for part in parts)
    if min(size) < niqe.SMALLEST_PX or patches < _LEAST_PATCHES:
        raise NotComputedError(f"needs {_LEAST_PATCHES} patches of {niqe.PATCH_PX} px")
    if why := niqe.lacks():
        raise NotComputedError(why)
    return niqe.of_features(niqe.features(*parts))


def _rounded(score: Callable[[], float]) -> float | None:
    try:
        return round(score(), _DIGITS)
    except NotComputedError:
        return None
