"""What a picture says of itself: how sharp it is, and how noisy.

Sources: Crété-Roffet et al. 2007, "The Blur Effect: Perception and Estimation with a New
No-Reference Perceptual Blur Metric" (SPIE 6492), as scikit-image computes it; Donoho and Johnstone
1994, "Ideal Spatial Adaptation by Wavelet Shrinkage", section 4.2, for the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import cv2
import numpy as np

from restore_batch.models.metrics.base import NotComputedError

SMALLEST_PX = 16
_BLUR_PX = 11


def sharpness(picture: np.ndarray) -> float:
    """How much of the edges of (H, W, 3) RGB uint8 or uint16 a blur of 11 px takes away, in [0, 1]:
    the more, the sharper they are. Grain has edges, too. Raises NotComputedError for a picture
    that is flat or has less than 16 px a side.
    """
    return sharpness_of_parts([picture])


def sharpness_of_parts(parts: Sequence[np.ndarray]) -> float:
    """The same of several parts of a picture as of one."""
    if min(min(part.shape[:2]) for part in parts) < SMALLEST_PX:
        raise NotComputedError(f"needs at least {SMALLEST_PX} px a side")
    edges, taken = np.sum([_edges(_luma(part)) for part in parts], axis=0)
    if not edges.any():
        raise NotComputedError("has no edges")
    # Blurred along one axis alone, as by motion, it is blurred.
    return float(min(t / e for t, e in zip(taken, edges, strict=True) if e))


def noise(picture: np.ndarray) -> float:
    """Standard deviation of the finest noise of (H, W, 3) RGB uint8 or uint16, in levels of 8 bits.
    A picture that was saved as JPEG, or enlarged, shows less than it has."""
    return noise_of_parts([picture])


def noise_of_parts(parts: Sequence[np.ndarray]) -> float:
    """The same of several parts of a picture as of one."""
    finest = np.abs(np.concatenate([_diagonal(part) for part in parts]))
    if not finest.size:
        return 0.0
    # Samples are whole levels: of a weak noise many are equal to the median, so that the share of
    # those up to it says more than the median alone.
    middle = float(np.median(finest))
    within = float((finest <= middle).mean())
    if within == 1:
        return 0.0
    step = 0.5 / (257 if parts[0].dtype == np.uint16 else 1)
    return (middle + step / 2) / NormalDist().inv_cdf((1 + within) / 2)


def _luma(rgb_hwc: np.ndarray) -> np.ndarray:
    """(H, W) float32 in levels of 8 bits."""
    luma = np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb_hwc), cv2.COLOR_RGB2GRAY), np.float32)
    return luma / np.float32(257) if rgb_hwc.dtype == np.uint16 else luma


def _edges(luma: np.ndarray) -> np.ndarray:
    """(2, 2) float64: what all edges come to, and what of it a blur takes; across and down."""
    inner = (slice(2, -1), slice(2, -1))
    found = []
    for across, down, window in ((1, 0, (_BLUR_PX, 1)), (0, 1, (1, _BLUR_PX))):
        blurred = cv2.blur(luma, window, borderType=cv2.BORDER_REFLECT)
        # In place: fetching fresh memory takes longer than the arithmetic.
        before, after = (
            cv2.Sobel(each, cv2.CV_32F, across, down, borderType=cv2.BORDER_REFLECT)
            for each in (luma, blurred)
        )
        for each in (before, after):
            np.abs(each, out=each)
        taken = np.maximum(np.subtract(before, after, out=after), 0, out=after)
        found.append([cv2.sumElems(each[inner])[0] for each in (before, taken)])
    return np.array(found).T


def _diagonal(rgb_hwc: np.ndarray) -> np.ndarray:
    """The finest diagonal coefficients of Haar's wavelet: (N,) float32, of green."""
    height, width = (side & ~1 for side in rgb_hwc.shape[:2])
    green = rgb_hwc[:height, :width, 1].astype(np.float32)
    if rgb_hwc.dtype == np.uint16:
        green /= np.float32(257)
    a, b = green[0::2, 0::2], green[0::2, 1::2]
    c, d = green[1::2, 0::2], green[1::2, 1::2]
    return np.asarray((a - b - c + d) / 2).ravel()
