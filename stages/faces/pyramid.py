"""Views of a picture for a detector that only sees faces of some sizes: levels cut into tiles.

The finest level shows the smallest wanted face at the size the detector needs; the coarsest is
small enough for a face that fills the frame. Between two levels lies at most a factor of four,
so each face is well inside the detector's range on one of them. Levels larger than a tile are
cut into overlapping tiles: what is too large for the overlap is found on the next level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from restore_batch.models.running.octaves import Octaves
from restore_batch.stages.geometry import to_uint8

TILE_PX = 1600
_COARSEST_PX = 640
_LEVEL_RATIO = 4.0
_EXPECTED_OVER_SMALLEST = 2.0
"""Size at which a face is shown that is expected, over the smallest that the detector finds."""
_AROUND_EXPECTED = 1.0
"""Of the face's side, on each side of it: how far it may have moved from where it is expected."""


@dataclass(frozen=True)
class PyramidTile:
    """A rectangle of one level, in pixels of that level."""

    level_width: int
    level_height: int
    left: int
    top: int
    width: int
    height: int

    def to_source(self, points_xy: np.ndarray, width: int, height: int) -> np.ndarray:
        """(…, 2) pixel positions in this tile to positions in the picture."""
        scale = np.array([self.level_width / width, self.level_height / height])
        corner = np.array([self.left, self.top])
        return (points_xy + corner + 0.5) / scale - 0.5

    def cuts(self, box_xyxy: tuple[float, float, float, float]) -> bool:
        """Whether the box (in pixels of this tile) meets a border that is not the picture's."""
        left, top, right, bottom = box_xyxy
        near = 0.03 * max(right - left, bottom - top)
        return (
            (self.left > 0 and left < near)
            or (self.top > 0 and top < near)
            or (self.left + self.width < self.level_width and right > self.width - near)
            or (self.top + self.height < self.level_height and bottom > self.height - near)
        )


@dataclass(frozen=True)
class Region:
    """A rectangle of the picture, in its pixels; ``width`` and ``height`` as it is shown."""

    left: int
    top: int
    source_width: int
    source_height: int
    width: int
    height: int

    def to_source(self, points_xy: np.ndarray, width: int, height: int) -> np.ndarray:
        """(…, 2) pixel positions as shown to positions in the picture."""
        scale = np.array([self.width / self.source_width, self.height / self.source_height])
        return (points_xy + 0.5) / scale - 0.5 + np.array([self.left, self.top])

    def cuts(self, box_xyxy: tuple[float, float, float, float]) -> bool:
        """Never: a face that only half lies in it is not the one that is expected, but may be."""
        return False

    def render(self, rgb_hwc: np.ndarray) -> np.ndarray:
        """Its uint8 pixels."""
        rows = slice(self.top, self.top + self.source_height)
        columns = slice(self.left, self.left + self.source_width)
        return _resize(to_uint8(rgb_hwc[rows, columns]), (self.width, self.height))


def plan_pyramid(
    width: int, height: int, smallest_px: float, min_face_px: float, tile_px: int = TILE_PX
) -> list[PyramidTile]:
    """All tiles of all levels, finest first.

    ``smallest_px``: the detector's smallest face; ``min_face_px``: the smallest wanted one, in
    pixels of the picture. A picture is enlarged only as far as it stays in one tile.
    """
    finest = _finest_scale(width, height, smallest_px, min_face_px, tile_px)
    coarsest = min(_COARSEST_PX / max(width, height), finest)
    count = 1 + math.ceil(math.log(finest / coarsest) / math.log(_LEVEL_RATIO) - 1e-9)
    ratio = (finest / coarsest) ** (1 / max(count - 1, 1))
    overlap_px = math.ceil(2 * smallest_px * ratio)
    tiles = []
    for scale in (finest / ratio**i for i in range(count)):
        w, h = _size_at(width, height, scale)
        tiles += [
            PyramidTile(w, h, left, top, tile_w, tile_h)
            for top, tile_h in _cut(h, tile_px, overlap_px)
            for left, tile_w in _cut(w, tile_px, overlap_px)
        ]
    return tiles


def plan_level(width: int, height: int, smallest_px: float, min_face_px: float) -> PyramidTile:
    """The finest level of :func:`plan_pyramid` as a whole, for a detector that sees faces of any
    size in it."""
    size = _size_at(width, height, _finest_scale(width, height, smallest_px, min_face_px, TILE_PX))
    return PyramidTile(*size, 0, 0, *size)


def _finest_scale(
    width: int, height: int, smallest_px: float, min_face_px: float, tile_px: int
) -> float:
    return min(smallest_px / min_face_px, max(tile_px / max(width, height), 1.0))


def _size_at(width: int, height: int, scale: float) -> tuple[int, int]:
    return max(round(width * scale), 1), max(round(height * scale), 1)


def plan_regions(
    width: int,
    height: int,
    boxes_xyxy: Sequence[tuple[float, float, float, float]],
    smallest_px: float,
) -> list[Region]:
    """One region around each face that is expected, in a picture of that size.

    ``smallest_px``: the size of the smallest face that the detector finds. Boxes outside of the
    picture have none.
    """
    regions = []
    for left, top, right, bottom in boxes_xyxy:
        side = max(((right - left) * (bottom - top)) ** 0.5, 1.0)
        around = _AROUND_EXPECTED * side
        x0, x1 = max(int(left - around), 0), min(math.ceil(right + around), width)
        y0, y1 = max(int(top - around), 0), min(math.ceil(bottom + around), height)
        if x1 - x0 < side / 2 or y1 - y0 < side / 2:
            continue
        scale = _EXPECTED_OVER_SMALLEST * smallest_px / side
        shown = max(round((x1 - x0) * scale), 1), max(round((y1 - y0) * scale), 1)
        regions.append(Region(x0, y0, x1 - x0, y1 - y0, *shown))
    return regions


def _cut(length: int, tile_px: int, overlap_px: int) -> list[tuple[int, int]]:
    """(start, size) of equal pieces that cover ``length`` and overlap by at least so much."""
    if length <= tile_px:
        return [(0, length)]
    count = math.ceil((length - overlap_px) / (tile_px - overlap_px))
    size = math.ceil((length + (count - 1) * overlap_px) / count)
    return [(round(i * (length - size) / (count - 1)), size) for i in range(count)]


def render_tiles(rgb_hwc: np.ndarray, tiles: list[PyramidTile]) -> Iterator[np.ndarray]:
    """The uint8 pixels of each tile, one level in memory at a time."""
    octaves = Octaves(rgb_hwc)
    level: np.ndarray | None = None
    size = (0, 0)
    for tile in tiles:
        if level is None or size != (tile.level_width, tile.level_height):
            size = (tile.level_width, tile.level_height)
            level = octaves.sized(*size)
        rows = slice(tile.top, tile.top + tile.height)
        yield to_uint8(level[rows, tile.left : tile.left + tile.width])


def _resize(rgb_hwc: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = rgb_hwc.shape[:2]
    if size == (width, height):
        return rgb_hwc
    shrink = cv2.INTER_AREA if size[0] < width else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb_hwc, size, interpolation=shrink))
