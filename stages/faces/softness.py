"""Whether a face has more pixels than its picture has detail.

A scanner makes as many pixels of a print as it is told to. What a lens, a film and a paper hold of
a face is often less than the pixels that show it: then a restorer that gives fewer pixels takes
nothing away. In a sharp picture what is finer is about as strong at edges as the octave before it,
in a soft one it is missing there. Grain is as strong beside edges as at them, and is taken off. A
printed picture is neither: it consists of the dots of its screen, which a restorer would smooth.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from restore_batch.stages.faces.masks import LUMA
from restore_batch.stages.geometry import invert, scale_of, to_uint8, transform

_MOST_TIMES = 4.0
"""The crop's pixels: what is finer still tells nothing else."""
_ACROSS, _DOWN = (0.28, 0.72), (0.3, 0.85)
"""Of the aligned crop, over its side, what lies between the cheeks, and from forehead to chin."""
_FINER_SIGMA = 0.6
"""Pixels of the restorer: the blur that leaves what it can give."""
_AT_EDGES, _BESIDE = 0.9, 0.4
"""Quantiles of the slope: of the tenth above, and of what is below."""
_COARSER = 0.3
"""Of the octave before, that counts where nothing of the one before it is left either."""
_SOFT = 0.28
"""Of 24 portraits of 200 px that were given 540 to 1600 px, with grain on them or none, all have
less, of 300 px a third, of 400 px a tenth; sharp ones of 520 to 2100 px have 0.58 to 1.04. With the
detail of 300 px compact-1 gains nothing (33.6 and 33.7 dB where there is grain), of 200 px 0.3 dB,
blurred by three and four of its pixels 0.7 and 0.9 dB."""
_SCREEN = 500.0
"""Power over what is usual at that frequency: three newspapers have 1260 to 2550, photographs and
enlarged ones 5 to 300."""
_SCREEN_FREQUENCIES = (0.06, 0.5)
_OFF_AXES = 0.03  # cycles a pixel: along the axes lie the blocks of JPEG
_RINGS = 64
_NOTHING = 1e-3


def is_soft(rgb_hwc: np.ndarray, matrix: np.ndarray, face_px: int) -> bool:
    """Whether a face, uint8 or uint16 picture and ``matrix`` as an Alignment's, shows nothing finer
    than a crop of ``face_px`` can; False where it has no more pixels than that."""
    if scale_of(matrix) >= 1.0:
        return False
    luma = _of_face(rgb_hwc, matrix, face_px)
    return detail(luma, 1.0 / scale_of(matrix)) < _SOFT and screen(luma) < _SCREEN


def detail(luma_hw: np.ndarray, times: float) -> float:
    """How strong at edges what is finer than ``times`` pixels is, over the octave before it: a
    ratio of variances from 0. ``luma_hw``: float32 in [0, 255], in the picture's own pixels, since
    a warp would blur them."""
    if times > _MOST_TIMES:
        luma_hw = cv2.resize(
            luma_hw, None, fx=_MOST_TIMES / times, fy=_MOST_TIMES / times,
            interpolation=cv2.INTER_AREA,
        )  # fmt: skip
        times = _MOST_TIMES
    sigmas = (_FINER_SIGMA * times * 2**k for k in range(3))
    levels = [luma_hw, *(cv2.GaussianBlur(luma_hw, (0, 0), sigma) for sigma in sigmas)]
    edges = levels[2]
    slope = np.hypot(cv2.Sobel(edges, cv2.CV_32F, 1, 0), cv2.Sobel(edges, cv2.CV_32F, 0, 1))
    at, beside = slope >= np.quantile(slope, _AT_EDGES), slope <= np.quantile(slope, _BESIDE)
    fine, usual, coarse = (
        float(band[at].mean() - band[beside].mean())
        for band in (np.square(a - b) for a, b in pairwise(levels))
    )
    return max(fine, 0.0) / max(usual, _COARSER * coarse, _NOTHING)


def screen(luma_hw: np.ndarray) -> float:
    """How far the strongest regular pattern stands out: its power over the median of its
    frequency's."""
    height, width = luma_hw.shape
    if min(height, width) < _RINGS:
        return 0.0
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    power = np.abs(np.fft.rfft2((luma_hw - luma_hw.mean()) * window)) ** 2
    y, x = np.abs(np.fft.fftfreq(height))[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.hypot(y, x)
    ring = (frequency * _RINGS).astype(int)
    usual = np.array([np.median(power[ring == i]) if (ring == i).any() else 1.0
                      for i in range(ring.max() + 1)])  # fmt: skip
    low, high = _SCREEN_FREQUENCIES
    seen = (frequency > low) & (frequency < high) & (x > _OFF_AXES) & (y > _OFF_AXES)
    over = cv2.blur((power / np.maximum(usual[ring], _NOTHING)).astype(np.float32), (3, 3))
    return float(over[seen].max())


def _of_face(rgb_hwc: np.ndarray, matrix: np.ndarray, face_px: int) -> np.ndarray:
    """Brightness of the part of the picture that shows the face's middle: (H, W) float32."""
    corners = face_px * np.array([(x, y) for x in _ACROSS for y in _DOWN])
    corners = transform(invert(matrix), corners)
    size = np.array(rgb_hwc.shape[1::-1])
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, size - 1).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=0)), 1, size).astype(int)
    part = to_uint8(rgb_hwc[top : max(bottom, top + 1), left : max(right, left + 1)])
    return np.asarray(cv2.transform(part.astype(np.float32), LUMA[None]))
