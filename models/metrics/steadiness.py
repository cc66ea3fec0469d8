"""How steady faces in a film are: figures for tests, benchmarks and reports.

Motion is measured here by dense flow (Kroeger et al. 2016, "Fast Optical Flow using Dense
Inverse Search"), not by the point tracker that steadies the faces, so that the judge is another
than the judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

_FACE_TOP, _FACE_BOTTOM = 0.32, 0.82
_FACE_LEFT, _FACE_RIGHT = 0.28, 0.72
"""The part of an aligned crop that shows face and no background: brows to chin."""


def landmark_jitter_px(landmarks: np.ndarray, carried: np.ndarray | None = None) -> float:
    """How much landmarks tremble, in pixels: RMS length of their second difference.

    ``landmarks``: (T, 5, 2) of consecutive frames, T at least 3. A steady camera and a calm
    face give nearly 0. ``carried``: (T - 1, 5, 2), where the picture takes the landmarks of
    each frame in the next (:func:`carried_by_picture`); then only what is not the picture's own
    motion counts.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.ndim != 3 or points.shape[0] < 3 or points.shape[2] != 2:
        raise ValueError(f"expected landmarks (T, 5, 2) of 3 or more frames, got {points.shape}")
    stayed = points[:-1] if carried is None else np.asarray(carried, dtype=np.float64)
    return _rms(np.diff(points[1:] - stayed, axis=0))


def carried_by_picture(frames: Sequence[np.ndarray], landmarks: np.ndarray) -> np.ndarray:
    """Where the picture takes the landmarks of each frame in the next.

    ``frames``: T pictures, rgb_hwc uint8 of one size; ``landmarks``: (T, N, 2) inside them. Out:
    (T - 1, N, 2) float64. A face is taken as one piece: all its landmarks move by the median
    of the flow around them, which a blink or a scratch does not sway.
    """
    carried = []
    for before, after, points in zip(frames[:-1], frames[1:], landmarks[:-1], strict=True):
        flow = _flow(_luma(before), _luma(after))
        low, high = points.min(axis=0), points.max(axis=0)
        limit = np.array([flow.shape[1] - 1, flow.shape[0] - 1])
        x0, y0 = np.clip(np.floor(low), 0, limit).astype(int)
        x1, y1 = np.clip(np.ceil(high), 0, limit).astype(int) + 1
        carried.append(points + np.median(flow[y0:y1, x0:x1].reshape(-1, 2), axis=0))
    return np.array(carried, dtype=np.float64).reshape(-1, *landmarks.shape[1:])


def crop_slide_px(crops: Sequence[np.ndarray], scales: Sequence[float]) -> float:
    """How far aligned crops slide over the face from frame to frame: RMS, in source pixels.

    ``crops``: T aligned crops, rgb_hwc uint8 of one size; ``scales``: crop pixels per source
    pixel of each. 0 where each crop shows the face in exactly the same place, however it moves.
    """
    side = crops[0].shape[0]
    rows = slice(round(_FACE_TOP * side), round(_FACE_BOTTOM * side))
    columns = slice(round(_FACE_LEFT * side), round(_FACE_RIGHT * side))
    slides = []
    for before, after, scale in zip(crops, crops[1:], scales, strict=False):
        flow = _flow(_luma(before), _luma(after))[rows, columns].reshape(-1, 2)
        slides.append(np.median(flow, axis=0) / scale)
    return _rms(np.array(slides))


def warping_error(
    frames: Sequence[np.ndarray],
    regions_xyxy: Sequence[Sequence[float]],
    guides: Sequence[np.ndarray] | None = None,
) -> float:
    """Flicker inside moving regions: mean squared difference, in [0, 1], between each frame and
    the next one brought back along the motion, without pixels that are hidden in one of them.

    ``frames``: T pictures, rgb_hwc uint8 of one size; ``regions_xyxy``: T boxes, the face in
    each. ``guides``: pictures of the same size whose motion is used, such as the source of a
    restored film, so that the flicker to be measured does not disturb it. NaN where every pixel
    is hidden.

    Source: Lai et al. 2018, "Learning Blind Video Temporal Consistency", section 4.3; hidden
    pixels by the consistency of flow and reverse flow, Sundaram et al. 2010, section 3.
    """
    guides = frames if guides is None else guides
    total, count = 0.0, 0
    for t in range(len(frames) - 1):
        height, width = frames[t].shape[:2]
        left, top, right, bottom = regions_xyxy[t]
        x0, y0 = max(int(left), 0), max(int(top), 0)
        x1, y1 = min(int(np.ceil(right)), width), min(int(np.ceil(bottom)), height)
        if x1 <= x0 or y1 <= y0:
            continue
        before, after = _luma(guides[t]), _luma(guides[t + 1])
        there, home = _flow(before, after), _flow(after, before)
        inside = (slice(y0, y1), slice(x0, x1))
        seen = (_is_seen(there, home) & _lands_inside(there))[inside]
        back = _sampled(frames[t + 1].astype(np.float32), there)[inside]
        squares = ((frames[t][inside].astype(np.float32) - back) / 255) ** 2
        total += float(squares.mean(axis=2)[seen].sum(dtype=np.float64))
        count += int(seen.sum())
    return total / count if count else float("nan")


def lag_frames(reference: np.ndarray, filtered: np.ndarray, most: int = 5) -> float:
    """By how many frames a filtered motion comes late (negative: early).

    ``reference``, ``filtered``: (T, ...) positions, T more than ``2 * most + 2``. The shift, up
    to ``most`` frames, at which the two agree best in the mean square, refined by a parabola.
    """
    first = np.asarray(reference, dtype=np.float64).reshape(len(reference), -1)
    second = np.asarray(filtered, dtype=np.float64).reshape(len(filtered), -1)
    if first.shape != second.shape or len(first) <= 2 * most + 2:
        raise ValueError(f"expected two motions of one shape and over {2 * most + 2} frames")
    # The same frames of the filtered motion at every shift, so that the errors compare.
    kept = second[most : len(second) - most]
    errors = np.array(
        [
            ((kept - first[most - shift : len(first) - most - shift]) ** 2).mean()
            for shift in range(-most, most + 1)
        ]
    )
    best = int(errors.argmin())
    if not 0 < best < len(errors) - 1:
        return float(best - most)
    before, at, after = errors[best - 1 : best + 2]
    bend = before - 2 * at + after
    return float(best - most + (0.5 * (before - after) / bend if bend > 0 else 0.0))


def _rms(vectors: np.ndarray) -> float:
    return float(np.sqrt((vectors**2).sum(axis=-1).mean()))


def _luma(rgb_hwc: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(rgb_hwc, cv2.COLOR_RGB2GRAY))


def _flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(H, W, 2) float32: where each pixel of ``before`` is in ``after``, less where it was."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    no_guess: Any = None
    return np.asarray(search.calc(before, after, no_guess))


def _sampled(array: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """``array`` where the flow leads."""
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.asarray(
        cv2.remap(
            array,
            x + flow[..., 0],
            y + flow[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )


def _is_seen(there: np.ndarray, home: np.ndarray) -> np.ndarray:
    back = _sampled(home, there)
    apart = ((there + back) ** 2).sum(axis=2)
    allowed = 0.01 * ((there**2).sum(axis=2) + (back**2).sum(axis=2)) + 0.5
    return np.asarray(apart < allowed)


def _lands_inside(flow: np.ndarray) -> np.ndarray:
    height, width = flow.shape[:2]
    x = np.arange(width) + flow[..., 0]
    y = np.arange(height)[:, None] + flow[..., 1]
    return np.asarray((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1))
