"""Hairs and fibres: thin, curled, of even width."""

from __future__ import annotations

import math

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
from restore_batch.models.train.data.old_scan.outlines import Outlines


class Hairs(Options):
    """``per_megapixel``: how many; ``length_px`` and ``width_px``: of each; ``light_prob``: share
    of light ones; ``real_prob``: share drawn by a real outline where outlines are given."""

    per_megapixel: Span = (2.0, 150.0)
    length_px: Span = (12.0, 160.0)
    width_px: Span = (0.6, 2.6)
    depth: Span = (0.4, 1.0)
    softness_px: Span = (0.3, 0.9)
    light_prob: Share = 0.5
    real_prob: Share = 0.4

    def __call__(
        self, picture: np.ndarray, rng: np.random.Generator, outlines: Outlines | None = None
    ) -> Damaged:
        """See :class:`~restore_batch.models.train.data.old_scan.layer.Damage`."""
        shape_hw = (picture.shape[0], picture.shape[1])
        sheet = Sheet(shape_hw, rng, self.light_prob)
        for _ in range(number(rng, self.per_megapixel, shape_hw)):
            place, depth = somewhere(rng, shape_hw), rng.uniform(*self.depth)
            if outlines is not None and rng.random() < self.real_prob:
                real = outlines.one("hair", rng, rng.uniform(0.3, 0.9))
                if real is not None:
                    sheet.patch(place + real, depth)
                    continue
            line = wandering(
                rng,
                place,
                in_log(rng, self.length_px),
                rng.uniform(0, 2 * math.pi),
                curl=rng.uniform(0.3, 4.0),
                step_px=3.0,
            )
            sheet.stroke(line, rng.uniform(*self.width_px), depth)
        return sheet.over(picture, rng.uniform(*self.softness_px))
