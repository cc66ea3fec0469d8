"""Where faces are in pictures that nobody has marked: as a detector sees them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from restore_batch.models.base import Detector, Runtime

_LEAST_SCORE, _CERTAIN_SCORE = 0.3, 0.9
_ENLARGED = 2.0
"""Scenes are looked at so much larger: their smallest faces are as small as the proposal network is
to see them."""
_OF_PORTRAIT = 0.3
"""What a portrait's face takes of its side at least; anything smaller is another's or none."""


@dataclass(frozen=True)
class Seen:
    """Faces of one picture, in its pixels: middles (N, 2) and sides (N,) of the squares around
    them; ``certain`` (N,): the others may be none."""

    middles_xy: np.ndarray
    sides_px: np.ndarray
    certain: np.ndarray


def detector(name: str) -> Detector:
    """The detector of that name. Raises UsageError where there is none, WeightsError where its
    weights are not here."""
    from restore_batch.models import registry
    from restore_batch.models.weights.store import Store

    made: Detector = registry.build(Store().ref(registry.card(name), {}), Runtime())
    return made


def of_scene(rgb_hwc: np.ndarray, detect: Detector) -> Seen:
    """The faces of a picture of anything, rgb_hwc uint8."""
    large = cv2.resize(rgb_hwc, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)
    boxes, scores = _seen(large, detect)
    return _as_squares(boxes / _ENLARGED, scores)


def of_portrait(rgb_hwc: np.ndarray, detect: Detector) -> Seen:
    """The one face of a portrait, rgb_hwc uint8; none where it is not seen for certain."""
    boxes, scores = _seen(rgb_hwc, detect)
    side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    whose = np.flatnonzero((side > _OF_PORTRAIT * len(rgb_hwc)) & (scores > _CERTAIN_SCORE))
    return _as_squares(boxes[whose[:1]], scores[whose[:1]])


def _seen(rgb_hwc: np.ndarray, detect: Detector) -> tuple[np.ndarray, np.ndarray]:
    (faces,) = detect([np.ascontiguousarray(rgb_hwc)], _LEAST_SCORE)
    boxes = np.array([face.box_xyxy for face in faces]).reshape(-1, 4)
    return boxes, np.array([face.score for face in faces])


def _as_squares(boxes: np.ndarray, scores: np.ndarray) -> Seen:
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    return Seen(middles, sides, scores > _CERTAIN_SCORE)


def joined(some: Seen, middle_xy: np.ndarray, side_px: float) -> Seen:
    """The same with one more that is certain."""
    return Seen(
        np.concatenate([some.middles_xy, middle_xy[None]]),
        np.append(some.sides_px, side_px),
        np.append(some.certain, True),
    )
