"""A detector that sees its pictures turned by quarter turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from restore_batch.models.base import Detector, Face, traits_of
from restore_batch.stages.faces.search import look_of


class Turned:
    """The ``detector`` for pictures that are upright after ``quarters`` quarter turns, 1 to 3,
    counter-clockwise; a :class:`~restore_batch.models.base.Looker`. Faces are where they are in the
    pictures as they came; the landmarks keep their order, in which the eye that is left in the
    upright picture comes first."""

    def __init__(self, detector: Detector, quarters: int) -> None:
        self.detector = detector
        self.quarters = quarters
        self.smallest_px = detector.smallest_px
        self.traits = traits_of(detector)

    def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        return self._seen(self.detector, images, min_score)

    def look(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        """The same for pictures with one face each, see ``search.py``."""
        return self._seen(look_of(self.detector), images, min_score)

    def _seen(
        self,
        detector: Callable[[Sequence[np.ndarray], float], list[list[Face]]],
        images: Sequence[np.ndarray],
        min_score: float,
    ) -> list[list[Face]]:
        turned = [np.ascontiguousarray(np.rot90(image, self.quarters)) for image in images]
        found = detector(turned, min_score)
        return [
            [self._back(face, image.shape[1], image.shape[0]) for face in faces]
            for image, faces in zip(images, found, strict=True)
        ]

    def _back(self, face: Face, width: int, height: int) -> Face:
        """A face of the turned picture in the picture itself, which has that size."""
        corners = self._points_back(np.array(face.box_xyxy).reshape(2, 2), width, height)
        (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        landmarks = self._points_back(face.landmarks_xy, width, height)
        return Face((left, top, right, bottom), landmarks.astype(np.float32), face.score)

    def _points_back(self, xy: np.ndarray, width: int, height: int) -> np.ndarray:
        """(N, 2), in pixels, whose centres are whole numbers."""
        x, y = xy[:, 0], xy[:, 1]
        if self.quarters == 1:
            return np.stack([width - 1 - y, x], axis=1)
        if self.quarters == 2:
            return np.stack([width - 1 - x, height - 1 - y], axis=1)
        return np.stack([y, height - 1 - x], axis=1)
