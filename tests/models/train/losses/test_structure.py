"""Structural similarity against hand-worked values, scipy and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage import metrics  # which loads scipy.stats once it is asked

from restore_batch.models.train.losses.structure import SCALE_WEIGHTS, ms_ssim, ms_ssim_loss, ssim


def _pair(side: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture and a noisy one, chw float64 in [0, 1]."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.random((3, side, side)), (0, 4, 4))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return smooth, np.clip(smooth + rng.normal(0, noise, smooth.shape), 0, 1)


def _tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(array)[None].float() for array in arrays]


def _means(picture: np.ndarray) -> np.ndarray:
    """Gaussian means of the windows inside one channel."""
    return gaussian_filter(picture, 1.5, truncate=3.5)[5:-5, 5:-5]


def _by_scipy(x: np.ndarray, y: np.ndarray) -> float:
    products = []
    for a, b in zip(x, y, strict=True):
        product = 1.0
        for scale, weight in enumerate(SCALE_WEIGHTS):
            if scale:
                a, b = (p.reshape(len(p) // 2, 2, -1, 2).mean((1, 3)) for p in (a, b))  # noqa: PLW2901
            mean_a, mean_b = _means(a), _means(b)
            spread = _means(a * a) - mean_a**2 + _means(b * b) - mean_b**2
            shared = _means(a * b) - mean_a * mean_b
            product *= ((2 * shared + 9e-4) / (spread + 9e-4)).mean() ** weight
        luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
        products.append(product * luminance.mean() ** SCALE_WEIGHTS[-1])
    return float(np.mean(products))


def test_flat_pictures_differ_in_luminance_alone() -> None:
    x, y = torch.full((1, 1, 176, 176), 0.5), torch.full((1, 1, 176, 176), 0.25)
    luminance = (2 * 0.5 * 0.25 + 1e-4) / (0.25 + 0.0625 + 1e-4)
    assert ssim(x, y, 1.0).item() == pytest.approx(luminance, abs=1e-4)
    assert ms_ssim(x, y, 1.0).item() == pytest.approx(luminance**0.1333, abs=1e-4)


@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_ssim_is_scikit_images(noise: float) -> None:
    x, y = _pair(64, noise)
    witness = metrics.structural_similarity(
        x, y, data_range=1.0, channel_axis=0, gaussian_weights=True, use_sample_covariance=False
    )
    assert ssim(*_tensors(x, y), 1.0).item() == pytest.approx(witness, abs=1e-5)


@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_ms_ssim_is_that_of_its_equation_computed_by_scipy(noise: float) -> None:
    x, y = _pair(192, noise)
    assert ms_ssim(*_tensors(x, y), 1.0).item() == pytest.approx(_by_scipy(x, y), abs=1e-5)


def test_the_range_scales_with_the_pictures() -> None:
    x, y = _tensors(*_pair(192, 0.1))
    assert ms_ssim(255 * x, 255 * y, 255.0).item() == pytest.approx(ms_ssim(x, y, 1.0).item())


def test_the_loss_is_zero_for_equal_pictures_and_grows_with_noise() -> None:
    losses = [ms_ssim_loss(*_tensors(*_pair(176, noise)), 1.0).item() for noise in (0, 0.05, 0.2)]
    assert losses[0] == pytest.approx(0, abs=1e-6)
    assert losses[0] < losses[1] < losses[2] < 1


@settings(max_examples=10)
@given(seed=st.integers(0, 999), inverted=st.booleans())
def test_the_slope_is_finite_also_for_opposite_structure(seed: int, inverted: bool) -> None:
    (x, y) = _tensors(*_pair(176, 0.1, seed))
    if inverted:
        y = 1 - y
    x.requires_grad_()
    loss = ms_ssim_loss(x, y, 1.0)
    loss.backward()
    assert 0 <= loss.item() < 1
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_pictures_smaller_than_the_windows_are_refused() -> None:
    small = torch.zeros(1, 3, 175, 400)
    with pytest.raises(ValueError, match="at least 176 px"):
        ms_ssim(small, small, 1.0)
    with pytest.raises(ValueError, match="at least 11 px"):
        ssim(small[..., :10], small[..., :10], 1.0)
    with pytest.raises(ValueError, match="one shape"):
        ms_ssim(torch.zeros(1, 3, 176, 176), torch.zeros(1, 1, 176, 176), 1.0)


def test_autocast_does_not_coarsen_it() -> None:
    x, y = _tensors(*_pair(176, 0.02))
    with torch.autocast("cpu", torch.bfloat16):
        cast = ms_ssim(x, y, 1.0)
    assert cast.item() == pytest.approx(ms_ssim(x, y, 1.0).item(), abs=1e-6)
