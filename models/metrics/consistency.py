"""Downscaling consistency: made as small as what it came from, does a result show the same?

Source: Menon et al. 2020 (PULSE, arXiv:2003.03808), section 3: a picture counts as found when its
downscaled form is within a mean squared error of 2e-3 of the given one, samples in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

from restore_batch.models.metrics.base import NotComputedError
from restore_batch.models.metrics.fidelity import planes
from restore_batch.models.nets.bicubic import BicubicDownsample

EPS = 2e-3
"""PULSE's: at most so far apart counts as consistent."""


def downscaling_mse(result: np.ndarray, original: np.ndarray) -> float:
    """Mean squared error of the result, reduced to the original's size, samples in [0, 1].

    Reduced bicubically as PULSE does it where it is by a whole factor, by area elsewhere. Both
    (H, W, 3) RGB uint8 or uint16. Raises NotComputedError where the result is the smaller one.
    """
    height, width = original.shape[:2]
    if result.shape[0] < height or result.shape[1] < width:
        raise NotComputedError("is smaller than its original")
    errors = []
    with torch.inference_mode():
        for x, y in zip(planes(result), planes(original), strict=True):
            small = _reduced(x, width, height)
            errors.append(float((small - y).div(255).square().mean()))
    return float(np.mean(errors))


def is_consistent(result: np.ndarray, original: np.ndarray) -> float:
    """1 where :func:`downscaling_mse` is at most :data:`EPS`, else 0: its mean is a share."""
    return float(downscaling_mse(result, original) <= EPS)


def _reduced(plane: torch.Tensor, width: int, height: int) -> torch.Tensor:
    factor = plane.shape[-1] // width
    if plane.shape[-2:] == (height, width):
        return plane
    if plane.shape[-2:] == (factor * height, factor * width):
        try:
            return BicubicDownsample(factor)(plane.float())
        except ValueError:  # smaller than the kernel
            pass
    small = cv2.resize(plane[0, 0].numpy(), (width, height), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small)[None, None]
