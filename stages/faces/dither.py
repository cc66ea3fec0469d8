"""Whether a picture consists of dots of two tones: dithered, or a scan of that at the size of its
dots. What stands beside a face there is no grain; to give it to a smooth face would draw islands of
black and white on it."""

from __future__ import annotations

import cv2
import numpy as np

from restore_batch.models.base import Face
from restore_batch.stages.geometry import to_uint8
from restore_batch.stages.media import Frame

_TONES = (0.02, 0.98)
"""Quantiles that stand for the two tones."""
_LEAST_APART = 128
_NEAR = 0.12
"""Of the way between the tones: what lies so near to one is of it."""
_LEAST_OF_TWO = 0.85
_LEAST_CHANGES = 0.1
"""Of pixels beside each other, the share that are of different tones. Dithered faces have 0.15 and
more; lines, letters and hard copies have less."""


def is_dithered(frame: Frame, face: Face) -> bool:
    """Whether a face consists of dots: pixels of two tones alone, which change all the time."""
    left, top, right, bottom = (round(each) for each in face.box_xyxy)
    part = frame.rgb_hwc[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    if part.size == 0:
        return False
    luma = cv2.cvtColor(np.ascontiguousarray(to_uint8(part)), cv2.COLOR_RGB2GRAY)
    dark, light = np.quantile(luma, _TONES)
    near = _NEAR * (light - dark)
    is_light, is_dark = luma >= light - near, luma <= dark + near
    if light - dark < _LEAST_APART or (is_light | is_dark).mean() < _LEAST_OF_TWO:
        return False
    changes = [np.mean(is_light != np.roll(is_light, 1, axis)) for axis in (0, 1)]
    return bool(np.mean(changes) >= _LEAST_CHANGES)
