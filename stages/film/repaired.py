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

REPAIR_FRAMES = max(WINDOW_FRAMES, AROUND_FRAMES) + 1
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
class _Looked:
    """A frame beside its neighbours. ``columns``: what each column shows of scratches; ``spots``:
    what both neighbours lack; ``before``: the pixels of the one before, as they would be here, of
    all spots with their edges, (N, 3), at ``places`` of the flattened frame, (N,), rising."""

    seen: _Seen
    columns: Columns
    spots: Spots
    places: np.ndarray
    before: np.ndarray


def repaired_frames(frames: Iterable[VideoFrame], strength: float) -> Iterator[RepairedFrame]:
    """The same frames, repaired where both neighbours are of the same shot. Holds
    :data:`REPAIR_FRAMES` and two, and less of as many that went before."""
    looked: deque[_Looked] = deque()
    first = done = 0  # numbers of the first that is held, and of the one to be repaired

    def next_repaired() -> RepairedFrame:
        nonlocal first, done
        while done - first > AROUND_FRAMES:
            looked.popleft()
            first += 1
        repaired = _repaired(list(looked), done - first, strength)
        done += 1
        return repaired

    for one in _beside_each_other(frames):
        looked.append(one)
        if first + len(looked) - done > max(WINDOW_FRAMES, AROUND_FRAMES):
            yield next_repaired()
    while done < first + len(looked):
        yield next_repaired()


def _beside_each_other(frames: Iterable[VideoFrame]) -> Iterator[_Looked]:
    before: _Seen | None = None
    current: _Seen | None = None
    for video in frames:
        after = _seen(current, video)
        if current is not None:
            yield _looked(before, current, after)
        before, current = current, after
    if current is not None:
        yield _looked(before, current, None)


def _seen(before: _Seen | None, video: VideoFrame) -> _Seen:
    rgb = video.frame.rgb_hwc
    luma = luma_of(rgb)
    if before is None:
        return _Seen(video, luma, None, 0)
    former = before.video.frame.rgb_hwc
    if former.shape != rgb.shape or is_cut(frame_signature(former), frame_signature(rgb)):
        return _Seen(video, luma, None, before.shot + 1)
    return _Seen(video, luma, motion(luma, before.luma), before.shot)


def _looked(before: _Seen | None, current: _Seen, after: _Seen | None) -> _Looked:
    columns = columns_of(current.luma, None if before is None else before.luma, current.to_before)
    nothing = Spots(np.zeros(current.luma.shape, bool), ())
    alone = _Looked(current, columns, nothing, np.empty(0, np.int64), np.empty((0, 3), np.uint8))
    if before is None or after is None or current.video.fault:
        return alone
    if not before.shot == current.shot == after.shot:
        return alone
    rgb, luma = current.video.frame.rgb_hwc, current.luma
    frames = Neighbours(before.video.frame.rgb_hwc, rgb, after.video.frame.rgb_hwc)
    earlier = aligned(rgb, luma, frames.before, current.to_before)
    later = aligned(rgb, luma, frames.after)
    spots = find_spots(frames, earlier, later, luma)
    places = np.flatnonzero(grown(spots.mask))
    return _Looked(current, columns, spots, places, earlier.rgb_hwc.reshape(-1, 3)[places])


def _repaired(looked: Sequence[_Looked], at: int, strength: float) -> RepairedFrame:
    """The frame ``at`` of some in a row."""
    current = looked[at].seen
    shot = [i for i, one in enumerate(looked) if one.seen.shot == current.shot]
    window, own = [looked[i] for i in shot], at - shot[0]
    sound = RepairedFrame(current.video, RepairRecord(0.0))
    if current.video.fault or not 0 < own < len(window) - 1:
        return sound
    lines = find_lines(
        [one.columns for one in window[max(0, own - WINDOW_FRAMES) : own + WINDOW_FRAMES + 1]],
        min(own, WINDOW_FRAMES),
    )
    dirt = grown(find_dirt([one.spots for one in window], own))
    scratch = np.broadcast_to(lines, dirt.shape) & ~dirt
    if not dirt.any() and not scratch.any():
        return sound
    rgb = current.video.frame.rgb_hwc
    filled = rgb.copy()
    places = np.flatnonzero(dirt)
    filled.reshape(-1, 3)[places] = looked[at].before[np.searchsorted(looked[at].places, places)]
    if scratch.any():
        filled = fill(filled, scratch, np.asarray(scratch), _REACH_PX)
    mask = dirt | scratch
    if strength < 1:
        blend = rgb[mask].astype(np.float64) * (1 - strength) + strength * filled[mask]
        filled[mask] = np.rint(blend).astype(rgb.dtype)
    frame = replace(current.video.frame, rgb_hwc=filled)
    return RepairedFrame(replace(current.video, frame=frame), RepairRecord(float(mask.mean())))
