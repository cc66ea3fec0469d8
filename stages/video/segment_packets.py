"""The packets to decode for one segment: seeking to its keyframe, whatever the container does.

A seek lands where the container likes: at the keyframe, some packets behind it (MPEG streams,
which search by decoding time) or a minute before. Reading on to the keyframe itself makes the
decoder begin at the same packet every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import av
import av.error
from av.container import InputContainer

from restore_batch.stages.video.packets import numbered_packets, packets_of
from restore_batch.stages.video.segments import UntimedSegment
from restore_batch.stages.video.types import FrameRange

_FIRST_STEP_BACK_S = 1


def segment_packets(
    container: InputContainer, stream: av.VideoStream, segment: FrameRange
) -> Iterator[av.Packet]:
    """Packets of ``stream``, from the segment's keyframe to the end of the file.

    Decoded one after the other they give, among others, a frame for every one of ``segment.pts``,
    with just that ``pts``; frames with other times are not the segment's. (Those of an
    :class:`UntimedSegment` come with ``segment.pts[0] - 1`` minus their packet's number.) The
    caller stops when it has what it needs. ``container`` must be freshly opened.
    """
    if isinstance(segment, UntimedSegment):
        yield from _retimed(container, stream, segment)
    elif segment.seek_pts is None:
        yield from packets_of(container, stream)
    else:
        yield from _from_keyframe(container, stream, segment.seek_pts)


def _retimed(
    container: InputContainer, stream: av.VideoStream, segment: UntimedSegment
) -> Iterator[av.Packet]:
    """From the start of the file, because only counting finds these packets."""
    times = dict(zip(segment.packets, segment.pts, strict=True))
    for number, packet in numbered_packets(container, stream):
        if number >= segment.start_packet:
            # Others must not be taken for frames of this segment by the times they claim.
            packet.pts = times.get(number, segment.pts[0] - 1 - number)
            yield packet


def _from_keyframe(
    container: InputContainer, stream: av.VideoStream, seek_pts: int
) -> Iterator[av.Packet]:
    start = stream.start_time or 0
    step = max(1, round(_FIRST_STEP_BACK_S / (stream.time_base or 1)))
    target = seek_pts
    # Without an index a format may not let itself be sought in; then it still stands at its start.
    while _sought(container, stream, target):
        packets = packets_of(container, stream)
        for packet in packets:
            if packet.is_keyframe and packet.pts == seek_pts:
                yield from chain([packet], packets)
                return
            if _is_behind(packet, seek_pts):
                break
        if target <= start:
            _sought(container, stream, start)
            break
        target, step = max(start, target - step), step * 4
    yield from packets_of(container, stream)


def _sought(container: InputContainer, stream: av.VideoStream, target: int) -> bool:
    try:
        container.seek(target, stream=stream)
    except av.error.FFmpegError:
        return False
    return True


def _is_behind(packet: av.Packet, seek_pts: int) -> bool:
    """Whether the keyframe shown at ``seek_pts`` cannot follow this packet any more."""
    if packet.dts is not None and packet.dts > seek_pts:
        return True
    return packet.is_keyframe and packet.pts is not None and packet.pts > seek_pts
