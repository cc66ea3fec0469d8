"""A result that was made from a picture must show the same when it is as small again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from restore_batch.models.metrics.base import NotComputedError
from restore_batch.models.metrics.consistency import downscaling_mse, is_consistent
from restore_batch.models.nets.bicubic import BicubicDownsample


def smooth(side_px: int, period_px: float) -> np.ndarray:
    y, x = np.mgrid[:side_px, :side_px]
    wave = 127 + 90 * np.sin(x / period_px) * np.cos(y / period_px)
    return np.repeat(np.rint(wave).astype(np.uint8)[..., None], 3, axis=2)


def test_a_picture_and_what_pulse_makes_small_of_it_are_consistent() -> None:
    large = smooth(128, 20)
    tensor = torch.from_numpy(large.transpose(2, 0, 1).astype(np.float32))[None]
    small = BicubicDownsample(4)(tensor)[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()
    assert downscaling_mse(large, small) < (1 / 255) ** 2
    assert is_consistent(large, small) == 1


def test_another_picture_is_not() -> None:
    assert is_consistent(255 - smooth(128, 20), smooth(32, 5)) == 0


def test_where_the_factor_is_not_whole_areas_are_compared() -> None:
    large = smooth(90, 20)
    small = cv2.resize(large, (60, 60), interpolation=cv2.INTER_AREA)
    assert downscaling_mse(large, small) < (1 / 255) ** 2


def test_a_result_smaller_than_its_original_has_no_score() -> None:
    with pytest.raises(NotComputedError, match="smaller"):
        downscaling_mse(smooth(16, 5), smooth(32, 5))
