"""Small tears: a ragged wedge of bare paper that runs into the picture from an edge."""

from __future__ import annotations

import numpy as np

from restore_batch.models.base import Options
from restore_batch.models.train.data.degrade import Share, Span
from restore_batch.models.train.data.old_scan.layer import Damaged, Sheet, in_log, number


class Tears(Options):
    """``per_megapixel``: how many; ``length_px``: how far they reach; ``width_px``: at the edge."""

    per_megapixel: Span = (0.0, 10.0)
    length_px: Span = (10.0, 80.0)
    width_px: Span = (1.0, 7.0)
    light_prob: Share = 0.85
    softness_px: Span = (0.3, 0.8)

    def __call__(self, picture: np.ndarray, rng: np.random.Generator) -> Damaged:
        """See :class:`~restore_batch.models.train.data.old_scan.layer.Damage`."""
        shape_hw = (picture.shape[0], picture.shape[1])
        sheet = Sheet(shape_hw, rng, self.light_prob)
        for _ in range(number(rng, self.per_megapixel, shape_hw)):
            start, inward = _edge(rng, shape_hw)
            length_px, width_px = in_log(rng, self.length_px), rng.uniform(*self.width_px)
            across = np.array([-inward[1], inward[0]])
            reach = np.linspace(0, 1, 12)[:, None]
            drift = (rng.normal(0, 0.06, (12, 1)) * length_px).cumsum(0) / 3
            spine = start + inward * reach * length_px + across * drift
            half = width_px / 2 * (1 - reach)
            left = spine + across * half * rng.uniform(0.5, 1.5, (12, 1))
            right = spine - across * half * rng.uniform(0.5, 1.5, (12, 1))
            sheet.patch(np.vstack([left, right[::-1]]), rng.uniform(0.8, 1.0))
        return sheet.over(picture, rng.uniform(*self.softness_px))


def _edge(rng: np.random.Generator, shape_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A place (x, y) on the picture's edge, and the direction into the picture from it."""
    height, width = shape_hw
    along, side = rng.random(), int(rng.integers(4))
    start = [
        (along * width, -1.0),
        (along * width, float(height)),
        (-1.0, along * height),
        (float(width), along * height),
    ][side]
    inward = [(0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0)][side]
    slant = rng.normal(0, 0.4)
    direction = np.array(inward) + slant * np.array([inward[1], inward[0]])
    return np.array(start), direction / np.linalg.norm(direction)
