"""Pictures and detections that move in a known way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import cv2
import numpy as np

from restore_batch.models.base import Face
from restore_batch.stages.faces.steady.motion import compose
from restore_batch.stages.geometry import TEMPLATE_512, scale_of, transform

_FACE_IN_CROP = np.array([(156.0, 140.0), (356.0, 420.0)])  # a detector's box on the template


def texture(seed: int, size: tuple[int, int] = (240, 180)) -> np.ndarray:
    """(H, W, 3) uint8 with structure of every size, different for every seed."""
    return _texture(seed, size).copy()


@cache
def _texture(seed: int, size: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    width, height = size
    levels = np.zeros((height, width, 3))
    for blur_px in (1.5, 4, 10, 24):
        noise = cv2.GaussianBlur(rng.normal(size=(height, width, 3)), (0, 0), blur_px)
        levels += noise / noise.std()
    return np.clip(128 + 32 * levels / levels.std() * 1.4, 0, 255).astype(np.uint8)


def similarity(
    x: float = 0.0, y: float = 0.0, zoom: float = 1.0, turn_rad: float = 0.0
) -> np.ndarray:
    """(2, 3) float64: turn and zoom about (120, 90), then shift."""
    c, s = zoom * np.cos(turn_rad), zoom * np.sin(turn_rad)
    linear = np.array([[c, -s], [s, c]])
    centre = np.array([120.0, 90.0])
    return np.concatenate([linear, (centre + np.array([x, y]) - linear @ centre)[:, None]], axis=1)


def shown(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The picture as a camera sees it that moves it by ``where``."""
    size = (picture.shape[1], picture.shape[0])
    moved = cv2.warpAffine(
        picture, where, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(moved)


def landmarks(
    where: np.ndarray, side_px: float = 60.0, at: Sequence[float] = (120, 90)
) -> np.ndarray:
    """(5, 2) float64 of a face of ``side_px`` at ``at`` of the picture, moved by ``where``."""
    scale = side_px / 236.6
    middle = TEMPLATE_512.mean(axis=0)
    return transform(where, (TEMPLATE_512 - middle) * scale + np.asarray(at, dtype=float))


def face(
    where: np.ndarray,
    side_px: float = 60.0,
    at: Sequence[float] = (120, 90),
    error_px: np.ndarray | float = 0.0,
    score: float = 0.99,
) -> Face:
    """What a detector says of that face; ``error_px``: (5, 2) added to the landmarks."""
    points = landmarks(where, side_px, at) + error_px
    scale = side_px / 236.6
    half = (_FACE_IN_CROP[1] - _FACE_IN_CROP[0]) / 2 * scale * scale_of(where)
    offset = (_FACE_IN_CROP.mean(axis=0) - TEMPLATE_512.mean(axis=0)) * scale
    centre = transform(where, (np.asarray(at, dtype=float) + offset)[None])[0]
    (left, top), (right, bottom) = (centre - half).tolist(), (centre + half).tolist()
    return Face((left, top, right, bottom), points.astype(np.float32), score)


def steps(places: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The motion from each place to the next."""
    return [
        compose(after, np.asarray(cv2.invertAffineTransform(before)))
        for before, after in pairwise(places)
    ]


def paths(places: Sequence[np.ndarray], reach: int) -> list[tuple[np.ndarray, ...]]:
    """For each frame the motion to each of the next ``reach`` frames."""
    return [
        tuple(
            compose(places[v], np.asarray(cv2.invertAffineTransform(places[t])))
            for v in range(t + 1, min(t + reach + 1, len(places)))
        )
        for t in range(len(places))
    ]
