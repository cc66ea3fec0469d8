"""Creases: where a print was folded, the emulsion cracks and the paper catches the light."""

from __future__ import annotations

import itertools
import math

import cv2
import numpy as np

from restore_batch.models.base import Options
from restore_batch.models.train.data.degrade import Share, Span
from restore_batch.models.train.data.old_scan.layer import (
    Damaged,
    Sheet,
    in_log,
    number,
    somewhere,
    wandering,
)


class Creases(Options):
    """``per_megapixel``: how many; ``length_px`` and ``width_px``: of the crack; ``shading``: how
    much lighter one side of the fold is than the other, of 255, over ``shading_px``."""

    per_megapixel: Span = (0.0, 12.0)
    length_px: Span = (60.0, 900.0)
    width_px: Span = (0.5, 3.5)
    depth: Span = (0.4, 1.0)
    softness_px: Span = (0.3, 0.9)
    light_prob: Share = 0.85
    shading: Span = (0.0, 25.0)
    shading_px: Span = (2.0, 9.0)

    def __call__(self, picture: np.ndarray, rng: np.random.Generator) -> Damaged:
        """See :class:`~restore_batch.models.train.data.old_scan.layer.Damage`. What is only shaded
        counts as damaged by its share of full brightness."""
        shape_hw = (picture.shape[0], picture.shape[1])
        sheet = Sheet(shape_hw, rng, self.light_prob)
        shade = np.zeros(shape_hw, np.float32)
        for _ in range(number(rng, self.per_megapixel, shape_hw)):
            heading, length_px = rng.uniform(0, 2 * math.pi), in_log(rng, self.length_px)
            ahead = np.array([math.cos(heading), math.sin(heading)])
            start = somewhere(rng, shape_hw) - rng.uniform(0, length_px) * ahead
            line = wandering(rng, start, length_px, heading, curl=0.08, step_px=5.0)
            line += rng.normal(0, 0.5, line.shape)
            shade += _fold(line, ahead, shape_hw, rng.uniform(*self.shading_px)) * rng.uniform(
                *self.shading
            )
            width_px, depth = in_log(rng, self.width_px), rng.uniform(*self.depth)
            # A crack is never of one width.
            for a, b in itertools.pairwise(line):
                if rng.random() < 0.85:
                    sheet.stroke(np.stack([a, b]), width_px * rng.uniform(0.3, 1.6), depth)
        shade = np.where(np.abs(shade) < 255e-3, np.float32(0), shade)
        cracked = sheet.over(picture + shade[..., None], rng.uniform(*self.softness_px))
        shaded = np.minimum(np.abs(shade) / 255, 1)
        return Damaged(cracked.picture, 1 - (1 - cracked.alpha_hw) * (1 - shaded))


def _fold(
    line: np.ndarray, ahead: np.ndarray, shape_hw: tuple[int, int], width_px: float
) -> np.ndarray:
    """Light on one side of a line and shadow on the other: (H, W) float32 in about [-1, 1]."""
    across = np.array([-ahead[1], ahead[0]]) * width_px
    fold = np.zeros(shape_hw, np.float32)
    for side in (-1.0, 1.0):
        band = np.vstack([line, (line + side * across)[::-1]])
        mask = np.zeros(shape_hw, np.uint8)
        cv2.fillPoly(mask, [np.rint(band * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        fold += np.float32(side / 255) * mask
    return np.asarray(cv2.GaussianBlur(fold, (0, 0), max(width_px / 3, 0.5)), np.float32)
