"""Encoding sound anew, where the result's container does not take it or the job asks for it.

Sound and picture stay together: what the source leaves out is filled with silence and what it
says twice is cut, so that sample n of the result is always heard n / rate after the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av

from restore_batch.stages.video.streams.carriers import Carrier
from restore_batch.stages.video.streams.choice import SOUND_CODECS

__all__ = ["EncodedSound"]

# Timestamps that are rounded to milliseconds or jitter by a packet's edge are no gaps.
_TOLERANCE_S = Fraction(1, 20)
# A timestamp that is lost jumps by hours; what is longer than this is not filled with silence.
_LONGEST_GAP_S = 600
_AAC_RATES = frozenset(
    {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
)
_AAC_BITS_PER_S = 96_000
_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_DEEP = frozenset({"s32", "s32p", "s64", "s64p"})


class EncodedSound(Carrier):
    """AAC at 96 kbit/s a channel in MP4 and MOV, FLAC (which loses nothing) in Matroska."""

    def __init__(
        self,
        source: av.AudioStream,
        output: av.container.OutputContainer,
        container: str,
        origin_s: Fraction,
    ) -> None:
        """Raises FFmpegError or ValueError where the sound cannot be decoded or encoded."""
        self._decoder = source.codec_context
        codec, rate = SOUND_CODECS[container], self._decoder.sample_rate
        if codec == "aac" and rate not in _AAC_RATES:
            rate = 48000
        target = cast(av.AudioStream, output.add_stream(codec, rate=rate))
        super().__init__(target, origin_s)
        self._encoder = target.codec_context
        layout = _layout(self._decoder)
        self._encoder.layout = layout
        sample_format = "fltp"
        if codec == "flac":
            sample_format = "s32" if self._decoder.format.name in _DEEP else "s16"
        else:
            self._encoder.bit_rate = _AAC_BITS_PER_S * self._decoder.channels
        self._encoder.format = sample_format
        self._encoder.time_base = target.time_base = Fraction(1, rate)
        self._encoder.open()
        self._resampler = av.AudioResampler(sample_format, layout, rate)
        self._rate = rate
        self._next: int | None = None

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError:
            return  # a damaged packet: the gap that it leaves is filled
        for frame in frames:
            yield from self._frame(frame)

    def flush(self) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        for frame in self._resampler.resample(None):
            yield from self._samples(frame)
        if self._next is not None:
            yield from self._encode(None)

    def _frame(self, frame: av.AudioFrame) -> Iterator[av.Packet]:
        if frame.pts is not None and frame.time_base:
            place = round((frame.pts * frame.time_base - self.origin_s) * self._rate)
            if self._next is None:
                self._next = place
            gap = place - self._next
            if _TOLERANCE_S * self._rate < gap <= _LONGEST_GAP_S * self._rate:
                yield from self._silence(gap)
            elif -gap > _TOLERANCE_S * self._rate:
                return  # heard already
        frame.pts = None  # else the resampler would move it itself
        for converted in self._resampler.resample(frame):
            yield from self._samples(converted)

    def _silence(self, samples: int) -> Iterator[av.Packet]:
        while samples > 0:
            block = min(samples, self._rate)
            frame = av.AudioFrame(self._encoder.format.name, self._encoder.layout.name, block)
            frame.sample_rate = self._rate
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            yield from self._samples(frame)
            samples -= block

    def _samples(self, frame: av.AudioFrame) -> Iterator[av.Packet]:
        self._next = self._next or 0
        frame.pts, frame.time_base = self._next, Fraction(1, self._rate)
        self._next += frame.samples
        yield from self._encode(frame)

    def _encode(self, frame: av.AudioFrame | None) -> Iterator[av.Packet]:
        for packet in self._encoder.encode(frame):
            packet.stream = self.target
            yield packet


def _layout(decoder: av.AudioCodecContext) -> str:
    """Which loudspeakers the channels are for; the usual ones where the source does not say."""
    name = decoder.layout.name
    return _USUAL_LAYOUTS.get(decoder.channels, name) if "channels" in name else name
