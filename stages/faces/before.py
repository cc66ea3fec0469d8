"""A picture that is changed in its place, and still read as it was.

Faces are judged by what lies around them, which may be another face. Squares of the picture are
kept, each once, before something in them changes; all else is read from the picture itself.
"""

from __future__ import annotations

import numpy as np

from restore_batch.stages.media import Chunk, Frame

_KEPT_PX = 256


class Before:
    """What a picture was before faces were laid over it, while they are.

    ``canvas``: (H, W, C), which is changed. ``before[rows, columns]`` is what ``canvas`` would give
    before that, not to be written to.
    """

    def __init__(self, canvas: np.ndarray) -> None:
        self._canvas = canvas
        self._kept: dict[tuple[int, int], np.ndarray] = {}
        self.shape, self.dtype = canvas.shape, canvas.dtype

    def keep(self, left: int, top: int, right: int, bottom: int) -> None:
        """Keep what is about to be changed."""
        for place in _squares(left, top, right, bottom):
            if place not in self._kept:
                y, x = place
                self._kept[place] = self._canvas[y : y + _KEPT_PX, x : x + _KEPT_PX].copy()

    def __getitem__(self, part: tuple[slice, slice]) -> np.ndarray:
        (top, bottom, _), (left, right, _) = (
            each.indices(size) for each, size in zip(part, self.shape, strict=False)
        )
        found = self._canvas[top:bottom, left:right]
        changed = [at for at in _squares(left, top, right, bottom) if at in self._kept]
        if changed:
            found = found.copy()
        for y, x in changed:
            square = self._kept[y, x]
            first_y, end_y = max(y, top), min(y + square.shape[0], bottom)
            first_x, end_x = max(x, left), min(x + square.shape[1], right)
            found[first_y - top : end_y - top, first_x - left : end_x - left] = square[
                first_y - y : end_y - y, first_x - x : end_x - x
            ]
        return found


def _squares(left: int, top: int, right: int, bottom: int) -> list[tuple[int, int]]:
    """Top and left of the squares of a grid that a part of a picture lies in."""
    rows, columns = (
        range(first // _KEPT_PX * _KEPT_PX, end, _KEPT_PX)
        for first, end in ((top, bottom), (left, right))
    )
    return [(y, x) for y in rows for x in columns]


def is_no_other(frame: Frame, chunk: Chunk) -> bool:
    """Whether an enlarged frame may be changed in its place: its pixels are those of no other
    picture of its chunk."""
    pictures = (*chunk.frames, *chunk.originals, *chunk.upscaled)
    sharing = sum(np.may_share_memory(frame.rgb_hwc, each.rgb_hwc) for each in pictures)
    return frame.rgb_hwc.flags.writeable and sharing == 1
