"""Filling of damage block by block: how it is drawn is another matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from restore_batch.stages.parallel import Mapper

BLOCK_PX = 256

Draw = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""A part of a picture, (H, W, C) float32 in [0, 255], the damage in it, (H, W) bool, and the places
to be filled, (N, 2) rows and columns: their values, (N, C)."""


@dataclass(frozen=True, eq=False)
class Where:
    """Where ``far``, (H, W) uint8, is from ``least`` to ``most``: a mask whose parts are made when
    they are asked for. As a whole, one of a large picture weighs a hundred megabytes."""

    far: np.ndarray
    least: int
    most: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.far.shape

    def __getitem__(self, part: tuple[slice, slice]) -> np.ndarray:
        """(h, w) bool."""
        far = self.far[part]
        return (far >= self.least) & (far <= self.most)


_Block = tuple[tuple[slice, slice], tuple[slice, slice]]
"""Rows and columns that are filled, and those that are drawn from."""


def fill_blocks(
    samples: np.ndarray,
    mask: np.ndarray | Where,
    damage: np.ndarray | Where,
    margin_px: int,
    draw: Draw,
    mapped: Mapper,
    in_place: bool = False,
) -> np.ndarray:
    """A copy of a picture, or itself where that is to be filled ``in_place``, filled at ``mask``;
    outside of it, it is the same.

    ``samples``: (H, W, C) uint8 or uint16. ``mask``: (H, W) bool; ``damage``: the same and what
    else must not be drawn from. ``margin_px``: what is seen of the picture around a block.
    ``mapped``: a ``map`` in order, for instance one that works on several blocks at once.
    """
    filled = samples if in_place else samples.copy()
    peak = float(np.iinfo(samples.dtype).max)

    def of_block(block: _Block) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        own, around = block
        part = samples[around].astype(np.float32) * np.float32(255 / peak)
        inner = np.zeros(part.shape[:2], bool)
        inner[_within(own, around)] = mask[own]
        places = np.argwhere(inner)
        values = draw(part, damage[around], places)
        levels = np.clip(np.rint(values * (peak / 255)), 0, peak).astype(samples.dtype)
        return (places[:, 0] + around[0].start, places[:, 1] + around[1].start), levels

    drawn = mapped(of_block, _blocks(mask, margin_px))
    for at, levels in list(drawn) if in_place else drawn:  # none sees what another has drawn
        filled[at] = levels
    return filled


def _blocks(mask: np.ndarray | Where, margin_px: int) -> Iterator[_Block]:
    """Squares that hold damage, and the same with a margin."""
    height, width = mask.shape
    for top in range(0, height, BLOCK_PX):
        bottom = min(top + BLOCK_PX, height)
        for left in range(0, width, BLOCK_PX):
            right = min(left + BLOCK_PX, width)
            if mask[top:bottom, left:right].any():
                yield (
                    (slice(top, bottom), slice(left, right)),
                    (
                        slice(max(0, top - margin_px), min(height, bottom + margin_px)),
                        slice(max(0, left - margin_px), min(width, right + margin_px)),
                    ),
                )


def _within(own: tuple[slice, slice], around: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = own
    top, left = around[0].start, around[1].start
    return (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
