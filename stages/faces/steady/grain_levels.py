"""How strong the grain given to a face is, the same from frame to frame.

Measured anew in every frame, the strength follows what happens to be flat in it, and grain that
breathes is seen. The grain itself is new in every frame, as that of a film is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from restore_batch.stages.faces.steady.track import Tracks

GRAIN_FRAMES = 6
"""How many frames before and after a frame have a part in the strength of its grain."""

_SIGMA_FRAMES = 4.0


def steady_grain(tracks: Tracks) -> Tracks:
    """The same faces with ``grain`` averaged along their tracks, weighted by nearness (Gaussian).

    ``tracks``: for each frame of a stretch its faces; those without a measurement, such as filled
    ones, get that of their neighbours, and None where none has any.
    """
    levels = {
        (face.track, t): face.face.grain
        for t, faces in enumerate(tracks)
        for face in faces
        if face.face.grain is not None
    }
    return tuple(
        tuple(replace(f, face=replace(f.face, grain=_average(levels, f.track, t))) for f in faces)
        for t, faces in enumerate(tracks)
    )


def _average(levels: dict[tuple[int, int], float], track: int, t: int) -> float | None:
    near = [
        (level, np.exp(-0.5 * (k / _SIGMA_FRAMES) ** 2))
        for k in range(-GRAIN_FRAMES, GRAIN_FRAMES + 1)
        if (level := levels.get((track, t + k))) is not None
    ]
    if not near:
        return None
    values, weights = np.array(near).T
    return float((values * weights).sum() / weights.sum())
