"""What the packets of a film say of themselves: one pass over the file, none of them decoded."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer

from restore_batch.errors import MediaError
from restore_batch.stages.video.packets import packets_of
from restore_batch.stages.video.random_access import Roles

NO_TIME = int(np.iinfo(np.int64).min)
"""Stands for a timestamp that a packet does not have."""

# Formats whose header promises a duration; of the others FFmpeg only knows what it finds.
_PROMISING = ("mov", "matroska", "flv", "asf", "mxf", "nut", "rm", "wtv")
_TOLERANCE_S = 0.5


@dataclass(frozen=True, eq=False)
class PacketTable:
    """The packets of one stream, in file order.

    ``pts``, ``dts``: (P,) int64 in units of the stream, ``NO_TIME`` where unknown. ``durations``:
    (P,) int64, 0 where unknown. ``shown``: (P,) bool, the packet gives a frame to show, as far as
    its headers tell. ``starts``: (P,) bool, decoding can begin at it. ``promised_s``: duration
    that the file's header promises, 0 if none. ``cut_off``: the file holds less than that.
    """

    pts: np.ndarray
    dts: np.ndarray
    durations: np.ndarray
    shown: np.ndarray
    starts: np.ndarray
    promised_s: float
    cut_off: bool


def read_packets(container: InputContainer, stream: av.VideoStream, source: str) -> PacketTable:
    """Read a freshly opened ``container`` to its end.

    Memory is 26 bytes a packet of the film. Raises MediaError when the disk fails.
    """
    pts, dts, durations = array("q"), array("q"), array("q")
    shown, starts = array("b"), array("b")
    roles = Roles(stream)
    ends = _Ends(container)
    cut = False
    try:
        for packet in packets_of(container):
            ends.add(packet)
            if packet.stream_index != stream.index:
                continue
            role = roles(packet)
            pts.append(NO_TIME if packet.pts is None else packet.pts)
            dts.append(NO_TIME if packet.dts is None else packet.dts)
            durations.append(packet.duration or 0)
            if role.second_field and len(durations) > 1:
                durations[-2] += durations[-1]
            shown.append(role.shown and not packet.is_discard)
            starts.append(role.starts and not packet.is_discard)
            cut = packet.is_corrupt
    except OSError as error:
        raise MediaError(f"{source}: cannot be read any more: {error.strerror or error}") from error
    promised_s = _promised_s(container, stream)
    if cut and shown:
        shown[-1] = starts[-1] = False  # a piece of a picture, at the end of a file that was cut
    if starts and all(starts) and not roles.believes:
        starts[1:] = array("b", bytes(len(starts) - 1))
    # The index of an MP4 has an entry for every picture, also for those that are not there.
    missing = len(stream.index_entries) > len(pts) and container.format.name.startswith("mov")
    return PacketTable(
        pts=np.array(pts, np.int64),
        dts=np.array(dts, np.int64),
        durations=np.array(durations, np.int64),
        shown=np.array(shown, np.bool_),
        starts=np.array(starts, np.bool_),
        promised_s=promised_s,
        cut_off=cut or missing or promised_s - ends.measured_s() > _TOLERANCE_S,
    )


def _promised_s(container: InputContainer, stream: av.VideoStream) -> float:
    """Duration by the header, 0 where the format has none."""
    name = container.format.name
    promised_s = max(container.duration or 0, 0) / av.time_base
    if name == "avi":  # that duration is corrected by the size of the file, this one is not
        return max(promised_s, float(stream.frames * (stream.time_base or 0)))
    return promised_s if name.startswith(_PROMISING) else 0.0


class _Ends:
    """The time that the packets of all streams span."""

    def __init__(self, container: InputContainer) -> None:
        self._tick_s = [float(stream.time_base or 0) for stream in container.streams]
        self._first: list[int | None] = [None] * len(self._tick_s)
        self._last = [0] * len(self._tick_s)

    def add(self, packet: av.Packet) -> None:
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None:
            return
        index = packet.stream_index
        first = self._first[index]
        self._first[index] = time if first is None else min(first, time)
        self._last[index] = max(self._last[index], time + (packet.duration or 0))

    def measured_s(self) -> float:
        """From the start of the file's clock, or of its first packet, whichever is longer ago."""
        starts = [f * t for f, t in zip(self._first, self._tick_s, strict=True) if f is not None]
        ends = [last * t for last, t in zip(self._last, self._tick_s, strict=True)]
        return max(ends, default=0.0) - min(starts, default=0.0) if starts else 0.0
