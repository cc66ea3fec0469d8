"""Which frames of a film are looked at does not depend on how it is cut."""

from __future__ import annotations

from typing import Any

import numpy as np

from restore_batch.stages.film.seen import LOOK_EVERY, SeenFrames
from restore_batch.stages.film.work import SegmentWork
from restore_batch.stages.media import Frame, QualityRecord
from restore_batch.stages.video.types import FrameRange, VideoFrame

COUNT, CONTEXT = 3 * LOOK_EVERY + 5, 4


def frames() -> list[VideoFrame]:
    rng = np.random.default_rng(5)
    pictures = rng.integers(0, 256, (COUNT, 40, 48, 3), np.uint8)
    return [VideoFrame(Frame(picture), number, 1) for number, picture in enumerate(pictures)]


def segment(first: int, stop: int) -> tuple[SegmentWork, list[VideoFrame]]:
    """Of frames ``first`` to ``stop`` with context where there is any, and all that are read."""
    before, after = min(first, CONTEXT), min(COUNT - stop, CONTEXT)
    read = frames()[first - before : stop + after]
    times = tuple(frame.pts for frame in read)
    frames_ = FrameRange(0, first, times, (1,) * len(times), before, after, None)
    nothing: Any = None
    return SegmentWork(nothing, frames_, nothing), read


def looked_at(cuts: list[int]) -> list[QualityRecord]:
    found: list[QualityRecord] = []
    for first, stop in zip([0, *cuts], [*cuts, COUNT], strict=True):
        work, read = segment(first, stop)
        seen = SeenFrames(work)
        for position, video in enumerate(seen.looking(read)):
            seen.finished(position, video.frame)
        found += seen.quality
    return found


def test_however_a_film_is_cut_the_same_frames_are_looked_at_once() -> None:
    whole = looked_at([])
    assert len(whole) == 4
    assert all(record.before == record.after for record in whole)
    for cuts in ([7, 50], [LOOK_EVERY], [LOOK_EVERY + 1, LOOK_EVERY + 2], [23, 24, 25, 47]):
        assert looked_at(cuts) == whole


def test_a_frame_that_stands_in_for_another_is_not_looked_at() -> None:
    work, read = segment(0, COUNT)
    read[0] = VideoFrame(read[0].frame, 0, 1, fault="it could not be decoded")
    seen = SeenFrames(work)
    for position, video in enumerate(seen.looking(read)):
        seen.finished(position, video.frame)
    assert seen.quality == tuple(looked_at([])[1:])
