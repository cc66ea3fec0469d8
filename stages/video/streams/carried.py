"""Opening the streams of a result that go along with its picture, in the order of the source."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.container import InputContainer, OutputContainer
from av.stream import Discard, Disposition
from av.subtitles.stream import SubtitleStream

from restore_batch.stages.video.streams.audio_encode import EncodedSound
from restore_batch.stages.video.streams.carriers import (
    Carrier,
    CopiedStream,
    CoverArt,
    TextSubtitles,
    add_copied_sound,
)
from restore_batch.stages.video.streams.choice import (
    FORMATS,
    AudioWish,
    StreamFate,
    fate_note,
    stream_fate,
)
from restore_batch.stages.video.streams.tags import stream_tags
from restore_batch.stages.video.types import StreamFacts, VideoFacts

__all__ = ["CarriedStreams", "first_packets"]

_LOOKAHEAD_PACKETS = 5000
_COVER_FILES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}


def first_packets(source: InputContainer) -> dict[int, av.Packet]:
    """The first packet of each stream of sound and cover art, by the number of the stream.

    They have to be known before the header is written. The reader is spent afterwards.
    """
    wanted = [each for each in source.streams if each.type == "audio" or _is_cover(each)]
    found: dict[int, av.Packet] = {}
    if not wanted:
        return found
    try:
        for count, packet in enumerate(source.demux(wanted)):
            if packet.size:
                found.setdefault(packet.stream.index, packet)
            if len(found) == len(wanted) or count > _LOOKAHEAD_PACKETS:
                break
    except av.FFmpegError:
        pass  # a damaged file: what was found before is what there is
    return found


@dataclass
class CarriedStreams:
    """The streams of ``output`` beside its picture.

    ``container``: mp4, mkv or mov. ``origin_s``: the moment of the source that becomes zero.
    ``first``: see :func:`first_packets`. ``carriers``: number of a stream of the source → what
    carries it. ``warnings``: a line about each stream that is not kept as it is.
    """

    output: OutputContainer
    facts: VideoFacts
    container: str
    audio: AudioWish
    origin_s: Fraction
    first: Mapping[int, av.Packet]
    carriers: dict[int, Carrier] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def open(self, source: InputContainer, add_picture: Callable[[], None]) -> None:
        """Add every stream of ``source``; ``add_picture`` is called in the picture's place."""
        for stream in source.streams:
            if stream.index == self.facts.video_stream:
                add_picture()
            else:
                self._open(stream)
            if stream.index not in self.carriers:
                stream.discard = Discard.all  # spares reading the whole old picture

    def _open(self, stream: av.stream.Stream) -> None:
        if stream.type == "data" and (stream.discard == Discard.all or _is_timecode(stream)):
            return  # chapters and timecodes are written anew from the tags
        if stream.type == "audio" and self.audio == "drop":
            return
        about = self._facts_of(stream)
        if isinstance(stream, av.AudioStream) and self._is_empty(stream):
            what = f"stream {stream.index} (audio, {about.codec})"
            self.warnings.append(f"{what}: is announced but holds no sound, left out")
            return
        becomes, reason = self._settled(stream, about)
        if note := fate_note(about, becomes, self.container):
            self.warnings.append(f"{note}: {reason}" if reason else note)
        if becomes == "cover" and self.container == "mkv":
            self._attach(stream, about.codec)
        elif becomes != "drop":
            self._carry(stream, becomes)

    def _is_empty(self, stream: av.AudioStream) -> bool:
        """Whether nothing is known of a stream because nothing of it came."""
        known = stream.codec_context is not None and stream.codec_context.sample_rate > 0
        return not known and stream.index not in self.first

    def _settled(self, stream: av.stream.Stream, about: StreamFacts) -> tuple[StreamFate, str]:
        """What becomes of a stream, and FFmpeg's reason where it refuses what it claims to take.

        It refuses some streams only when the header is written, and then nothing can be taken
        back, so a file of this stream alone is begun in memory.
        """
        becomes = stream_fate(about.kind, about.codec, self.container, self.audio)
        if becomes == "drop" or (stream.type == "video" and not _is_cover(stream)):
            return "drop", ""
        if becomes == "cover":
            return becomes, ""
        reason = self._refusal(stream, becomes)
        if reason and stream.type == "audio" and self.audio == "transcode":
            becomes, reason = "encode", self._refusal(stream, "encode")
        return ("drop", reason) if reason else (becomes, "")

    def _refusal(self, stream: av.stream.Stream, becomes: StreamFate) -> str:
        trial = av.open(io.BytesIO(), "w", format=FORMATS[self.container])
        try:
            self._add(trial, stream, becomes)
            trial.start_encoding()
            trial.close()
        except (av.FFmpegError, ValueError) as error:
            return " ".join(str(error).split())
        return ""

    def _carry(self, stream: av.stream.Stream, becomes: StreamFate) -> None:
        carrier = self._add(self.output, stream, becomes)
        tags = carrier.target.metadata
        tags.update(stream_tags(stream.metadata, self.container))
        if becomes != "cover":
            carrier.target.disposition = stream.disposition
        self.carriers[stream.index] = carrier

    def _add(
        self, output: OutputContainer, stream: av.stream.Stream, becomes: StreamFate
    ) -> Carrier:
        if becomes == "cover":
            return CoverArt(output.add_stream_from_template(stream, opaque=True))
        if isinstance(stream, SubtitleStream) and becomes == "text":
            return TextSubtitles(stream, output, self.container, self.origin_s)
        if isinstance(stream, av.AudioStream):
            if becomes == "encode":
                return EncodedSound(stream, output, self.container, self.origin_s)
            return add_copied_sound(stream, output, self.origin_s, self.first.get(stream.index))
        return CopiedStream(output.add_stream_from_template(stream), self.origin_s)

    def _attach(self, stream: av.stream.Stream, codec: str) -> None:
        """Cover art is an attached file in Matroska."""
        picture = self.first.get(stream.index)
        if picture is not None:
            name, kind = _COVER_FILES[codec]
            name = stream.metadata.get("filename", name)
            self.output.add_attachment(name, kind, bytes(picture))

    def _facts_of(self, stream: av.stream.Stream) -> StreamFacts:
        known = {each.index: each for each in self.facts.streams}
        # A broadcast may have streams that began only after its facts were read.
        return known.get(stream.index) or StreamFacts(stream.index, "data", "unknown")


def _is_cover(stream: av.stream.Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _is_timecode(stream: av.stream.Stream) -> bool:
    return stream.codec_context is None and "timecode" in stream.metadata
