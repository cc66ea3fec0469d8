"""Giving every frame of a film the size, shape and depth of its first."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np

from restore_batch.stages.geometry import to_uint8

LOST_FRAME = "cannot be decoded; its neighbour stands in"
"""The fault of a frame that another one stands in for."""

_SAME_SHAPE = 0.01


def conform_to_first(
    rgb_hwc: np.ndarray, size: tuple[int, int], bits: int
) -> tuple[np.ndarray, str]:
    """The picture at ``size`` (width, height), uint8 for up to 8 ``bits``, else uint16.

    Also returns the fault to report: '' where the size was right.
    """
    height, width = rgb_hwc.shape[:2]
    fault = ""
    if (width, height) != size:
        fault = f"is {width}x{height}, not {size[0]}x{size[1]}: scaled"
        smaller = size[0] * size[1] < width * height
        how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        rgb_hwc = np.asarray(cv2.resize(rgb_hwc, size, interpolation=how))
    if bits <= 8:
        rgb_hwc = to_uint8(rgb_hwc)
    elif rgb_hwc.dtype == np.uint8:
        rgb_hwc = np.multiply(rgb_hwc, 257, dtype=np.uint16)
    return rgb_hwc, fault


def misshapen(
    size: tuple[int, int], aspect: Fraction, first_size: tuple[int, int], first_aspect: Fraction
) -> str:
    """The fault of a picture that is shown as wide and high as a film's first and should not be, ''
    where it is right. ``size``: (width, height) in pixels; ``aspect``: of one of them."""
    (width, height), (first_width, first_height) = size, first_size
    wider = float(aspect / first_aspect * width * first_height / (height * first_width))
    if aspect == first_aspect or abs(wider - 1) < _SAME_SHAPE:
        return ""
    how = "squeezed" if wider > 1 else "stretched"
    return f"has pixels of {_ratio(aspect)}, not {_ratio(first_aspect)}: shown {how}"


def _ratio(aspect: Fraction) -> str:
    return f"{aspect.numerator}:{aspect.denominator}"
