"""Frames of a film without the dirt and the scratches that are on the film and not in the scene.

Whatever is done to a frame depends on a few frames of the same shot on each side alone, so it is
the same however the film is divided.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from restore_batch.stages.faces.steady.cuts import frame_signature, is_cut
from restore_batch.stages.film.faces import FACE_CONTEXT_FRAMES
from restore_batch.stages.media import RepairRecord
from restore_batch.stages.repair.dirt import Neighbours, aligned, find_dirt, luma_of, motion
from restore_batch.stages.repair.fill import fill
from restore_batch.stages.repair.film_scratch import (
    WINDOW_FRAMES,
    Columns,
    columns_of,
    find_lines,
)
from restore_batch.stages.video.types import VideoFrame

REPAIR_FRAMES = WINDOW_FRAMES
"""Frames on each side that a repaired frame depends on."""
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


def repaired_frames(frames: Iterable[VideoFrame], strength: float) -> Iterator[RepairedFrame]:
    """The same frames, repaired where both neighbours are of the same shot. Holds
    :data:`REPAIR_FRAMES` and two."""
    waiting: deque[_Seen] = deque()
    columns: deque[tuple[int, Columns]] = deque()
    first = done = 0  # numbers of the first of the columns, and of the frame to be repaired
    before: _Seen | None = None

    def next_repaired() -> RepairedFrame:
        nonlocal first, done, before
        while done - first > REPAIR_FRAMES:
            columns.popleft()
            first += 1
        current = waiting.popleft()
        after = waiting[0] if waiting else None
        shot = [i for i, (number, _) in enumerate(columns) if number == current.shot]
        window = [columns[i][1] for i in shot]
        lines = find_lines(window, done - first - shot[0])
        found = _repaired(before, current, after, lines, strength)
        before, done = current, done + 1
        return found

    last: _Seen | None = None
    for video in frames:
        former = None if last is None else last.luma
        last = _seen(last, video)
        waiting.append(last)
        columns.append((last.shot, columns_of(last.luma, former, last.to_before)))
        if len(waiting) > REPAIR_FRAMES:
            yield next_repaired()
    while waiting:
        yield next_repaired()


def _seen(before: _Seen | None, video: VideoFrame) -> _Seen:
    rgb = video.frame.rgb_hwc
    luma = luma_of(rgb)
    if before is None:
        return _Seen(video, luma, None, 0)
    former = before.video.frame.rgb_hwc
    if former.shape != rgb.shape or is_cut(frame_signature(former), frame_signature(rgb)):
        return _Seen(video, luma, None, before.shot + 1)
    return _Seen(video, luma, motion(luma, before.luma), before.shot)


def _repaired(
    before: _Seen | None, current: _Seen, after: _Seen | None, lines: np.ndarray, strength: float
) -> RepairedFrame:
    sound = RepairedFrame(current.video, RepairRecord(0.0))
    if before is None or after is None or current.video.fault:
        return sound
    if not before.shot == current.shot == after.shot:
        return sound
    rgb, luma = current.video.frame.rgb_hwc, current.luma
    frames = Neighbours(before.video.frame.rgb_hwc, rgb, after.video.frame.rgb_hwc)
    earlier = aligned(rgb, luma, frames.before, current.to_before)
    later = aligned(rgb, luma, frames.after)
    dirt = find_dirt(frames, earlier, later, luma)
    scratch = np.broadcast_to(lines, luma.shape) & ~dirt
    if not dirt.any() and not scratch.any():
        return sound
    filled = rgb.copy()
    filled[dirt] = earlier.rgb_hwc[dirt]
    if scratch.any():
        filled = fill(filled, scratch, np.asarray(scratch), _REACH_PX)
    mask = dirt | scratch
    if strength < 1:
        blend = rgb[mask].astype(np.float64) * (1 - strength) + strength * filled[mask]
        filled[mask] = np.rint(blend).astype(rgb.dtype)
    frame = replace(current.video.frame, rgb_hwc=filled)
    return RepairedFrame(replace(current.video, frame=frame), RepairRecord(float(mask.mean())))
