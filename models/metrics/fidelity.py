"""Fidelity: how far a picture is from the true one, in its samples, edges and structure.

All take two pictures of one size, (H, W, 3) RGB uint8 or uint16, in [0, 255] where 16 bits are
divided by 257. Channels are looked at one after the other, so that a large picture costs the memory
of one of them; nothing is cut off at the borders.

Sources: Wang et al. 2004 (SSIM), Wang et al. 2003 (MS-SSIM), see
:mod:`restore_batch.models.train.losses.structure`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch

from restore_batch.models.metrics.base import NotComputedError
from restore_batch.models.train.losses import pixel, structure

PEAK = 255.0
MOST_DB = 148.13
"""PSNR of equal pictures: that of a mean squared error of 1e-10."""
_LEAST_MSE = 1e-10
_LUMA_601 = np.array([65.481, 128.553, 24.966]) / 255
"""ITU-R BT.601 in studio range: black is 16, white 235."""

Plane = torch.Tensor
"""(1, 1, H, W) float64 in [0, 255]: variances are differences of large numbers."""


def planes(picture: np.ndarray) -> Iterator[Plane]:
    """The channels of a picture, (H, W, C) uint8 or uint16, one after the other."""
    for channel in range(picture.shape[2]):
        samples = picture[..., channel].astype(np.float64)
        if picture.dtype == np.uint16:
            samples /= 257
        yield torch.from_numpy(np.ascontiguousarray(samples))[None, None]


def luma(picture: np.ndarray) -> Plane:
    """Y as in MATLAB's ``rgb2ycbcr``, in [16, 235], not rounded."""
    scale = 257.0 if picture.dtype == np.uint16 else 1.0
    return torch.from_numpy(picture.astype(np.float64) @ (_LUMA_601 / scale) + 16)[None, None]


def mse(restored: np.ndarray, true: np.ndarray) -> float:
    """Mean squared error of all samples, of 255²."""
    return float(np.mean([_mse(x, y) for x, y in _pairs(restored, true)]))


def psnr_db(restored: np.ndarray, true: np.ndarray) -> float:
    """Peak signal-to-noise ratio over all samples of R, G and B."""
    return _in_db(mse(restored, true))


def psnr_y_db(restored: np.ndarray, true: np.ndarray) -> float:
    """PSNR of Y with a peak of 255, as papers on enlarging give it."""
    return _in_db(_mse(luma(restored), luma(true)))


def ssim(restored: np.ndarray, true: np.ndarray) -> float:
    """Mean over the channels of :func:`restore_batch.models.train.losses.structure.ssim`."""
    _expect(restored, structure.WINDOW_PX)
    return _mean(lambda x, y: structure.ssim(x, y, PEAK), restored, true)


def ssim_y(restored: np.ndarray, true: np.ndarray) -> float:
    """SSIM of Y with a range of 255."""
    _expect(restored, structure.WINDOW_PX)
    return float(structure.ssim(luma(restored), luma(true), PEAK))


def ms_ssim(restored: np.ndarray, true: np.ndarray) -> float:
    """Mean over the channels of :func:`restore_batch.models.train.losses.structure.ms_ssim`."""
    _expect(restored, structure.WINDOW_PX << 4)
    return _mean(lambda x, y: structure.ms_ssim(x, y, PEAK), restored, true)


def gradient_error(restored: np.ndarray, true: np.ndarray) -> float:
    """Mean difference of neighbours' differences, along rows plus along columns, of 255."""
    return _mean(pixel.gradient, restored, true)


def fidelity(restored: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """``psnr_db``, ``gradient_error`` and, of pictures large enough, ``ms_ssim``."""
    scores = {
        "psnr_db": psnr_db(restored, true),
        "gradient_error": gradient_error(restored, true),
    }
    if min(restored.shape[:2]) >= structure.WINDOW_PX << 4:
        scores["ms_ssim"] = ms_ssim(restored, true)
    return scores


def _mean(
    score: Callable[[Plane, Plane], torch.Tensor], restored: np.ndarray, true: np.ndarray
) -> float:
    with torch.inference_mode():
        return float(np.mean([float(score(x, y)) for x, y in _pairs(restored, true)]))


def _pairs(restored: np.ndarray, true: np.ndarray) -> Iterator[tuple[Plane, Plane]]:
    if restored.shape != true.shape or restored.ndim != 3:
        raise ValueError(f"expected two (H, W, C) of one shape: {restored.shape}, {true.shape}")
    return zip(planes(restored), planes(true), strict=True)


def _mse(x: Plane, y: Plane) -> float:
    return float((x - y).square().mean())


def _in_db(mean_square: float) -> float:
    return 10 * math.log10(PEAK**2 / max(mean_square, _LEAST_MSE))


def _expect(picture: np.ndarray, least_px: int) -> None:
    if min(picture.shape[:2]) < least_px:
        raise NotComputedError(f"needs at least {least_px} px a side")
