"""Pictures are gone through in blocks of rows: each row once, few at a time."""

from __future__ import annotations

import numpy as np
import pytest

from restore_batch.stages import rows
from restore_batch.stages.media import Frame
from restore_batch.stages.previews.pictures import in_8_bits
from restore_batch.stages.rows import blocks_of_rows, by_rows


@pytest.mark.parametrize(("height", "width"), [(1, 1), (700, 3000), (3, 4_000_000), (0, 9), (9, 0)])
def test_every_row_comes_once_and_in_order(height: int, width: int) -> None:
    blocks = list(blocks_of_rows(height, width))
    assert [row for block in blocks for row in range(height)[block]] == list(range(height))
    assert all(len(range(height)[block]) * width <= max(1 << 20, width) for block in blocks)


def test_what_is_made_of_blocks_is_what_would_be_made_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows, "_BLOCK_PIXELS", 20)
    picture = np.random.default_rng(1).integers(0, 255, (17, 6, 3), np.uint8)
    asked: list[slice] = []

    def negative(block: slice) -> np.ndarray:
        asked.append(block)
        return 255 - picture[block]

    assert (by_rows(17, 6, negative, np.empty_like(picture)) == 255 - picture).all()
    assert len(asked) == 6


def test_a_transparent_picture_is_shown_over_grey_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(2)
    frame = Frame(
        random.integers(0, 65536, (41, 10, 3), np.uint16),
        random.integers(0, 65536, (41, 10), np.uint16),
    )
    whole = in_8_bits(frame)
    monkeypatch.setattr(rows, "_BLOCK_PIXELS", 70)
    assert (in_8_bits(frame) == whole).all()
    assert (whole[frame.alpha_hw == 0] == 192).all()
