"""Damage is filled by what a network draws, and nothing else is touched."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from restore_batch.stages.repair.draw import draw


class Painter:
    """Draws one tone, and keeps what is darker than a limit as no damage."""

    reach_px, align_px = 64, 64

    def __init__(self, tone: float, keeps_below: float = 0.0) -> None:
        self.tone, self.keeps_below = tone, keeps_below

    def __call__(self, rgb_hwc: np.ndarray, missing: np.ndarray) -> np.ndarray:
        assert rgb_hwc.dtype == np.float32 and missing.dtype == bool
        wrong = missing & (rgb_hwc.min(axis=2) >= self.keeps_below)
        return np.where(wrong[..., None], np.float32(self.tone), rgb_hwc)


def scratched(dtype: type, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    peak = int(np.iinfo(dtype).max)
    rng = np.random.default_rng(5)
    picture = rng.integers(peak // 4, peak // 3, (500, 600, channels), dtype)
    drawn = np.zeros((500, 600), np.uint8)
    cv2.line(drawn, (10, 0), (550, 499), 1, 4)
    picture[drawn > 0] = peak
    return picture, drawn > 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_the_network_draws_stands_in_the_mask_and_nowhere_else(
    dtype: type, channels: int
) -> None:
    picture, mask = scratched(dtype, channels)
    filled = draw(picture, mask, mask, Painter(0.3))
    assert filled.dtype == dtype and filled.shape == picture.shape
    np.testing.assert_array_equal(filled[~mask], picture[~mask])
    peak = np.iinfo(dtype).max
    assert abs(filled[mask].mean() / peak - 0.3) < 0.01


def test_what_is_drawn_in_place_is_drawn_alike() -> None:
    class Softening(Painter):
        """Draws what lies around, damage too: of a block that was filled before, another thing."""

        def __call__(self, rgb_hwc: np.ndarray, missing: np.ndarray) -> np.ndarray:
            return np.asarray(cv2.blur(rgb_hwc, (41, 41)))

    picture, mask = scratched(np.uint8)
    own = picture.copy()
    assert draw(own, mask, mask, Softening(0.0), in_place=True) is own
    np.testing.assert_array_equal(own, draw(picture, mask, mask, Softening(0.0)))


def test_what_is_drawn_gets_the_grain_of_what_is_around() -> None:
    rng = np.random.default_rng(7)
    good = np.clip(np.rint(128 + rng.normal(0, 9, (200, 200, 1))), 0, 255)
    picture = np.repeat(good.astype(np.uint8), 3, axis=2)
    mask = np.zeros((200, 200), bool)
    mask[97:103] = True
    picture[mask] = 255
    filled = draw(picture, mask, mask, Painter(128 / 255))[..., 0][mask].astype(float)
    assert 0.5 * 9 < filled.std() < 1.1 * 9
    flat = np.full((200, 200, 3), 90, np.uint8)
    flat[mask] = 255
    assert (draw(flat, mask, mask, Painter(90 / 255)) == 90).all()


def test_what_the_network_leaves_alone_is_left_alone() -> None:
    picture, mask = scratched(np.uint8)
    around = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    filled = draw(picture, around, around, Painter(0.3, keeps_below=0.9))
    np.testing.assert_array_equal(filled[~mask], picture[~mask])
    assert (filled[mask] < 200).all()


def test_damage_that_is_left_is_shown_as_missing_and_stays() -> None:
    picture, mask = scratched(np.uint8)
    wide = np.zeros_like(mask)
    wide[300:360, 430:490] = True
    seen = []

    class Watching(Painter):
        def __call__(self, rgb_hwc: np.ndarray, missing: np.ndarray) -> np.ndarray:
            seen.append(missing.sum())
            return super().__call__(rgb_hwc, missing)

    filled = draw(picture, mask & ~wide, mask | wide, Watching(0.3))
    np.testing.assert_array_equal(filled[wide], picture[wide])
    assert max(seen) >= 3600


def test_several_blocks_at_once_are_filled_alike() -> None:
    picture, mask = scratched(np.uint8)
    alone = draw(picture, mask, mask, Painter(0.3))
    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal(draw(picture, mask, mask, Painter(0.3), pool.map), alone)


def test_a_picture_that_is_all_damage_is_no_error() -> None:
    picture, mask = np.full((70, 90, 3), 7, np.uint8), np.ones((70, 90), bool)
    assert (draw(picture, mask, mask, Painter(0.4)) == 102).all()


def test_tiles_that_would_show_are_refused() -> None:
    painter = Painter(0.3)
    painter.align_px = 48
    picture, mask = scratched(np.uint8)
    with pytest.raises(ValueError, match="multiples of 48"):
        draw(picture, mask, mask, painter)
