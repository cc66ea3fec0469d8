"""Damage is filled from what is around it, and nothing else is touched."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from restore_batch.stages.repair.fill import fill


def line(
    shape_hw: tuple[int, int], start: tuple[int, int], end: tuple[int, int], width: int
) -> np.ndarray:
    drawn = np.zeros(shape_hw, np.uint8)
    cv2.line(drawn, start, end, 1, width)
    return drawn.astype(bool)


def ramp(height: int, width: int, peak: int, dtype: type) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    levels = np.stack([x / width, y / height, (x + y) / (width + height)], axis=2)
    return np.rint(levels * peak).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_nothing_outside_of_the_mask_changes(dtype: type) -> None:
    picture = np.random.default_rng(5).integers(0, np.iinfo(dtype).max, (200, 300, 3), dtype)
    mask = line((200, 300), (10, 0), (250, 199), 4)
    filled = fill(picture, mask, mask, 16)
    assert filled.dtype == dtype
    np.testing.assert_array_equal(filled[~mask], picture[~mask])
    assert (filled[mask] != picture[mask]).any()


def test_several_blocks_at_once_are_filled_alike() -> None:
    picture = np.random.default_rng(6).integers(0, 255, (600, 700, 3), np.uint8)
    mask = line((600, 700), (0, 0), (699, 599), 4) | line((600, 700), (0, 599), (699, 0), 3)
    alone = fill(picture, mask, mask, 16)
    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal(fill(picture, mask, mask, 16, pool.map), alone)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_scratch_across_smooth_tones_is_gone(dtype: type) -> None:
    peak = int(np.iinfo(dtype).max)
    good = ramp(200, 300, peak, dtype)
    mask = line((200, 300), (0, 30), (299, 160), 5)
    bad = good.copy()
    bad[mask] = peak
    filled = fill(bad, mask, mask, 16)
    assert np.abs(filled.astype(np.int64) - good).max() <= 0.03 * peak


@pytest.mark.parametrize("angle", [0, 30, 45, 60, 90])
def test_an_edge_is_drawn_through_a_scratch_that_crosses_it(angle: int) -> None:
    y, x = np.mgrid[0:120, 0:120] - 60.0
    along = np.cos(np.radians(angle)) * x + np.sin(np.radians(angle)) * y
    good = np.repeat(np.where(along > 0, 200, 40).astype(np.uint8)[..., None], 3, axis=2)
    mask = np.abs(x if angle > 45 else y) <= 3
    bad = good.copy()
    bad[mask] = 255
    filled = fill(bad, mask, mask, 20)
    wrong = np.abs(filled.astype(int) - good).max(axis=2) > 60
    # An edge may lie a pixel off, but must not be a blur as wide as the scratch.
    assert wrong.sum() <= 3 * 7


def test_grain_goes_on_where_a_scratch_was() -> None:
    sigma = 9.0
    good = 128 + np.random.default_rng(5).normal(0, sigma, (300, 300, 1))
    picture = np.repeat(np.rint(np.clip(good, 0, 255)).astype(np.uint8), 3, axis=2)
    mask = line((300, 300), (0, 150), (299, 150), 6)
    bad = picture.copy()
    bad[mask] = 255
    filled = fill(bad, mask, mask, 16)[..., 0][mask].astype(float)
    assert abs(filled.mean() - 128) < 2
    assert 0.5 * sigma < filled.std() < 1.2 * sigma


def test_clean_surroundings_get_no_grain() -> None:
    picture = np.full((100, 100, 3), 90, np.uint8)
    mask = line((100, 100), (0, 0), (99, 99), 3)
    bad = picture.copy()
    bad[mask] = 0
    np.testing.assert_array_equal(fill(bad, mask, mask, 16), picture)


def test_damage_that_is_left_is_not_drawn_from() -> None:
    picture = np.full((100, 100, 3), 90, np.uint8)
    left = np.zeros((100, 100), bool)
    left[40:70, 40:70] = True
    thin = np.zeros((100, 100), bool)
    thin[55:57, 5:40] = True
    picture[left | thin] = 255
    filled = fill(picture, thin, thin | left, 16)
    assert (filled[thin] == 90).all()
    assert (filled[left] == 255).all()


def test_blocks_leave_no_seam() -> None:
    good = ramp(600, 600, 255, np.uint8)
    mask = line((600, 600), (0, 256), (599, 256), 5) | line((600, 600), (256, 0), (256, 599), 5)
    bad = good.copy()
    bad[mask] = 255
    filled = fill(bad, mask, mask, 16)
    assert np.abs(filled.astype(int) - good).max() <= 6


def test_a_picture_that_is_all_damage_is_no_error() -> None:
    picture = np.full((20, 20, 3), 7, np.uint8)
    mask = np.ones((20, 20), bool)
    assert fill(picture, mask, mask, 8).shape == picture.shape
