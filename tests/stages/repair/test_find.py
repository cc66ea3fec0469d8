"""Damage is found at several sizes, in tiles that leave no trace."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from restore_batch.stages.repair import find
from restore_batch.stages.repair.certain import BLINDLY, WHOLLY, Certain, Certainty
from restore_batch.stages.repair.find import TILE_PX, find_damage

from support.damage_finders import Brightness

ANY_MARK = Certainty(pixel=0.5, sure=-6.0, false_share=0.0)


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
    assert (found[:, 802:810] >= WHOLLY).mean() > 0.95
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
    assert ((found >= WHOLLY) == (picture[..., 0] > 228)).mean() > 0.99


def test_specks_strewn_over_even_ground_are_found_however_uncertain_each_is() -> None:
    class Unsure(Brightness):
        def __call__(self, rgb_hwc: np.ndarray) -> np.ndarray:
            return np.where(rgb_hwc.min(axis=2) > 150, np.float32(0.5), np.float32(0.02))

    rng = np.random.default_rng(3)
    wall = np.repeat(rng.normal(130, 2, (1200, 1300, 1)), 3, axis=2).astype(np.uint8)
    few, many = wall.copy(), wall.copy()
    for number in range(150):
        at = tuple(int(v) for v in rng.uniform(20, 1180, 2))
        for picture in (few, many)[number > 0 :]:
            cv2.circle(picture, at, 2, (165, 165, 165), -1)
    assert not find_damage(few, Unsure(16), Certainty()).any()
    found = find_damage(many, Unsure(16), Certainty())
    assert (found[many.min(axis=2) > 150] >= WHOLLY).mean() > 0.9
    assert (found > 0).mean() < 0.003


@pytest.mark.parametrize("turns", range(4))
def test_margins_are_no_damage_and_scratches_that_cross_them_are(turns: int) -> None:
    picture = np.full((500, 700, 3), 60, np.uint8)
    picture[4:9, 100:600] = 255  # a strip of paper
    picture[:, 300:303] = 255
    found = find_damage(np.ascontiguousarray(np.rot90(picture, turns)), Brightness(8), ANY_MARK)
    found = np.rot90(found, -turns)
    assert not found[:9, 120:280].any()
    assert (found[30:, 300:303] >= WHOLLY).mean() > 0.6


@pytest.mark.parametrize(("top", "speaks"), [(4, False), (200, True)])
def test_margins_do_not_speak_for_damage_elsewhere(
    top: int, speaks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_tone(rgb_hwc: np.ndarray, expected: np.ndarray, pixel: float) -> Certain:
        odds = np.select([rgb_hwc[..., 0] > 240, rgb_hwc[..., 0] > 140], [4.0, 1.0], -np.inf)
        return Certain(odds, np.ones(odds.shape, np.intp))

    monkeypatch.setattr(find, "certain", by_tone)
    picture = np.full((1100, 1100, 3), 60, np.uint8)
    picture[top : top + 6, 100:1000] = 255
    picture[300:1000:20, 400:420] = 150
    found = find_damage(picture, Brightness(8), Certainty())
    assert found[300:1000].any() == found[top].any() == speaks


def test_a_copy_keeps_what_is_certain_and_how() -> None:
    damage = np.zeros((60, 60), np.uint8)
    damage[:, 10:13], damage[:, 30:33], damage[:, 50:53] = 100, WHOLLY, BLINDLY
    for shape, places in (
        ((60, 60), (11, 31, 51)),
        ((30, 30), (5, 15, 25)),
        ((120, 120), (23, 63, 103)),
    ):
        seen = find._resized(damage, shape)
        assert seen.shape == shape and seen.dtype == np.uint8
        assert [seen[0, x] for x in places] == [100, WHOLLY, BLINDLY]


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
