"""One picture at many sizes: where things are in the smaller ones."""

from __future__ import annotations

import numpy as np
import pytest

from restore_batch.models.running.octaves import Octaves, squares_around


def ramp(width: int, height: int) -> np.ndarray:
    """Brighter to the right and greener to the bottom, by a tenth of a level a pixel."""
    picture = np.zeros((height, width, 3))
    picture[..., 0] = np.arange(width) / 10
    picture[..., 1] = np.arange(height)[:, None] / 10
    return np.rint(picture).astype(np.uint8)


@pytest.mark.parametrize("scale", [1.3, 1.0, 0.7, 0.5, 0.31, 0.12])
def test_a_level_shows_the_whole_picture_at_its_scale(scale: float) -> None:
    level = Octaves(ramp(2000, 1203)).level(scale)
    assert level.shape == (int(1203 * scale), int(2000 * scale), 3)
    x, y = level.shape[1] // 2, level.shape[0] // 3
    source = (np.array([x, y]) + 0.5) / scale - 0.5
    assert np.abs(level[y, x, :2] - source / 10).max() <= 1


def test_a_picture_of_one_pixel_has_levels_too() -> None:
    assert (Octaves(np.full((1, 1, 3), 7, np.uint8)).level(0.6) == 7).all()


def test_half_a_picture_of_odd_size_is_no_other_than_its_octave() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (41, 63, 3), dtype=np.uint8)
    octaves = Octaves(picture)
    assert octaves.level(0.5) is octaves.level(0.5)
    quads = picture[:40, :62].reshape(20, 2, 31, 2, 3).mean((1, 3))
    assert np.abs(octaves.level(0.5) - quads).max() <= 0.75


@pytest.mark.parametrize("side", [5.0, 24.0, 25.3, 48.0, 49.0, 95.6, 133.0, 700.0])
def test_a_square_shows_exactly_its_part_of_the_picture(side: float) -> None:
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 400, (20, 2))
    boxes = np.concatenate([corner, corner + np.array([side, 0.8 * side])], axis=1)
    squares = squares_around(boxes, 24)
    assert np.abs((squares - boxes)[:, [0, 2]]).max() <= max(side / 24, 1)
    octaves = Octaves(ramp(2000, 1203))
    for left, top, right, bottom in squares.astype(int).tolist():
        assert right - left == bottom - top
        shown = octaves.square((left, top, right, bottom), 24)
        assert shown.shape == (24, 24, 3)
        middle = np.array([left + right - 1, top + bottom - 1]) / 2
        assert np.abs(shown[11:13, 11:13, :2].mean((0, 1)) - middle / 10).max() <= 1.5


@pytest.mark.parametrize("grid", [1, 2, 8])
def test_what_lies_outside_of_the_picture_is_mid_grey_in_a_square(grid: int) -> None:
    octaves = Octaves(np.full((24 * grid, 24 * grid, 3), 7, np.uint8))
    shown = octaves.square((-12 * grid, -12 * grid, 12 * grid, 12 * grid), 12)
    assert (shown[:6] == 128).all()
    assert (shown[:, :6] == 128).all()
    assert (shown[6:, 6:] == 7).all()
    assert (octaves.square((90 * grid, 0, 114 * grid, 24 * grid), 12) == 128).all()
