"""Few shapes for pictures of any size.

A convolution is prepared for each shape of its input, and where the network is small that takes
longer than the convolution itself. So what is shown to such a network comes in a few sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np


def window_tiles(
    length: int, window_px: int, stride_px: int, most_px: int
) -> Iterator[tuple[int, int, int]]:
    """(start, size, windows) of tiles along one side of a picture that show each window once.

    ``length`` is that side, at least a window; a window that reaches over its end by less than a
    stride counts. Sizes are multiples of 16 up to ``most_px``, itself one; the last tile may reach
    over the end.
    """
    windows = math.ceil((length - window_px) / stride_px) + 1
    most = (most_px - window_px) // stride_px + 1
    each = math.ceil(windows / math.ceil(windows / most))
    size = (each - 1) * stride_px + window_px
    size = rounded(size, 16)
    each = (size - window_px) // stride_px + 1
    for first in range(0, windows, each):
        yield first * stride_px, size, min(each, windows - first)


def cells_around(
    points_xy: np.ndarray, size_hw: tuple[int, int], window_px: int, stride_px: int, cell_px: int
) -> list[tuple[int, int, int, int]]:
    """(left, top, windows across, windows down) of tiles of a picture of that size with a window
    around one of the points (N, 2), or within half a window of them, from the top.

    Each tile is ``cell_px`` wide and high; all of them would show each window once.
    """
    each = (cell_px - window_px) // stride_px + 1
    most = np.array([math.ceil((length - window_px) / stride_px) + 1 for length in size_hw[::-1]])
    half = window_px / 2
    around = np.array([(x, y) for x in (-half, 0, half) for y in (-half, 0, half)])
    windows = (points_xy[:, None] + around - half).reshape(-1, 2) / stride_px
    within = np.clip(np.floor(windows).astype(int), 0, most - 1) // each
    return [
        (
            column * each * stride_px,
            row * each * stride_px,
            min(each, int(most[0]) - column * each),
            min(each, int(most[1]) - row * each),
        )
        for row, column in sorted({(int(row), int(column)) for column, row in within})
    ]


def padded(tiles_nhwc: np.ndarray, height: int, width: int) -> np.ndarray:
    """At that size by repeated borders; more than one become a multiple of four by black ones."""
    count = len(tiles_nhwc)
    missing = (height - tiles_nhwc.shape[1], width - tiles_nhwc.shape[2])
    if any(missing):
        tiles_nhwc = np.pad(tiles_nhwc, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), "edge")
    if count > 1 and count % 4:
        tiles_nhwc = np.pad(tiles_nhwc, ((0, -count % 4), (0, 0), (0, 0), (0, 0)))
    return tiles_nhwc


def rounded(number: int, step: int) -> int:
    """The next multiple of ``step``."""
    return -(-number // step) * step
