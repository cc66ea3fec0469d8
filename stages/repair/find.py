"""Where a picture is damaged: what the damage network finds at several sizes, tile by tile.

Small pictures are enlarged first: what is fine in them is finer than what the network knows. What
is broader than that is found on copies of half the size and so on. What the network points at is
cut into marks (:mod:`.marks`), and each is judged as a whole (:mod:`.odds`).

How certain is enough depends on the picture (:mod:`.certain`). Lines that run one way are taken
together (:mod:`.lines`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from restore_batch.models.base import DamageFinder
from restore_batch.stages import heap
from restore_batch.stages.geometry import to_uint8
from restore_batch.stages.parallel import Mapper
from restore_batch.stages.repair.certain import (
    BLINDLY,
    LEVELS,
    WHOLLY,
    Certainty,
    certain,
    levels_of,
    taken,
)
from restore_batch.stages.repair.lines import lines_one_way

TILE_PX = 640
"""Side of what a tile contributes; it reads the finder's reach more on each side."""
_FOLDED_PX = 64
"""Networks that halve a picture up to six times see it alike from each multiple of this on: there
tiles begin and end, or where they lie would show in what is found."""
_TILES_BETWEEN = 8
"""So many tiles leave some hundred megabytes of what they were reckoned in behind, in pieces."""
_SMALLEST_COPY_PX = 768
_SMALL_PX = 1024
_ENLARGED = 1.5
_PART = 1 / 3
"""Of a pixel: from here on it is damaged where the enlarged picture is."""

_MARGIN, _ALONG_PX = 0.02, 48
"""What lies so near to the border (of the shorter side), on so many pixels in a row, runs along
it."""


@dataclass(frozen=True)
class _Tile:
    """Rows and columns that a tile contributes, and those that it reads."""

    own: tuple[slice, slice]
    read: tuple[slice, slice]

    @property
    def inside(self) -> tuple[slice, slice]:
        """Its own part within what it reads."""
        return (
            slice(self.own[0].start - self.read[0].start, self.own[0].stop - self.read[0].start),
            slice(self.own[1].start - self.read[1].start, self.own[1].stop - self.read[1].start),
        )


def find_damage(
    rgb_hwc: np.ndarray, finder: DamageFinder, certainty: Certainty, mapped: Mapper = map
) -> np.ndarray:
    """Per pixel, how strongly to fill, (H, W) uint8: 0 not at all,
    :data:`~restore_batch.stages.repair.certain.WHOLLY` completely, ``BLINDLY`` completely and
    ignoring what is there.

    ``rgb_hwc``: (H, W, 3) uint8 or uint16. ``mapped``: a ``map`` in order, for instance one that
    works on several tiles at once.
    """
    height, width = rgb_hwc.shape[:2]
    damage = np.zeros((height, width), np.uint8)
    copy = rgb_hwc
    if max(height, width) < _SMALL_PX:
        larger = (round(_ENLARGED * width), round(_ENLARGED * height))
        copy = np.asarray(cv2.resize(to_uint8(rgb_hwc), larger, interpolation=cv2.INTER_CUBIC))
    while True:
        found = _at_one_size(copy, finder, certainty, mapped)
        if found.any():
            np.maximum(damage, _resized(found, (height, width)), out=damage)
        if max(copy.shape[:2]) < 2 * _SMALLEST_COPY_PX:
            return damage
        half = (max(1, copy.shape[1] // 2), max(1, copy.shape[0] // 2))
        copy = np.asarray(cv2.resize(copy, half, interpolation=cv2.INTER_AREA))


def _at_one_size(
    rgb_hwc: np.ndarray, finder: DamageFinder, certainty: Certainty, mapped: Mapper
) -> np.ndarray:
    tiles = list(_tiles(rgb_hwc.shape[0], rgb_hwc.shape[1], finder.reach_px))

    def look(tile: _Tile) -> np.ndarray:
        part = np.ascontiguousarray(to_uint8(rgb_hwc[tile.read]))
        expected = finder(part)
        return levels_of(certain(part, expected, certainty.pixel), expected)[tile.inside]

    levels = np.empty(rgb_hwc.shape[:2], np.uint8)
    large = rgb_hwc.nbytes >= heap.WORTH_BYTES
    for number, (tile, seen) in enumerate(zip(tiles, mapped(look, tiles), strict=True), 1):
        levels[tile.own] = seen
        if large and (number % _TILES_BETWEEN == 0 or number == len(tiles)):
            heap.give_back()
    damage = taken(_counted(levels), certainty)[levels]
    if _leave_margins(damage, levels):  # nor do they speak for damage elsewhere
        damage = taken(_counted(levels), certainty)[levels]
        _leave_margins(damage, levels)
    if certainty.false_share:
        damage[lines_one_way(levels)] = BLINDLY
    return np.asarray(damage)


def _counted(levels: np.ndarray) -> np.ndarray:
    """How many pixels have each level, (256,) int64."""
    counts = np.zeros(LEVELS, np.int64)
    for row in levels:  # as a whole they would be taken in eight bytes each
        counts += np.bincount(row, minlength=LEVELS)
    return counts


def _leave_margins(damage: np.ndarray, levels: np.ndarray) -> bool:
    """Take out of what is certain, and of what is possible, what runs along the picture's border
    and close to it: margins of paper, rules and frames. Scratches cross it. Whether there was
    any."""
    some = False
    depth = round(_MARGIN * min(damage.shape))
    for turned, same in zip(_turned(damage), _turned(levels), strict=True):
        band, seen = turned[:depth], same[:depth]
        for part in (band == WHOLLY, (band > 0) & (band < WHOLLY)):
            ends = np.diff(np.pad(part.any(axis=0), 1).astype(np.int8)).nonzero()[0]
            for start, stop in ends.reshape(-1, 2).tolist():
                if stop - start >= _ALONG_PX:
                    some = True
                    for each in (band, seen):
                        each[:, start:stop][part[:, start:stop]] = 0
    return some


def _turned(pixels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Views of which each begins at another border."""
    return pixels, pixels[::-1], pixels.T, pixels.T[::-1]


def _tiles(height: int, width: int, reach_px: int) -> Iterator[_Tile]:
    for top, bottom in _spans(height):
        for left, right in _spans(width):
            yield _Tile(
                (slice(top, bottom), slice(left, right)),
                (
                    _read(top, bottom, reach_px, height),
                    _read(left, right, reach_px, width),
                ),
            )


def _read(start: int, stop: int, reach_px: int, length: int) -> slice:
    first = max(0, start - reach_px) // _FOLDED_PX * _FOLDED_PX
    last = -(-(stop + reach_px) // _FOLDED_PX) * _FOLDED_PX
    return slice(first, min(length, last))


def _spans(length: int) -> list[tuple[int, int]]:
    """An axis cut into equal parts of at most a tile."""
    count = -(-length // TILE_PX)
    bounds = [round(length * i / count) for i in range(count + 1)]
    return list(itertools.pairwise(bounds))


def _resized(damage: np.ndarray, shape_hw: tuple[int, int]) -> np.ndarray:
    if damage.shape == shape_hw:
        return damage
    size_wh = shape_hw[::-1]
    if damage.shape < shape_hw:
        return np.asarray(cv2.resize(damage, size_wh, interpolation=cv2.INTER_NEAREST))

    def reduced(values: np.ndarray) -> np.ndarray:
        return np.asarray(
            cv2.resize(values.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA)
        )

    share = reduced(damage > 0)
    partly = np.where(share > _PART, np.rint(reduced(damage) / np.maximum(share, _PART)), 0)
    for level in (WHOLLY, BLINDLY):
        partly = np.where(reduced(damage >= level) > _PART, level, partly)
    return partly.astype(np.uint8)
