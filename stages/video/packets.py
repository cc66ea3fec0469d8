"""The packets of one stream: demuxed, tabulated, put in order, and found for a range of frames.

Packets are numbered in file order and stepped over where the demuxer stumbles. What they say of
themselves takes one pass over the file and decodes nothing; where that is not to be believed, the
decoder says which of them give frames: slow but always right.

A seek lands where the container likes: at the keyframe, some packets behind it (MPEG streams,
which search by decoding time) or a minute before. Reading on to the keyframe itself makes the
decoder begin at the same packet every time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import av
import av.error
import numpy as np
from av.container import InputContainer

from restore_batch.errors import MediaError
from restore_batch.stages.video.headers.early_blocks import with_early_times
from restore_batch.stages.video.limits import Allowance
from restore_batch.stages.video.random_access import PacketRoles
from restore_batch.stages.video.types import FrameRange, UntimedRange

__all__ = [
    "NO_TIME",
    "PacketTable",
    "clock",
    "numbered_packets",
    "packets_of",
    "presentation_order",
    "range_packets",
    "read_packets",
    "refuse_restart",
]

NO_TIME = int(np.iinfo(np.int64).min)
"""Stands for a timestamp that a packet does not have."""

# Formats whose header promises a duration; of the others FFmpeg only knows what it finds.
_PROMISING = ("mov", "matroska", "flv", "asf", "mxf", "nut", "rm", "wtv")
_TOLERANCE_S = 0.5
_RESTART_S = 0.5
# The clock of MPEG streams; going past its end is no restart.
_WRAPPED = frozenset({"mpegts", "mpeg"})
_CLOCK_TICKS = 1 << 33
_LONGEST_GAP_S = 60
# A demuxer may report damage and go on behind it; after this many reports in a row it will not.
_MAX_STUMBLES = 100
_FIRST_STEP_BACK_S = 1


def numbered_packets(
    container: InputContainer, stream: av.VideoStream
) -> Iterator[tuple[int, av.Packet]]:
    """(number, packet) of every packet of ``stream`` that has data, from where the file stands.

    Numbers count from 0 and are the same in every pass that begins at the file's start, so that
    a number names a packet where timestamps cannot.
    """
    number = 0
    for packet in packets_of(container, stream):
        if packet.stream_index == stream.index:
            yield number, packet
            number += 1


def packets_of(
    container: InputContainer, stream: av.VideoStream | None = None
) -> Iterator[av.Packet]:
    """All packets with data (of ``stream``, if given); damaged places are stepped over.

    Raises OSError when the file itself cannot be read any more, MediaError for one that goes on
    giving packets that cannot be in it.
    """
    stumbles = 0
    allowance = Allowance(container)
    while stumbles < _MAX_STUMBLES:
        try:
            wanted = container.demux(*([] if stream is None else [stream]))
            for packet in with_early_times(container, wanted):
                allowance.take(packet)
                if packet.size:
                    stumbles = 0
                    yield packet
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            stumbles += 1
        except IndexError:
            # PyAV at the end of a file in which a stream turned up late, as in broadcasts: it has
            # no object for that stream. All packets of the others were given by then.
            return
        else:
            return


# -- what they say of themselves ---
@dataclass(frozen=True, eq=False)
class PacketTable:
    """The packets of one stream, in file order.

    ``pts``, ``dts``: (P,) int64 in units of the stream, ``NO_TIME`` where unknown, as ``dts`` is of
    packets that an edit list discards: their clock is not the film's. ``durations``: (P,) int64, 0
    where unknown. ``shown``: (P,) bool, the packet gives a frame to show, as far as its headers
    tell. ``starts``: (P,) bool, decoding can begin at it. ``promised_s``: duration that the file's
    header promises, 0 if none. ``cut_off``: the file holds less than that. ``tick_s``: unit of the
    times. ``wraps``: the clock has 33 bits, and begins again behind them. ``packed``: see
    :class:`PacketRoles`.
    """

    pts: np.ndarray
    dts: np.ndarray
    durations: np.ndarray
    shown: np.ndarray
    starts: np.ndarray
    promised_s: float
    cut_off: bool
    tick_s: float
    wraps: bool
    packed: bool


def read_packets(container: InputContainer, stream: av.VideoStream, source: str) -> PacketTable:
    """Read a freshly opened ``container`` to its end.

    Memory is 26 bytes a packet of the film. Raises MediaError when the disk fails.
    """
    pts, dts, durations = array("q"), array("q"), array("q")
    shown, starts = array("b"), array("b")
    roles = PacketRoles(stream)
    ends = _Ends(container)
    cut = False
    try:
        for packet in packets_of(container):
            ends.add(packet)
            if packet.stream_index != stream.index:
                continue
            role = roles(packet)
            pts.append(NO_TIME if packet.pts is None else packet.pts)
            dts.append(NO_TIME if packet.dts is None or packet.is_discard else packet.dts)
            durations.append(packet.duration or 0)
            if role.second_field and len(durations) > 1:
                durations[-2] += durations[-1]
            shown.append(role.shown and not packet.is_discard)
            starts.append(role.starts and not packet.is_discard)
            cut = packet.is_corrupt
    except OSError as error:
        raise MediaError(f"{source}: cannot be read any more: {error.strerror or error}") from error
    promised_s = _promised_s(container, stream)
    missing_s = promised_s - ends.measured_s()
    if cut and shown:
        shown[-1] = starts[-1] = False  # a piece of a picture, at the end of a file that was cut
    if starts and all(starts) and not roles.trusts_keyframe_flags:
        starts[1:] = array("b", bytes(len(starts) - 1))
    # The index of an MP4 has an entry for every picture, also for those that are not there.
    missing = len(stream.index_entries) > len(pts) and container.format.name.startswith("mov")
    return PacketTable(
        pts=np.array(pts, np.int64),
        dts=np.array(dts, np.int64),
        durations=np.array(durations, np.int64),
        shown=np.array(shown, np.bool_),
        starts=np.array(starts, np.bool_),
        promised_s=promised_s if missing_s <= _TOLERANCE_S else promised_s - ends.late_s(),
        cut_off=cut or missing or missing_s > _TOLERANCE_S,
        tick_s=float(stream.time_base or 0),
        wraps=container.format.name in _WRAPPED,
        packed=roles.packed,
    )


def refuse_restart(table: PacketTable, source: str) -> None:
    """Raise MediaError where decoding times fall back: several recordings in one file.

    Sound and subtitles start again with the picture, so that nothing could be put back in order.
    """
    dts = table.dts[table.dts != NO_TIME]
    steps_s = np.diff(dts) * table.tick_s
    fell = steps_s < -_RESTART_S
    if table.wraps:
        # FFmpeg takes a time before the file's first for one behind the end of the clock.
        fell |= (dts[:-1] < _CLOCK_TICKS) & (dts[1:] >= _CLOCK_TICKS) & (steps_s > _LONGEST_GAP_S)
    falls = np.flatnonzero(fell)
    if len(falls):
        at_s = float(dts[falls[0]] - dts[0]) * table.tick_s
        raise MediaError(
            f"{source}: its clock starts again after {clock(at_s)} (several recordings in one "
            "file); expected timestamps that go on; rewrite them first, as in "
            "ffmpeg -fflags +genpts -i FILE -map 0 -c copy NEW.mkv"
        )


def clock(seconds: float) -> str:
    """A length of time as a player shows it, 1:23:45.678."""
    minutes, rest = divmod(max(seconds, 0.0), 60)
    return f"{int(minutes // 60)}:{int(minutes % 60):02}:{rest:06.3f}"


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
        ends = [last * t for last, t in zip(self._last, self._tick_s, strict=True)]
        return max(ends, default=0.0) - min(self._start_s(), 0.0)

    def late_s(self) -> float:
        """How long after the start of the file's clock its first packet comes; 0 if before it."""
        return max(self._start_s(), 0.0)

    def _start_s(self) -> float:
        starts = [f * t for f, t in zip(self._first, self._tick_s, strict=True) if f is not None]
        return min(starts, default=0.0)


# -- what the decoder says of them ---
def presentation_order(
    container: InputContainer,
    stream: av.VideoStream,
    limit: int | None = None,
    *,
    one_thread: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The number of the packet behind every frame that the decoder gives, in order of presentation;
    and those of the packets that it refuses.

    Numbers are those of :func:`numbered_packets`; (N,) and (R,) int64. ``container`` must be
    freshly opened. Only the first ``limit`` packets are decoded, if given. With more than one
    thread, what is refused is heard of some packets later, and pictures around it may be lost.
    Raises OSError when the file itself cannot be read any more.
    """
    numbers, refused = array("q"), array("q")
    if one_thread:
        stream.codec_context.thread_count = 1
    else:
        stream.codec_context.thread_type = "AUTO"
    packets = (packet for _, packet in numbered_packets(container, stream))
    for number, packet in enumerate(chain(islice(packets, limit), (None,))):
        if packet is not None:
            # A decoder hands a packet's time on to the frame; it does not look at it.
            packet.pts = number
        try:
            shown = stream.decode(packet)
        except av.error.FFmpegError:  # a damaged picture; the next ones may be fine
            refused.append(number)
        else:
            numbers.extend(frame.pts for frame in shown if frame.pts is not None)
    return np.array(numbers, np.int64), np.array(refused, np.int64)


# -- those of a range of frames ---
def range_packets(
    container: InputContainer, stream: av.VideoStream, frames: FrameRange
) -> Iterator[av.Packet]:
    """Packets of ``stream``, from the range's keyframe to the end of the file.

    Decoded one after the other they give, among others, a frame for every one of ``frames.pts``,
    with just that ``pts``; frames with other times are not of the range. (Those of an
    :class:`UntimedRange` come with ``frames.pts[0] - 1`` minus their packet's number.) The
    caller stops when it has what it needs. ``container`` must be freshly opened.
    """
    if isinstance(frames, UntimedRange):
        yield from _retimed(container, stream, frames)
    elif frames.seek_pts is None:
        yield from packets_of(container, stream)
    else:
        yield from _from_keyframe(container, stream, frames.seek_pts)


def _retimed(
    container: InputContainer, stream: av.VideoStream, frames: UntimedRange
) -> Iterator[av.Packet]:
    """From the start of the file, because only counting finds these packets."""
    times = dict(zip(frames.packets, frames.pts, strict=True))
    for number, packet in numbered_packets(container, stream):
        if number >= frames.start_packet:
            # Others must not be taken for frames of this range by the times they claim.
            packet.pts = times.get(number, frames.pts[0] - 1 - number)
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
            if packet.is_discard:
                continue  # it may have the time of one that is shown elsewhere
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
