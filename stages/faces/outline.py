"""Where a face ends, said by its five landmarks.

Landmarks say how a head is turned: a mean face in three dimensions is turned the same way and
projected, and the convex hull of what it shows is the outline, from hairline to chin and from
temple to temple, in a profile from the ear to the tip of the nose. Hair, ears and what is behind
them are outside.

Source of the pose: scaled orthographic projection from points of a known shape, DeMenthon and
Davis 1995, "Model-Based Object Pose in 25 Lines of Code", section 2; here in one linear step,
since a face is far away for its depth.
"""

from __future__ import annotations

import cv2
import numpy as np

from restore_batch.stages.geometry import template

SOFT_SHARE = 0.09
"""Width of the mask's soft edge, which lies inside of the outline, over the crop's side: about
from the outline to the outer corner of an eye."""

_EYES_APART = 125.92 / 512
"""Of the template, over the crop's side: the unit of the mean face."""
_BETWEEN_EYES = (0.5, 240.07 / 512)
_LANDMARK_DEPTHS = np.array([0.0, 0.0, 0.55, 0.1, 0.1])
"""How far the landmarks of :data:`restore_batch.stages.geometry.TEMPLATE_512` lie before the eyes'
plane."""

_HALF_FACE = np.array(
    [
        (0.00, -1.06, -0.05),  # hairline
        (0.36, -1.00, -0.12),
        (0.66, -0.82, -0.28),
        (0.90, -0.50, -0.45),
        (1.02, -0.10, -0.60),  # temple
        (1.05, 0.28, -0.65),  # cheekbone
        (1.02, 0.30, -1.05),  # before the ear
        (1.00, 0.68, -0.85),
        (0.90, 1.10, -0.80),  # angle of the jaw
        (0.68, 1.46, -0.40),
        (0.42, 1.72, -0.10),
        (0.16, 1.84, 0.06),
        (0.00, 1.86, 0.10),  # chin
        (0.00, 1.04, 0.36),  # lips
        (0.00, 0.56, 0.58),  # tip of the nose
        (0.00, -0.30, 0.16),  # between the brows
    ]
)
"""x to the side, y down from the eyes' line, z forward. Proportions of adults: distance of the
pupils 63 mm, breadth of the face 137 mm, hairline to chin 187 mm (Farkas 1994, "Anthropometry of
the Head and Face")."""
_FACE = np.vstack([_HALF_FACE, _HALF_FACE[_HALF_FACE[:, 0] > 0] * (-1, 1, 1)])

_ABOUT_LANDMARKS = 0.34
"""The outline keeps at least so far from each landmark: their surroundings are the face, whatever
the pose."""
_PRIOR = 0.02
"""Weight of a frontal face among the landmarks: those of a detector stray by some hundredths."""
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 12, endpoint=False)) for f in (np.cos, np.sin)], 1)
_SUBPIXEL_BITS = 4
_DRAWN_PX = 256


def outline(landmarks_xy: np.ndarray, face_px: int) -> np.ndarray:
    """The convex outline of an aligned face, (N, 2) float32 in crop pixels.

    ``landmarks_xy``: (5, 2) in crop pixels of side ``face_px``. It may reach out of the crop.
    """
    unit = _EYES_APART * face_px
    points = np.asarray(landmarks_xy, dtype=np.float64) / unit
    centre, turned = _pose(points, template(face_px) / unit)
    face = _FACE @ turned.T + centre
    around = (points[:, None] + _ABOUT_LANDMARKS * _CIRCLE).reshape(-1, 2)
    every = (np.vstack([face, around]) * unit).astype(np.float32)
    return np.asarray(cv2.convexHull(every)).reshape(-1, 2)


def outline_mask(landmarks_xy: np.ndarray, face_px: int) -> np.ndarray:
    """1 in the face, exactly 0 outside of its outline and along the crop's border.

    (S, S) float32; between both a soft edge, :data:`SOFT_SHARE` wide. ``landmarks_xy`` as of
    :func:`outline`.
    """
    # A soft mask needs no more pixels, and distances take time.
    side = min(face_px, _DRAWN_PX)
    drawn = (outline(landmarks_xy, face_px) + 0.5) * (side / face_px) - 0.5
    inside = np.zeros((side, side), np.uint8)
    fixed = np.rint(drawn * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillConvexPoly(inside, fixed, 1, shift=_SUBPIXEL_BITS)
    inside[[0, -1]] = 0
    inside[:, [0, -1]] = 0
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    rise: np.ndarray = np.minimum(np.asarray(depth) / np.float32(SOFT_SHARE * side), 1.0)
    mask = (rise * rise * (3.0 - 2.0 * rise)).astype(np.float32)
    if side < face_px:
        mask = np.asarray(cv2.resize(mask, (face_px, face_px), interpolation=cv2.INTER_LINEAR))
    return mask


def _pose(points: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the middle between the eyes of the mean face lies and how it is turned.

    ``points``, ``mean``: (5, 2) in distances of the eyes. Returns (2,) and (2, 3): a face point X
    lies at ``centre + turned @ X``.
    """
    origin = np.array(_BETWEEN_EYES) / _EYES_APART
    shape = np.column_stack([mean - origin, _LANDMARK_DEPTHS])
    middle = shape.mean(axis=0)
    shape = shape - middle
    frontal = np.eye(2, 3)
    seen = points - points.mean(axis=0)
    normal = shape.T @ shape + _PRIOR * np.eye(3)
    free = np.linalg.solve(normal, shape.T @ seen + _PRIOR * frontal.T).T
    # The nearest turn and size to a free affine map: its polar factor (Higham 1986).
    u, sizes, v = np.linalg.svd(free, full_matrices=False)
    turned = (u @ v) * sizes.mean()
    return points.mean(axis=0) - turned @ middle, turned
