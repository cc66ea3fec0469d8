"""What the units of a film carry: how it is read, which frames, how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from restore_batch.stages.video.index import VideoIndex
from restore_batch.stages.video.types import FrameRange, VideoFacts, VideoFormat

PART_SUFFIX = ".part"

Deinterlace = Literal["auto", "always", "never"]
ToneMap = Literal["hable", "mobius", "reinhard"]


@dataclass(frozen=True)
class Reading:
    """How a film is decoded: options of the job's ``video`` section."""

    deinterlace: Deinterlace = "auto"
    tonemap: ToneMap | None = None


@dataclass(frozen=True)
class SegmentWork:
    """What a segment needs. ``plain_because``: why its frames are only enlarged, an earlier attempt
    having failed; "" restores them."""

    facts: VideoFacts
    frames: FrameRange
    format: VideoFormat
    plain_because: str = ""


@dataclass(frozen=True)
class JoinWork:
    """What a join needs. ``parts``: their paths, and the frames that they hold. ``folder``: that of
    the result, where the pictures of a film without a file go. ``has_restored_faces``: whether
    their faces were restored in any of them. ``source_sha256``, ``source_state``: as chunks have
    them, of what was restored. ``moment``: the frame with the largest face, None without faces."""

    facts: VideoFacts
    format: VideoFormat
    parts: tuple[tuple[str, FrameRange], ...]
    folder: str = ""
    has_restored_faces: bool = False
    source_sha256: str = ""
    source_state: str = ""
    moment: int | None = None


@dataclass(frozen=True)
class IndexedFilm:
    """What indexing hands back: the facts, how the result is encoded, and the frames of each
    segment. ``whole``: the index of all frames, where segments are yet to be cut from it."""

    facts: VideoFacts
    format: VideoFormat
    segments: tuple[FrameRange, ...]
    whole: VideoIndex | None = None
