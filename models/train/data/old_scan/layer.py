"""What lies on a picture: how opaque it is at each place, and how it is drawn.

Every kind of damage is called with a float picture and a source of chance, and returns a
:class:`Damaged`: the picture under it and, at each pixel, how much of the picture is lost. Lengths
are pixels of the picture given, numbers are per megapixel, so that a small crop looks like a piece
of a large scan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from restore_batch.models.train.data.degrade import Span

_FRACTION_BITS = 4  # of coordinates that OpenCV draws at
_LEAST = 1e-3


@dataclass(frozen=True, eq=False)
class Damaged:
    """``picture``: (H, W, 3) float32, about [0, 255]. ``alpha_hw``: (H, W) float32 in [0, 1], the
    share of the picture that is hidden at each pixel; where it is 0, the picture is as it was."""

    picture: np.ndarray
    alpha_hw: np.ndarray


class Damage(Protocol):
    """One kind of damage."""

    def __call__(self, picture: np.ndarray, rng: np.random.Generator) -> Damaged:
        """``picture``: (H, W, 3) float32 in [0, 255]; it is not changed. Chance comes from ``rng``
        alone."""
        ...


Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""A change of a whole picture, (H, W, 3) float32 in [0, 255]."""


def sometimes(
    chance: float, change: Change, picture: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """``picture``, with that chance changed."""
    return change(picture, rng) if rng.random() < chance else picture


class Sheet:
    """Light and dark marks that are drawn one by one and then laid over a picture together.

    ``light_prob``: share of the marks that are light, as on a scanned negative or where the
    emulsion is gone; the others are dark, as dust on a print.
    """

    def __init__(self, shape_hw: tuple[int, int], rng: np.random.Generator, light_prob: float):
        self.shape_hw = shape_hw
        self._rng = rng
        self._light_prob = light_prob
        self._light = np.zeros(shape_hw, np.uint8)
        self._dark = np.zeros(shape_hw, np.uint8)

    def stroke(self, points_xy: np.ndarray, width_px: float, depth: float) -> None:
        """A line; see :func:`stroke`."""
        stroke(self._mask(), points_xy, width_px, depth)

    def patch(self, points_xy: np.ndarray, depth: float) -> None:
        """A filled outline; see :func:`patch`."""
        patch(self._mask(), points_xy, depth)

    def _mask(self) -> np.ndarray:
        return self._light if self._rng.random() < self._light_prob else self._dark

    def over(self, picture: np.ndarray, softness_px: float) -> Damaged:
        """``picture`` under the marks, whose edges a lens has softened by ``softness_px`` (the
        sigma of a Gaussian)."""
        alpha = np.zeros(self.shape_hw, np.float32)
        covered = picture
        for mask, low, high in ((self._light, 195, 255), (self._dark, 0, 60)):
            shade = self._rng.uniform(low, high)
            tint = self._rng.uniform(-12, 12, 3) * (self._rng.random() < 0.3)
            if not mask.any():
                continue
            opacity = softened(mask, softness_px)
            covered = laid_over(covered, opacity, np.clip(shade + tint, 0, 255))
            alpha = 1 - (1 - alpha) * (1 - opacity)
        return Damaged(covered.astype(np.float32, copy=False), alpha)


def stroke(mask: np.ndarray, points_xy: np.ndarray, width_px: float, depth: float = 1.0) -> None:
    """A line through (N, 2) points on a uint8 mask, ``depth`` in [0, 1] opaque. OpenCV draws whole
    pixels: a line thinner than one is fainter instead."""
    value, line = _level(depth * min(1.0, width_px)), [_fixed(points_xy)]
    thickness = max(1, round(width_px))
    cv2.polylines(mask, line, False, value, thickness, cv2.LINE_AA, _FRACTION_BITS)


def patch(mask: np.ndarray, points_xy: np.ndarray, depth: float = 1.0) -> None:
    """A filled outline of (N, 2) points on a uint8 mask, ``depth`` in [0, 1] opaque."""
    cv2.fillPoly(mask, [_fixed(points_xy)], _level(depth), cv2.LINE_AA, _FRACTION_BITS)


def laid_over(picture: np.ndarray, alpha_hw: np.ndarray, shade: np.ndarray) -> np.ndarray:
    """``picture`` with a colour over it, ``alpha_hw`` opaque."""
    return picture + alpha_hw[..., None] * (shade.astype(np.float32) - picture)


def softened(mask: np.ndarray, sigma_px: float) -> np.ndarray:
    """A drawn uint8 mask as opacity in [0, 1], float32, blurred."""
    opacity = mask.astype(np.float32) / 255
    if sigma_px < 0.2:
        return opacity
    return seen(np.asarray(cv2.GaussianBlur(opacity, (0, 0), sigma_px), np.float32))


def seen(opacity: np.ndarray) -> np.ndarray:
    """Opacity without the far tails of a blur, which change no level of a picture."""
    return np.where(opacity < _LEAST, np.float32(0), opacity)


def number(rng: np.random.Generator, per_megapixel: Span, shape_hw: tuple[int, int]) -> int:
    """How many marks a picture of that size has. Their density is drawn evenly in its logarithm:
    most scans have a few, some are covered. Then chance decides, as rain does on a tile."""
    low, high = (math.log1p(bound) for bound in per_megapixel)
    density = math.expm1(rng.uniform(low, high))
    return int(rng.poisson(density * shape_hw[0] * shape_hw[1] / 1e6))


def in_log(rng: np.random.Generator, span: Span) -> float:
    """A number of a span, drawn evenly in its logarithm: sizes are mostly small."""
    low, high = (math.log(max(bound, 1e-3)) for bound in span)
    return math.exp(rng.uniform(low, high))


def somewhere(rng: np.random.Generator, shape_hw: tuple[int, int]) -> np.ndarray:
    """A place (x, y) in the picture."""
    return rng.uniform(0, 1, 2) * np.array(shape_hw[::-1], np.float64)


def wandering(
    rng: np.random.Generator,
    start_xy: Sequence[float] | np.ndarray,
    length_px: float,
    heading: float,
    curl: float,
    step_px: float,
) -> np.ndarray:
    """A line of ``length_px`` that leaves ``start_xy`` at ``heading`` (radians) and turns by about
    ``curl`` radians over its length: (N, 2) points about ``step_px`` apart."""
    steps = max(2, math.ceil(length_px / step_px))
    bend = rng.normal(0, curl)
    turns = heading + np.linspace(0, bend, steps) + rng.normal(0, curl / 3, steps).cumsum() / steps
    moves = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length_px / steps)
    return np.vstack([np.zeros((1, 2)), moves.cumsum(0)]) + np.asarray(start_xy, np.float64)


def ragged(rng: np.random.Generator, radius_px: float, flatness: float, corners: int) -> np.ndarray:
    """The outline of a speck about (0, 0): (N, 2) points; ``flatness`` is its width over its
    length."""
    angles = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    radii = radius_px * rng.uniform(0.55, 1.25, corners)
    outline = np.stack([np.cos(angles) * radii, np.sin(angles) * radii * flatness], axis=1)
    return outline @ turned(rng.uniform(0, math.pi))


def turned(angle: float) -> np.ndarray:
    """The matrix that turns (x, y) rows by ``angle`` radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def cloud(rng: np.random.Generator, shape_hw: tuple[int, int], size_px: float) -> np.ndarray:
    """Smooth unevenness of about ``size_px``: (H, W) float32, mean about 0, deviation about 1."""
    height, width = shape_hw
    coarse = (max(2, math.ceil(height / size_px) + 2), max(2, math.ceil(width / size_px) + 2))
    field = rng.standard_normal(coarse, np.float32)
    return np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC))


def _fixed(points_xy: np.ndarray) -> np.ndarray:
    return np.rint(points_xy * (1 << _FRACTION_BITS)).astype(np.int32)


def _level(depth: float) -> int:
    return int(np.clip(round(255 * depth), 0, 255))
