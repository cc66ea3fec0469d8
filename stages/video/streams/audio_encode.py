"""Encoding sound anew, where the result's container does not take it or the job asks for it.

Sound and picture stay together: what the source leaves out is filled with silence and what it
says twice is cut, so that sample n of the result is always heard n / rate after the first. Where
the source changes its rate or its loudspeakers midway, the result has one of each throughout.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np

from restore_batch.stages.video.streams.carriers import Carrier
from restore_batch.stages.video.streams.choice import SOUND_CODECS
from restore_batch.stages.video.streams.shape import SoundShape

__all__ = ["EncodedSound"]

# Timestamps that are rounded to milliseconds or jitter by a packet's edge are no gaps.
_TOLERANCE_S = Fraction(1, 20)
# A timestamp that is lost jumps by hours; what is longer than this is not filled with silence.
_LONGEST_GAP_S = 600
_AAC_RATES = frozenset(
    {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
)
_AAC_BITS_PER_S = 96_000


class EncodedSound(Carrier):
    """AAC at 96 kbit/s a channel in MP4 and MOV, FLAC (which loses nothing) in Matroska."""

    def __init__(
        self,
        source: av.AudioStream,
        output: av.container.OutputContainer,
        container: str,
        origin_s: Fraction,
        shape: SoundShape,
    ) -> None:
        """``shape``: that of the result, as far as its codec has it. Raises FFmpegError or
        ValueError where the sound cannot be encoded."""
        self._decoder = source.codec_context
        codec, rate = SOUND_CODECS[container], shape.rate
        if codec == "aac" and rate not in _AAC_RATES:
            rate = 48000
        target = cast(av.AudioStream, output.add_stream(codec, rate=rate))
        super().__init__(target, origin_s)
        self._encoder = target.codec_context
        self._encoder.layout = shape.layout
        self._format = "fltp"
        if codec == "flac":
            self._format = "s32" if shape.deep else "s16"
        else:
            self._encoder.bit_rate = _AAC_BITS_PER_S * shape.channels
        self._encoder.format = self._format
        self._encoder.time_base = target.time_base = Fraction(1, rate)
        self._encoder.open()
        self._layout, self._rate = shape.layout, rate
        self._resampler: av.AudioResampler | None = None
        self._resampled: tuple[str, str, int] | None = None
        self._overlap = 0
        self._next: int | None = None

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError:
            self.unreadable += 1  # the gap that it leaves is filled
            return
        for frame in frames:
            yield from self._frame(frame)

    def flush(self) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        yield from self._rest()
        if self._next is not None:
            yield from self._encode(None)

    def _frame(self, frame: av.AudioFrame) -> Iterator[av.Packet]:
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        is_new = shape != self._resampled
        if is_new:
            yield from self._rest()
            self._resampler = av.AudioResampler(self._format, self._layout, self._rate)
            self._resampled = shape
        if frame.pts is not None and frame.time_base:
            place = round((frame.pts * frame.time_base - self.origin_s) * self._rate)
            if self._next is None:
                self._next = place
            gap = place - self._next
            # Where other sound begins, nothing is a matter of rounding.
            tolerance = 0 if is_new else _TOLERANCE_S * self._rate
            if tolerance < gap <= _LONGEST_GAP_S * self._rate:
                yield from self._silence(gap)
            elif is_new:
                self._overlap = max(0, -gap)
            elif -gap > tolerance:
                return  # heard already
        frame.pts = None  # else the resampler would move it itself
        for converted in self._resampler.resample(frame) if self._resampler else ():
            yield from self._samples(converted)

    def _rest(self) -> Iterator[av.Packet]:
        """What the resampler still holds."""
        if self._resampler is not None:
            for frame in self._resampler.resample(None):
                yield from self._samples(frame)

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
        if self._overlap:
            cut = min(self._overlap, frame.samples)
            self._overlap -= cut
            if cut == frame.samples:
                return
            frame = _without_first(frame, cut)
        self._next = self._next or 0
        frame.pts, frame.time_base = self._next, Fraction(1, self._rate)
        self._next += frame.samples
        yield from self._encode(frame)

    def _encode(self, frame: av.AudioFrame | None) -> Iterator[av.Packet]:
        for packet in self._encoder.encode(frame):
            packet.stream = self.target
            yield packet


def _without_first(frame: av.AudioFrame, samples: int) -> av.AudioFrame:
    """The frame without so many samples at its beginning."""
    first = samples * (1 if frame.format.is_planar else frame.layout.nb_channels)
    values: Any = np.ascontiguousarray(frame.to_ndarray()[:, first:])
    rest = av.AudioFrame.from_ndarray(values, frame.format.name, frame.layout.name)
    rest.sample_rate = frame.sample_rate
    return rest
