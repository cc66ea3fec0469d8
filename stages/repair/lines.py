"""Scratches that run one way, as film and plates get them where they are drawn through something.

A thin line alone may be a cord, a mast or a rule, and is seldom certain. Where some run down a
picture, or across it, and each of them is so likely that they are expected to have scratched much
of its side together, they are scratches: sound photographs have few that look like damage. Then
the network's hints at more of them count too.
"""

from __future__ import annotations

import cv2
import numpy as np

from restore_batch.stages.repair.certain import hinted, log_odds_of, possible

_LINES, _EXPECTED = 4, 0.5
"""So many lines run one way, and are so long together, each as far as it is likely to be damage, in
sides of the picture. In 188 sound photographs such lines come to 0.37 at most."""
_LEAST_PX, _LEAST_SHARE = 12, 0.03
"""A line is at least so long, and so much of the shorter side."""
_SLENDER, _SLOPE = 8.0, 0.14
"""How many times as long as wide a line is at least, and how far it may lean, 8 degrees."""
_MOST_PIXELS = 4 << 20
"""Of larger pictures a copy is looked through."""
_STRIP_PX = 1024


def lines_one_way(levels: np.ndarray) -> np.ndarray:
    """Where such scratches are, (H, W) bool.

    ``levels``: (H, W) uint8, how certain damage is at each pixel
    (:func:`~restore_batch.stages.repair.certain.levels_of`). Where some run one way, all lines do
    that the network hints at.
    """
    found = np.zeros(levels.shape, bool)
    step = max(1, int(np.ceil((levels.size / _MOST_PIXELS) ** 0.5)))
    copy = levels if step == 1 else _largest_of_blocks(levels, step)
    shorter = min(copy.shape)
    _, number, boxes, _ = cv2.connectedComponentsWithStats(
        possible(copy).astype(np.uint8), connectivity=8
    )
    for across in (False, True):
        lines = _along(boxes, shorter, across=across)
        if len(lines) < _LINES:
            continue
        length = boxes[lines, 2 if across else 3]
        likely = [_likely(copy, number, boxes[line], line) for line in lines]
        if (length * likely).sum() >= _EXPECTED * copy.shape[1 if across else 0]:
            thick = step * float(np.median(boxes[lines, 4] / length))
            least = step * int(max(_LEAST_PX, _LEAST_SHARE * shorter))
            if across:
                _add_thin(found.T, levels.T, thick, least)
            else:
                _add_thin(found, levels, thick, least)
    return found


def _likely(levels: np.ndarray, number: np.ndarray, box: np.ndarray, line: int) -> float:
    left, top, width, height, _ = box
    place = slice(top, top + height), slice(left, left + width)
    log_odds = float(np.median(log_odds_of(levels[place][number[place] == line])))
    return 1 / (1 + float(np.exp(-log_odds)))


def _add_thin(found: np.ndarray, levels: np.ndarray, thick: float, least: int) -> None:
    """Add what runs down for at least so many pixels and is hardly thicker: posts are."""
    # Odd, or opening would shift them.
    wide = np.ones((1, 2 * round(thick / 2) + 3), np.uint8)
    long = np.ones((least // 2 * 2 + 1, 1), np.uint8)
    around = wide.size + 1
    for left in range(0, levels.shape[1], _STRIP_PX):  # of a large picture a part at a time
        begins = max(0, left - around)
        some = hinted(levels[:, begins : left + _STRIP_PX + around]).astype(np.uint8)
        thin = cv2.subtract(some, cv2.morphologyEx(some, cv2.MORPH_OPEN, wide))
        lines = cv2.dilate(cv2.morphologyEx(thin, cv2.MORPH_OPEN, long), np.ones((3, 7), np.uint8))
        strip = cv2.min(lines, thin)[:, left - begins : left - begins + _STRIP_PX]
        found[:, left : left + _STRIP_PX] |= strip > 0


def _along(boxes: np.ndarray, shorter: int, *, across: bool) -> np.ndarray:
    """The numbers of the lines among what has these boxes, that run down the picture or across."""
    width, height, area = boxes[:, 2], boxes[:, 3], boxes[:, 4]
    length, breadth = (width, height) if across else (height, width)
    thick = area / np.maximum(length, 1)
    is_line = (
        (length >= max(_LEAST_PX, _LEAST_SHARE * shorter))
        & (length >= _SLENDER * thick)
        & (breadth - thick <= _SLOPE * length)
    )
    is_line[0] = False  # what is none
    return np.flatnonzero(is_line)


def _largest_of_blocks(levels: np.ndarray, step: int) -> np.ndarray:
    """The largest level in each block of so many pixels a side."""
    height, width = levels.shape
    padded = np.pad(levels, ((0, -height % step), (0, -width % step)))
    blocks = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)
    return np.asarray(blocks.max(axis=(1, 3)))
