"""From the detections of single frames to the steady, tracked faces of a stretch of film."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from restore_batch.models.base import Face
from restore_batch.stages.faces.steady.cuts import Signature, frame_signature, is_cut
from restore_batch.stages.faces.steady.deflicker import DEFLICKER_FRAMES
from restore_batch.stages.faces.steady.motion import FaceFollower
from restore_batch.stages.faces.steady.smoothing import SMOOTH_FRAMES, smooth_landmarks
from restore_batch.stages.faces.steady.track import GAP_FRAMES, Tracks, link_faces
from restore_batch.stages.faces.steady.tremor import TREMOR_FRAMES, damp_tremor

STEADY_CONTEXT_FRAMES = TREMOR_FRAMES + SMOOTH_FRAMES + GAP_FRAMES
"""How far the tracked faces of a frame look: the windows of both filters, and at their end the
detection that a filled gap leads to."""

CONTEXT_FRAMES = STEADY_CONTEXT_FRAMES + DEFLICKER_FRAMES
"""Frames on each side that must be decoded and searched for faces so that everything about a
frame, its deflickered crops included, is the same however the film is divided. The nearest
``DEFLICKER_FRAMES`` of them must also be restored."""


class SteadyFaces:
    """Collects the faces of consecutive frames and makes them steady.

    Push frames in order of presentation, then ask for the result. Holds one frame and, for
    each frame, a few numbers a face.
    """

    def __init__(self) -> None:
        self._follower = FaceFollower(GAP_FRAMES + 1)
        self._last: Signature | None = None
        self._faces: list[tuple[Face, ...]] = []
        self._embeddings: list[tuple[np.ndarray | None, ...]] = []
        self._cuts: list[bool] = []

    def push(
        self,
        rgb_hwc: np.ndarray,
        faces: Sequence[Face],
        embeddings: Sequence[np.ndarray | None] | None = None,
        cut: bool | None = None,
    ) -> None:
        """The next frame, upright, (H, W, 3) uint8 or uint16, and the faces detected in it.

        ``embeddings``: a unit vector or None for each face, to tell people apart. ``cut``: whether
        the frame begins a new shot, where that is known, for all frames or none.
        """
        if cut is None:
            now = frame_signature(rgb_hwc)
            cut = self._last is not None and is_cut(self._last, now)
            self._last = now
        self._follower.push(rgb_hwc, faces, cut)
        self._faces.append(tuple(faces))
        self._embeddings.append((None,) * len(faces) if embeddings is None else tuple(embeddings))
        self._cuts.append(cut)

    @property
    def cuts(self) -> tuple[bool, ...]:
        """For each frame so far, whether it begins a new shot; False for the first."""
        return tuple(self._cuts)

    def tracks(self) -> Tracks:
        """For each frame its tracked faces: gaps filled, landmarks and boxes steady."""
        linked = link_faces(self._faces, self._cuts, self._follower.paths(), self._embeddings)
        return damp_tremor(smooth_landmarks(linked))
