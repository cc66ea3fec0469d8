"""Carrying one stream of the source into the result, packet by packet.

A carrier takes the packets of its stream as they are read and returns what is to be written.
It holds no more than a packet of sound at a time, however long the film is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import cast

import av
from av.stream import Disposition
from av.subtitles.stream import SubtitleStream

from restore_batch.stages.video.headers.matroska import CODEC_IDS, primed_audio
from restore_batch.stages.video.streams.choice import TEXT_CODECS

__all__ = [
    "Carrier",
    "CopiedSound",
    "CopiedStream",
    "CoverArt",
    "TextSubtitles",
    "add_copied_sound",
    "skipped_samples",
]


class Carrier(ABC):
    """``target``: the stream of the result. ``origin_s``: what moment of the source is zero."""

    def __init__(self, target: av.stream.Stream, origin_s: Fraction) -> None:
        self.target = target
        self.origin_s = origin_s

    @abstractmethod
    def packets(self, packet: av.Packet) -> Iterable[av.Packet]:
        """What to write for one packet of the source."""

    def flush(self) -> Iterable[av.Packet]:
        """What is left to write once the source has no more packets."""
        return ()


class CopiedStream(Carrier):
    """Every packet as it is, at its time.

    Broken files have packets whose decoding times go back, or none at all. Players cope, muxers
    do not: such packets are moved to right behind the one before.
    """

    def __init__(self, target: av.stream.Stream, origin_s: Fraction) -> None:
        super().__init__(target, origin_s)
        self._end: int | None = None
        self._last: int | None = None

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        if packet.size == 0 and packet.dts is None:
            return  # the reader's word that the file ends
        times = [time for time in (packet.pts, packet.dts, self._end, 0) if time is not None]
        pts, dts = times[0], packet.dts if packet.dts is not None else times[0]
        if self._last is not None and dts <= self._last:
            dts = self._last + 1
        self._last, self._end = dts, dts + max(packet.duration or 0, 1)
        origin = round(self.origin_s / packet.time_base)
        packet.stream = self.target
        packet.pts, packet.dts = max(pts, dts) - origin, dts - origin
        yield packet


class CopiedSound(CopiedStream):
    """Sound whose times are made exact again where the source rounds them.

    Matroska and others count in milliseconds, MP4 in samples. Each packet of ``samples`` follows
    the one before without a gap as long as that agrees with the source to one of its ticks.
    ``priming``: samples before the beginning, which such files round as well.
    """

    def __init__(
        self,
        target: av.stream.Stream,
        origin_s: Fraction,
        sample_rate: int,
        samples: int,
        priming: int,
    ) -> None:
        super().__init__(target, origin_s)
        self._sample_s = Fraction(1, sample_rate)
        self._samples = samples
        self._next = Fraction(-priming)

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        if packet.pts is not None and packet.size:
            tick = packet.time_base / self._sample_s
            time = packet.pts * tick
            exact = round(self._next if abs(self._next - time) <= tick else time)
            packet.time_base = self._sample_s
            packet.pts = packet.dts = exact
            packet.duration = self._samples
            self._next = Fraction(exact + self._samples)
        yield from super().packets(packet)


class CoverArt(Carrier):
    """A picture that stands for the film, in MP4 and MOV: one packet, at no time."""

    def __init__(self, target: av.stream.Stream) -> None:
        super().__init__(target, Fraction(0))
        target.disposition = Disposition.attached_pic
        self._done = False

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        if packet.size and not self._done:
            self._done = True
            packet.stream = self.target
            packet.pts = packet.dts = 0
            yield packet


class TextSubtitles(Carrier):
    """Text subtitles in the container's own form; their simple styles are kept."""

    def __init__(
        self,
        source: SubtitleStream,
        output: av.container.OutputContainer,
        container: str,
        origin_s: Fraction,
    ) -> None:
        """Raises FFmpegError where FFmpeg cannot read the source's form."""
        decoder = source.codec_context
        decoder.open(strict=False)
        target = cast(SubtitleStream, output.add_stream(TEXT_CODECS[container]))
        super().__init__(target, origin_s)
        self._decoder, self._encoder = decoder, target.codec_context
        target.time_base = self._encoder.time_base = Fraction(1, 1000)
        # Decoders describe every form of text as a script of SubStation Alpha; encoders want it.
        self._encoder.subtitle_header = decoder.subtitle_header
        self._encoder.open()

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        if packet.pts is None or not packet.size:
            return
        lines = self._decoder.decode2(packet)
        if lines is None:
            return  # a pause between two lines is a packet of its own in some forms
        text = self._encoder.encode_subtitle(lines)
        text.stream = self.target
        text.time_base = packet.time_base
        text.pts = text.dts = packet.pts - round(self.origin_s / packet.time_base)
        text.duration = packet.duration
        text.is_keyframe = True
        yield text


def add_copied_sound(
    source: av.AudioStream,
    output: av.container.OutputContainer,
    origin_s: Fraction,
    first: av.Packet | None,
) -> Carrier:
    """A stream of the result for copied sound, priming kept. ``first``: its first packet.

    Raises ValueError where the container does not take the codec.
    """
    priming = skipped_samples(first)
    codec, rate = source.codec_context.codec.canonical_name, source.codec_context.sample_rate
    rounded = source.time_base is not None and source.time_base * rate > 1
    if output.format.name == "matroska":
        if priming and not rounded and codec in CODEC_IDS:
            with primed_audio(source, priming) as like:
                return CopiedStream(
                    output.add_stream_from_template(like.streams.audio[0]), origin_s
                )
        return CopiedStream(output.add_stream_from_template(source), origin_s)
    target = output.add_stream_from_template(source)
    samples = source.codec_context.frame_size
    if rounded and samples:
        target.time_base = Fraction(1, rate)
        return CopiedSound(target, origin_s, rate, samples, priming)
    return CopiedStream(target, origin_s)


def skipped_samples(packet: av.Packet | None) -> int:
    """How many samples a decoder has to throw away at the start of a packet."""
    if packet is None or not packet.has_sidedata("skip_samples"):
        return 0
    return int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[:4], "little")
