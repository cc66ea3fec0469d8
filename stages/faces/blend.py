"""Making a restored face fit in: its colours, its grey, its bits, its strength.

Restorers shift colours (they were trained on other cameras) and return 8 bits. All functions
take and return arrays in crop pixels and are pure.
"""

from __future__ import annotations

import cv2
import numpy as np

_LOW_PX = 64
_LOW_SIGMA_PX = 6.0
"""Colours are matched at 1/64 of the crop's side and coarser, about a cheek: what a restorer
changes below that is its work, what it changes above is a cast."""
_DEBAND_SIGMA_PX = 3.0
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601 section 2.5.1."""


def luma(rgb_hwc: np.ndarray) -> np.ndarray:
    """Brightness (H, W) uint8 of an rgb_hwc uint8 picture; a grey one keeps its values."""
    return np.asarray(np.rint(rgb_hwc.astype(np.float32) @ _LUMA), dtype=np.uint8)


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
    if identity is None or min_identity is None or identity >= min_identity:
        return strength
    return strength * max(0.0, identity) / min_identity
