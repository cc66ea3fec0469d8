"""One picture at many sizes: where things are in the smaller ones."""

from __future__ import annotations

import numpy as np
import pytest

from restore_batch.models.running.octaves import Octaves


def ramp(width: int, height: int) -> np.ndarray:
    """Brighter to the right and greener to the bottom, by a tenth of a level a pixel."""
    picture = np.zeros((height, width, 3))
    picture[..., 0] = np.arange(width) / 10
    picture[..., 1] = np.arange(height)[:, None] / 10
    return np.rint(picture).astype(np.uint8)


@pytest.mark.parametrize("scale", [1.3, 1.0, 0.7, 0.5, 0.31, 0.12])
def test_a_level_shows_the_whole_picture_at_its_scale(scale: float) -> None:
    level = Octaves(ramp(2000, 1203)).level(scale)
    assert level.shape == (round(1203 * scale), round(2000 * scale), 3)
    x, y = level.shape[1] // 2, level.shape[0] // 3
    source = (np.array([x, y]) + 0.5) / scale - 0.5
    assert np.abs(level[y, x, :2] - source / 10).max() <= 1


def test_a_picture_of_one_pixel_has_levels_too() -> None:
    assert (Octaves(np.full((1, 1, 3), 7, np.uint8)).level(0.6) == 7).all()
