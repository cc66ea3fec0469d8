"""Frames of a film on their way through the stages, together or apart."""

from __future__ import annotations

from dataclasses import dataclass

from restore_batch.stages.enlarge.upscale import enlarge_plainly
from restore_batch.stages.media import Chunk, FaceRecord, Frame
from restore_batch.stages.video.types import VideoFrame


@dataclass(frozen=True)
class FinishedFrame:
    """One restored frame. ``faults``: what went wrong with it, for the user. ``captions``: see
    :class:`VideoFrame`."""

    frame: Frame
    pts: int
    duration: int
    records: tuple[FaceRecord, ...]
    faults: tuple[str, ...]
    captions: bytes = b""


@dataclass(frozen=True)
class Batch:
    """Some consecutive frames of a segment.

    ``frames``: as they were decoded, with their position in the segment. ``chunk``: how far the
    stages have come with them. ``failed``: why they are not restored.
    """

    frames: tuple[tuple[int, VideoFrame], ...]
    chunk: Chunk
    failed: str = ""

    def apart(self) -> list[Batch]:
        """The same frames, one in each batch."""
        return [
            Batch((frame,), chunk, self.failed)
            for frame, chunk in zip(self.frames, self.chunk.apart(), strict=True)
        ]

    def finished(self, scale: float) -> list[FinishedFrame]:
        """The frames as they are shown; one that is not restored is enlarged plainly."""
        return [
            plain(frame, scale, self.failed)
            if self.failed
            else FinishedFrame(
                self.chunk.pasted[i],
                frame.pts,
                frame.duration,
                self.chunk.records[i] if self.chunk.records else (),
                (frame.fault,) if frame.fault else (),
                frame.captions,
            )
            for i, (_, frame) in enumerate(self.frames)
        ]


def plain(frame: VideoFrame, scale: float, why: str) -> FinishedFrame:
    """A frame that is only enlarged."""
    enlarged = frame.frame if scale == 1 else enlarge_plainly(frame.frame, scale)
    faults = (*((frame.fault,) if frame.fault else ()), f"not restored: {why}")
    return FinishedFrame(enlarged, frame.pts, frame.duration, (), faults, frame.captions)
