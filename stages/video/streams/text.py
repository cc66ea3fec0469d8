"""Text subtitles in another form than the source's; their simple styles are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import cast

import av
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

from restore_batch.stages.video.streams.carriers import Carrier
from restore_batch.stages.video.streams.choice import TEXT_CODECS
from restore_batch.text import plural

__all__ = ["SingleText", "TextSubtitles", "add_text"]

# Of a line as decoders give it: number, layer, style, name, three margins, effect, text.
_FIELDS, _STYLE, _TEXT = 9, 2, 8
# How much later than what is heard then a line may come in the source.
_LATE_S = 1
_BREAK = rb"{\b0\i0\u0\r%s}\N"


class TextSubtitles(Carrier):
    """Each line by itself, as Matroska takes them."""

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
        if packet.pts is None or not packet.size or packet.is_discard:
            return
        lines = self._decoder.decode2(packet)
        if lines is None:
            return  # a pause between two lines is a packet of its own in some forms
        origin = round(self.origin_s / packet.time_base)
        yield from self._lines(lines, packet.pts - origin, packet.duration or 0, packet.time_base)

    def _lines(
        self, lines: SubtitleSet, pts: int, duration: int, clock_s: Fraction
    ) -> Iterator[av.Packet]:
        yield self._encoded(lines, pts, duration, clock_s)

    def _encoded(self, lines: SubtitleSet, pts: int, duration: int, clock_s: Fraction) -> av.Packet:
        text = self._encoder.encode_subtitle(lines)
        text.stream = self.target
        text.time_base = clock_s
        text.pts = text.dts = pts
        text.duration = duration
        text.is_keyframe = True
        return text


@dataclass(frozen=True)
class _Line:
    begin: int
    end: int
    lines: SubtitleSet


class SingleText(TextSubtitles):
    """One text at a time, as MP4 and MOV take them: lines that overlap are shown as one text for
    as long as they do.

    What overlaps is written together once all of it has ended: FFmpeg ends a text as soon as
    another stream has come to its end, and would move what still follows.
    """

    def __init__(
        self,
        source: SubtitleStream,
        output: av.container.OutputContainer,
        container: str,
        origin_s: Fraction,
    ) -> None:
        super().__init__(source, output, container, origin_s)
        self._clock_s = Fraction(source.time_base or Fraction(1, 1000))
        self._open: list[_Line] = []
        self._end = self._written = 0
        self._joined = 0

    def until(self, time_s: float) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        end_s = self._end * self._clock_s + self.origin_s
        if self._open and end_s + _LATE_S < time_s:
            yield from self._closed()

    def flush(self) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        yield from self._closed()
        if self._joined:
            self.remarks.append(
                f"lines that overlap are joined ({plural(self._joined, 'time')}), since only one"
                " text is shown at a time"
            )

    def _lines(
        self, lines: SubtitleSet, pts: int, duration: int, clock_s: Fraction
    ) -> Iterator[av.Packet]:
        if self._open and pts >= self._end:
            yield from self._closed()
        self._joined += bool(self._open)
        begin = max(pts, self._written)
        self._open.append(_Line(begin, max(pts + duration, begin + 1), lines))
        self._end = max(line.end for line in self._open)

    def _closed(self) -> Iterator[av.Packet]:
        """The texts of all lines that are waiting."""
        waiting, self._open, self._written = self._open, [], self._end
        edges = sorted({edge for line in waiting for edge in (line.begin, line.end)})
        shown: list[_Line] = []
        rest = sorted(waiting, key=lambda line: line.begin)
        for begin, end in pairwise(edges):
            shown = [line for line in shown if line.end > begin]
            while rest and rest[0].begin <= begin:
                shown.append(rest.pop(0))
            lines = shown[0].lines if len(shown) == 1 else _joined([each.lines for each in shown])
            yield self._encoded(lines, begin, end - begin, self._clock_s)


def _joined(sets: list[SubtitleSet]) -> SubtitleSet:
    """Several lines as one text, each in its own style."""
    whole = b""
    for line in (line for lines in sets for line in lines.rects):
        if not isinstance(line, AssSubtitle):
            continue
        fields = line.ass.split(b",", _TEXT)
        if len(fields) == _FIELDS and fields[_TEXT]:
            whole += _BREAK % fields[_STYLE] + fields[_TEXT] if whole else line.ass
    return SubtitleSet.create(whole, 0, 0)


def add_text(
    source: SubtitleStream,
    output: av.container.OutputContainer,
    container: str,
    origin_s: Fraction,
) -> TextSubtitles:
    """A stream of the result for text that its container does not take as it is. Raises FFmpegError
    where FFmpeg cannot read the source's form."""
    kind = TextSubtitles if container == "mkv" else SingleText
    return kind(source, output, container, origin_s)
