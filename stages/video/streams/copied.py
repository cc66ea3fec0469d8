"""Copying a stream of the source into the result: every packet as it is, at its time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
from av.container import OutputContainer

from restore_batch.stages.video.headers.matroska import CODEC_IDS, primed_audio
from restore_batch.stages.video.streams.aac import CheckedAac
from restore_batch.stages.video.streams.ahead import Beginning, Start
from restore_batch.stages.video.streams.carriers import Carrier

__all__ = ["CopiedSound", "CopiedStream", "ExactSound", "add_copied_sound", "add_copied_stream"]

_MATROSKA = "matroska"
# Codecs of which Matroska can say that their first samples are not heard. Of the others FFmpeg
# would read packets that begin below zero as if they began there.
_DELAYED = frozenset(CODEC_IDS) | {"opus"}


class Times(NamedTuple):
    """Of a packet, in units of its carrier."""

    pts: int | None
    dts: int | None
    duration: int

    @property
    def known(self) -> int | None:
        """That of decoding, or else the other one."""
        return self.pts if self.dts is None else self.dts


class CopiedStream(Carrier):
    """What the source shows or plays of a stream; what its edit list hides stays behind.

    ``clock_s``: the unit of the source's times. ``unit_s``: of the times that are written. Zero
    for ``apart_s`` where the decoding times of two packets may be equal, as is usual in a clock of
    milliseconds; else how far they have to be from each other. ``unit_s`` should then be as fine,
    so that equal times become different ones within the same tick of the source. ``begin_pts``: of
    the first packet that is carried, None for the first that is not hidden.

    Broken files have packets whose decoding times go back, or none at all. Players cope, muxers
    do not: such packets are moved to right behind the one before.
    """

    def __init__(
        self,
        target: av.stream.Stream,
        origin_s: Fraction,
        clock_s: Fraction,
        unit_s: Fraction,
        apart_s: Fraction = Fraction(0),
        begin_pts: int | None = None,
    ) -> None:
        super().__init__(target, origin_s)
        self._unit_s = unit_s
        self._ticks = clock_s / unit_s
        self._apart = math.ceil(apart_s / self._unit_s)
        self._origin = round(origin_s / self._unit_s)
        self._begin_pts = begin_pts
        self._has_begun = False
        self._end: int | None = None
        self._last: int | None = None

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        if packet.size == 0 and packet.dts is None:
            return  # the reader's word that the file ends
        if not self._is_hidden(packet):
            self._has_begun = True
            yield from self._placed(packet, self._times(packet))

    def _placed(self, packet: av.Packet, times: Times) -> Iterator[av.Packet]:
        pts, dts, duration = times
        known = [time for time in (pts, dts, self._end, 0) if time is not None]
        pts, dts = known[0], dts if dts is not None else known[0]
        if self._last is not None:
            dts = max(dts, self._last + self._apart)
        self._last, self._end = dts, dts + max(duration, 1)
        packet.stream = self.target
        packet.time_base = self._unit_s
        packet.pts, packet.dts = max(pts, dts) - self._origin, dts - self._origin
        packet.duration = duration
        yield packet

    def _is_hidden(self, packet: av.Packet) -> bool:
        """Whether an edit list hides a packet, and no decoder needs it for the first one heard."""
        if self._has_begun or packet.pts is None:
            return bool(packet.is_discard)
        return packet.is_discard if self._begin_pts is None else packet.pts < self._begin_pts

    def _times(self, packet: av.Packet) -> Times:
        pts, dts, duration = packet.pts, packet.dts, packet.duration or 0
        if self._ticks == 1:
            return Times(pts, dts, duration)
        return Times(
            None if pts is None else round(pts * self._ticks),
            None if dts is None else round(dts * self._ticks),
            round(duration * self._ticks),
        )


class CopiedSound(CopiedStream):
    """Sound, of which each packet follows the one before: where only one of them is later than the
    packet behind, its time is wrong, not those of all behind."""

    _held: tuple[av.Packet, Times] | None = None

    def flush(self) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        if self._held is not None:
            yield from super()._placed(*self._held)

    def _placed(self, packet: av.Packet, times: Times) -> Iterator[av.Packet]:
        if self._held is not None:
            yield from super()._placed(self._held[0], self._limited(self._held[1], times.known))
        self._held = (packet, times)

    def _limited(self, times: Times, limit: int | None) -> Times:
        """``limit``: the time of the packet behind. One that lies before the packet in front is
        itself what is wrong."""
        if limit is None or times.known is None or not (self._last or 0) <= limit < times.known:
            return times
        return Times(limit, limit, times.duration)


class ExactSound(CopiedSound):
    """Sound whose times are made exact again where the source rounds them or has none.

    Matroska and others count in milliseconds, MP4 in samples. Each packet of ``samples`` follows
    the one before without a gap as long as that agrees with the source to one of its ticks.
    ``priming``: samples before the beginning, which such files round as well.
    """

    def __init__(
        self,
        target: av.stream.Stream,
        origin_s: Fraction,
        clock_s: Fraction,
        sample_rate: int,
        samples: int,
        priming: int = 0,
        begin_pts: int | None = None,
    ) -> None:
        sample_s = Fraction(1, sample_rate)
        super().__init__(target, origin_s, clock_s, sample_s, sample_s, begin_pts)
        self._samples = samples
        self._next = Fraction(-priming)

    def _times(self, packet: av.Packet) -> Times:
        if not packet.size:
            return super()._times(packet)
        time = self._next if packet.pts is None else packet.pts * self._ticks
        tolerance = max(self._ticks, Fraction(1))
        exact = round(self._next if abs(self._next - time) <= tolerance else time)
        self._next = Fraction(exact + self._samples)
        return Times(exact, exact, self._samples)


def add_copied_stream(
    source: av.stream.Stream, output: OutputContainer, origin_s: Fraction
) -> CopiedStream:
    """A stream of the result for anything but sound. Raises ValueError where the container does
    not take the codec."""
    target = output.add_stream_from_template(source)
    clock_s = _clock_s(source)
    apart_s = Fraction(0) if output.format.name == _MATROSKA else clock_s
    return CopiedStream(target, origin_s, clock_s, clock_s, apart_s)


def add_copied_sound(
    source: av.AudioStream,
    output: OutputContainer,
    origin_s: Fraction,
    beginning: Beginning | None,
) -> Carrier:
    """A stream of the result for copied sound, priming kept.

    Raises ValueError where the container does not take the codec, or nothing is known of it.
    """
    codec = source.codec_context.codec.canonical_name
    copied: CopiedSound
    if not source.codec_context.sample_rate:
        copied = _late_sound(source, output, origin_s, beginning)
    elif output.format.name == _MATROSKA:
        copied = _sound_in_matroska(source, codec, output, origin_s, beginning)
    else:
        copied = _sound_in_iso(source, output, origin_s, beginning)
    return CheckedAac(copied, source.codec_context.extradata) if codec == "aac" else copied


def _sound_in_matroska(
    source: av.AudioStream,
    codec: str,
    output: OutputContainer,
    origin_s: Fraction,
    beginning: Beginning | None,
) -> CopiedSound:
    clock_s, sample_s = _clock_s(source), Fraction(1, source.codec_context.sample_rate)
    begin_pts, priming = _start(beginning, with_lead=codec in _DELAYED)
    if begin_pts is not None and codec not in _DELAYED:
        begin_pts = max(begin_pts, math.ceil(origin_s / clock_s))
    if priming and clock_s <= sample_s and codec in CODEC_IDS:
        with primed_audio(source, priming) as like:
            target = output.add_stream_from_template(like.streams.audio[0])
    else:
        target = output.add_stream_from_template(source)
    return CopiedSound(target, origin_s, clock_s, clock_s, begin_pts=begin_pts)


def _sound_in_iso(
    source: av.AudioStream,
    output: OutputContainer,
    origin_s: Fraction,
    beginning: Beginning | None,
) -> CopiedSound:
    rate, samples = source.codec_context.sample_rate, source.codec_context.frame_size
    clock_s, sample_s = _clock_s(source), Fraction(1, rate)
    begin_pts, priming = _start(beginning, with_lead=True)
    # An edit list hides what lies before zero; what was cut away elsewhere would be heard.
    if beginning is not None and beginning.is_cut and (begin_pts or 0) * clock_s >= origin_s:
        begin_pts, priming = _start(beginning, with_lead=False)
    target = output.add_stream_from_template(source)
    if clock_s > sample_s and samples:
        target.time_base = sample_s
        return ExactSound(target, origin_s, clock_s, rate, samples, priming, begin_pts)
    # Coarser times are counted in samples, which can tell packets within a tick apart.
    return CopiedSound(target, origin_s, clock_s, min(clock_s, sample_s), sample_s, begin_pts)


def _late_sound(
    source: av.AudioStream,
    output: OutputContainer,
    origin_s: Fraction,
    beginning: Beginning | None,
) -> ExactSound:
    """Sound of which FFmpeg knows nothing but the codec, and so of few packets when they begin."""
    if beginning is None or beginning.shape is None:
        raise ValueError("nothing of it can be decoded")
    target = output.add_stream_from_template(source)
    shape = beginning.shape
    target.codec_context.sample_rate, target.codec_context.layout = shape.rate, shape.layout
    return ExactSound(target, origin_s, _clock_s(source), shape.rate, beginning.samples)


def _start(beginning: Beginning | None, *, with_lead: bool) -> Start:
    if beginning is None:
        return Start(None, 0)
    return beginning.lead if with_lead or beginning.played is None else beginning.played


def _clock_s(stream: av.stream.Stream) -> Fraction:
    return Fraction(stream.time_base or Fraction(1, 1000))
