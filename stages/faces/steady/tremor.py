"""Tremors too small to see: a crop need not follow what moves by less than a hundredth of the face.

Landmarks that are carried along the picture's own motion follow each shake of the camera exactly.
For a large one that is right: a crop that stays behind slides over the face. One of a fraction of
a pixel, which every film has, only makes the crop tremble with the grain. Such a tremor is
averaged away; a larger one is followed as before, and between the two the share changes
smoothly.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from restore_batch.models.base import Face
from restore_batch.stages.faces.steady.track import Tracks

TREMOR_FRAMES = 5
"""How many frames before and after a frame have a part in where its face is put."""

_AVERAGE = np.array([1, 4, 6, 4, 1]) / 16
_NEARNESS = np.exp(-0.5 * (np.arange(-3, 4) / 1.5) ** 2)
_SMALL = 0.01
"""RMS of a tremor, in sides of the face, of which half is left."""


def damp_tremor(tracks: Tracks) -> Tracks:
    """The same faces without their small tremors; landmarks and box of a face move alike.

    ``tracks``: for each frame of a stretch its faces. Frames near the end of a track are averaged
    with as many on either side as there are, so that nothing lags.
    """
    moves = _moves(tracks)
    return tuple(
        tuple(replace(face, face=_moved(face.face, moves[face.track, t])) for face in faces)
        for t, faces in enumerate(tracks)
    )


def _moves(tracks: Tracks) -> dict[tuple[int, int], np.ndarray]:
    """(track, frame) → how far its face is to be moved: (2,), x and y in pixels."""
    centres: dict[tuple[int, int], np.ndarray] = {}
    sides: dict[tuple[int, int], float] = {}
    for t, faces in enumerate(tracks):
        for face in faces:
            key = (face.track, t)
            centres[key] = face.face.landmarks_xy.astype(np.float64).mean(axis=0)
            sides[key] = max(face.face.side_px, 1e-6)
    tremors = {key: _averaged(centres, *key) - centre for key, centre in centres.items()}
    shares = {key: (tremor / sides[key]) @ (tremor / sides[key]) for key, tremor in tremors.items()}
    return {key: _left_out(shares, *key) * tremor for key, tremor in tremors.items()}


def _averaged(centres: dict[tuple[int, int], np.ndarray], track: int, t: int) -> np.ndarray:
    reach = len(_AVERAGE) // 2
    half = 0
    while half < reach and {(track, t - half - 1), (track, t + half + 1)} <= centres.keys():
        half += 1
    weights = _AVERAGE[reach - half : reach + half + 1]
    window = np.stack([centres[track, t + k] for k in range(-half, half + 1)])
    return np.asarray(weights @ window / weights.sum())


def _left_out(shares: dict[tuple[int, int], float], track: int, t: int) -> float:
    """How much of the tremor of a frame is taken out, by how strong it is around it."""
    reach = len(_NEARNESS) // 2
    seen = [
        (near, shares[track, t + k])
        for k, near in zip(range(-reach, reach + 1), _NEARNESS, strict=True)
        if (track, t + k) in shares
    ]
    mean_square = sum(near * share for near, share in seen) / sum(near for near, _ in seen)
    return float(1 / (1 + (mean_square / _SMALL**2) ** 2))


def _moved(face: Face, move_xy: np.ndarray) -> Face:
    left, top, right, bottom = face.box_xyxy
    x, y = move_xy.tolist()
    return replace(
        face,
        box_xyxy=(left + x, top + y, right + x, bottom + y),
        landmarks_xy=(face.landmarks_xy + move_xy).astype(np.float32),
    )
