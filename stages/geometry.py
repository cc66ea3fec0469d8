"""Where a face lies: the five-point template, the similarity that leads to it, and the warp.

A matrix is (2, 3) float64 and maps source pixels to crop pixels, both with pixel centres at
whole numbers (OpenCV's convention). Source of the template and of the estimator: facexlib's
``FaceRestoreHelper``, whose template is the mean of the FFHQ alignment (Karras et al. 2019,
appendix A) at 512 px.
"""

from __future__ import annotations

from typing import Literal, Protocol

import cv2
import numpy as np

from restore_batch.errors import RestoreBatchError

TEMPLATE_512 = np.array(
    [
        (192.98138, 239.94708),
        (318.90277, 240.1936),
        (256.63416, 314.01935),
        (201.26117, 371.41043),
        (313.08905, 371.15118),
    ],
    dtype=np.float64,
)
"""Left eye, right eye, nose, left and right corner of the mouth in a 512 px crop."""

Border = Literal["mirror", "grey"]

_GREY_RGB = (132.0, 133.0, 135.0)
_CROP_OVER_FACE = (0.8, 8.0)
"""Side of the crop over the extent of the landmarks: 3.0 for a frontal face; a profile, whose
eyes coincide, stays far below 8, and what is outside is no face."""


_MIN_SPREAD = 0.1
"""Smaller over larger deviation of the landmarks along their main axes: 0.8 for a frontal face."""


class DegenerateFaceError(RestoreBatchError):
    """The landmarks of a face do not determine where it is."""


def output_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """(width, height) of a picture enlarged ``scale`` times, at least one pixel each."""
    return max(1, round(width * scale)), max(1, round(height * scale))


def template(face_px: int) -> np.ndarray:
    """The (5, 2) float64 landmarks of an aligned crop of side ``face_px``."""
    return TEMPLATE_512 * (face_px / 512)


def estimate_similarity(landmarks_xy: np.ndarray, face_px: int) -> np.ndarray:
    """The similarity from (5, 2) source landmarks to the template, robust to one bad point.

    Least median of squares over pairs of points, refined on the inliers: what the restorers'
    training crops were made with, and not the same as a least-squares fit. The result repeats.
    Raises DegenerateFaceError where points are not finite, coincide, or give an absurd size.
    """
    points = np.asarray(landmarks_xy, dtype=np.float64)
    if points.shape != (5, 2):
        raise ValueError(f"expected (5, 2) landmarks, got {points.shape}")
    if not np.isfinite(points).all():
        raise DegenerateFaceError("the face's landmarks are not finite numbers")
    extent = float(np.hypot(*np.ptp(points, axis=0)))
    if extent < 1.0:
        raise DegenerateFaceError("the face's landmarks coincide")
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if spread[1] < _MIN_SPREAD * spread[0]:
        raise DegenerateFaceError("the face's landmarks lie on one line")
    matrix, _ = cv2.estimateAffinePartial2D(points, template(face_px), method=cv2.LMEDS)
    if matrix is None or not np.isfinite(matrix).all():
        raise DegenerateFaceError("the face's landmarks coincide")
    crop_px = face_px / max(scale_of(matrix), 1e-12)
    low, high = _CROP_OVER_FACE
    if not low * extent <= crop_px <= high * extent:
        raise DegenerateFaceError("the face's landmarks do not form a face")
    return np.array(matrix, dtype=np.float64)


def scale_of(matrix: np.ndarray) -> float:
    """Crop pixels per source pixel; where pixels are not square, their geometric mean."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def invert(matrix: np.ndarray) -> np.ndarray:
    """The (2, 3) float64 matrix that leads back from the crop to the source."""
    return np.asarray(cv2.invertAffineTransform(np.asarray(matrix, dtype=np.float64)))


def transform(matrix: np.ndarray, points_xy: np.ndarray) -> np.ndarray:
    """(N, 2) points through a matrix, float64."""
    return np.asarray(points_xy, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]


def warp(
    rgb_hwc: np.ndarray,
    matrix: np.ndarray,
    face_px: int,
    border: Border = "mirror",
    antialias: bool = True,
) -> np.ndarray:
    """The aligned crop (face_px, face_px, 3) uint8 of a uint8 or uint16 picture.

    ``border``: what lies outside of the picture: its mirror image, as in FFHQ's own crops, so
    that a face cut by the edge meets no foreign colour; or the constant grey of facexlib. A
    reduction is prefiltered by area (unless ``antialias`` is off); an enlargement is bilinear,
    as in the training of the restorers.
    """
    region, offset = part_under(rgb_hwc, matrix, face_px)
    local, region = _prefiltered(region, offset, matrix, antialias)
    enlarges = scale_of(matrix) >= 1.0
    return np.asarray(
        cv2.warpAffine(
            to_uint8(region),
            local,
            (face_px, face_px),
            flags=cv2.INTER_LINEAR if enlarges or not antialias else cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101 if border == "mirror" else cv2.BORDER_CONSTANT,
            borderValue=_GREY_RGB,
        )
    )


def finely_warped(
    part: np.ndarray, offset: np.ndarray, matrix: np.ndarray, side: int
) -> np.ndarray:
    """The aligned crop as float32, unrounded, in the levels of 8 bits, of a picture's ``part``
    (H, W, C), uint8 or uint16, whose corner lies at ``offset`` (x, y)."""
    levels = part.astype(np.float32) * np.float32(255 / np.iinfo(part.dtype).max)
    local, levels = _prefiltered(levels, offset, matrix)
    warped = cv2.warpAffine(
        levels, local, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(warped).reshape(side, side, -1)


def _prefiltered(
    region: np.ndarray, offset: np.ndarray, matrix: np.ndarray, antialias: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """The matrix for a region at ``offset``, and the region, reduced by area where it reduces."""
    local = np.array(matrix, dtype=np.float64)
    local[:, 2] += local[:, :2] @ offset
    scale = scale_of(local)
    if antialias and scale < 1.0:
        region, ratio_xy = _reduce(region, scale)
        # Source pixel x lies at (x + 1/2) * ratio - 1/2 in the reduced picture.
        local[:, :2] = local[:, :2] / ratio_xy
        local[:, 2] += local[:, :2] @ (0.5 - 0.5 * ratio_xy)
    return local, region


def to_uint8(rgb_hwc: np.ndarray) -> np.ndarray:
    """uint8 as it is; uint16 divided by 257 and rounded, so that white stays white."""
    if rgb_hwc.dtype == np.uint8:
        return rgb_hwc
    if rgb_hwc.dtype != np.uint16:
        raise ValueError(f"expected uint8 or uint16 pixels, got {rgb_hwc.dtype}")
    return np.asarray(cv2.convertScaleAbs(rgb_hwc, alpha=1 / 257))


class Picture(Protocol):
    """(H, W, C) pixels of which parts can be had."""

    shape: tuple[int, ...]

    def __getitem__(self, part: tuple[slice, slice], /) -> np.ndarray:
        """Some rows and columns."""


def part_under(rgb_hwc: Picture, matrix: np.ndarray, face_px: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of the picture that the crop (and its mirror at the border) can touch, and its
    corner (x, y)."""
    height, width = rgb_hwc.shape[:2]
    end = face_px - 1
    corners = transform(invert(matrix), np.array([(0, 0), (end, 0), (0, end), (end, end)]))
    low, high = corners.min(axis=0), corners.max(axis=0)
    margin = 4.0 + 4.0 / scale_of(matrix)
    size = np.array([width, height], dtype=np.float64)
    if (low - margin < 0).any() or (high + margin > size).any():
        # The mirror shows as much of the inside as the crop reaches outside.
        reach = np.maximum(np.maximum(margin - low, high + margin - size), 0.0)
        low, high = np.minimum(low, size - 1 - reach), np.maximum(high, reach)
    start = np.clip(np.floor(low - margin), 0, size - 1).astype(int)
    stop = np.clip(np.ceil(high + margin) + 1, 1, size).astype(int)
    return rgb_hwc[start[1] : stop[1], start[0] : stop[0]], start.astype(np.float64)


def _reduce(rgb_hwc: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Area reduction to ``scale``; the ratios that whole pixels allow, as (x, y)."""
    height, width = rgb_hwc.shape[:2]
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    reduced = cv2.resize(rgb_hwc, size, interpolation=cv2.INTER_AREA)
    return reduced, np.array([size[0] / width, size[1] / height])
