"""Frames of a film without the dirt and the scratches that are on the film and not in the scene.

Whatever is done to a frame depends on a few frames of the same shot on each side alone, so it is
the same however the film is divided.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from restore_batch.stages.faces.steady.cuts import frame_signature, is_cut
from restore_batch.stages.film.faces import FACE_CONTEXT_FRAMES
from restore_batch.stages.media import RepairRecord
from restore_batch.stages.repair.again import AROUND_FRAMES, find_dirt
from restore_batch.stages.repair.dirt import (
    Neighbours,
    Spots,
    aligned,
    find_spots,
    luma_of,
    motion,
)
from restore_batch.stages.repair.fill import fill
from restore_batch.stages.repair.film_scratch import (
    WINDOW_FRAMES,
    Columns,
    columns_of,
    find_lines,
)
from restore_batch.stages.repair.mask import grown
from restore_batch.stages.video.types import VideoFrame

_AROUND = max(WINDOW_FRAMES, AROUND_FRAMES)
REPAIR_FRAMES = _AROUND + 1
"""Frames on each side that a repaired frame depends on: what is seen in those around it, each of
which is seen beside its neighbours."""
_REACH_PX = 16


def context_frames(*, steady: bool, repairs: bool) -> int:
    """Frames on each side of a segment that must be read, so that everything about its own frames
    is the same however the film is divided: what looks at frames around sees them repaired."""
    return (FACE_CONTEXT_FRAMES if steady else 0) + (REPAIR_FRAMES if repairs else 0)


@dataclass(frozen=True, eq=False)
class RepairedFrame:
    """A frame, and what was repaired of it."""

    video: VideoFrame
    record: RepairRecord


@dataclass(frozen=True, eq=False)
class _Seen:
    """A frame, its luma (H, W) uint8, and the motion to the frame before in the same ``shot``."""

    video: VideoFrame
    luma: np.ndarray
    to_before: np.ndarray | None
    shot: int


@dataclass(frozen=True, eq=False)
class _Signs:
    """What a frame of a ``shot`` shows beside its neighbours, and frames around it go by.
    ``columns``: of scratches; ``spots``: what both neighbours lack."""

    shot: int
    columns: Columns
    spots: Spots


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A frame to be repaired. ``before``: the pixels of the one before, as they would be here, of
    all its spots with their edges, (N, 3), at ``places`` of the flattened frame, (N,), rising."""

    video: VideoFrame
    places: np.ndarray
    before: np.ndarray


def repaired_frames(frames: Iterable[VideoFrame], strength: float) -> Iterator[RepairedFrame]:
    """The same frames, repaired where both neighbours are of the same shot. Holds
    :data:`REPAIR_FRAMES` and two, and of some that went before what they show."""
    waiting: deque[_Waiting] = deque()
    signs: deque[_Signs] = deque()
    first = done = 0  # numbers of the first that has signs here, and of the one to be repaired

    def next_repaired() -> RepairedFrame:
        nonlocal first, done
        while done - first > _AROUND:
            signs.popleft()
            first += 1
        repaired = _repaired(waiting.popleft(), list(signs), done - first, strength)
        done += 1
        return repaired

    for one, shows in _beside_each_other(frames):
        waiting.append(one)
        signs.append(shows)
        if len(waiting) > _AROUND:
            yield next_repaired()
    while waiting:
        yield next_repaired()


def _beside_each_other(frames: Iterable[VideoFrame]) -> Iterator[tuple[_Waiting, _Signs]]:
    before: _Seen | None = None
    current: _Seen | None = None
    for video in frames:
        after = _seen(current, video)
        if current is not None:
            yield _looked_at(before, current, after)
        before, current = current, after
    if current is not None:
        yield _looked_at(before, current, None)


def _seen(before: _Seen | None, video: VideoFrame) -> _Seen:
    rgb = video.frame.rgb_hwc
    luma = luma_of(rgb)
    if before is None:
        return _Seen(video, luma, None, 0)
    former = before.video.frame.rgb_hwc
    if former.shape != rgb.shape or is_cut(frame_signature(former), frame_signature(rgb)):
        return _Seen(video, luma, None, before.shot + 1)
    return _Seen(video, luma, motion(luma, before.luma), before.shot)


def _looked_at(
    before: _Seen | None, current: _Seen, after: _Seen | None
) -> tuple[_Waiting, _Signs]:
    former = None if before is None else before.luma
    columns = columns_of(current.luma, former, current.to_before)
    rgb, luma = current.video.frame.rgb_hwc, current.luma
    if (
        before is None
        or after is None
        or not before.shot == current.shot == after.shot
        or current.video.fault
    ):
        none = np.empty(0, np.int64), np.empty((0, 3), rgb.dtype)
        nothing = Spots(np.zeros(luma.shape, bool), ())
        return _Waiting(current.video, *none), _Signs(current.shot, columns, nothing)
    frames = Neighbours(before.video.frame.rgb_hwc, rgb, after.video.frame.rgb_hwc)
    earlier = aligned(rgb, luma, frames.before, current.to_before)
    later = aligned(rgb, luma, frames.after)
    spots = find_spots(frames, earlier, later, luma)
    places = np.flatnonzero(grown(spots.mask))
    pixels = earlier.rgb_hwc.reshape(-1, 3)[places]
    return _Waiting(current.video, places, pixels), _Signs(current.shot, columns, spots)


def _repaired(
    waiting: _Waiting, signs: Sequence[_Signs], at: int, strength: float
) -> RepairedFrame:
    """A frame. ``signs``: of some in a row, it being number ``at`` of them."""
    shot = [i for i, one in enumerate(signs) if one.shot == signs[at].shot]
    window, own = [signs[i] for i in shot], at - shot[0]
    sound = RepairedFrame(waiting.video, RepairRecord(0.0))
    if waiting.video.fault or not 0 < own < len(window) - 1:
        return sound
    near = window[max(0, own - WINDOW_FRAMES) : own + WINDOW_FRAMES + 1]
    lines = find_lines([one.columns for one in near], min(own, WINDOW_FRAMES))
    dirt = grown(find_dirt([one.spots for one in window], own))
    scratch = np.broadcast_to(lines, dirt.shape) & ~dirt
    if not dirt.any() and not scratch.any():
        return sound
    rgb = waiting.video.frame.rgb_hwc
    filled = rgb.copy()
    places = np.flatnonzero(dirt)
    filled.reshape(-1, 3)[places] = waiting.before[np.searchsorted(waiting.places, places)]
    if scratch.any():
        filled = fill(filled, scratch, np.asarray(scratch), _REACH_PX)
    mask = dirt | scratch
    if strength < 1:
        blend = rgb[mask].astype(np.float64) * (1 - strength) + strength * filled[mask]
        filled[mask] = np.rint(blend).astype(rgb.dtype)
    frame = replace(waiting.video.frame, rgb_hwc=filled)
    return RepairedFrame(replace(waiting.video, frame=frame), RepairRecord(float(mask.mean())))
