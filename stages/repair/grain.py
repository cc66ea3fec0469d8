"""The grain that filled places are given back: that of the nearest sound place, mirrored."""

from __future__ import annotations

import cv2
import numpy as np

_SIGMA_PX = 1.6
_SHARE = 0.75
"""Of the grain that is given back: what is drawn from the ends of lines keeps a part of its own."""
_STRONGEST = 2.5  # deviations: more is an edge or a thing, not grain


def grain_at(
    part: np.ndarray, mask: np.ndarray, at: tuple[np.ndarray, ...], usable: np.ndarray
) -> np.ndarray:
    """The grain that N places are given: (N, C) float32.

    ``part``: (H, W, C) float32 in [0, 255]; ``mask``: (H, W) bool, what of it is damaged. ``at``:
    rows and columns, (N,) each, that the grain comes from, ``usable``: (N,) bool, whether it does.
    """
    sound = (~mask).astype(np.float32)
    noise = (part - smooth(part, sound, _SIGMA_PX)) * sound[..., None]
    known = noise[~mask]
    if not len(known):
        return np.zeros((len(usable), part.shape[2]), np.float32)
    limit = _STRONGEST * 1.4826 * np.median(np.abs(known), axis=0)
    given = _SHARE * np.clip(noise[at], -limit, limit)
    return np.where((usable & ~mask[at])[:, None], given, 0).astype(np.float32)


def smooth(part: np.ndarray, sound: np.ndarray, sigma_px: float) -> np.ndarray:
    """The mean of the sound pixels around each, weighted by a Gaussian; 0 where there are none.
    Source: normalised convolution, Knutsson and Westin 1993."""
    total = cv2.GaussianBlur(part * sound[..., None], (0, 0), sigma_px)
    weight = cv2.GaussianBlur(sound, (0, 0), sigma_px)
    return np.asarray(total.reshape(part.shape) / np.maximum(weight, 1e-6)[..., None])


def clipped(at: tuple[np.ndarray, ...], shape_hw: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Rows and columns, moved into the picture where they lie outside."""
    return tuple(np.clip(a, 0, n - 1) for a, n in zip(at, shape_hw, strict=False))
