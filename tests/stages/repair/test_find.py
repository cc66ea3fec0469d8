"""Damage is found at several sizes, in tiles that leave no trace."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from restore_batch.stages.repair.find import TILE_PX, Certainty, find_damage, with_likely

from support.damage_finders import Brightness

CERTAIN = Certainty(sure=0.9, likely=0.5)


def starry(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    picture = np.full((height, width, 3), 60, np.uint8)
    for _ in range(60):
        at = tuple(int(v) for v in rng.uniform(0, 1, 2) * (width, height))
        cv2.circle(picture, at, int(rng.integers(1, 5)), (255, 255, 255), -1, cv2.LINE_AA)
    return picture


@pytest.mark.parametrize("size", [(300, 500), (TILE_PX + 1, 2 * TILE_PX + 30), (40, 1500)])
def test_tiles_find_what_one_look_finds(size: tuple[int, int]) -> None:
    picture = starry(*size)
    finder = Brightness(reach_px=16)
    whole = with_likely(finder(picture), CERTAIN)
    found = find_damage(picture, finder, CERTAIN)
    assert whole.any()
    # Looks at smaller copies may add to it, and must not take away.
    assert not (whole & ~found).any()
    if max(size) < 1000:
        np.testing.assert_array_equal(found, whole)


def test_several_tiles_at_once_find_the_same() -> None:
    picture = starry(900, 1500)
    finder = Brightness(reach_px=16)
    with ThreadPoolExecutor(3) as pool:
        found = find_damage(picture, finder, CERTAIN, pool.map)
    np.testing.assert_array_equal(found, find_damage(picture, finder, CERTAIN))


def test_sixteen_bits_are_looked_at_as_eight() -> None:
    picture = starry(200, 300)
    finder = Brightness(reach_px=16)
    np.testing.assert_array_equal(
        find_damage(picture.astype(np.uint16) * 257, finder, CERTAIN),
        find_damage(picture, finder, CERTAIN),
    )


def test_what_is_broader_than_the_finder_knows_is_found_on_a_smaller_copy() -> None:
    class Thin(Brightness):
        def __call__(self, rgb_hwc: np.ndarray) -> np.ndarray:
            bright = (super().__call__(rgb_hwc) > 0.9).astype(np.uint8)
            opened = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((8, 8), np.uint8))
            return (bright & ~opened).astype(np.float32)

    picture = np.full((1700, 1700, 3), 50, np.uint8)
    picture[:, 800:812] = 255
    found = find_damage(picture, Thin(reach_px=16), CERTAIN)
    assert found[:, 802:810].mean() > 0.95
    assert not found[:, :780].any()


def test_the_likely_counts_only_where_it_touches_the_sure() -> None:
    expected = np.zeros((20, 40), np.float32)
    expected[5, 2:20] = 0.6
    expected[5, 10] = 0.95
    expected[15, 2:20] = 0.6
    found = with_likely(expected, CERTAIN)
    assert found[5, 2:20].all()
    assert not found[15].any()
    assert found.sum() == 18


def test_a_sound_picture_has_no_damage() -> None:
    assert not with_likely(np.full((9, 9), 0.8, np.float32), CERTAIN).any()
    assert not find_damage(np.full((50, 60, 3), 90, np.uint8), Brightness(16), CERTAIN).any()
