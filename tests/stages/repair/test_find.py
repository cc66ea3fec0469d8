"""Damage is found at several sizes, in tiles that leave no trace."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from restore_batch.stages.repair import find
from restore_batch.stages.repair.find import TILE_PX, Certainty, enough, find_damage, levels_of

from support.damage_finders import Brightness

ANY_MARK = Certainty(pixel=0.5, sure=-3.0, false_share=0.0)


def starry(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    picture = np.full((height, width, 3), 60, np.uint8)
    for _ in range(60):
        at = tuple(int(v) for v in rng.uniform(0, 1, 2) * (width, height))
        cv2.circle(picture, at, int(rng.integers(1, 5)), (255, 255, 255), -1, cv2.LINE_AA)
    return picture


class Folding(Brightness):
    """Sees a star only in the first half of each 32 pixels, as a network that halves might."""

    def __call__(self, rgb_hwc: np.ndarray) -> np.ndarray:
        seen = super().__call__(rgb_hwc)
        rows, columns = (np.arange(length) % 32 < 16 for length in seen.shape)
        return seen * (rows[:, None] & columns)


@pytest.mark.parametrize("kind", [Brightness, Folding])
@pytest.mark.parametrize("size", [(300, 500), (TILE_PX + 1, 2 * TILE_PX + 30), (40, 1500)])
def test_tiles_find_what_one_look_finds(
    size: tuple[int, int], kind: type[Brightness], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = starry(*size)
    finder = kind(reach_px=60)
    found = find_damage(picture, finder, ANY_MARK)
    assert found.any()
    monkeypatch.setattr(find, "TILE_PX", 4000)
    np.testing.assert_array_equal(found, find_damage(picture, finder, ANY_MARK))


def test_several_tiles_at_once_find_the_same() -> None:
    picture = starry(900, 1500)
    finder = Brightness(reach_px=16)
    with ThreadPoolExecutor(3) as pool:
        found = find_damage(picture, finder, ANY_MARK, pool.map)
    np.testing.assert_array_equal(found, find_damage(picture, finder, ANY_MARK))


def test_sixteen_bits_are_looked_at_as_eight() -> None:
    picture = starry(200, 300)
    finder = Brightness(reach_px=16)
    np.testing.assert_array_equal(
        find_damage(picture.astype(np.uint16) * 257, finder, ANY_MARK),
        find_damage(picture, finder, ANY_MARK),
    )


def test_what_is_broader_than_the_finder_knows_is_found_on_a_smaller_copy() -> None:
    class Thin(Brightness):
        def __call__(self, rgb_hwc: np.ndarray) -> np.ndarray:
            bright = (super().__call__(rgb_hwc) > 0.9).astype(np.uint8)
            opened = cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((8, 8), np.uint8))
            return (bright & ~opened).astype(np.float32)

    picture = np.full((1700, 1700, 3), 50, np.uint8)
    picture[:, 800:812] = 255
    found = find_damage(picture, Thin(reach_px=16), ANY_MARK)
    assert found[:, 802:810].mean() > 0.95
    assert not found[:, :780].any()


def test_a_small_picture_is_looked_at_enlarged_and_its_mask_has_its_own_size() -> None:
    class Noting(Brightness):
        def __call__(self, rgb_hwc: np.ndarray) -> np.ndarray:
            self.seen_hw = rgb_hwc.shape[:2]
            return super().__call__(rgb_hwc)

    finder = Noting()
    picture = starry(200, 300)
    found = find_damage(picture, finder, ANY_MARK)
    assert finder.seen_hw == (300, 450)
    assert found.shape == (200, 300)
    assert (found == (picture[..., 0] > 228)).mean() > 0.99


def test_good_odds_are_enough_in_any_picture_and_lesser_ones_are_not() -> None:
    few = levels_of(np.array([0.4, -1.0, -2.0, 1.5]))
    level = enough(few, 1_000_000, Certainty(sure=0.7, false_share=0.3))
    assert (few >= level).tolist() == [False, False, False, True]


def test_where_many_marks_have_good_odds_lesser_ones_are_taken_too() -> None:
    odds = np.concatenate([np.full(80, 0.5), np.full(300, -1.0), np.full(300, -2.9)])
    level = enough(levels_of(odds), 1_000_000, Certainty(sure=0.7, false_share=0.3))
    taken = levels_of(odds) >= level
    assert taken[:380].all() and not taken[380:].any()
    # The same marks on a picture thirty times as large are what chance gives.
    assert not (levels_of(odds) >= enough(levels_of(odds), 30_000_000, Certainty())).any()


def test_nothing_but_sure_marks_is_taken_where_no_share_may_be_false() -> None:
    levels = levels_of(np.full(5000, 0.5))
    assert not (levels >= enough(levels, 1_000_000, Certainty(sure=0.7, false_share=0))).any()


def test_a_sound_picture_has_no_damage() -> None:
    assert not find_damage(np.full((50, 60, 3), 90, np.uint8), Brightness(16), ANY_MARK).any()


@pytest.mark.parametrize(("coat", "button"), [(2, 220), (253, 40)])
def test_what_lies_where_a_copy_has_no_tones_is_no_damage_however_sure_the_finder_is(
    coat: int, button: int
) -> None:
    picture = np.full((300, 400, 3), coat, np.uint8)
    picture[:, 200:] = 120  # a wall beside it, as spotted
    for top in range(40, 260, 40):
        for left in (100, 300):
            cv2.circle(picture, (left, top), 4, [button] * 3, -1, cv2.LINE_AA)

    class Spots(Brightness):
        def __call__(self, rgb_hwc: np.ndarray) -> np.ndarray:
            return (np.abs(rgb_hwc[..., 0].astype(int) - button) < 60).astype(np.float32)

    found = find_damage(picture, Spots(reach_px=16), ANY_MARK)
    assert not found[:, :200].any()
    assert found[:, 200:].any()
