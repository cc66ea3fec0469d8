"""Taking chroma from every pixel to the few samples of 4:2:0 and its kin.

Chroma samples of a row lie on its first, third, fifth … pixel, and midway between two rows:
what H.264, HEVC, MPEG-2 and AV1 mean where nothing is said (chroma sample type 0 of ITU-T H.273,
figure 1), and what every player assumes.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np


def reduce_chroma(plane_hw: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """(H, W) uint16 to (⌈H/rows⌉, ⌈W/columns⌉) uint16; ``columns``, ``rows``: 1, 2 or 4.

    The kernel is the Catmull-Rom cubic stretched by the ratio (Keys 1981, a = -1/2): the lowpass
    that goes with bicubic enlargement. Beyond the border the last sample is repeated.
    """
    if columns > 1:
        kernel, anchor = _kernel(columns, centred=False)
        plane_hw = _filtered(plane_hw, kernel[None, :], (anchor, 0))[:, ::columns]
    if rows > 1:
        kernel, anchor = _kernel(rows, centred=True)
        plane_hw = _filtered(plane_hw, kernel[:, None], (0, anchor))[::rows]
    return np.ascontiguousarray(plane_hw)


def _filtered(plane_hw: np.ndarray, kernel: np.ndarray, anchor: tuple[int, int]) -> np.ndarray:
    filtered = cv2.filter2D(
        np.ascontiguousarray(plane_hw),
        cv2.CV_16U,
        kernel,
        anchor=anchor,
        borderType=cv2.BORDER_REPLICATE,
    )
    return np.asarray(filtered)


@cache
def _kernel(ratio: int, *, centred: bool) -> tuple[np.ndarray, int]:
    """Taps (float32, sum 1) and which of them lies on the first pixel of a group of ``ratio``."""
    centre = (ratio - 1) / 2 if centred else 0.0
    places = np.arange(-2 * ratio, 3 * ratio)
    taps = _catmull_rom(np.abs(places - centre) / ratio)
    inside = np.flatnonzero(taps)
    taps, places = taps[inside[0] : inside[-1] + 1], places[inside[0] : inside[-1] + 1]
    return (taps / taps.sum()).astype(np.float32), int(np.flatnonzero(places == 0)[0])


def _catmull_rom(t: np.ndarray) -> np.ndarray:
    near = 1.5 * t**3 - 2.5 * t**2 + 1.0
    far = -0.5 * t**3 + 2.5 * t**2 - 4.0 * t + 2.0
    return np.where(t < 1.0, near, np.where(t < 2.0, far, 0.0))
