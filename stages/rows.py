"""A picture some rows at a time, so that no second copy of it is held."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

_BLOCK_PIXELS = 1 << 20


def blocks_of_rows(height: int, width: int) -> Iterator[slice]:
    """The rows of a picture, from the top, at most about a megapixel at a time."""
    rows = max(_BLOCK_PIXELS // max(width, 1), 1)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def by_rows(
    height: int, width: int, step: Callable[[slice], np.ndarray], out: np.ndarray
) -> np.ndarray:
    """Fill ``out`` with ``step(rows)`` block by block."""
    for block in blocks_of_rows(height, width):
        out[block] = step(block)
    return out
