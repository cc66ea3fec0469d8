"""AAC that is not what its beginning said: packets that no decoder reads, and other parameters.

Broadcasts repeat the parameters in a header before each frame (ADTS, ISO/IEC 13818-7, 6.2), files
say them once (AudioSpecificConfig, ISO/IEC 14496-3, 1.6) and, where a film was joined of several,
again. A container holds one set of them for a track: whatever follows another is noise there. And
FFmpeg writes no more of a film once a header cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import av

from restore_batch.stages.video.streams.carriers import Carrier, ChangedSoundError

__all__ = [
    "AacParameters",
    "CheckedAac",
    "adts_parameters",
    "configured_parameters",
    "has_parameters",
]

_RATES_HZ = (
    96000,
    88200,
    64000,
    48000,
    44100,
    32000,
    24000,
    22050,
    16000,
    12000,
    11025,
    8000,
    7350,
)
_GIVEN_RATE = 15
_CHANNELS = (0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8)
_LONGER_KIND = 31
# Audio object types of AAC, of those in ISO/IEC 14496-3, table 1.17.
_KINDS = frozenset({1, 2, 3, 4, 5, 6, 17, 19, 20, 23, 29, 39, 42})
_SHORTEST_HEADER, _CRC, _LONGEST_HEADER = 7, 2, 10
_FRAME_SAMPLES = 1024
# A damaged header may look like another one; so many in a row do not.
_CERTAIN_PACKETS = 4


class AacParameters(NamedTuple):
    """``kind``: of the coding. ``channels``: 0 where the frames themselves say how many."""

    kind: int
    rate_hz: int
    channels: int

    def __str__(self) -> str:
        channels = f"{self.channels} channels" if self.channels else "channels of its own"
        return f"{channels.removesuffix('s' * (self.channels == 1))} at {self.rate_hz} Hz"


def adts_parameters(data: bytes) -> AacParameters | None:
    """What the header of a frame says, by its first 10 bytes; None where it cannot be read."""
    if len(data) < _SHORTEST_HEADER or data[0] != 0xFF or data[1] & 0xF0 != 0xF0:
        return None
    rate, size = data[2] >> 2 & 15, _frame_bytes(data)
    has_crc, frames = not data[1] & 1, (data[6] & 3) + 1
    header = _SHORTEST_HEADER + _CRC * has_crc
    if rate >= len(_RATES_HZ) or size < header or len(data) <= header or (has_crc and frames > 1):
        return None
    return AacParameters(
        (data[2] >> 6) + 1, _RATES_HZ[rate], _CHANNELS[(data[2] & 1) << 2 | data[3] >> 6]
    )


def _frame_bytes(header: bytes) -> int:
    return (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5


def configured_parameters(config: bytes) -> AacParameters | None:
    """What an AudioSpecificConfig says; None where it cannot be read."""
    bits, place = int.from_bytes(config[:8].ljust(8, b"\0"), "big"), 64

    def read(count: int) -> int:
        nonlocal place
        place -= count
        return bits >> place & ((1 << count) - 1)

    kind = read(5)
    if kind == _LONGER_KIND:
        kind = 32 + read(6)
    rate = read(4)
    rate_hz = read(24) if rate == _GIVEN_RATE else dict(enumerate(_RATES_HZ)).get(rate, 0)
    channels = read(4)
    if kind not in _KINDS or not 0 < rate_hz <= _RATES_HZ[0] or channels >= len(_CHANNELS):
        return None
    return AacParameters(kind, rate_hz, _CHANNELS[channels])


def has_parameters(source: av.AudioStream, first: av.Packet) -> bool:
    """Whether sound says how it was coded: once, or in each packet as broadcasts do. Else nobody
    can decode it: it is what a damaged file looks like. ``first``: its first packet."""
    if source.codec_context.extradata or first.has_sidedata("new_extradata"):
        return True
    return source.container.format.name == "mpegts" or adts_parameters(bytes(first)) is not None


class CheckedAac(Carrier):
    """Hands on what fits the beginning of the sound.

    ``copied``: carries it. ``config``: the parameters said once for all; None where each packet
    has a header, or the first one brings them. Raises ChangedSoundError where other parameters
    hold from some moment on.
    """

    def __init__(self, copied: Carrier, config: bytes | None) -> None:
        super().__init__(copied.target, copied.origin_s)
        self._copied = copied
        self._config = config
        self._now = configured_parameters(config) if config else None
        self._others: list[av.Packet] = []
        self._other: AacParameters | None = None

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        for fitting in self._fitting(packet):
            yield from self._copied.packets(fitting)

    def flush(self) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        rest = iter(self._others) if self._now is None else self._without_others()
        for packet in rest:
            yield from self._copied.packets(packet)
        yield from self._copied.flush()

    def _fitting(self, packet: av.Packet) -> Iterator[av.Packet]:
        if not packet.size:
            yield packet
        elif self._config:
            yield self._configured(packet)
        elif packet.has_sidedata("new_extradata"):
            self._config = bytes(packet.get_sidedata("new_extradata"))
            self._now = configured_parameters(self._config)
            yield packet
        else:
            yield from self._with_fitting_header(packet)

    def _configured(self, packet: av.Packet) -> av.Packet:
        """The packet without new parameters. Those that no decoder takes are damage."""
        if packet.is_discard or not packet.has_sidedata("new_extradata"):
            return packet
        new = configured_parameters(bytes(packet.get_sidedata("new_extradata")))
        if new is not None and self._now is not None and new != self._now:
            self._change(new, packet)
        return _plain(packet)

    def _with_fitting_header(self, packet: av.Packet) -> Iterator[av.Packet]:
        found = adts_parameters(bytes(memoryview(packet)[:_LONGEST_HEADER]))
        if found is None or found not in (self._now, self._other):
            yield from self._without_others()
        if found is None:
            yield from self._rescued(packet)
        elif found == self._now:
            yield from self._without_others()
            yield from _split(packet, found)
        else:
            self._other = found
            self._others.append(packet)
            if len(self._others) == _CERTAIN_PACKETS:
                if self._now is not None:
                    self._change(found, self._others[0])
                self._now, certain, self._others = found, self._others, []
                yield from certain

    def _without_others(self) -> Iterator[av.Packet]:
        """Packets with other parameters were too few to be more than damage."""
        others, self._others = self._others, []
        for packet in others:
            yield from self._rescued(packet)

    def _rescued(self, packet: av.Packet) -> Iterator[av.Packet]:
        """What a packet has swallowed that cannot be read itself."""
        self.unreadable += 1
        if self._now is not None:
            yield from _split(packet, self._now)[1:]

    def _change(self, new: AacParameters, packet: av.Packet) -> None:
        time_s = float((packet.pts or 0) * packet.time_base - self.origin_s)
        raise ChangedSoundError(
            packet.stream_index, f"changes from {self._now} to {new} at {time_s:.1f} s"
        )


def _frames(data: bytes, like: AacParameters) -> list[tuple[int, int]]:
    """Where frames with such headers begin and end that lie behind the first one.

    A header with a wrong length makes one packet of many. Each frame is followed by another one,
    or the packet ends with it.
    """
    found, at = [], 0
    while (at := data.find(b"\xff", at + 1)) >= 0:
        if adts_parameters(data[at : at + _LONGEST_HEADER]) == like:
            end = at + _frame_bytes(data[at:])
            if end == len(data) or adts_parameters(data[end : end + _LONGEST_HEADER]) == like:
                found.append((at, end))
                at = end - 1
    return found


def _split(packet: av.Packet, like: AacParameters) -> list[av.Packet]:
    """A packet, and each frame that it has swallowed in one of its own."""
    data = bytes(packet)
    frames = _frames(data, like)
    if not frames:
        return [packet]
    ticks = _FRAME_SAMPLES / (like.rate_hz * packet.time_base)
    parts = []
    for number, (begin, end) in enumerate([(0, frames[0][0]), *frames]):
        part = av.Packet(data[begin:end])
        part.time_base, part.duration = packet.time_base, round(ticks)
        if packet.pts is not None:
            part.pts = part.dts = packet.pts + round(number * ticks)
        part.is_keyframe = True
        parts.append(part)
    return parts


def _plain(packet: av.Packet) -> av.Packet:
    """The same packet without the data at its side, but for the samples that are skipped."""
    plain = av.Packet(bytes(packet))
    plain.pts, plain.dts, plain.duration = packet.pts, packet.dts, packet.duration
    plain.time_base, plain.is_keyframe = packet.time_base, packet.is_keyframe
    if packet.has_sidedata("skip_samples"):
        plain.set_sidedata(packet.get_sidedata("skip_samples"))
    return plain
