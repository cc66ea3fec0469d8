"""Halftone: a printed picture is dots; a scan shows them, more or less blurred."""

from __future__ import annotations

import math

import numpy as np

from restore_batch.models.base import Options
from restore_batch.models.train.data.degrade import Share, Span

_COLOUR_ANGLES = np.deg2rad([15.0, 75.0, 0.0])


class Halftone(Options):
    """``pitch_px``: of the screen; ``strength``: 1 is ink or paper and nothing between, as far as
    the softness of the dots allows; ``coloured_prob``: share of colour pictures with a screen of
    its own angle for each ink."""

    pitch_px: Span = (2.2, 6.0)
    strength: Span = (0.15, 0.6)
    coloured_prob: Share = 0.5

    def __call__(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(H, W, 3) float32 in [0, 255] to the same behind a screen. A grey picture stays grey."""
        pitch_px, strength = rng.uniform(*self.pitch_px), rng.uniform(*self.strength)
        angle, sharpness = rng.uniform(0, math.pi / 2), rng.uniform(3.0, 7.0)
        grey = bool((picture == picture[..., :1]).all())
        coloured = rng.random() < self.coloured_prob and not grey
        angles = angle + (_COLOUR_ANGLES if coloured else np.zeros(1))
        height, width = picture.shape[:2]
        y, x = np.mgrid[:height, :width].astype(np.float32)
        phases = rng.uniform(0, 2 * math.pi, 2)
        wave = 2 * math.pi / pitch_px
        screens = []
        for turn in angles:
            u = wave * (x * math.cos(turn) + y * math.sin(turn)) + phases[0]
            v = wave * (y * math.cos(turn) - x * math.sin(turn)) + phases[1]
            screens.append(np.cos(u) * np.cos(v))
        tone = np.clip(picture / 255, 0, 1)
        dots = 255 / (1 + np.exp(-sharpness * (2 * tone - 1 + np.stack(screens, axis=-1))))
        return (picture + np.float32(strength) * (dots - picture)).astype(np.float32, copy=False)
