"""Sharpness is scikit-image's blur effect, noise is in levels of 8 bits."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
import skimage.data
from skimage.measure import blur_effect

from restore_batch.models.metrics.base import NotComputedError
from restore_batch.models.metrics.blind import noise, sharpness, sharpness_of_parts

GOOD = skimage.data.astronaut()


def test_sharpness_is_what_the_blur_effect_of_scikit_image_leaves() -> None:
    luma = cv2.cvtColor(GOOD, cv2.COLOR_RGB2GRAY)
    assert sharpness(GOOD) == pytest.approx(1 - blur_effect(luma), abs=1e-5)
    moved = cv2.blur(GOOD, (15, 1))
    luma = cv2.cvtColor(moved, cv2.COLOR_RGB2GRAY)
    assert sharpness(moved) == pytest.approx(1 - blur_effect(luma), abs=1e-5)


def test_the_more_a_picture_is_blurred_the_less_sharp_it_is() -> None:
    found = [sharpness(GOOD), *(sharpness(cv2.GaussianBlur(GOOD, (0, 0), s)) for s in (1, 2, 4))]
    assert all(sharper > softer + 0.05 for sharper, softer in pairwise(found))


def test_sixteen_bits_are_as_sharp_as_eight() -> None:
    assert sharpness(GOOD.astype(np.uint16) * 257) == pytest.approx(sharpness(GOOD), abs=2e-3)


def test_a_flat_part_does_not_count_beside_one_with_edges() -> None:
    flat = np.full_like(GOOD, 90)
    assert sharpness_of_parts([GOOD, flat]) == sharpness(GOOD)
    with pytest.raises(NotComputedError, match="no edges"):
        sharpness(flat)
    with pytest.raises(NotComputedError, match="16 px"):
        sharpness(GOOD[:15])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("sigma", [0.0, 4.0, 12.0])
def test_noise_is_told_in_levels_of_8_bits(sigma: float, dtype: type) -> None:
    rng = np.random.default_rng(0)
    ramp = np.linspace(60, 180, 256)[None, :, None] + np.zeros((255, 1, 3))
    levels = ramp + rng.normal(0, sigma, ramp.shape) if sigma else ramp.round()
    scale = np.iinfo(dtype).max / 255
    picture = np.clip(levels * scale, 0, np.iinfo(dtype).max).round().astype(dtype)
    assert noise(picture) == pytest.approx(sigma, rel=0.1, abs=0.1)


def test_a_picture_of_one_pixel_has_no_noise() -> None:
    assert noise(np.zeros((1, 1, 3), np.uint8)) == 0.0
