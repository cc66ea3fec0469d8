"""Steady landmarks: detections of neighbouring frames averaged along the picture's own motion.

A detector places the landmarks of a face anew in every frame, a little beside each time; aligned
with them, a crop trembles, and what a restorer invents trembles with it. A curve fitted through
the positions in the picture (Gaussian, Savitzky-Golay, one-euro) removes this error together with
the real motion of a hand-held or trembling film, and then the crop slides over the face. Here each
detection of the window is first carried to the frame in question by the measured motion. What
is averaged differs only by the detector's error, so no motion is lost and nothing lags.

How far aligned crops slide over the face from frame to frame (RMS, source pixels; a face of 55
px in a shaking car, and one of 75 px in a hand-held film of the 1950s with doubled frames), with
the landmarks of RetinaFace MobileNet / MTCNN (``benchmarks/steady_faces.py`` on any clip):

================  ===========  ===========
landmarks         car          film
================  ===========  ===========
as detected       0.50 / 0.86  1.66 / 1.21
Gaussian          0.51 / 0.49  5.41 / 5.44
Savitzky-Golay    0.59 / 0.59  6.15 / 6.15
one-euro          0.58 / 0.57  4.17 / 4.24
along the motion  0.15 / 0.08  0.18 / 0.17
================  ===========  ===========
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from restore_batch.models.base import Face
from restore_batch.stages.faces.steady.motion import compose, moved_box
from restore_batch.stages.faces.steady.track import TrackedFace, Tracks
from restore_batch.stages.geometry import (
    DegenerateFaceError,
    estimate_similarity,
    invert,
    template,
    transform,
)

SMOOTH_FRAMES = 6
"""How many frames before and after a frame have a part in its landmarks."""

_SIGMA_FRAMES = 3.0
_CROP_PX = 512
_OUTLIER = 0.1
"""Distance from the window's median, in sides of the face, at which a landmark counts a quarter.
Detectors stray by 0.01 to 0.03."""


def smooth_landmarks(tracks: Tracks) -> Tracks:
    """The same faces with steady landmarks and boxes; everything else stays.

    ``tracks``: for each frame of a stretch its faces, as
    :func:`restore_batch.stages.faces.steady.track.link_faces` returns them. The window reaches
    :data:`SMOOTH_FRAMES` to both sides and ends where the track
    ends or the picture's motion is not known; a face without known motion stays as it is.
    Filled faces have no vote, and a detection that has jumped hardly any.

    The landmarks are placed so that :func:`restore_batch.stages.geometry.estimate_similarity`
    returns the average of the window's alignments. That of the averaged landmarks would be less
    steady: the estimator rejects now one point, now another.
    """
    by_track: dict[int, dict[int, _Sample]] = {}
    for t, faces in enumerate(tracks):
        for face in faces:
            by_track.setdefault(face.track, {})[t] = _Sample(face, _placement(face.face))
    return tuple(
        tuple(replace(face, face=_steady(by_track[face.track], t)) for face in faces)
        for t, faces in enumerate(tracks)
    )


@dataclass(frozen=True, eq=False)
class _Sample:
    """``placement``: (2, 3), from the aligned crop to the frame; None for degenerate landmarks."""

    tracked: TrackedFace
    placement: np.ndarray | None


def _placement(face: Face) -> np.ndarray | None:
    try:
        return invert(estimate_similarity(face.landmarks_xy, _CROP_PX))
    except DegenerateFaceError:
        return None


def _steady(track: Mapping[int, _Sample], t: int) -> Face:
    here = track[t].tracked.face
    window = [(k, m, track[t + k]) for k, m in _window(track, t)]
    seen = [(k, m, sample) for k, m, sample in window if not sample.tracked.filled]
    if not seen:
        return here
    boxes = np.stack([moved_box(sample.tracked.face.box_xyxy, m) for _, m, sample in seen])
    side = float(np.median(np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))))
    nearness = np.exp([-0.5 * (k / _SIGMA_FRAMES) ** 2 for k, _, _ in seen])

    points = np.stack([transform(m, sample.tracked.face.landmarks_xy) for _, m, sample in seen])
    trust = _trust(points, nearness, side)
    landmarks = (trust[..., None] * points).sum(axis=0) / trust.sum(axis=0)[:, None]
    whole = trust.mean(axis=1)
    left, top, right, bottom = ((whole[:, None] * boxes).sum(axis=0) / whole.sum()).tolist()
    steady = replace(
        here, box_xyxy=(left, top, right, bottom), landmarks_xy=landmarks.astype(np.float32)
    )

    placed = [
        (compose(m, sample.placement), near)
        for (_, m, sample), near in zip(seen, nearness, strict=True)
        if sample.placement is not None
    ]
    return _placed(steady, landmarks, placed, side)


def _placed(
    face: Face,
    landmarks: np.ndarray,
    placements: Sequence[tuple[np.ndarray, float]],
    side_px: float,
) -> Face:
    """``face`` with its landmarks moved to where their alignment is the average of the given
    placements, each with its nearness in time; unmoved where there is no such average."""
    now = _placement(face)
    if now is None or not placements:
        return face
    matrices = np.stack([matrix for matrix, _ in placements])
    nearness = np.array([near for _, near in placements])
    points = np.stack([transform(matrix, template(_CROP_PX)) for matrix in matrices])
    weight = _trust(points, nearness, side_px).mean(axis=1)
    average = np.tensordot(weight / weight.sum(), matrices, axes=1)
    moved = transform(compose(average, invert(now)), landmarks)
    return replace(face, landmarks_xy=moved.astype(np.float32))


def _trust(points: np.ndarray, nearness: np.ndarray, side_px: float) -> np.ndarray:
    """Weights (N, 5) of (N, 5, 2) points: by nearness in time and to their median."""
    stray = np.hypot(*np.moveaxis(points - np.median(points, axis=0), -1, 0))
    kept = 1 / (1 + (stray / max(_OUTLIER * side_px, 1e-6)) ** 2) ** 2
    return np.asarray(nearness[:, None] * kept)


def _window(track: Mapping[int, _Sample], t: int) -> list[tuple[int, np.ndarray]]:
    """Offsets of the frames in the window, from the first, and what carries each to frame t."""
    still = np.array([[1.0, 0, 0], [0, 1, 0]])
    window = [(0, still)]
    matrix = still
    for k in range(1, SMOOTH_FRAMES + 1):
        before = track.get(t - k)
        if before is None or before.tracked.step is None:
            break
        matrix = compose(matrix, before.tracked.step)
        window.insert(0, (-k, matrix))
    matrix = still
    for k in range(1, SMOOTH_FRAMES + 1):
        step = track[t + k - 1].tracked.step
        if step is None or t + k not in track:
            break
        matrix = compose(step, matrix)
        window.append((k, invert(matrix)))
    return window
