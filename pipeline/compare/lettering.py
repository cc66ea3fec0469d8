"""Text on sheets, in the font that OpenCV carries: names of files are in any script."""

from __future__ import annotations

import unicodedata
from typing import TypeAlias

import cv2
import numpy as np

from restore_batch.text import legible

PAPER, INK, FAINT = (250, 250, 248), (20, 20, 20), (110, 110, 110)
"""Colours of sheets, RGB."""

Colour: TypeAlias = tuple[int, int, int]

_WEIGHT = 400


class Lettering:
    """Writes in letters of ``size_px``; ``margin_px``: what a text leaves free at both ends."""

    def __init__(self, size_px: int, margin_px: int) -> None:
        self._font = cv2.FontFace("sans")
        self._size_px, self._margin_px = size_px, margin_px

    def write(
        self, rgb_hwc: np.ndarray, text: str, left_top: tuple[int, int], ink: Colour, width_px: int
    ) -> None:
        """Write ``text`` into a picture, (H, W, 3) uint8, in place: what fits into ``width_px``."""
        left, top = left_top
        text = self.fitting(text, width_px)
        base = left, top + self._size_px
        cv2.putText(rgb_hwc, text, base, ink, self._font, self._size_px, _WEIGHT)

    def fitting(self, text: str, width_px: int) -> str:
        """``text``, cut from the left where it is too long: the end of a path tells more."""
        text = unicodedata.normalize("NFC", legible(text))
        room = width_px - 2 * self._margin_px
        if self._width(text) <= room:
            return text
        while text and self._width("…" + text) > room:
            text = text[1:]
        return "…" + text

    def _width(self, text: str) -> int:
        nowhere = (1 << 20, self._size_px * 2)  # wide enough for any text to stay on its line
        box = cv2.getTextSize(nowhere, text, (0, 0), self._font, self._size_px, _WEIGHT)
        return int(box[0] + box[2])
