"""Masks of damage, (H, W) bool or uint8: which parts of them count, and how far they reach."""

from __future__ import annotations

import cv2
import numpy as np

EDGE_PX = 2
"""By which damage is grown: its edges are as soft as the scanner's lens is."""


def reaching(sure: np.ndarray, likely: np.ndarray) -> np.ndarray:
    """What is sure, and what is likely and hangs together with it. Source: Canny 1986, "A
    Computational Approach to Edge Detection", section VI: thresholding with hysteresis."""
    count, labels = cv2.connectedComponents((likely | sure).astype(np.uint8), connectivity=8)
    kept = np.zeros(count, bool)
    kept[labels[sure]] = True
    kept[0] = False
    return np.asarray(kept[labels])


def grown(mask: np.ndarray, edge_px: int = EDGE_PX) -> np.ndarray:
    """A mask with the soft edges of its damage, which are filled as far as it is."""
    if not mask.any():
        return mask
    side = 2 * edge_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(mask.view(np.uint8), disc)).view(mask.dtype)
