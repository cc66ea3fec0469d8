"""Small lights and dots that a network takes for dust: the light in an eye, a bead, a button.

A network that cleans pictures cannot tell them from dust. But dust seldom comes alone: where it has
taken few specks out of a picture, they are put back as they were. In sound photographs it takes one
to four a megapixel, in dusty ones dozens to thousands.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from restore_batch.stages.geometry import to_uint8

MOST_A_MEGAPIXEL, MOST_OF_SMALL = 30.0, 4
"""Of so many specks, and of so many in any picture, none is dust."""
_WIDEST_PX = 11
"""What a disc of so many pixels fits into is no speck."""
_CONTRAST, _TAKEN = 36, 0.4
"""By so many levels of 255 a speck stands out, and so much of that is taken away."""
_LEAST_PIXELS, _MOST_PIXELS, _SLENDER = 2, 90, 3
_STRIP_PIXELS, _LEAST_STRIP_PX, _AROUND_PX = 1 << 21, 128, 24

Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


def keep_rare_specks(before: np.ndarray, after: np.ndarray, most: int | None = None) -> int:
    """Put specks back into ``after``, in place, that a network has taken out of ``before``, where
    they are few; how many they are.

    ``before``: (H, W, 3) uint8 or uint16. ``after``: the same picture and dtype, as large or
    enlarged. ``most``: how many are few; None: by the picture's size.
    """
    height, width = before.shape[:2]
    if most is None:
        most = max(MOST_OF_SMALL, int(MOST_A_MEGAPIXEL * height * width / 1e6))
    found: list[Box] = []
    for box in _taken(before, after):
        found.append(box)
        if len(found) > most:
            return 0
    for box in found:
        _put_back(before, after, box)
    return len(found)


def _taken(before: np.ndarray, after: np.ndarray) -> Iterator[Box]:
    """Specks that ``after`` lacks."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_WIDEST_PX, _WIDEST_PX))
    height = len(before)
    strip_px = max(_LEAST_STRIP_PX, _STRIP_PIXELS // before.shape[1])
    for top in range(0, height, strip_px):
        rows = slice(max(0, top - _AROUND_PX), min(height, top + strip_px + _AROUND_PX))
        everywhere = slice(0, before.shape[1])
        one, other = _luma(before[rows]), _luma(_reduced(before, after, rows, everywhere))
        for sign, hat in ((1, cv2.MORPH_TOPHAT), (-1, cv2.MORPH_BLACKHAT)):
            stands_out = cv2.morphologyEx(one, hat, disc)
            gone = sign * (one.astype(np.int16) - other)
            core = (stands_out >= _CONTRAST) & (gone >= _TAKEN * stands_out)
            _, _, boxes, middles = cv2.connectedComponentsWithStats(
                core.astype(np.uint8), connectivity=8
            )
            for box, middle in zip(boxes[1:], middles[1:], strict=True):
                x, y, w, h, area = (int(value) for value in box)
                if (
                    top <= rows.start + middle[1] < top + strip_px
                    and _LEAST_PIXELS <= area <= _MOST_PIXELS
                    and max(w, h) <= _SLENDER * min(w, h)
                ):
                    yield x, rows.start + y, w, h


def _put_back(before: np.ndarray, after: np.ndarray, box: Box) -> None:
    x, y, w, h = box
    around = max(w, h) // 2 + 4
    rows = slice(max(0, y - around), min(len(before), y + h + around))
    columns = slice(max(0, x - around), min(before.shape[1], x + w + around))
    weight = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
    middle = (x - columns.start + w // 2, y - rows.start + h // 2)
    cv2.ellipse(weight, middle, (w // 2 + 2, h // 2 + 2), 0, 0, 360, 1.0, -1)
    weight = cv2.GaussianBlur(weight, (0, 0), 1.0)
    lost = before[rows, columns].astype(np.float32) - _reduced(before, after, rows, columns)
    into = _of(after, before, rows, columns)
    place = after[into]
    change = cv2.resize(
        lost * weight[..., None], place.shape[1::-1], interpolation=cv2.INTER_CUBIC
    ).reshape(place.shape)
    top = np.iinfo(after.dtype).max
    after[into] = np.clip(np.rint(place + change), 0, top).astype(after.dtype)


def _of(after: np.ndarray, before: np.ndarray, rows: slice, columns: slice) -> tuple[slice, slice]:
    """Where rows and columns of ``before`` lie in ``after``."""
    down, across = after.shape[0] / before.shape[0], after.shape[1] / before.shape[1]
    return (
        slice(round(rows.start * down), round(rows.stop * down)),
        slice(round(columns.start * across), round(columns.stop * across)),
    )


def _reduced(before: np.ndarray, after: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """A part of ``after`` at the size of ``before``, of its dtype."""
    part = after[_of(after, before, rows, columns)]
    size_wh = (columns.stop - columns.start, rows.stop - rows.start)
    if part.shape[1::-1] == size_wh:
        return part
    return np.asarray(cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA))


def _luma(rgb_hwc: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(np.ascontiguousarray(to_uint8(rgb_hwc)), cv2.COLOR_RGB2GRAY)
    return np.asarray(grey)
