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
_BRIDGED = 0.5
"""Of what lies between two pieces of a line, so much is hinted at, at least."""


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
                _bridge(found.T, copy.T, thick, step)
            else:
                _add_thin(found, levels, thick, least)
                _bridge(found, copy, thick, step)
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


def _bridge(found: np.ndarray, copy: np.ndarray, thick: float, step: int) -> None:
    """Add what lies between two pieces of a line that runs down, no longer than the longer one,
    where the network hints at most of it: there something else is taken for damage, too, so that it
    is not thin."""
    some = found.view(np.uint8)
    small = some if step == 1 else _largest_of_blocks(some, step)
    _, number, boxes, _ = cv2.connectedComponentsWithStats(small, connectivity=8)
    if len(boxes) < 3:
        return
    pieces = [_straight(number, boxes[label], label) for label in range(1, len(boxes))]
    top, bottom, slope, column = np.array(pieces).T
    length, width_px = bottom - top + 1, max(1, round(thick))
    for upper in range(len(pieces)):
        gap = top - bottom[upper] - 1
        middle = (top + bottom[upper]) / 2
        there = column[upper] + slope[upper] * (middle - top[upper])
        apart = np.abs(there - column - slope * (middle - top))
        goes_on = (gap > 0) & (gap <= np.maximum(length, length[upper]))
        goes_on &= apart <= thick / step + 1
        if not goes_on.any():
            continue
        lower = int(np.where(goes_on, top, np.inf).argmin())
        rows = np.arange(int(bottom[upper]), int(top[lower]) + 1)
        begins = column[upper] + slope[upper] * (bottom[upper] - top[upper])
        columns = np.linspace(begins, column[lower], len(rows)).round().astype(int)
        beside = np.clip(columns[:, None] + (-1, 0, 1), 0, copy.shape[1] - 1)
        if hinted(copy[rows[:, None], beside]).any(axis=1).mean() < _BRIDGED:
            continue
        for row, at in zip(rows * step, columns * step, strict=True):
            left = max(0, at - width_px // 2)
            found[row : row + step, left : left + width_px + step - 1] = True


def _straight(number: np.ndarray, box: np.ndarray, label: int) -> tuple[float, ...]:
    """A piece of a line as a straight one: its first and last row, its columns a row, and its
    column at the first."""
    left, top, width, height, _ = (int(value) for value in box)
    is_it = number[top : top + height, left : left + width] == label
    rows, columns = is_it.nonzero()
    off, middle = rows - rows.mean(), float(columns.mean())
    slope = float(off @ (columns - middle)) / max(float(off @ off), 1.0)  # least squares
    column = left + middle - slope * float(rows.mean())
    return top, top + height - 1, slope, column


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
