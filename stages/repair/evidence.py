"""What speaks for damage beside the network: it is of one tone, and not that of what is around it.

Leaves, stones and lights differ from their surroundings no more than these do from each other; a
speck on a wall does. So a place counts only where its mean differs from what would be there, by
its surroundings, several times more than these stray.
"""

from __future__ import annotations

import cv2
import numpy as np

_EDGE_PX = 3.0
_RING_PX = 8.0
_SIGMA_PX = 4.0
_LEAST = 10.0  # levels of 255


def standing_out(rgb_hwc: np.ndarray, mask: np.ndarray, times: float) -> np.ndarray:
    """The parts of ``mask`` that stand out, (H, W) bool.

    ``rgb_hwc``: (H, W, 3) uint8. ``mask``: (H, W) bool, whose connected parts are kept or dropped
    whole. ``times``: how many deviations of its surroundings the mean of a part must be away.
    """
    if not mask.any():
        return mask
    luma = cv2.cvtColor(rgb_hwc, cv2.COLOR_RGB2GRAY).astype(np.float32)
    away, part = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP
    )
    sound = (away > _EDGE_PX).astype(np.float32)
    total = cv2.GaussianBlur(luma * sound, (0, 0), _SIGMA_PX)
    weight = cv2.GaussianBlur(sound, (0, 0), _SIGMA_PX)
    beside = luma - total / np.maximum(weight, 1e-3)
    ring = (away > _EDGE_PX) & (away <= _RING_PX)
    count = int(part.max()) + 1
    inside = np.abs(_means(beside[mask], part[mask], count))
    strays = np.sqrt(_means(beside[ring] ** 2, part[ring], count))
    kept = inside > np.maximum(times * strays, _LEAST)
    return np.asarray(mask & kept[part])


def _means(values: np.ndarray, part: np.ndarray, count: int) -> np.ndarray:
    number = np.bincount(part, minlength=count)
    return np.bincount(part, values, minlength=count) / np.maximum(number, 1)
