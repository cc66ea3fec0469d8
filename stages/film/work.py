"""What the units of a film carry: how it is read, which frames, how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from restore_batch.stages.video.index import VideoIndex
from restore_batch.stages.video.types import Segment, VideoFacts, VideoFormat

PART_SUFFIX = ".part"

Audio = Literal["copy", "transcode", "drop"]


@dataclass(frozen=True)
class Reading:
    """How a film is decoded: options of the job's ``video`` section."""

    deinterlace: Literal["auto", "always", "never"] = "auto"
    tonemap: Literal["hable", "mobius", "reinhard"] | None = None


@dataclass(frozen=True)
class IndexWork:
    """Payload of an index unit. ``frame_rate``: of numbered pictures. ``preview_s``: restore only
    so many seconds, where the most faces are."""

    segment_s: float
    context_frames: int
    frame_rate: float = 24.0
    preview_s: float | None = None


@dataclass(frozen=True)
class SegmentWork:
    """Payload of a segment unit. ``plain``: only enlarge it; an earlier attempt was lost."""

    facts: VideoFacts
    segment: Segment
    format: VideoFormat
    plain: bool = False


@dataclass(frozen=True)
class JoinWork:
    """Payload of a join unit. ``parts``: the paths of the parts and the segments they hold."""

    facts: VideoFacts
    format: VideoFormat
    parts: tuple[tuple[str, Segment], ...]
    audio: Audio
    metadata: tuple[tuple[str, str], ...] = ()
    frames_folder: str = ""
    """Where the numbered pictures go when no film is wanted; '' writes a film."""
    excerpt: bool = False
    """The parts are only a stretch of the film: it begins at zero, with its own sound."""


@dataclass(frozen=True)
class FilmIndex:
    """What indexing hands back: the facts and the segments. ``whole``: the index of all frames,
    where segments are yet to be cut from it."""

    facts: VideoFacts
    segments: tuple[Segment, ...]
    whole: VideoIndex | None = None
