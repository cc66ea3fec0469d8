"""Films in parts: a clip decoded and encoded again, as if every frame had been restored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from restore_batch.stages.media import Frame
from restore_batch.stages.video.format import VideoWish, resolve_format
from restore_batch.stages.video.index import index_video
from restore_batch.stages.video.join import JoinReport, Part, join
from restore_batch.stages.video.read import FrameRangeReader
from restore_batch.stages.video.segments import cut_segments
from restore_batch.stages.video.types import ColourTags, VideoFacts, VideoFormat
from restore_batch.stages.video.write import PartWriter

from support.clips import decoded, frame_number

__all__ = [
    "CODECS",
    "FACTS",
    "QUICK",
    "CutFilm",
    "PacketTime",
    "heard",
    "in_parts",
    "packet_times",
    "shown_numbers",
    "write_part",
]

CODECS = ("h264", "hevc", "av1", "ffv1", "prores")

FACTS = VideoFacts(
    container="mp4",
    codec="h264",
    pix_fmt="yuv420p",
    width=64,
    height=48,
    rotation_deg=0,
    sample_aspect=Fraction(16, 15),
    bits=8,
    field_order="progressive",
    colour=ColourTags(),
    time_base_s=Fraction(1, 12800),
    frame_count=24,
    duration_s=0.96,
    mean_fps=25.0,
    streams=(),
    video_stream=0,
)
"""A small MP4 film of one second whose pixels are not square."""

QUICK = {"h264": "veryfast", "hevc": "veryfast", "av1": "10"}
"""Presets that keep tests short and still reorder frames."""


@dataclass(frozen=True)
class CutFilm:
    """A source and its encoded parts. ``pts``, ``durations``: of all frames, source ticks."""

    source: Path
    facts: VideoFacts
    format: VideoFormat
    parts: tuple[Part, ...]
    pts: tuple[int, ...]
    durations: tuple[int, ...]

    def joined(self, staged: Path) -> JoinReport:
        """The film at ``staged``, with everything beside the picture copied."""
        return join(str(self.source), self.parts, self.facts, self.format, staged)

    @property
    def times_s(self) -> list[Fraction]:
        """When each frame is shown."""
        return [pts * self.facts.time_base_s for pts in self.pts]


def in_parts(source: Path, folder: Path, count: int = 1, wish: VideoWish | None = None) -> CutFilm:
    """Cut a clip into ``count`` parts of about the same length, as restored without networks."""
    index = index_video(str(source))
    wish = wish or VideoWish()
    format, _ = resolve_format(wish, index.facts, 1, source.name)
    if wish.preset is None and format.codec in QUICK:
        wish = replace(wish, preset=QUICK[format.codec])
        format, _ = resolve_format(wish, index.facts, 1, source.name)
    (whole,) = cut_segments(index, 3600.0, 1 << 40, 0)
    reader = FrameRangeReader(str(source), index.facts, whole, deinterlace="never")
    frames = list(reader)
    pts = tuple(int(time) for time in index.pts)
    durations = tuple(int(time) for time in index.durations)
    assert len(frames) == len(pts)
    folder.mkdir(exist_ok=True)
    edges = [round(len(pts) * number / count) for number in range(count + 1)]
    parts = []
    for number, (first, end) in enumerate(pairwise(edges)):
        part = Part(folder / f"{number:06d}.part", pts[first:end], durations[first:end])
        pictures = [seen.frame.rgb_hwc for seen in frames[first:end]]
        captions = [seen.captions for seen in frames[first:end]]
        write_part(part, format, index.facts.time_base_s, pictures, captions)
        parts.append(part)
    return CutFilm(source, index.facts, format, tuple(parts), pts, durations)


def write_part(
    part: Part,
    format: VideoFormat,
    time_base_s: Fraction,
    pictures: Sequence[np.ndarray],
    captions: Sequence[bytes] = (),
) -> None:
    """Encode ``pictures``, (H, W, 3) of the format's size, as what ``part`` promises."""
    said = captions or [b""] * len(pictures)
    with PartWriter(part.path, format, time_base_s) as writer:
        for picture, text, pts, duration in zip(
            pictures, said, part.pts, part.durations, strict=True
        ):
            writer.write(Frame(picture), pts, duration, text)
        writer.close()


def shown_numbers(path: Path) -> list[int]:
    """The numbers that the decoded pictures show, in order of presentation."""
    return [frame_number(picture) for _, picture in decoded(path)]


@dataclass(frozen=True)
class PacketTime:
    """Times of a packet in seconds."""

    pts_s: Fraction
    dts_s: Fraction
    duration_s: Fraction


def packet_times(path: Path) -> list[PacketTime]:
    """Of every packet of the picture, in order of decoding."""
    with av.open(str(path)) as container:
        return [
            PacketTime(
                packet.pts * packet.time_base,
                (packet.dts or 0) * packet.time_base,
                (packet.duration or 0) * packet.time_base,
            )
            for packet in container.demux(container.streams.video[0])
            if packet.pts is not None
        ]


def heard(path: Path, stream: int = 0) -> tuple[str, int, float]:
    """Decoded sound: (digest of all samples, how many, when the first is heard in seconds)."""
    digest, count, begin_s = hashlib.sha256(), 0, 0.0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=stream):
            if not count:
                begin_s = frame.time or 0.0
            digest.update(frame.to_ndarray().tobytes())
            count += frame.samples
    return digest.hexdigest(), count, begin_s
