"""What the frames of a segment show on their way, beside the pictures that they become."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from restore_batch.stages.film.work import SegmentWork
from restore_batch.stages.media import Frame, QualityRecord, RepairRecord
from restore_batch.stages.quality.figures import figures_of
from restore_batch.stages.video.types import VideoFrame

LOOK_EVERY = 24
"""Frames from one whose figures are taken to the next, counted from the film's beginning: which
those are does not depend on how it is cut."""


@dataclass
class SeenFrames:
    """``repairs``: by position in the segment, of the frames that were read so far. ``seconds``:
    spent on figures."""

    work: SegmentWork
    repairs: dict[int, RepairRecord] = field(default_factory=dict)
    seconds: float = 0.0
    _quality: dict[int, QualityRecord] = field(default_factory=dict)

    def looking(self, frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        """The same frames, as they were decoded; figures are taken of some on the way."""
        for position, video in enumerate(frames):
            if self._is_chosen(position) and not video.fault:
                began = time.perf_counter()
                size = video.frame.width, video.frame.height
                self._quality[position] = QualityRecord(size, figures_of(video.frame, size))
                self.seconds += time.perf_counter() - began
            yield video

    def finished(self, position: int, frame: Frame) -> None:
        """Take the figures of what has become of the frame at ``position``."""
        record = self._quality.get(position)
        if record is not None:
            began = time.perf_counter()
            after = figures_of(frame, record.size)
            self._quality[position] = replace(record, after=after)
            self.seconds += time.perf_counter() - began

    @property
    def quality(self) -> tuple[QualityRecord, ...]:
        """Those that are whole, in the frames' order."""
        return tuple(
            record for _, record in sorted(self._quality.items()) if record.after is not None
        )

    def own_repairs(self) -> tuple[RepairRecord, ...]:
        """Of the segment's own frames; () where nothing is repaired."""
        own = range(self.work.frames.before, self.work.frames.before + self.work.frames.own_count)
        return tuple(self.repairs[position] for position in own) if self.repairs else ()

    def _is_chosen(self, position: int) -> bool:
        frames = self.work.frames
        own = frames.before <= position < frames.before + frames.own_count
        return own and (frames.first - frames.before + position) % LOOK_EVERY == 0
