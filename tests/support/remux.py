"""Films cut, shifted and damaged packet by packet, without encoding them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import av.error

__all__ = ["copied", "decodable_times"]


def copied(
    source: Path,
    target: Path,
    *,
    from_keyframe: int = 0,
    from_packet: int = 0,
    change: Callable[[av.Packet], None] | None = None,
    replace: Callable[[av.Packet], bytes | None] | None = None,
) -> Path:
    """Copy the packets of the first video stream to ``target``; its suffix is the container.

    The copy begins with keyframe packet ``from_keyframe`` or packet ``from_packet``, whichever
    comes later. ``change`` may alter a packet's times; ``replace`` gives other content for it,
    or None to keep it.
    """
    packets = keyframes = -1
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            packets += 1
            keyframes += packet.is_keyframe and packet.size > 0
            if not packet.size or keyframes < from_keyframe or packets < from_packet:
                continue
            if change is not None:
                change(packet)
            content = replace(packet) if replace is not None else None
            if content is not None:
                packet = _like(packet, content)  # noqa: PLW2901
            packet.stream = stream
            new.mux(packet)
    return target


def _like(packet: av.Packet, content: bytes) -> av.Packet:
    other = av.Packet(content)
    other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
    other.duration, other.is_keyframe = packet.duration, packet.is_keyframe
    return other


def decodable_times(path: Path) -> list[int]:
    """Times of the frames that a decoder gives which steps over what it cannot read."""
    times: list[int] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            try:
                times += [frame.pts for frame in packet.decode() if frame.pts is not None]
            except av.error.FFmpegError:
                continue
    return times
