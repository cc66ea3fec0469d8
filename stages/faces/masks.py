"""Where a restored face replaces the picture: masks from 0 to 1, in crop or output pixels.

A mask has a *soft edge*: an area is shrunk, then blurred by as much, so that it rises from
exactly 0 at the area's old edge to 1 further in. The area is the crop's square, or what a parser
takes for face. Source of both shapes: facexlib's ``paste_faces_to_input_image``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

PARSED_PX = 512
FEATHER_SHARE = 0.1
"""Half the width of the square's soft edge over the crop's side. Twice that of facexlib: with
the aligned face between 20 % and 80 % of the crop, hair and background have room to fade."""

_PARSED_BLUR_PX = 101
_PARSED_SIGMA_PX = 11
_PARSED_BORDER_PX = 10
_OWNERSHIP_SOFTNESS = 0.2


def soft_edge(area_hw: np.ndarray, edge_px: int) -> np.ndarray:
    """Shrink an area by ``edge_px`` and blur it by as much.

    ``area_hw``: float32 in [0, 1]. Outside of the array counts as the area's continuation, as
    OpenCV's erosion has it: pad with zeros where the area ends at the array's border.
    """
    if edge_px < 1:
        return area_hw.astype(np.float32, copy=True)
    kernel = np.ones((2 * edge_px, 2 * edge_px), np.uint8)
    core = cv2.erode(area_hw.astype(np.float32, copy=False), kernel)
    return np.asarray(cv2.GaussianBlur(core, (2 * edge_px + 1, 2 * edge_px + 1), 0))


@lru_cache(maxsize=8)
def square_mask(face_px: int) -> np.ndarray:
    """The soft-edged square of a crop: (S, S) float32, exactly 0 along the border. Read only."""
    edge = max(1, round(face_px * FEATHER_SHARE))
    area = np.zeros((face_px + 2, face_px + 2), np.float32)
    area[1:-1, 1:-1] = 1.0
    mask = soft_edge(area, edge)[1:-1, 1:-1].copy()
    # An even kernel leans by half a pixel; a mirrored face must get a mirrored mask.
    mask = np.minimum(mask, mask[::-1, ::-1])
    border = np.ones_like(mask, dtype=bool)
    border[1:-1, 1:-1] = False
    mask[border] = 0.0
    mask.flags.writeable = False
    return mask


def parsed_mask(inside_hw: np.ndarray) -> np.ndarray:
    """Soften what a parser found: (512, 512) with 1 inside the face, float32 back."""
    mask: np.ndarray = inside_hw.astype(np.float32)
    for _ in range(2):
        mask = cv2.GaussianBlur(mask, (_PARSED_BLUR_PX, _PARSED_BLUR_PX), _PARSED_SIGMA_PX)
    edge = _PARSED_BORDER_PX
    mask[:edge] = mask[-edge:] = 0
    mask[:, :edge] = mask[:, -edge:] = 0
    return mask


def square_mask_at_output(
    inverse_matrix: np.ndarray, size_wh: tuple[int, int], face_px: int, scale: float
) -> np.ndarray:
    """facexlib's own square mask: made in output pixels rather than in the crop's.

    ``inverse_matrix``: (2, 3), crop to output pixels. Returns (H, W) float32.
    """
    ones = np.ones((face_px, face_px), np.float32)
    area = np.asarray(cv2.warpAffine(ones, inverse_matrix, size_wh))
    area = np.asarray(cv2.erode(area, np.ones((int(2 * scale), int(2 * scale)), np.uint8)))
    return soft_edge(area, int(float(area.sum(dtype=np.float64)) ** 0.5) // 20)


def ownership(
    points_x: np.ndarray,
    points_y: np.ndarray,
    own: tuple[float, float, float],
    others: Sequence[tuple[float, float, float]],
) -> np.ndarray | None:
    """How much of each pixel belongs to one face rather than to its neighbours.

    Crops are three times as wide as faces, so in a group picture each holds parts of others'
    faces, badly restored since they lie off the template. A pixel goes to the face whose centre
    is nearest, in units of that face's size, with a soft border. Shares of all faces add up to
    at most 1, to exactly 1 where two compete, so the order of pasting does not matter.

    ``points_x``: (W,), ``points_y``: (H,), output pixels; a face is (x, y, side of its crop) in
    the same. Returns (H, W) float32 in [0, 1], or None where no neighbour is near.
    """
    near = [other for other in others if _competes(own, other)]
    if not near:
        return None
    distance = _distance(points_x, points_y, own)
    share = np.ones_like(distance)
    for other in near:
        lead = (_distance(points_x, points_y, other) - distance) / _OWNERSHIP_SOFTNESS + 0.5
        lead = np.clip(lead, 0.0, 1.0)
        share *= lead * lead * (3.0 - 2.0 * lead)
    return share


def _distance(x: np.ndarray, y: np.ndarray, face: tuple[float, float, float]) -> np.ndarray:
    centre_x, centre_y, side = face
    dx = ((x - centre_x) / side).astype(np.float32)
    dy = ((y - centre_y) / side).astype(np.float32)
    return np.hypot(dx[None, :], dy[:, None])


def _competes(own: tuple[float, float, float], other: tuple[float, float, float]) -> bool:
    """False where ``other`` cannot take any pixel of ``own``'s crop."""
    apart = float(np.hypot(own[0] - other[0], own[1] - other[1]))
    reach = 0.8  # from the landmarks' centre to the furthest corner of the crop, over its side
    nearest = max(0.0, apart - reach * own[2]) / other[2]
    return nearest < reach + _OWNERSHIP_SOFTNESS / 2
