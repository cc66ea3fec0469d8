"""What the recorded faces of a film tell over its time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from restore_batch.jobs.history import FrameFaces
from restore_batch.jobs.records import FaceRow, frame_of_largest

BINS = 240
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_ANOTHER_FACE = 0.5
"""A face that moves by more than this share of its side from one frame to the next is another."""


@dataclass
class FilmFaces:
    """``moment``: the :func:`frame_of_largest` face. ``identity``: the lowest recorded. ``notes``:
    how many faces have each. ``shake``: (frame, share) pairs, see :func:`summed_up`."""

    moment: int | None = None
    identity: float | None = None
    notes: dict[str, int] = field(default_factory=dict)
    frames: int = 0
    shake: list[tuple[int, float]] = field(default_factory=list)

    def graph(self, frame_count: int) -> list[float | None]:
        """The largest shake in each of at most :data:`BINS` equal stretches of the film, as a share
        of the face's side; None in those without one."""
        bins = min(BINS, max(1, frame_count))
        found: list[float | None] = [None] * bins
        for frame, share in self.shake:
            place = min(bins - 1, frame * bins // max(1, frame_count))
            found[place] = max(found[place] or 0.0, share)
        return [None if share is None else round(share, 4) for share in found]

    def plain(self, frame_count: int) -> dict[str, Any]:
        """As plain data, for a film of so many frames."""
        values = [share for _, share in self.shake]
        return {
            "frames": self.frames,
            "notes": _by_kind(self.notes),
            "shake": self.graph(frame_count),
            "mean_shake": round(float(np.mean(values)), 5) if values else None,
        }


def summed_up(frames: Iterable[FrameFaces]) -> FilmFaces:
    """What the faces of a film come to.

    Shake is the second difference of the place of the largest face (the mean of its landmarks) over
    three frames in a row, ‖p(t-1) - 2 p(t) + p(t+1)‖, over the side of its box: an even movement
    has none, a face that trembles against its head has much.
    """
    film = FilmFaces()
    sides_px: list[tuple[int, float]] = []
    last: list[tuple[int, np.ndarray, float]] = []
    for each in frames:
        film.frames += 1
        for face in each.faces:
            if face.identity is not None:
                known = face.identity if film.identity is None else film.identity
                film.identity = min(face.identity, known)
            if face.note:
                film.notes[face.note] = film.notes.get(face.note, 0) + 1
        face = each.largest
        side = face.side_px
        sides_px.append((each.frame, side))
        last = [*last[-2:], (each.frame, _place(face), side)]
        if (share := _shake(last)) is not None:
            film.shake.append((last[1][0], share))
    film.moment = frame_of_largest(sides_px)
    return film


def _by_kind(notes: Mapping[str, int]) -> dict[str, int]:
    """Notes that differ in their numbers alone as one, with the smallest and the largest of them:
    a face that comes nearer has another in every frame."""
    kinds: dict[str, list[str]] = {}
    for note in notes:
        kinds.setdefault(_NUMBER.sub("#", note), []).append(note)
    return {_spanning(alike): sum(notes[note] for note in alike) for alike in kinds.values()}


def _spanning(alike: Sequence[str]) -> str:
    columns = zip(*(_NUMBER.findall(note) for note in alike), strict=True)
    ends = iter((min(column, key=float), max(column, key=float)) for column in columns)

    def span(_: re.Match[str]) -> str:
        low, high = next(ends)
        return low if low == high else f"{low}–{high}"

    return _NUMBER.sub(span, alike[0])


def _shake(seen: Sequence[tuple[int, np.ndarray, float]]) -> float | None:
    if len(seen) < 3 or [frame - seen[0][0] for frame, _, _ in seen] != [0, 1, 2]:
        return None
    (_, before, side), (_, now, _), (_, after, _) = seen
    if max(np.hypot(*(now - before)), np.hypot(*(after - now))) > _ANOTHER_FACE * side:
        return None
    return float(np.hypot(*(before - 2 * now + after)) / side)


def _place(face: FaceRow) -> np.ndarray:
    if face.landmarks_xy:
        return np.mean(np.asarray(face.landmarks_xy, float), axis=0)
    left, top, right, bottom = face.box_xyxy
    return np.array([(left + right) / 2, (top + bottom) / 2])
