"""Fading: dyes that are paler or have shifted, brown-toned silver, light that lies unevenly.

It is the tone of the whole picture: both pictures of a pair get it, and the network keeps it.
"""

from __future__ import annotations

import numpy as np

from restore_batch.models.base import Options
from restore_batch.models.train.data.degrade import Share, Span
from restore_batch.models.train.data.old_scan.layer import cloud
from restore_batch.models.train.data.tone import LUMA


class Fading(Options):
    """``grey_prob``, ``sepia_prob``: shares of grey and of brown-toned pictures. ``dye_prob``:
    share of the others whose three dyes have faded apart: each keeps ``dye`` of its density.
    ``flat_prob``: share with risen blacks and sunken whites; ``uneven_prob``: share with light
    that varies by up to ``unevenness`` over the picture."""

    grey_prob: Share = 0.3
    sepia_prob: Share = 0.12
    dye_prob: Share = 0.25
    dye: Span = (0.45, 1.0)
    flat_prob: Share = 0.3
    uneven_prob: Share = 0.2
    unevenness: Span = (0.02, 0.15)
    gamma: Span = (0.8, 1.25)

    def __call__(self, rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """rgb_hwc uint8 to the same shape and dtype."""
        picture = np.power(rgb_hwc.astype(np.float32) / 255, np.float32(rng.uniform(*self.gamma)))
        kind, luma = rng.random(), (picture @ LUMA)[..., None]
        if kind < self.grey_prob:
            picture = np.repeat(luma, 3, axis=2)
        elif kind < self.grey_prob + self.sepia_prob:
            picture = _brown(luma, rng)
        elif rng.random() < self.dye_prob:
            # Density, not brightness, is what a dye loses.
            picture = np.power(np.maximum(picture, 1 / 255), rng.uniform(*self.dye, 3))
        if rng.random() < self.flat_prob:
            black, white = rng.uniform(0, 0.28), rng.uniform(0.7, 1.0)
            picture = black + picture * (white - black)
        if rng.random() < self.uneven_prob:
            light = cloud(rng, rgb_hwc.shape[:2], 200.0)
            picture = (
                picture * (1 + rng.uniform(*self.unevenness) * np.clip(light, -1, 1))[..., None]
            )
        return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)


def _brown(luma_hw1: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Toned silver: never less red than green, nor less green than blue."""
    dark, light = (
        np.sort(rng.uniform(low, high))[::-1].astype(np.float32) / 255
        for low, high in (((20, 10, 0), (60, 40, 25)), ((225, 210, 170), (255, 245, 225)))
    )
    return dark + luma_hw1 * (light - dark)
