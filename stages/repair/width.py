"""How wide damage may be to be filled: what covers a thing cannot be guessed from beside it."""

from __future__ import annotations

import cv2
import numpy as np

_SHARE = 0.012
_LEAST_PX, _MOST_PX = 14, 64
_CELLS = 16
"""Cells that the widest damage is wide, at least: enough to tell a disc from a band."""
_FRINGE_PX = 4


def widest_px(width: int, height: int) -> int:
    """The widest damage that is filled in a picture of that size: a hundredth of it or so."""
    return int(np.clip(round(_SHARE * max(width, height)), _LEAST_PX, _MOST_PX))


def narrow(mask: np.ndarray, most_px: int) -> np.ndarray:
    """The damage that is at most about ``most_px`` wide, (H, W) bool; the rest is left out with
    its fringe.

    It is an opening by a disc (Serra 1982), in large pictures computed on cells of several pixels.
    """
    height, width = mask.shape
    side = max(1, most_px // _CELLS)
    rows, columns = -(-height // side), -(-width // side)
    padded = np.zeros((rows * side, columns * side), bool)
    padded[:height, :width] = mask
    cells = padded.reshape(rows, side, columns, side)
    # A cell counts where half of it is damage, or thin lines would seem broader than they are.
    full = (2 * cells.sum(axis=(1, 3), dtype=np.uint16) >= side**2).astype(np.uint8)
    radius = most_px // (2 * side)
    core = _filtered(full, radius, cv2.erode)
    if not core.any():
        return mask
    wide = _filtered(core, radius + -(-_FRINGE_PX // side), cv2.dilate).astype(bool)
    whole = np.repeat(np.repeat(wide, side, axis=0), side, axis=1)
    return np.asarray(mask & ~whole[:height, :width])


def _filtered(cells: np.ndarray, radius: int, how: object) -> np.ndarray:
    side = 2 * radius + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(how(cells, disc, borderType=cv2.BORDER_REPLICATE))  # type: ignore[operator]
