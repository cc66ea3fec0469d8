"""Tiles and batches that come in few sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.models.running.shapes import cells_around, padded, rounded, window_tiles


@settings(max_examples=200)
@given(length=st.integers(12, 3000))
def test_tiles_show_every_window_of_a_level_once_in_few_sizes(length: int) -> None:
    starts: list[int] = []
    for first, size, windows in window_tiles(length, 12, 2, 256):
        assert size % 16 == 0
        assert size <= 256
        assert 0 < windows <= (size - 12) // 2 + 1
        starts += range(first, first + 2 * windows, 2)
    # The last window of a level of odd length reaches over its end by a pixel.
    assert starts == list(range(0, length - 10, 2))


@settings(max_examples=100)
@given(
    width=st.integers(12, 400), height=st.integers(12, 400), place=st.tuples(*[st.floats(0, 1)] * 2)
)
def test_cells_around_a_point_hold_the_window_around_it(
    width: int, height: int, place: tuple[float, float]
) -> None:
    point = np.array(place) * (width - 12, height - 12) + 6
    cells = cells_around(point[None], (height, width), 12, 2, 64)
    assert 1 <= len(cells) <= 4
    corner = (point - 6) // 2 * 2
    assert any(
        left <= corner[0] < left + 2 * across and top <= corner[1] < top + 2 * down
        for left, top, across, down in cells
    )


def test_cells_around_many_points_show_each_window_once() -> None:
    y, x = np.mgrid[6:200:10, 6:301:10]
    points = np.stack([x.ravel(), y.ravel()], axis=1).astype(float)
    seen = np.zeros((95, 145), int)
    for left, top, across, down in cells_around(points, (200, 300), 12, 2, 64):
        seen[top // 2 : top // 2 + down, left // 2 : left // 2 + across] += 1
    assert (seen == 1).all()


def test_what_is_missing_of_a_tile_repeats_its_border_and_what_of_a_batch_is_black() -> None:
    tiles = np.random.default_rng(0).integers(1, 255, (3, 5, 7, 3), dtype=np.uint8)
    larger = padded(tiles, 8, 16)
    assert larger.shape == (4, 8, 16, 3)
    assert (larger[:3, :5, :7] == tiles).all()
    assert (larger[:3, 5:, :7] == tiles[:, -1:]).all()
    assert (larger[3] == 0).all()
    assert padded(tiles[:1], 5, 7).shape == (1, 5, 7, 3)


@pytest.mark.parametrize(("number", "multiple"), [(0, 0), (1, 8), (8, 8), (9, 16)])
def test_numbers_are_rounded_up(number: int, multiple: int) -> None:
    assert rounded(number, 8) == multiple
