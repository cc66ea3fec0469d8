"""Grain: clumps of silver or dye, whose size and strength depend on film and brightness."""

from __future__ import annotations

import cv2
import numpy as np

from restore_batch.models.base import Options
from restore_batch.models.train.data.degrade import Share, Span
from restore_batch.models.train.data.old_scan.layer import cloud

_KNOTS = 5


class Grain(Options):
    """``sigma``: deviation of the strongest tone, of 255; ``size_px``: of the clumps (twice the
    sigma of the Gaussian that makes them); ``coarse_prob``: share in which a second, coarser layer
    lies over the first; ``coloured_prob``: share of colour pictures in which the channels' grain
    differs, as that of dye layers does; ``patchy_prob``: share in which it is stronger here and
    weaker there."""

    sigma: Span = (0.0, 28.0)
    size_px: Span = (0.6, 2.6)
    coarse_prob: Share = 0.2
    coloured_prob: Share = 0.4
    patchy_prob: Share = 0.3

    def __call__(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(H, W, 3) float32 in [0, 255] to the same with grain, not clipped. On a grey picture it
        is grey."""
        shape_hw = (picture.shape[0], picture.shape[1])
        grey = bool((picture == picture[..., :1]).all())
        # Most film is fine: strong grain is the exception.
        weakest, strongest = self.sigma
        sigma = weakest + (strongest - weakest) * rng.random() ** 1.5
        size_px = rng.uniform(*self.size_px)
        coloured = rng.random() < self.coloured_prob and not grey
        shared = rng.uniform(0, 0.9) if coloured else 1.0
        noise = np.sqrt(np.float32(shared)) * _clumps(rng, (*shape_hw, 1), size_px)
        if coloured:
            own = _clumps(rng, (*shape_hw, 3), size_px * rng.uniform(0.7, 1.4))
            noise = noise + np.sqrt(np.float32(1 - shared)) * own * rng.uniform(0.6, 1.4, 3)
        if rng.random() < self.coarse_prob:
            coarse = _clumps(rng, (*shape_hw, 1), size_px * rng.uniform(1.5, 2.5))
            noise = noise + np.float32(rng.uniform(0.2, 0.5)) * coarse
        strength = _by_tone(picture, rng)
        if rng.random() < self.patchy_prob:
            strength = strength * np.clip(1 + 0.25 * cloud(rng, shape_hw, 120.0), 0.3, 1.8)
        grained = picture + np.float32(sigma) * strength[..., None] * noise
        return grained.astype(np.float32, copy=False)


def _clumps(
    rng: np.random.Generator, shape_hwc: tuple[int, int, int], size_px: float
) -> np.ndarray:
    """Noise of deviation 1 whose clumps are about ``size_px`` wide."""
    noise = rng.standard_normal(shape_hwc, np.float32)
    sigma_px = size_px / 2
    if sigma_px <= 0.3:
        return noise
    blurred = cv2.GaussianBlur(noise, (0, 0), sigma_px).reshape(shape_hwc)
    return (blurred / max(float(blurred.std()), 1e-6)).astype(np.float32)


def _by_tone(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strength of the grain at each pixel, at most 1: a random curve over brightness that is
    highest in the middle or towards one end, as film, print and scanner have it."""
    tones = np.linspace(0, 255, _KNOTS)
    peak, width = rng.uniform(0.15, 0.85), rng.uniform(0.25, 0.8)
    curve = np.exp(-(((tones / 255 - peak) / width) ** 2)) * rng.uniform(0.85, 1.15, _KNOTS)
    floor = rng.uniform(0.05, 0.5)
    curve = np.clip(floor + (1 - floor) * curve, 0, 1)
    luma = np.clip(picture.mean(2), 0, 255)
    # The clumps themselves follow the picture under them, not its finest detail.
    luma = cv2.GaussianBlur(luma.astype(np.float32), (0, 0), 1.0)
    return np.interp(luma, tones, curve).astype(np.float32)
