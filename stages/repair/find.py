"""Where a picture is damaged: what the damage network finds at several sizes, tile by tile.

Small pictures are enlarged first: what is fine in them is finer than what the network knows. What
is broader than that is found on copies of half the size and so on. What the network points at is
cut into marks (:mod:`.marks`), and each is judged as a whole (:mod:`.odds`).

Which odds are enough depends on the picture: dust seldom comes alone. Sound photographs have few
marks with good odds; where a picture has many more than these, most are damage, and weaker ones
are taken too, as long as few of those taken would be found in a sound picture of that size.
Source: Benjamini and Hochberg 1995, "Controlling the False Discovery Rate", with the marks of sound
photographs as what chance gives.
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
from restore_batch.stages.repair.marks import marks
from restore_batch.stages.repair.odds import for_damage

TILE_PX = 640
"""Side of what a tile contributes; it reads the finder's reach more on each side."""
_FOLDED_PX = 64
"""Networks that halve a picture up to six times see it alike from each multiple of this on: there
tiles begin, or where they lie would show in what is found."""
_TILES_BETWEEN = 8
"""So many tiles leave some hundred megabytes of what they were reckoned in behind, in pieces."""
_SMALLEST_COPY_PX = 768
_SMALL_PX = 1024
_ENLARGED = 1.5
_PART = 1 / 3
"""Of a pixel: from here on it is damaged where the enlarged picture is."""

_LEAST_ODDS = -3.0
_STEP = 1 / 32
_HIGHEST = 255


@dataclass(frozen=True)
class Certainty:
    """``pixel``: from this certainty of the network on, in [0, 1], a pixel belongs to a mark.
    ``sure``: log odds from which a mark is damage in any picture. ``false_share``: of the marks of
    a picture that are taken, the share that a sound one would have, at most; 0 takes the sure ones
    only."""

    pixel: float = 0.35
    sure: float = 1.0
    false_share: float = 0.35


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


@dataclass(frozen=True, eq=False)
class _Seen:
    """Levels of odds, uint8, 0 where no mark is: of each pixel of a tile, and of each mark that
    begins in it."""

    of_pixels: np.ndarray
    of_marks: np.ndarray


def find_damage(
    rgb_hwc: np.ndarray, finder: DamageFinder, certainty: Certainty, mapped: Mapper = map
) -> np.ndarray:
    """The damage of a picture, (H, W) bool.

    ``rgb_hwc``: (H, W, 3) uint8 or uint16. ``mapped``: a ``map`` in order, for instance one that
    works on several tiles at once.
    """
    height, width = rgb_hwc.shape[:2]
    mask = np.zeros((height, width), bool)
    copy = rgb_hwc
    if max(height, width) < _SMALL_PX:
        larger = (round(_ENLARGED * width), round(_ENLARGED * height))
        copy = np.asarray(cv2.resize(to_uint8(rgb_hwc), larger, interpolation=cv2.INTER_CUBIC))
    while True:
        found = _at_one_size(copy, finder, certainty, mapped)
        if found.any():
            mask |= _resized(found, (height, width))
        if max(copy.shape[:2]) < 2 * _SMALLEST_COPY_PX:
            return mask
        half = (max(1, copy.shape[1] // 2), max(1, copy.shape[0] // 2))
        copy = np.asarray(cv2.resize(copy, half, interpolation=cv2.INTER_AREA))


def _at_one_size(
    rgb_hwc: np.ndarray, finder: DamageFinder, certainty: Certainty, mapped: Mapper
) -> np.ndarray:
    tiles = list(_tiles(rgb_hwc.shape[0], rgb_hwc.shape[1], finder.reach_px))

    def look(tile: _Tile) -> _Seen:
        part = np.ascontiguousarray(to_uint8(rgb_hwc[tile.read]))
        return _seen(part, finder(part), certainty, tile)

    levels = np.empty(rgb_hwc.shape[:2], np.uint8)
    begun = []
    large = rgb_hwc.nbytes >= heap.WORTH_BYTES
    for number, (tile, seen) in enumerate(zip(tiles, mapped(look, tiles), strict=True), 1):
        levels[tile.own] = seen.of_pixels
        begun.append(seen.of_marks)
        if large and (number % _TILES_BETWEEN == 0 or number == len(tiles)):
            heap.give_back()
    return np.asarray(levels >= enough(np.concatenate(begun), levels.size, certainty))


def _seen(part: np.ndarray, expected: np.ndarray, certainty: Certainty, tile: _Tile) -> _Seen:
    found = marks(part, expected, certainty.pixel)
    odds = np.where(found.lonely, -np.inf, for_damage(found.features))
    level = np.concatenate([np.zeros(1, np.uint8), levels_of(odds)])
    rows, columns = tile.inside
    row, column = found.first_yx.T
    begins = (row >= rows.start) & (row < rows.stop)
    begins &= (column >= columns.start) & (column < columns.stop)
    return _Seen(level[found.number_hw[tile.inside]], level[1:][begins])


def levels_of(log_odds: np.ndarray) -> np.ndarray:
    """Log odds in steps that fit into uint8; 0 stands for what never counts."""
    steps = np.floor((log_odds - _LEAST_ODDS) / _STEP) + 1
    return np.clip(steps, 0, _HIGHEST).astype(np.uint8)


def enough(levels: np.ndarray, pixels: int, certainty: Certainty) -> int:
    """The level of odds from which a mark is damage, in a picture of so many pixels.

    ``levels``: those of all its marks, (N,) uint8.
    """
    sure = max(1, int(levels_of(np.array(certainty.sure))))
    # How many marks have at least each level, from 1 to the one that is sure.
    count = np.bincount(levels, minlength=_HIGHEST + 1)[::-1].cumsum()[::-1][1 : sure + 1]
    odds = _LEAST_ODDS + _STEP * np.arange(len(count))
    sound = pixels / 1e6 * _of_sound(odds)
    passed = (sound <= certainty.false_share * count).nonzero()[0]
    return 1 + int(passed[0]) if len(passed) else sure


def _of_sound(log_odds: np.ndarray) -> np.ndarray:
    """How many marks of at least these odds nine in ten sound photographs stay below, per
    megapixel. ``benchmarks/marks.py`` counts them."""
    return np.asarray(7 * np.exp(-1.4 * log_odds))


def _tiles(height: int, width: int, reach_px: int) -> Iterator[_Tile]:
    for top, bottom in _spans(height):
        for left, right in _spans(width):
            yield _Tile(
                (slice(top, bottom), slice(left, right)),
                (
                    slice(_folded(max(0, top - reach_px)), min(height, bottom + reach_px)),
                    slice(_folded(max(0, left - reach_px)), min(width, right + reach_px)),
                ),
            )


def _folded(start: int) -> int:
    return start // _FOLDED_PX * _FOLDED_PX


def _spans(length: int) -> list[tuple[int, int]]:
    """An axis cut into equal parts of at most a tile."""
    count = -(-length // TILE_PX)
    bounds = [round(length * i / count) for i in range(count + 1)]
    return list(itertools.pairwise(bounds))


def _resized(mask: np.ndarray, shape_hw: tuple[int, int]) -> np.ndarray:
    if mask.shape == shape_hw:
        return mask
    if mask.shape < shape_hw:
        whole = cv2.resize(mask.view(np.uint8), shape_hw[::-1], interpolation=cv2.INTER_NEAREST)
        return np.asarray(whole).view(bool)
    share = cv2.resize(mask.astype(np.float32), shape_hw[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(share > _PART)
