"""One picture at many sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np


class Octaves:
    """A picture, rgb_hwc uint8 or uint16, and its halves, quarters and so on, made when needed.

    Halving is many times quicker than any other reduction, and is done once. What is shown at
    another size is made from the next octave that is as large, so that it takes as long as the
    result is large, not as the picture is.
    """

    def __init__(self, rgb_hwc: np.ndarray) -> None:
        self._halved = [rgb_hwc]

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the picture."""
        height, width = self._halved[0].shape[:2]
        return height, width

    def level(self, scale: float) -> np.ndarray:
        """The whole picture at ``scale``; pixels that fill no pixel of it are left out."""
        return self.sized(*self._size_at(scale))

    def grey_level(self, scale: float) -> np.ndarray:
        """The same without its colours, (H, W): a third of what is to be resized."""
        width, height = self._size_at(scale)
        grey = cv2.cvtColor(self._octave_for(width, height), cv2.COLOR_RGB2GRAY)
        return _resized(grey, width, height)

    def sized(self, width: int, height: int) -> np.ndarray:
        """The whole picture at that size, of about its shape; the picture itself at its own."""
        return _resized(self._octave_for(width, height), width, height)

    def square(self, left_top_right_bottom: Sequence[int], side_px: int) -> np.ndarray:
        """That square, one of :func:`squares_around`, at ``side_px``; mid grey outside of the
        picture."""
        left, top, right, _ = left_top_right_bottom
        octave = _octave_of(right - left, side_px)
        picture = self._octave(octave)
        height, width = picture.shape[:2]
        left, top, right, bottom = (edge >> octave for edge in left_top_right_bottom)
        inside = picture[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        missing = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
        if inside.size == 0:
            return np.full((side_px, side_px, 3), 128, np.uint8)
        if any(missing):
            inside = cv2.copyMakeBorder(
                inside, *missing, borderType=cv2.BORDER_CONSTANT, value=(128, 128, 128)
            )
        return _resized(inside, side_px, side_px)

    def _size_at(self, scale: float) -> tuple[int, int]:
        height, width = self.size_hw
        return max(int(width * scale), 1), max(int(height * scale), 1)

    def _octave_for(self, width: int, height: int) -> np.ndarray:
        least = max(width / self.size_hw[1], height / self.size_hw[0])
        return self._octave(math.floor(-math.log2(least)))

    def _octave(self, octave: int) -> np.ndarray:
        while len(self._halved) <= octave:
            finer = self._halved[-1]
            width, height = max(finer.shape[1] // 2, 1), max(finer.shape[0] // 2, 1)
            even = finer[: 2 * height, : 2 * width]
            self._halved.append(
                np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))
            )
        return self._halved[max(octave, 0)]


def squares_around(boxes: np.ndarray, side_px: int) -> np.ndarray:
    """Squares (N, 4) around the boxes, to be shown at ``side_px``: of whole pixels of the octave
    that :meth:`Octaves.square` makes them from, so that what is shown is exactly the square."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=2, keepdims=True), 2)
    grid = np.array([[2.0 ** _octave_of(each, side_px)] for each in side[:, 0].tolist()])
    grid = grid.reshape(-1, 1)
    corner = np.round((centre - side / 2) / grid) * grid
    return np.concatenate([corner, corner + np.round(side / grid) * grid], axis=1)


def _octave_of(length: float, shown_px: int) -> int:
    """The coarsest octave in which ``length`` pixels of the picture are more than ``shown_px``."""
    return max(math.ceil(math.log2(length / shown_px)) - 1, 0)


def _resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    if picture.shape[:2] == (height, width):
        return picture
    shrink = cv2.INTER_AREA if width < picture.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=shrink))
