"""Where a picture is damaged: what the damage network finds at several sizes, tile by tile.

Fine scratches are found at full size; what is broader than the network knows, on copies of half
the size and so on. A place counts that the network is certain of, with what hangs together with it
and is likely, where that stands out from what is around it (:mod:`.evidence`): certainty keeps
sound pictures sound, the rest follows a scratch to its faint ends.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from restore_batch.models.base import DamageFinder
from restore_batch.stages.geometry import to_uint8
from restore_batch.stages.repair.evidence import standing_out
from restore_batch.stages.repair.mask import reaching

TILE_PX = 640
"""Side of what a tile contributes; it reads the finder's reach more on each side."""
_SMALLEST_COPY_PX = 768

Mapper = Callable[[Callable[["_Tile"], np.ndarray], Iterable["_Tile"]], Iterable[np.ndarray]]


@dataclass(frozen=True)
class Certainty:
    """``sure``: from here on a place is damage; ``likely``: from here on what touches it is.
    ``times``: how many deviations of its surroundings it must be away from them."""

    sure: float = 0.99
    likely: float = 0.69
    times: float = 5.0


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
    """The damage of a picture, (H, W) bool.

    ``rgb_hwc``: (H, W, 3) uint8 or uint16. ``mapped``: a ``map`` in order, for instance one that
    works on several tiles at once.
    """
    height, width = rgb_hwc.shape[:2]
    mask = np.zeros((height, width), bool)
    copy = rgb_hwc
    while True:
        found = _at_one_size(copy, finder, certainty, mapped)
        if found.any():
            mask |= _enlarged(found, (height, width))
        if max(copy.shape[:2]) < 2 * _SMALLEST_COPY_PX:
            return mask
        half = (max(1, copy.shape[1] // 2), max(1, copy.shape[0] // 2))
        copy = np.asarray(cv2.resize(copy, half, interpolation=cv2.INTER_AREA))


def _at_one_size(
    rgb_hwc: np.ndarray, finder: DamageFinder, certainty: Certainty, mapped: Mapper
) -> np.ndarray:
    tiles = list(_tiles(rgb_hwc.shape[0], rgb_hwc.shape[1], finder.reach_px))

    def look(tile: _Tile) -> np.ndarray:
        part = np.ascontiguousarray(to_uint8(rgb_hwc[tile.read]))
        found = with_likely(finder(part), certainty)
        return standing_out(part, found, certainty.times)[tile.inside]

    found = np.empty(rgb_hwc.shape[:2], bool)
    for tile, part in zip(tiles, mapped(look, tiles), strict=True):
        found[tile.own] = part
    return found


def with_likely(expected: np.ndarray, certainty: Certainty) -> np.ndarray:
    """Places that are damage for sure and the likely ones that hang together with them, (H, W)
    bool."""
    sure = expected >= certainty.sure
    if not sure.any():
        return sure
    return reaching(sure, expected >= certainty.likely)


def _tiles(height: int, width: int, reach_px: int) -> Iterator[_Tile]:
    for top, bottom in _spans(height):
        for left, right in _spans(width):
            yield _Tile(
                (slice(top, bottom), slice(left, right)),
                (
                    slice(max(0, top - reach_px), min(height, bottom + reach_px)),
                    slice(max(0, left - reach_px), min(width, right + reach_px)),
                ),
            )


def _spans(length: int) -> list[tuple[int, int]]:
    """An axis cut into equal parts of at most a tile."""
    count = -(-length // TILE_PX)
    bounds = [round(length * i / count) for i in range(count + 1)]
    return list(itertools.pairwise(bounds))


def _enlarged(mask: np.ndarray, shape_hw: tuple[int, int]) -> np.ndarray:
    if mask.shape == shape_hw:
        return mask
    whole = cv2.resize(mask.view(np.uint8), shape_hw[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(whole).view(bool)
