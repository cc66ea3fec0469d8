"""Restored faces without flicker: what a restorer adds is averaged over a few frames.

A restorer sees every frame alone and answers small changes of noise with other wrinkles, lashes
and skin. Where the inputs of neighbouring frames agree, their restored crops are averaged; where
the inputs differ (a blink, a mouth that opens, something in front) the frame keeps its own. The
difference is judged without slow changes of brightness over the picture, and these are kept out
of the average too: a face goes on following the flicker of its film, which its surroundings
also show.

The weights are those of a bilateral filter (Tomasi and Manduchi 1998, "Bilateral Filtering for
Gray and Color Images") along time, whose range term looks at the inputs instead of at what is
filtered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from restore_batch.stages.media import Chunk, Face

DEFLICKER_FRAMES = 2
"""How many frames before and after a frame have a part in its restored faces."""

_NEARNESS = (1.0, 0.8, 0.5)  # weight by distance in frames
_SMALL_PX = 128
_SLOW = 1 / 16
"""Of the crop's side, standard deviation of the blur that leaves only slow changes: the light."""
_PATCH = 1 / 64  # of the crop's side: over how much a difference is judged
_TOLERANCE = (4.0, 12.0)
"""Grey levels of difference at which a neighbour's weight falls by e, for a clean source and for
the worst: grain makes inputs differ everywhere, up to the second; a greater change is real."""
_OVER_MEDIAN = 1.5
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601 section 2.5.1


@dataclass(frozen=True, eq=False)
class RestoredCrop:
    """A face of one frame: (S, S, 3) uint8 ``crop`` before and ``restored`` after the restorer,
    aligned with steady landmarks, and its ``track``."""

    track: int
    crop: np.ndarray
    restored: np.ndarray


class Deflicker:
    """Filters the restored crops of consecutive frames; holds ``2 * DEFLICKER_FRAMES + 1``.

    Push the faces of every frame in order, also where there are none. A frame's result comes
    :data:`DEFLICKER_FRAMES` frames later, or from :meth:`finish`, in the order of its faces. It
    depends on no frame further away, and not on what lies behind a cut or a frame in which the
    track has no restored face.
    """

    def __init__(self) -> None:
        self._frames: deque[dict[int, _Face]] = deque(maxlen=2 * DEFLICKER_FRAMES + 1)
        self._cuts: deque[bool] = deque(maxlen=2 * DEFLICKER_FRAMES + 1)
        self._waiting = 0

    def push(
        self, faces: Sequence[RestoredCrop], cut: bool = False
    ) -> list[tuple[np.ndarray, ...]]:
        """The faces of the next frame; ``cut``: it begins a new shot.

        Out: the restored crops (S, S, 3) uint8 of the frame that is ready now, if there is one.
        A face whose restored crop equals its crop was not restored and stays as it is. Raises
        ValueError when two faces of the frame have one track.
        """
        if len({face.track for face in faces}) != len(faces):
            raise ValueError("two faces of one frame have the same track")
        self._frames.append({face.track: _Face(face) for face in faces})
        self._cuts.append(cut)
        self._waiting += 1
        if self._waiting <= DEFLICKER_FRAMES:
            return []
        return [self._filtered(len(self._frames) - 1 - DEFLICKER_FRAMES)]

    def finish(self) -> list[tuple[np.ndarray, ...]]:
        """The restored crops of the last frames, in order; then a new film may begin."""
        first = len(self._frames) - self._waiting
        last = [self._filtered(first + i) for i in range(self._waiting)]
        self._frames.clear()
        self._cuts.clear()
        self._waiting = 0
        return last

    def _filtered(self, position: int) -> tuple[np.ndarray, ...]:
        self._waiting -= 1
        return tuple(
            _average(face, self._neighbours(position, track))
            for track, face in self._frames[position].items()
        )

    def _neighbours(self, position: int, track: int) -> list[tuple[float, _Face]]:
        """Faces of the same track and shot, with their weight by nearness, from the first."""
        found: list[tuple[float, _Face]] = []
        for direction in (-1, 1):
            for k in range(1, DEFLICKER_FRAMES + 1):
                at = position + direction * k
                if not 0 <= at < len(self._frames):
                    break
                face = self._frames[at].get(track)
                # A frame is cut off from the one before it.
                if self._cuts[max(at, at - direction)] or face is None or face.left_alone:
                    break
                found.append((_NEARNESS[k], face))
            if direction < 0:
                found.reverse()
        return found


def deflickered(
    restored: Iterable[tuple[int, Chunk]],
    faces: Sequence[Sequence[Face]],
    tracks: Sequence[Sequence[int]],
    cuts: Sequence[bool],
) -> Iterator[tuple[int, Chunk]]:
    """The same frames with their restored crops averaged along tracks.

    ``restored``: consecutive frames as (position, chunk of that one frame); a chunk without crops
    is a frame whose faces could not be restored. ``faces``, ``tracks``, ``cuts``: by position, the
    faces that were found in a frame, the track of each, and whether the frame begins a new shot.
    The chunks' faces are some of ``faces``, the same objects.
    """
    deflicker = Deflicker()
    waiting: deque[tuple[int, Chunk]] = deque()
    for position, chunk in restored:
        waiting.append((position, chunk))
        crops = _crops(chunk, faces[position], tracks[position])
        for averaged in deflicker.push(crops, cuts[position]):
            yield _with_restored(*waiting.popleft(), averaged)
    for averaged in deflicker.finish():
        yield _with_restored(*waiting.popleft(), averaged)


def _crops(chunk: Chunk, faces: Sequence[Face], tracks: Sequence[int]) -> list[RestoredCrop]:
    if not chunk.restored:
        return []
    # Aligning leaves faces out whose landmarks determine nothing.
    track_of = {id(face): track for face, track in zip(faces, tracks, strict=True)}
    return [
        RestoredCrop(track_of[id(face)], crop, done)
        for face, crop, done in zip(chunk.faces[0], chunk.crops[0], chunk.restored[0], strict=True)
    ]


def _with_restored(position: int, chunk: Chunk, crops: tuple[np.ndarray, ...]) -> tuple[int, Chunk]:
    return position, replace(chunk, restored=(np.stack(crops),)) if crops else chunk


class _Face:
    """A restored crop and what its weights are computed from."""

    def __init__(self, given: RestoredCrop) -> None:
        if given.crop.shape != given.restored.shape or given.restored.dtype != np.uint8:
            raise ValueError(
                f"expected crop and restored crop of one shape in uint8, got {given.crop.shape} "
                f"and {given.restored.shape} {given.restored.dtype}"
            )
        self.restored = given.restored
        self.left_alone = bool(np.array_equal(given.crop, given.restored))
        side = min(_SMALL_PX, given.crop.shape[0])
        small = cv2.resize(given.crop, (side, side), interpolation=cv2.INTER_AREA)
        self.small = small.astype(np.float32)
        self.slow = np.asarray(cv2.GaussianBlur(self.small, (0, 0), side * _SLOW))


def _average(face: _Face, neighbours: Sequence[tuple[float, _Face]]) -> np.ndarray:
    if face.left_alone or not neighbours:
        return face.restored
    size = face.restored.shape[1::-1]
    own = face.restored.astype(np.float32)
    change = np.zeros_like(own)
    total = np.full(own.shape[:2], _NEARNESS[0], dtype=np.float32)
    for nearness, other in neighbours:
        light = cv2.resize(other.slow - face.slow, size, interpolation=cv2.INTER_LINEAR)
        weight = nearness * cv2.resize(_agreement(face, other), size)
        change += weight[..., None] * (other.restored - own - light)
        total += weight
    levels = own + change / total[..., None]
    return np.asarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def _agreement(face: _Face, other: _Face) -> np.ndarray:
    """How alike two inputs are, place by place: float32 in [0, 1] of the small size."""
    fast = (other.small - other.slow) - (face.small - face.slow)
    side = fast.shape[0]
    squares = cv2.GaussianBlur((fast @ _LUMA) ** 2, (0, 0), side * _PATCH)
    difference = np.sqrt(squares)
    tolerance = float(np.clip(_OVER_MEDIAN * np.median(difference), *_TOLERANCE))
    return np.asarray(np.exp(-((difference / tolerance) ** 2)))
