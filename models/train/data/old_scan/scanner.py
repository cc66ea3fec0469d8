"""What a scanner adds: a lens that is not sharp, noise of its sensor, and JPEG, often twice."""

from __future__ import annotations

import math

import cv2
import numpy as np

from restore_batch.models.base import Options
from restore_batch.models.train.data.degrade import Quality, Share, Span, is_grey, jpeg


class Lens(Options):
    """``sigma_px``: of the blur, a Gaussian; with ``astigmatic_prob`` an ellipse of any
    direction."""

    sigma_px: Span = (0.0, 1.6)
    astigmatic_prob: Share = 0.3

    def __call__(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(H, W, 3) float32, blurred."""
        along, across = rng.uniform(*self.sigma_px), rng.uniform(*self.sigma_px)
        turn = rng.uniform(0, math.pi)
        if rng.random() >= self.astigmatic_prob:
            across = along
        if max(along, across) < 0.25:
            return picture
        radius = math.ceil(3 * max(along, across))
        y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        u = (x * math.cos(turn) + y * math.sin(turn)) / max(along, 0.2)
        v = (y * math.cos(turn) - x * math.sin(turn)) / max(across, 0.2)
        kernel = np.exp(-(u**2 + v**2) / 2)
        return np.asarray(
            cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101),
            np.float32,
        )


class Sensor(Options):
    """``sigma``: deviation of what the sensor adds, of 255, each pixel and channel by itself;
    ``shot_prob``: share in which it grows with the light; ``lines_prob``: share with faint
    stripes along the way of the carriage."""

    sigma: Span = (0.0, 6.0)
    shot_prob: Share = 0.5
    lines_prob: Share = 0.1

    def __call__(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(H, W, 3) float32 in [0, 255] to the same with noise. A grey picture stays grey."""
        sigma = np.float32(rng.uniform(*self.sigma))
        grey = bool((picture == picture[..., :1]).all())
        height, width = picture.shape[:2]
        noise = rng.standard_normal((height, width, 1 if grey else 3), np.float32)
        if rng.random() < self.shot_prob:
            noise = noise * np.sqrt(np.clip(picture[..., : noise.shape[2]] / 255, 0.02, 1) * 1.5)
        if rng.random() < self.lines_prob:
            shape = (1, width, 1) if rng.random() < 0.5 else (height, 1, 1)
            noise = noise + np.float32(0.5) * rng.standard_normal(shape, np.float32)
        return (picture + sigma * noise).astype(np.float32, copy=False)


class Jpeg(Options):
    """``quality``: of the file. With ``twice_prob`` it had been saved before, at another quality
    and with its blocks elsewhere. ``plain_prob``: share that never was a JPEG."""

    quality: Quality = (40.0, 98.0)
    twice_prob: Share = 0.35
    plain_prob: Share = 0.2

    def __call__(self, rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """rgb_hwc uint8 to the same shape and dtype."""
        first, second = rng.uniform(*self.quality), rng.uniform(*self.quality)
        down, across = (int(shift) for shift in rng.integers(0, 8, 2))
        twice = rng.random() < self.twice_prob
        if rng.random() < self.plain_prob:
            return rgb_hwc
        grey = is_grey(rgb_hwc)
        stored = jpeg(rgb_hwc, round(second), grey)
        if not twice:
            return stored
        # Cropped since: the second grid of blocks begins elsewhere.
        moved = cv2.copyMakeBorder(stored, down, 0, across, 0, cv2.BORDER_REFLECT_101)
        return jpeg(moved, round(first), grey)[down:, across:].copy()
