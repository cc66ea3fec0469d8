"""Fidelity agrees with other implementations, by the conventions that it states."""

from __future__ import annotations

import math

import cv2
import numpy as np
import piq
import pytest
import torch
from skimage import metrics  # which loads scipy.stats once it is asked

from restore_batch.models.metrics import fidelity
from restore_batch.models.metrics.base import NotComputedError

from support.data import evaluation_pictures


def noisy(true: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(7).normal(0, sigma, true.shape)
    return np.clip(np.rint(true + noise), 0, 255).astype(np.uint8)


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    channels = [127 + 100 * np.sin(x / (9 + c)) * np.cos(y / (13 - c)) for c in range(3)]
    return np.rint(np.stack(channels, axis=2)).astype(np.uint8)


def agree_with_scikit_image(restored: np.ndarray, true: np.ndarray) -> None:
    assert fidelity.psnr_db(restored, true) == pytest.approx(
        metrics.peak_signal_noise_ratio(true, restored, data_range=255), abs=1e-4
    )
    wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    assert fidelity.ssim(restored, true) == pytest.approx(
        metrics.structural_similarity(true, restored, data_range=255, channel_axis=2, **wang),
        abs=1e-4,
    )
    ys = [fidelity.luma(picture)[0, 0].double().numpy() for picture in (true, restored)]
    assert fidelity.psnr_y_db(restored, true) == pytest.approx(
        metrics.peak_signal_noise_ratio(*ys, data_range=255), abs=1e-4
    )
    assert fidelity.ssim_y(restored, true) == pytest.approx(
        metrics.structural_similarity(*ys, data_range=255, **wang), abs=1e-4
    )


def ms_ssim_of_piq(restored: np.ndarray, true: np.ndarray) -> float:
    x, y = (torch.from_numpy(p.transpose(2, 0, 1).copy())[None].double() for p in (restored, true))
    return float(piq.multi_scale_ssim(x, y, data_range=255.0))


@pytest.mark.parametrize("sigma", [2.0, 25.0])
def test_psnr_and_ssim_are_those_of_scikit_image(sigma: float) -> None:
    true = smooth(61, 83)
    agree_with_scikit_image(noisy(true, sigma), true)


@pytest.mark.parametrize("sigma", [2.0, 25.0])
def test_ms_ssim_is_that_of_piq(sigma: float) -> None:
    true = smooth(176, 192)
    bad = noisy(true, sigma)
    assert fidelity.ms_ssim(bad, true) == pytest.approx(ms_ssim_of_piq(bad, true), abs=1e-4)


@pytest.mark.parametrize("part", ["faces", "scenes"])
def test_on_real_pictures_too(part: str) -> None:
    for path in evaluation_pictures(part)[:2]:
        true = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
        bad = noisy(true, 12.0)
        agree_with_scikit_image(bad, true)
        # Of sides that are no multiple of 16, piq counts some samples at the border twice.
        bad, true = (picture[:192, -256:] for picture in (bad, true))
        assert fidelity.ms_ssim(bad, true) == pytest.approx(ms_ssim_of_piq(bad, true), abs=1e-4)


def test_luma_is_that_of_matlab() -> None:
    # rgb2ycbcr([0 0 0]), ([255 255 255]) and ([255 0 0]) as MATLAB documents them.
    picture = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)
    assert fidelity.luma(picture).flatten().tolist() == pytest.approx([16, 235, 81.481], abs=1e-3)


def test_sixteen_bits_are_compared_with_eight_in_one_range() -> None:
    true = smooth(48, 48)
    wide = true.astype(np.uint16) * 257
    assert fidelity.psnr_db(wide, true) == pytest.approx(fidelity.MOST_DB, abs=1e-2)
    assert fidelity.psnr_db(wide + 128, wide) == pytest.approx(
        20 * math.log10(255 / (128 / 257)), abs=1e-3
    )


def test_a_picture_smaller_than_the_windows_is_not_scored() -> None:
    tiny = smooth(10, 200)
    with pytest.raises(NotComputedError, match="at least 11 px"):
        fidelity.ssim(tiny, tiny)
    with pytest.raises(NotComputedError, match="at least 176 px"):
        fidelity.ms_ssim(smooth(175, 400), smooth(175, 400))
    assert fidelity.fidelity(tiny, tiny).keys() == {"psnr_db", "gradient_error"}


def test_pictures_of_two_sizes_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="one shape"):
        fidelity.psnr_db(smooth(20, 20), smooth(20, 21))
