"""How the picture moves at a face, from one frame to the next.

A hand-held camera, a film that trembles in its gate and frames that a transfer to video doubled
move a face far more irregularly than any smooth curve allows: on a film of the 1950s by -12, +3
and +8 px in three frames, then not at all. So the motion is measured on the picture itself, and
:mod:`restore_batch.stages.faces.steady.smoothing` averages detections along it.

Points on the face are found again by the pyramidal method of Lucas and Kanade (Bouguet 2001,
"Pyramidal Implementation of the Affine Lucas Kanade Feature Tracker"), kept when the way back
leads to where it began (Kalal et al. 2010, "Forward-Backward Error"), and summed up by a robust
similarity. The face is brought to one size first: cost and accuracy, relative to the face, are
the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from restore_batch.models.base import Face
from restore_batch.stages.geometry import scale_of, to_uint8, transform

Path = tuple[np.ndarray, ...]
"""Where the picture takes a face: (2, 3) float64 matrices from its frame to the next, the one
after that and so on; shorter than asked for where a shot ends or the face is lost."""

Box = Sequence[float] | np.ndarray
"""Left, top, right, bottom in pixels."""

_FACE_PX = 96
_AROUND = 0.75  # margin on each side of the face, in sides of it: how far it may move
_GRID = 9  # points a side
_INNER = 0.8  # share of the box that they span: the rest is hair and background
_WINDOW_PX = 15
_LEVELS = 3
_STEPS = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 0.003)
_RETURNS_WITHIN_PX = 0.7
_LEAST_POINTS = 20
_AGREES_WITHIN = 0.01  # of the face's side: how far points stray that still weigh half
_LARGEST_ZOOM = 1.25
_ROUNDS = 8
_FOUND_AGAIN = 0.25  # of the face's side, between where it was expected and where it is


@dataclass(eq=False)
class _Followed:
    frame: int
    index: int
    face: Face
    box_xyxy: np.ndarray
    path: list[np.ndarray] = field(default_factory=list)


class FaceFollower:
    """Follows every detected face through the ``reach`` frames after it.

    Push the frames of a stretch of film in order. A face is followed until it is detected again,
    lost, or cut off, so usually for one frame; what is found of it depends on no frame more than
    ``reach`` away. Holds one frame.
    """

    def __init__(self, reach: int) -> None:
        if reach < 1:
            raise ValueError(f"reach is {reach}: expected at least 1")
        self.reach = reach
        self._before: np.ndarray | None = None
        self._live: list[_Followed] = []
        self._paths: list[list[Path]] = []

    def push(self, rgb_hwc: np.ndarray, faces: Sequence[Face], cut: bool = False) -> None:
        """The next frame, (H, W, 3) uint8 or uint16, and its faces; ``cut``: a shot begins."""
        if self._before is not None and self._before.shape != rgb_hwc.shape:
            cut = True
        if self._before is not None and not cut:
            self._follow(self._before, rgb_hwc, faces)
        else:
            self._live = []
        frame = len(self._paths)
        self._paths.append([() for _ in faces])
        self._live += [_Followed(frame, i, f, np.array(f.box_xyxy)) for i, f in enumerate(faces)]
        self._before = rgb_hwc

    def paths(self) -> tuple[tuple[Path, ...], ...]:
        """For each frame so far the path of each of its faces."""
        return tuple(tuple(paths) for paths in self._paths)

    def _follow(self, before: np.ndarray, after: np.ndarray, faces: Sequence[Face]) -> None:
        going_on = []
        for one in self._live:
            step = measure_motion(before, after, one.box_xyxy)
            if step is None:
                continue
            one.path.append(compose(step, one.path[-1]) if one.path else step)
            self._paths[one.frame][one.index] = tuple(one.path)
            one.box_xyxy = moved_box(one.face.box_xyxy, one.path[-1])
            expected = transform(one.path[-1], one.face.landmarks_xy)
            found = any(_distance(expected, f.landmarks_xy, f) < _FOUND_AGAIN for f in faces)
            if not found and len(one.path) < self.reach:
                going_on.append(one)
        self._live = going_on


def measure_motion(before: np.ndarray, after: np.ndarray, box_xyxy: Box) -> np.ndarray | None:
    """The similarity, (2, 3) float64 in pixels, by which the picture moves inside a box.

    ``before`` and ``after``: consecutive frames of one shape, rgb_hwc uint8 or uint16. None
    where the picture cannot be followed: no structure, hidden, blurred, moved by more than
    about half a face, or outside of the frame.
    """
    left, top, right, bottom = (float(v) for v in box_xyxy)
    side = (max(right - left, 0.0) * max(bottom - top, 0.0)) ** 0.5
    height, width = before.shape[:2]
    if side < 1.0:
        return None
    margin = _AROUND * side
    x0, x1 = max(int(left - margin), 0), min(int(np.ceil(right + margin)) + 1, width)
    y0, y1 = max(int(top - margin), 0), min(int(np.ceil(bottom + margin)) + 1, height)
    if x1 - x0 < 8 or y1 - y0 < 8:
        return None
    size = (max(round((x1 - x0) * _FACE_PX / side), 8), max(round((y1 - y0) * _FACE_PX / side), 8))
    ratio_xy = np.array([size[0] / (x1 - x0), size[1] / (y1 - y0)])
    first, second = (_luma(frame[y0:y1, x0:x1], size) for frame in (before, after))
    start_xy = _points((left, top, right, bottom), width, height)
    # Pixel x lies at (x + 1/2) * ratio - 1/2 in the resized part.
    offset = np.array([x0, y0])
    small = ((start_xy - offset + 0.5) * ratio_xy - 0.5).astype(np.float32)
    if len(small) < _LEAST_POINTS:
        return None
    moved, good = _find_again(first, _alike(second, first), small)
    if good.sum() < _LEAST_POINTS:
        return None
    end_xy = (moved[good] + 0.5) / ratio_xy - 0.5 + offset
    matrix = _similarity(start_xy[good], end_xy, _AGREES_WITHIN * side)
    scale = scale_of(matrix)
    return matrix if 1 / _LARGEST_ZOOM < scale < _LARGEST_ZOOM else None


def compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The (2, 3) matrix that applies ``first``, then ``second``."""
    matrix = second[:, :2] @ first
    matrix[:, 2] += second[:, 2]
    return np.asarray(matrix, dtype=np.float64)


def moved_box(box_xyxy: Box, matrix: np.ndarray) -> np.ndarray:
    """An upright box carried along by a similarity: its centre moves, its sides scale."""
    left, top, right, bottom = box_xyxy
    centre = transform(matrix, np.array([[(left + right) / 2, (top + bottom) / 2]]))[0]
    half = np.array([right - left, bottom - top]) / 2 * scale_of(matrix)
    return np.concatenate([centre - half, centre + half])


def _distance(landmarks_xy: np.ndarray, others_xy: np.ndarray, face: Face) -> float:
    apart = np.hypot(*(landmarks_xy - others_xy).T).mean()
    return float(apart / max(face.side_px, 1e-6))


def _points(box_xyxy: Box, width: int, height: int) -> np.ndarray:
    """A grid over the inner part of a box, (N, 2) float64, without what is outside the frame."""
    left, top, right, bottom = box_xyxy
    spread = np.linspace(-_INNER / 2, _INNER / 2, _GRID)
    x = (left + right) / 2 + spread * (right - left)
    y = (top + bottom) / 2 + spread * (bottom - top)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    inside = (points >= 0).all(axis=1) & (points <= (width - 1, height - 1)).all(axis=1)
    return np.asarray(points[inside])


def _luma(rgb_hwc: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    smaller = size_wh[0] < rgb_hwc.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    small = cv2.resize(to_uint8(rgb_hwc), size_wh, interpolation=how)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))


def _alike(luma: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """With the mean and contrast of ``reference``: Lucas and Kanade assume equal brightness."""
    gain = float(reference.std()) / max(float(luma.std()), 1.0)
    shift = float(reference.mean()) - gain * float(luma.mean())
    levels = luma.astype(np.float32) * gain + shift
    return np.asarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def _find_again(
    first: np.ndarray, second: np.ndarray, points_xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where points of ``first`` are in ``second``, (N, 2) float64, and which to believe."""
    window = (_WINDOW_PX, _WINDOW_PX)

    def flow(a: np.ndarray, b: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        guess = np.zeros_like(xy)
        to, status, _ = cv2.calcOpticalFlowPyrLK(
            a, b, xy, guess, winSize=window, maxLevel=_LEVELS, criteria=_STEPS
        )
        return to, status.ravel() == 1

    there, found = flow(first, second, points_xy)
    home, returned = flow(second, first, there)
    apart = np.hypot(*(home - points_xy).T)
    return there.astype(np.float64), found & returned & (apart < _RETURNS_WITHIN_PX)


def _similarity(start_xy: np.ndarray, end_xy: np.ndarray, half_weight_px: float) -> np.ndarray:
    """The similarity that most points agree on: iterated least squares with Cauchy's weights,
    which fall smoothly, so that a small change of the picture changes the result little."""
    start, end = start_xy @ (1, 1j), end_xy @ (1, 1j)
    away = end - start
    median = np.median(away.real) + 1j * np.median(away.imag)
    residual = np.abs(away - median)
    turn, shift = 1 + 0j, median
    for _ in range(_ROUNDS):
        weight = 1 / (1 + (residual / half_weight_px) ** 2)
        total = weight.sum()
        centre, target = (weight * start).sum() / total, (weight * end).sum() / total
        spread = (weight * np.abs(start - centre) ** 2).sum()
        turn = (weight * np.conj(start - centre) * (end - target)).sum() / spread
        shift = target - turn * centre
        residual = np.abs(turn * start + shift - end)
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
