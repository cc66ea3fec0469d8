"""Scratches along a film: thin vertical lines that stand still while the picture moves.

A projector or camera scratches the film as it runs, so the line goes through the whole frame at
one place, frame after frame. A post or the edge of a door does that as well, where the camera
stands still; so a line counts only where the picture moves beneath it.

Source: Kokaram 1996, "Detection and removal of line scratches in degraded motion picture
sequences": horizontal profiles of columns; that the picture must move is ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

_SIDE_PX = 4
_LEAST = 4.0  # levels of 255 by which a line is lighter or darker than both sides
_ROWS = 0.7
_MOVES_PX = 0.75
_SIDES_APART = 1.5  # of the contrast of a line
_EDGE_PX = 1


def find_lines(lumas: Sequence[np.ndarray], flow: np.ndarray) -> np.ndarray:
    """Columns with a scratch, (W,) bool, from consecutive frames of one shot.

    ``lumas``: (H, W) uint8 each. ``flow``: (H, W, 2), from one of them to the next in pixels.
    """
    width = lumas[0].shape[1]
    moving = np.median(np.hypot(flow[..., 0], flow[..., 1]), axis=0) > _MOVES_PX
    found = np.zeros(width, bool)
    for sign in (1.0, -1.0):
        through = np.ones(width, bool)
        for luma in lumas:
            through &= _lines(sign * luma.astype(np.float32))
        found |= through
    found &= moving
    if not found.any():
        return found
    side = 2 * _EDGE_PX + 1
    return np.asarray(cv2.dilate(found[None].astype(np.uint8), np.ones((1, side)))[0]).astype(bool)


def _lines(luma: np.ndarray) -> np.ndarray:
    """Columns that are lighter than both sides in most rows, within a pixel; (W,) bool."""
    calm = cv2.blur(luma, (1, 9))  # along the line, so that grain does not hide it
    padded = np.pad(calm, ((0, 0), (_SIDE_PX, _SIDE_PX)), mode="edge")
    left, right = padded[:, : -2 * _SIDE_PX], padded[:, 2 * _SIDE_PX :]
    above = calm - np.maximum(left, right) > _LEAST
    # The picture goes on beyond a scratch; beside the edge of the picture there is nothing.
    contrast = (calm - (left + right) / 2).mean(axis=0)
    goes_on = np.abs(left - right).mean(axis=0) < _SIDES_APART * contrast
    share = above.mean(axis=0) * goes_on
    wide = cv2.dilate(share[None].astype(np.float32), np.ones((1, 3)))[0]
    return np.asarray((wide > _ROWS) & (share > _ROWS / 2))
