"""Faces of a picture and of its truth: are they where they were, and who they were?

Faces are found in the reference: the truth or, without one, the original. Both are cut out at the
reference's landmarks, so that it is the face that is compared and not where it was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from restore_batch.models.base import Face
from restore_batch.models.metrics.base import Measure, NotComputedError
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.geometry import DegenerateFaceError, estimate_similarity, to_uint8, warp
from restore_batch.stages.media import Frame

CROP_PX = 512
LEAST_PX = 32
"""Smaller faces are not looked for: what is left of them says little of who somebody is."""
_SAME_FACE = 0.5
"""Centres of one face in both pictures are at most so far apart, in eye distances."""


@dataclass(frozen=True)
class PlaceMetric:
    """A metric of where faces are; see :class:`restore_batch.models.metrics.base.Metric`."""

    name: str
    title: str
    better: str
    convention: str


LANDMARKS = PlaceMetric(
    "landmarks", "landmark distance", "lower",
    "mean distance of the five landmarks over that of the eyes, of faces found in both",
)  # fmt: skip
FOUND = PlaceMetric(
    "faces_found",
    "faces found again (share)",
    "higher",
    f"of those of at least {LEAST_PX} px found in the truth, else the original",
)


def face_scores(
    result: np.ndarray,
    reference: np.ndarray,
    faces: Sequence[Face],
    find: Detect,
    measures: Mapping[str, Measure],
    where: bool = True,
) -> dict[str, float]:
    """Means over ``faces``, those of ``reference``: of ``measures`` on aligned crops and, with
    ``where``, :data:`LANDMARKS` and :data:`FOUND`, for which the result is searched. Both pictures
    (H, W, 3) RGB uint8 or uint16, the one a multiple of the other's size.

    Raises NotComputedError where the reference has no face.
    """
    aligned = [(face, matrix) for face in faces if (matrix := _matrix(face)) is not None]
    if not aligned:
        raise NotComputedError("no face is found in the reference")
    scale = np.array([result.shape[1] / reference.shape[1], result.shape[0] / reference.shape[0]])
    scores: dict[str, list[float]] = {name: [] for name in measures}
    for _, matrix in aligned:
        crops = [
            np.ascontiguousarray(to_uint8(warp(picture, placed, CROP_PX)))
            for picture, placed in ((result, _scaled(matrix, scale)), (reference, matrix))
        ]
        for name, measure in measures.items():
            scores[name].append(measure(crops[0], crops[1]))
    if where:
        there = faces if result is reference else find.find([Frame(result)])[0]
        distances = [_distance(face, there, scale) for face, _ in aligned]
        scores[FOUND.name] = [float(distance is not None) for distance in distances]
        scores[LANDMARKS.name] = [distance for distance in distances if distance is not None]
    return {name: float(np.mean(values)) for name, values in scores.items() if values}


def _matrix(face: Face) -> np.ndarray | None:
    try:
        return estimate_similarity(face.landmarks_xy, CROP_PX)
    except DegenerateFaceError:
        return None


def _scaled(matrix: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The same crop of a picture ``scale`` times as large; centres of pixels are whole numbers."""
    placed = matrix.copy()
    placed[:, :2] = matrix[:, :2] / scale
    placed[:, 2] = matrix[:, 2] + matrix[:, :2] @ (0.5 / scale - 0.5)
    return placed


def _distance(face: Face, others: Sequence[Face], scale: np.ndarray) -> float | None:
    """How far the landmarks of the nearest of ``others`` are, over the distance of the eyes."""
    points = (np.asarray(face.landmarks_xy, np.float64) + 0.5) * scale - 0.5
    eyes = float(np.linalg.norm(points[0] - points[1]))
    if eyes == 0 or not others:
        return None
    apart = [
        float(np.linalg.norm(np.mean(other.landmarks_xy, axis=0) - points.mean(0)))
        for other in others
    ]
    nearest = int(np.argmin(apart))
    if apart[nearest] > _SAME_FACE * eyes:
        return None
    there = np.asarray(others[nearest].landmarks_xy, np.float64)
    return float(np.linalg.norm(there - points, axis=1).mean()) / eyes
