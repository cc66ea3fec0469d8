"""Dust and dirt: small irregular specks, single or in clusters."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from restore_batch.models.base import Options
from restore_batch.models.train.data.degrade import Share, Span
from restore_batch.models.train.data.old_scan.layer import (
    Damaged,
    Sheet,
    in_log,
    number,
    ragged,
    somewhere,
)
from restore_batch.models.train.data.old_scan.outlines import Outlines


class Dust(Options):
    """``per_megapixel``: how many specks; ``radius_px``: how large; ``light_prob``: share of light
    ones; ``real_prob``: share drawn by a real outline where outlines are given."""

    per_megapixel: Span = (30.0, 4000.0)
    radius_px: Span = (0.5, 5.0)
    depth: Span = (0.35, 1.0)
    softness_px: Span = (0.3, 1.1)
    light_prob: Share = 0.6
    real_prob: Share = 0.6
    clusters: Annotated[int, Field(ge=0)] = 2

    def __call__(
        self, picture: np.ndarray, rng: np.random.Generator, outlines: Outlines | None = None
    ) -> Damaged:
        """See :class:`~restore_batch.models.train.data.old_scan.layer.Damage`."""
        shape_hw = (picture.shape[0], picture.shape[1])
        sheet = Sheet(shape_hw, rng, _polarity(rng, self.light_prob))
        centres = [somewhere(rng, shape_hw) for _ in range(self.clusters)]
        for _ in range(number(rng, self.per_megapixel, shape_hw)):
            place = somewhere(rng, shape_hw)
            if centres and rng.random() < 0.25:
                place = centres[int(rng.integers(len(centres)))] + rng.normal(0, 15, 2)
            radius_px = in_log(rng, self.radius_px)
            outline = ragged(rng, radius_px, rng.uniform(0.35, 1.0), int(rng.integers(5, 10)))
            if outlines is not None and rng.random() < self.real_prob:
                real = outlines.one("speck", rng, 1.0)
                if real is not None:
                    # Its shape alone: how large dust is depends on how finely was scanned.
                    outline = real * (radius_px / max(float(np.abs(real).max()), 1.0))
            # A speck below a pixel covers a part of it.
            depth = rng.uniform(*self.depth) * min(1.0, radius_px / 0.7)
            sheet.patch(place + outline, depth)
        return sheet.over(picture, rng.uniform(*self.softness_px))


def _polarity(rng: np.random.Generator, light_prob: float) -> float:
    """Dust of one scan is mostly of one kind: lit from behind or from above."""
    mostly_light = rng.random() < light_prob
    return 0.93 if mostly_light else 0.07
