"""The parts of a film in a row: checked against what was promised, then packet after packet.

A part says nothing of where it stands in the film. The promise does: which timestamps its frames
have in the source. It is compared with what the file holds before anything is joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Self

import av

from restore_batch.errors import MediaError
from restore_batch.stages.video.headers.parameter_sets import (
    IN_BAND_TAGS,
    parameter_sets,
    with_parameter_sets,
)
from restore_batch.stages.video.types import FrameRange, VideoFormat
from restore_batch.text import plural

__all__ = ["CheckedPart", "FilmParts", "Part", "check_parts", "decoding_time"]


@dataclass(frozen=True)
class Part:
    """A finished part and its promise: timestamps and durations of its frames, in order of
    presentation and in units of the source's time base."""

    path: Path
    pts: tuple[int, ...]
    durations: tuple[int, ...]

    @classmethod
    def of(cls, path: Path, frames: FrameRange) -> Self:
        """The part that holds the own frames of ``frames``."""
        own = slice(frames.before, frames.before + frames.own_count)
        return cls(path, frames.pts[own], frames.durations[own])


@dataclass(frozen=True)
class CheckedPart:
    """A part that holds what it promised.

    ``ranks``: number within the part, in order of presentation, of each packet in order of
    decoding. ``configuration``: the decoder's configuration as the container keeps it.
    """

    part: Part
    ranks: tuple[int, ...]
    configuration: bytes

    @property
    def delay(self) -> int:
        """By how many packets decoding runs ahead of presentation."""
        return max(place - rank for place, rank in enumerate(self.ranks))


@dataclass(frozen=True)
class FilmParts:
    """Parts that fit each other.

    ``time_base_s``: unit of ``pts``, one over a whole number. ``pts``: of every frame, in order
    of presentation. ``ticks``: how many of these units make one of the source's time base.
    ``own_headers``: the parts differ in their parameter sets, so keyframes must bring them.
    """

    codec: str
    parts: tuple[CheckedPart, ...]
    time_base_s: Fraction
    ticks: int
    pts: tuple[int, ...]
    own_headers: bool

    def packets(self, stream: av.VideoStream, origin_s: Fraction) -> Iterator[av.Packet]:
        """Every packet of the picture in order of decoding, for ``stream``.

        Times count from ``origin_s``, a multiple of the time base. The decoding time of packet
        i is the presentation time of frame i - delay: it rises strictly and, by the choice of
        the delay, never passes the packet's own time of presentation.
        """
        origin = round(origin_s / self.time_base_s)
        delay = max(checked.delay for checked in self.parts)
        place = 0
        for checked in self.parts:
            part = checked.part
            sets = parameter_sets(self.codec, checked.configuration) if self.own_headers else b""
            for rank, stored in zip(checked.ranks, _demuxed(part.path), strict=True):
                packet = with_parameter_sets(stored, sets)
                packet.stream = stream
                packet.time_base = self.time_base_s
                packet.pts = part.pts[rank] * self.ticks - origin
                packet.dts = decoding_time(self.pts, place - delay) - origin
                packet.duration = part.durations[rank] * self.ticks
                yield packet
                place += 1


def decoding_time(pts: Sequence[int], number: int) -> int:
    """When frame ``number`` is shown; those before the film are as far apart as its first two.

    ``pts``: of all frames, rising strictly.
    """
    if number >= 0:
        return pts[number]
    step = pts[1] - pts[0] if len(pts) > 1 else 1
    return pts[0] + number * step


def check_parts(parts: Sequence[Part], time_base_s: Fraction, format: VideoFormat) -> FilmParts:
    """Check every part, reading packets only. Raises MediaError, a line that names the part."""
    if not parts:
        raise MediaError("a film without parts cannot be joined")
    for before, after in pairwise(parts):
        if before.pts and after.pts and after.pts[0] <= before.pts[-1]:
            raise MediaError(f"{after.path.name}: does not follow {before.path.name} in time")
    checked = tuple(_checked(part, time_base_s, format) for part in parts)
    own_headers = len({each.configuration for each in checked}) > 1
    if own_headers and format.codec not in IN_BAND_TAGS:
        raise MediaError(
            f"{parts[0].path.name} and the other parts were written by different versions of "
            f"{format.encoder} and cannot be joined: restore the film anew"
        )
    ticks = time_base_s.numerator
    return FilmParts(
        codec=format.codec,
        parts=checked,
        time_base_s=Fraction(1, time_base_s.denominator),
        ticks=ticks,
        pts=tuple(pts * ticks for part in parts for pts in part.pts),
        own_headers=own_headers,
    )


def _checked(part: Part, time_base_s: Fraction, format: VideoFormat) -> CheckedPart:
    name = part.path.name
    try:
        with av.open(str(part.path.absolute())) as container:
            stream = container.streams.video[0]
            configuration = stream.codec_context.extradata or b""
            found = (stream.codec_context.codec.canonical_name, stream.width, stream.height)
            unit_s = Fraction(stream.time_base or 0)
        packets = [(packet.pts or 0, packet.is_keyframe) for packet in _demuxed(part.path)]
    except (av.FFmpegError, IndexError, OSError) as error:
        raise MediaError(
            f"{name}: cannot be read as a part: {' '.join(str(error).split())}"
        ) from error
    if found != (format.codec, format.width, format.height):
        raise MediaError(
            f"{name}: holds {found[0]} {found[1]}x{found[2]}, expected "
            f"{format.codec} {format.width}x{format.height}"
        )
    if len(packets) != len(part.pts):
        raise MediaError(f"{name}: holds {plural(len(packets), 'frame')}, expected {len(part.pts)}")
    if not packets or not packets[0][1]:
        raise MediaError(f"{name}: does not begin with a keyframe")
    times = sorted(pts for pts, _ in packets)
    for number, (time, pts) in enumerate(zip(times, part.pts, strict=True)):
        if (time - times[0]) * unit_s != (pts - part.pts[0]) * time_base_s:
            raise MediaError(
                f"{name}: frame {number} is {float((time - times[0]) * unit_s):.6f} s after the "
                f"first, expected {float((pts - part.pts[0]) * time_base_s):.6f} s"
            )
    rank = {time: number for number, time in enumerate(times)}
    return CheckedPart(part, tuple(rank[pts] for pts, _ in packets), configuration)


def _demuxed(path: Path) -> Iterator[av.Packet]:
    with av.open(str(path.absolute())) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.pts is not None:  # the last one only says that the file ends
                yield packet
