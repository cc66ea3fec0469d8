"""Colours under full transparency, which nobody sees until a picture is enlarged.

Programs leave anything there, mostly black. Enlarged, it would bleed into the half-transparent edge
beside it, as a dark or coloured outline. So near what is seen it is first replaced by the colours
that are seen nearest. Source: "alpha bleeding", as for textures of games.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from restore_batch.stages.media import Frame
from restore_batch.stages.rows import blocks_of_rows

REACH_PX = 96
"""How far from what is seen: photo-2 draws faint streaks up to 75 pixels from hard black."""


def without_hidden_colours(frame: Frame) -> Frame:
    """The frame with the colours of what is seen carried on under what is fully transparent, up to
    :data:`REACH_PX`; itself where nothing is, or nothing is seen."""
    alpha = frame.alpha_hw
    if alpha is None or alpha.all() or not alpha.any():
        return frame
    rgb = frame.rgb_hwc.copy()
    for rows in blocks_of_rows(frame.height, frame.width):
        around = slice(max(0, rows.start - REACH_PX), min(frame.height, rows.stop + REACH_PX))
        hidden = alpha[around] == 0
        if hidden.all() or not hidden.any():
            continue
        away, nearest = cv2.distanceTransformWithLabels(
            hidden.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        seen = frame.rgb_hwc[around][~hidden]
        by_label = np.zeros((int(nearest.max()) + 1, rgb.shape[2]), rgb.dtype)
        by_label[nearest[~hidden]] = seen
        own = slice(rows.start - around.start, rows.stop - around.start)
        near = hidden[own] & (away[own] <= REACH_PX)
        rgb[rows][near] = by_label[nearest[own][near]]
    return replace(frame, rgb_hwc=rgb)
