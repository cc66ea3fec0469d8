"""Filling damage by what a network draws there.

The network is shown what lies there, too, and leaves it where it finds nothing wrong with it. What
it draws is smooth; it is given the grain of the nearest sound place, mirrored at the border of the
damage, in so far as it was drawn anew.
"""

from __future__ import annotations

import cv2
import numpy as np

from restore_batch.models.base import Filler
from restore_batch.stages.parallel import Mapper
from restore_batch.stages.repair.blocks import BLOCK_PX, Where, fill_blocks
from restore_batch.stages.repair.grain import clipped, grain_at
from restore_batch.stages.repair.mask import grown

_ANEW = 24.0
"""Levels of 255: what was changed by so much or more has nothing left of its own grain."""


def draw(
    samples: np.ndarray,
    mask: np.ndarray | Where,
    found: np.ndarray | Where,
    filler: Filler,
    mapped: Mapper = map,
    in_place: bool = False,
) -> np.ndarray:
    """A copy of a picture, or itself where that is to be filled ``in_place``, filled at ``mask``;
    outside of it, it is the same.

    ``samples``: (H, W, 3) uint8 or uint16, or (H, W, 1). ``mask``: (H, W) bool; ``found``: the same
    and what else is damage. ``mapped``: a ``map`` in order, for instance one that works on several
    blocks at once.
    """
    if BLOCK_PX % filler.align_px or filler.reach_px % filler.align_px:
        raise ValueError(f"tiles begin at multiples of {filler.align_px}: expected some of a block")

    def of_part(part: np.ndarray, missing: np.ndarray, places: np.ndarray) -> np.ndarray:
        at = places[:, 0], places[:, 1]
        rgb = part / np.float32(255)
        filled = filler(np.broadcast_to(rgb, (*rgb.shape[:2], 3)), missing)[at] * np.float32(255)
        if part.shape[2] == 1:
            filled = filled.mean(axis=1, keepdims=True)
        changed = np.abs(filled - part[at]).max(axis=1, keepdims=True)
        return filled + _grain(part, grown(missing), places) * np.minimum(changed / _ANEW, 1)

    return fill_blocks(samples, mask, found, filler.reach_px, of_part, mapped, in_place)


def _grain(part: np.ndarray, mask: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The grain for each place, (N, C) float32."""
    if mask.all():
        return np.zeros((len(places), part.shape[2]), np.float32)
    _, nearest = cv2.distanceTransformWithLabels(
        mask.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    sound = np.argwhere(~mask)
    by_label = np.zeros((int(nearest.max()) + 1, 2), np.int64)
    by_label[nearest[~mask]] = sound
    beyond = 2 * by_label[nearest[places[:, 0], places[:, 1]]] - places
    inside = (beyond >= 0).all(axis=1) & (beyond < mask.shape).all(axis=1)
    return grain_at(part, mask, clipped((beyond[:, 0], beyond[:, 1]), mask.shape), inside)
