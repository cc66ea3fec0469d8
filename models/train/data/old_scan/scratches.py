"""Scratches: long, nearly straight, of several widths, light or dark, here and there broken off.

Where film ran through a gate they are parallel; on a print they go anywhere.
"""

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


class Scratches(Options):
    """``per_megapixel``: how many; ``length_px`` and ``width_px``: of each; ``light_prob``: share
    of light ones; ``parallel_prob``: share of scans in which all go one way; ``broken_prob``:
    share of lines with gaps; ``real_prob``: share drawn by a real outline where outlines are
    given."""

    per_megapixel: Span = (2.0, 150.0)
    length_px: Span = (20.0, 700.0)
    width_px: Span = (0.4, 4.0)
    depth: Span = (0.25, 1.0)
    softness_px: Span = (0.3, 1.0)
    light_prob: Share = 0.65
    parallel_prob: Share = 0.4
    broken_prob: Share = 0.4
    real_prob: Share = 0.15

    def __call__(
        self, picture: np.ndarray, rng: np.random.Generator, outlines: Outlines | None = None
    ) -> Damaged:
        """See :class:`~restore_batch.models.train.data.old_scan.layer.Damage`."""
        shape_hw = (picture.shape[0], picture.shape[1])
        sheet = Sheet(shape_hw, rng, self.light_prob)
        parallel = rng.random() < self.parallel_prob
        common = rng.choice([0.0, math.pi / 2]) + rng.normal(0, 0.03)
        for _ in range(number(rng, self.per_megapixel, shape_hw)):
            depth, width_px = rng.uniform(*self.depth), in_log(rng, self.width_px)
            if outlines is not None and rng.random() < self.real_prob:
                real = outlines.one("scratch", rng, rng.uniform(0.3, 0.9))
                if real is not None:
                    sheet.patch(somewhere(rng, shape_hw) + real, depth)
                    continue
            heading = common if parallel else rng.uniform(0, 2 * math.pi)
            length_px = in_log(rng, self.length_px)
            # About a place in the picture, so that long ones are not seen by their ends alone.
            back = rng.uniform(0, length_px) * np.array([math.cos(heading), math.sin(heading)])
            line = wandering(
                rng,
                somewhere(rng, shape_hw) - back,
                length_px,
                heading,
                curl=rng.uniform(0, 0.12),
                step_px=6.0,
            )
            for piece in self._pieces(line, rng):
                sheet.stroke(piece, width_px * rng.uniform(0.8, 1.2), depth)
        return sheet.over(picture, rng.uniform(*self.softness_px))

    def _pieces(self, line: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """The line, or what is left of it where it is broken."""
        if rng.random() >= self.broken_prob or len(line) < 6:
            return [line]
        cuts = np.sort(rng.integers(1, len(line) - 1, 2 * int(rng.integers(1, 4))))
        bounds = [0, *cuts.tolist(), len(line)]
        pieces = [line[a:b] for a, b in zip(bounds[::2], bounds[1::2], strict=True)]
        return [piece for piece in pieces if len(piece) > 1]
