"""Stains: foxing, drops and fingerprints that darken or bleach what is under them."""

from __future__ import annotations

import math

import cv2
import numpy as np

from restore_batch.models.base import Options
from restore_batch.models.train.data.degrade import Share, Span
from restore_batch.models.train.data.old_scan.layer import (
    Damaged,
    in_log,
    number,
    ragged,
    seen,
    somewhere,
)

_BROWN = np.array([0.75, 0.55, 0.32], np.float32)


class Stains(Options):
    """``per_megapixel``: how many; ``radius_px``: how large; ``depth``: how much light they take;
    ``rim_prob``: share that dried with a darker rim; ``bleached_prob``: share that are lighter
    than the picture; ``coloured_prob``: share of scans in which they are brown."""

    per_megapixel: Span = (0.0, 60.0)
    radius_px: Span = (2.0, 30.0)
    depth: Span = (0.08, 0.5)
    rim_prob: Share = 0.3
    bleached_prob: Share = 0.25
    coloured_prob: Share = 0.5

    def __call__(self, picture: np.ndarray, rng: np.random.Generator) -> Damaged:
        """See :class:`~restore_batch.models.train.data.old_scan.layer.Damage`. On a grey picture
        stains are grey."""
        shape_hw = (picture.shape[0], picture.shape[1])
        grey = bool((picture == picture[..., :1]).all())
        coloured = rng.random() < self.coloured_prob and not grey
        alpha = np.zeros(shape_hw, np.float32)
        stained = picture.astype(np.float32)
        for _ in range(number(rng, self.per_megapixel, shape_hw)):
            opacity = self._stain(rng, shape_hw)
            bleached = rng.random() < self.bleached_prob
            colour = _BROWN if coloured else np.full(3, 0.45, np.float32)
            shade = np.full(3, 235, np.float32) if bleached else stained * colour
            stained = stained + opacity[..., None] * (shade - stained)
            alpha = 1 - (1 - alpha) * (1 - opacity)
        return Damaged(stained, alpha)

    def _stain(self, rng: np.random.Generator, shape_hw: tuple[int, int]) -> np.ndarray:
        radius_px = in_log(rng, self.radius_px)
        depth = rng.uniform(*self.depth)
        outline = ragged(rng, radius_px, rng.uniform(0.5, 1.0), int(rng.integers(8, 18)))
        place = somewhere(rng, shape_hw)
        mask = np.zeros(shape_hw, np.uint8)
        fixed = [np.rint((place + outline) * 16).astype(np.int32)]
        cv2.fillPoly(mask, fixed, 255, cv2.LINE_AA, 4)
        sigma_px = max(0.6, radius_px * rng.uniform(0.05, 0.5))
        spot = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), sigma_px)
        if rng.random() < self.rim_prob:
            rim = spot * (1 - spot) * 4
            spot = 0.4 * spot + 0.6 * rim
        return seen(spot * np.float32(depth / math.sqrt(max(spot.max(), 0.25))))
