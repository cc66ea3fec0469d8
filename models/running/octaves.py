"""One picture at many sizes."""

from __future__ import annotations

import math

import cv2
import numpy as np


class Octaves:
    """A picture, rgb_hwc uint8 or uint16, and its halves, quarters and so on, made when needed.

    Halving is many times quicker than any other reduction, and is done once. A level is made from
    an octave of at least twice its size, so that it hardly differs from one reduction.
    """

    def __init__(self, rgb_hwc: np.ndarray) -> None:
        self._halved = [rgb_hwc]

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the picture."""
        height, width = self._halved[0].shape[:2]
        return height, width

    def level(self, scale: float) -> np.ndarray:
        """The whole picture at ``scale``."""
        height, width = self.size_hw
        return self.sized(round(width * scale), round(height * scale))

    def sized(self, width: int, height: int) -> np.ndarray:
        """The whole picture at that size, of about its shape; the picture itself at its own."""
        least = max(width / self.size_hw[1], height / self.size_hw[0])
        finer = self._octave(math.floor(-math.log2(least)) - 1)
        if finer.shape[:2] == (height, width):
            return finer
        shrink = cv2.INTER_AREA if width < finer.shape[1] else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(finer, (width, height), interpolation=shrink))

    def _octave(self, octave: int) -> np.ndarray:
        while len(self._halved) <= octave:
            finer = self._halved[-1]
            width, height = max(finer.shape[1] // 2, 1), max(finer.shape[0] // 2, 1)
            even = finer[: 2 * height, : 2 * width]
            self._halved.append(
                np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA))
            )
        return self._halved[max(octave, 0)]
