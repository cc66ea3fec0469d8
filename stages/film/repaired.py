"""Frames of a film without the dirt and the scratches that are on the film and not in the scene.

Whatever is done to a frame depends on the frame and its two neighbours in the same shot alone, so
it is the same however the film is divided.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from restore_batch.stages.faces.steady.cuts import frame_signature, is_cut
from restore_batch.stages.film.faces import FACE_CONTEXT_FRAMES
from restore_batch.stages.media import RepairRecord
from restore_batch.stages.repair.dirt import Neighbours, aligned, find_dirt, luma_of
from restore_batch.stages.repair.fill import fill
from restore_batch.stages.repair.film_scratch import find_lines
from restore_batch.stages.video.types import VideoFrame

REPAIR_FRAMES = 1
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


def repaired_frames(frames: Iterable[VideoFrame], strength: float) -> Iterator[RepairedFrame]:
    """The same frames, repaired where both neighbours are of the same shot. Holds three."""
    before: VideoFrame | None = None
    current: VideoFrame | None = None
    for after in frames:
        if current is not None:
            yield _repaired(before, current, after, strength)
        before, current = current, after
    if current is not None:
        yield _repaired(before, current, None, strength)


def _repaired(
    before: VideoFrame | None, current: VideoFrame, after: VideoFrame | None, strength: float
) -> RepairedFrame:
    sound = RepairedFrame(current, RepairRecord(0.0))
    if before is None or after is None or current.fault:
        return sound
    rgb = current.frame.rgb_hwc
    frames = Neighbours(before.frame.rgb_hwc, rgb, after.frame.rgb_hwc)
    if not frames.before.shape == rgb.shape == frames.after.shape or not _one_shot(frames):
        return sound
    luma = luma_of(rgb)
    earlier, later = (aligned(rgb, luma, other) for other in (frames.before, frames.after))
    dirt = find_dirt(frames, earlier, later, luma)
    lines = find_lines([luma_of(frames.before), luma, luma_of(frames.after)], later.flow)
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
    frame = replace(current.frame, rgb_hwc=filled)
    return RepairedFrame(replace(current, frame=frame), RepairRecord(float(mask.mean())))


def _one_shot(frames: Neighbours) -> bool:
    first, second, third = (
        frame_signature(each) for each in (frames.before, frames.frame, frames.after)
    )
    return not is_cut(first, second) and not is_cut(second, third)
