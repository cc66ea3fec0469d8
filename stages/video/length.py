"""How many frames a film has where its header does not count them.

A small file is read through. A large one is estimated: from how its beginning fills its bytes
where it has no clock, from the times at its end where its clock does not begin at zero, since
headers give the length from zero or from the first frame and do not say which; else from the
duration that its header gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import av.error
import numpy as np
from av.container import InputContainer

from restore_batch.stages.video.packets import (
    NO_TIME,
    numbered_packets,
    packets_of,
    read_packets,
    refuse_restart,
)

__all__ = ["COUNTED_BYTES", "Length", "film_length"]

COUNTED_BYTES = 16 << 20
"""A file of so many bytes is read through: it takes about as long as its first picture."""

# Streams without a container, whose times FFmpeg makes up.
_WITHOUT_CLOCK = frozenset(
    {"av1", "dirac", "h261", "h263", "h264", "hevc", "m4v", "mjpeg", "mpegvideo", "obu", "vc1"}
    | {"vvc", "cavsvideo"}
)
# Formats whose clock may begin anywhere and whose header may count from its zero.
_PROMISE_FROM_ZERO = ("matroska", "nut", "asf")
_SAMPLE_BYTES = 8 << 20
_LATE_S = 0.5
# Behind the last keyframe that a seek finds; a file without an index may lead far back.
_TAIL_PACKETS = 20000
_FAR = 1 << 40  # seconds


@dataclass(frozen=True)
class Length:
    """``counted``: every frame was seen."""

    frames: int
    duration_s: float
    counted: bool


def film_length(
    container: InputContainer, stream: av.VideoStream, source: str, size_bytes: int, fps: float
) -> Length | None:
    """The length of the film in a freshly opened ``container``; None where its header is the best
    that is known.

    ``fps``: frames a second, as far as the header tells. Raises MediaError when the disk fails,
    and for a clock that is seen to start again.
    """
    if size_bytes <= COUNTED_BYTES:
        return _counted(container, stream, source, fps)
    if container.format.name in _WITHOUT_CLOCK:
        return _by_bytes(container, stream, size_bytes, fps)
    if abs(_begin_s(stream)) > _LATE_S and container.format.name.startswith(_PROMISE_FROM_ZERO):
        return _by_end(container, stream, fps)
    return None


def _counted(
    container: InputContainer, stream: av.VideoStream, source: str, fps: float
) -> Length | None:
    table = read_packets(container, stream, source)
    refuse_restart(table, source)
    frames = int(np.count_nonzero(table.shown))
    if not frames:
        return None
    pts = np.sort(table.pts[table.shown])
    tick_s = float(stream.time_base or 0)
    steps = np.diff(pts)
    if container.format.name in _WITHOUT_CLOCK or pts[0] == NO_TIME or not np.all(steps > 0):
        return Length(frames, frames / fps, counted=True)
    last = int(table.durations[table.shown][-1])
    last_s = last * tick_s or (float(np.median(steps)) * tick_s if len(steps) else 1 / fps)
    return Length(frames, float(pts[-1] - pts[0]) * tick_s + last_s, counted=True)


def _by_bytes(
    container: InputContainer, stream: av.VideoStream, size_bytes: int, fps: float
) -> Length | None:
    frames = read = 0
    for _, packet in numbered_packets(container, stream):
        frames, read = frames + 1, read + packet.size
        if read >= _SAMPLE_BYTES:
            break
    if not read:
        return None
    whole = max(1, round(frames * size_bytes / read))
    return Length(whole, whole / fps, counted=False)


def _by_end(container: InputContainer, stream: av.VideoStream, fps: float) -> Length | None:
    try:
        container.seek(round(_FAR / (stream.time_base or 1)), stream=stream)
    except (av.error.FFmpegError, OverflowError):
        return None
    end_s = None
    for number, packet in enumerate(packets_of(container, stream)):
        if packet.pts is not None:
            ends_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            end_s = ends_s if end_s is None else max(end_s, ends_s)
        if number == _TAIL_PACKETS:
            return None
    if end_s is None or end_s <= _begin_s(stream):
        return None
    duration_s = end_s - _begin_s(stream)
    return Length(max(1, round(duration_s * fps)), duration_s, counted=False)


def _begin_s(stream: av.VideoStream) -> float:
    return float((stream.start_time or 0) * (stream.time_base or 0))
