"""How a restored face fits into its picture: where it replaces it, in what colours, how strongly.

Masks run from 0 to 1, in crop or output pixels. Each has a *soft edge*: an area is shrunk, then
blurred by as much, so that it rises from exactly 0 at the area's old edge to 1 further in. The
area is the crop's square, or what a parser takes for face. Source of both shapes: facexlib's
``paste_faces_to_input_image``.

Restorers shift colours (they were trained on other cameras) and return 8 bits: both are undone
in crop pixels. All functions are pure.
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

TOO_FEW_PX = 56.0
ENOUGH_PX = 88.0

_LOW_PX = 64
_LOW_SIGMA_PX = 6.0
"""Colours are matched at 1/64 of the crop's side and coarser, about a cheek: what a restorer
changes below that is its work, what it changes above is a cast."""
_DEBAND_SIGMA_PX = 3.0
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601 section 2.5.1."""


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


def resized(array: np.ndarray, side: int) -> np.ndarray:
    """A square array, (S, S) or (S, S, C), with another side."""
    if array.shape[0] == side:
        return array
    return np.asarray(cv2.resize(array, (side, side), interpolation=cv2.INTER_LINEAR))


def parsed_mask(inside_hw: np.ndarray) -> np.ndarray:
    """Soften what a parser found: (512, 512) with 1 inside the face, float32 back."""
    mask: np.ndarray = inside_hw.astype(np.float32)
    for _ in range(2):
        mask = cv2.GaussianBlur(mask, (_PARSED_BLUR_PX, _PARSED_BLUR_PX), _PARSED_SIGMA_PX)
    edge = _PARSED_BORDER_PX
    mask[:edge] = mask[-edge:] = 0
    mask[:, :edge] = mask[:, -edge:] = 0
    return mask


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


def luma(rgb_hwc: np.ndarray) -> np.ndarray:
    """Brightness (H, W) uint8 of an rgb_hwc uint8 picture; a grey one keeps its values."""
    return np.asarray(np.rint(rgb_hwc.astype(np.float32) @ LUMA), dtype=np.uint8)


def match_colour(face_hwc: np.ndarray, crop_hwc: np.ndarray, weight_hw: np.ndarray) -> np.ndarray:
    """Give a restored face the low frequencies of the crop it was made from.

    ``face_hwc``, ``crop_hwc``: (S, S, C) float32 in [0, 255]; ``weight_hw``: (S, S) float32, 0
    where the crop is not of the picture (outside of its border) and says nothing about colour.
    Returns float32 in about [0, 255]: the difference of both, blurred with a normalised
    convolution (Knutsson and Westin 1993), is added.
    """
    side = face_hwc.shape[0]
    weight = cv2.resize(weight_hw, (_LOW_PX, _LOW_PX), interpolation=cv2.INTER_AREA)
    wanted = (crop_hwc - face_hwc) * weight_hw[..., None]
    low = cv2.resize(wanted, (_LOW_PX, _LOW_PX), interpolation=cv2.INTER_AREA)
    low = low.reshape(_LOW_PX, _LOW_PX, -1)
    low = cv2.GaussianBlur(low, (0, 0), _LOW_SIGMA_PX).reshape(_LOW_PX, _LOW_PX, -1)
    mass = cv2.GaussianBlur(weight, (0, 0), _LOW_SIGMA_PX)
    low = (low / np.maximum(mass, 1e-3)[..., None]).astype(np.float32)
    cast = cv2.resize(low, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(face_hwc + cast.reshape(face_hwc.shape))


def deband(face_hwc: np.ndarray) -> np.ndarray:
    """The smooth picture that an 8-bit one may have been rounded from, for 16-bit frames.

    (S, S, C) float32 whole numbers in [0, 255]; each value moves by at most half a level, towards
    its blurred neighbourhood. Slopes lose their steps, texture stays.
    """
    smooth = cv2.GaussianBlur(face_hwc, (0, 0), _DEBAND_SIGMA_PX).reshape(face_hwc.shape)
    return np.asarray(np.clip(smooth, face_hwc - 0.5, face_hwc + 0.5))


def lowered_blend(strength: float, identity: float | None, min_identity: float | None) -> float:
    """The strength for a face whose restoration looks less like the person than it should.

    Below ``min_identity`` the strength falls in proportion to the similarity, down to 0 at a
    similarity of 0. It is continuous, so a face near the limit does not flicker in a film.
    """
    if identity is None or not min_identity or identity >= min_identity:
        return strength
    return strength * max(0.0, identity) / min_identity


def held_by_size(strength: float, native_px: float) -> float:
    """The strength for a face that a restorer corrects, by its crop's side in the source.

    Warped to the restorer's size and back a face of 20 px loses more than is gained: below
    :data:`TOO_FEW_PX` it stays as it is, from :data:`ENOUGH_PX` on it is restored wholly, and in
    between the strength rises, so that a face that grows in a film does not flicker.
    """
    share = (native_px - TOO_FEW_PX) / (ENOUGH_PX - TOO_FEW_PX)
    return strength * min(max(share, 0.0), 1.0)


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
