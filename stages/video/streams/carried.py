"""Opening the streams of a result that go along with its picture, in the order of the source."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import av
from av.container import InputContainer, OutputContainer
from av.stream import Discard
from av.subtitles.stream import SubtitleStream

from restore_batch.stages.video.streams.aac import has_parameters
from restore_batch.stages.video.streams.ahead import Beginning, is_cover
from restore_batch.stages.video.streams.audio_encode import EncodedSound
from restore_batch.stages.video.streams.carriers import Carrier, CoverArt
from restore_batch.stages.video.streams.choice import (
    FORMATS,
    SOUND_CODECS,
    AudioWish,
    StreamFate,
    fate_note,
    stream_fate,
    stream_name,
)
from restore_batch.stages.video.streams.copied import add_copied_sound, add_copied_stream
from restore_batch.stages.video.streams.shape import SoundShape
from restore_batch.stages.video.streams.tags import stream_tags
from restore_batch.stages.video.streams.text import add_text
from restore_batch.stages.video.types import StreamFacts, VideoFacts

__all__ = ["CarriedStreams", "Remedy"]

_COVER_FILES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}


@dataclass(frozen=True)
class Remedy:
    """What becomes of sound that cannot be copied. ``reason``: why. ``shape``: of what is encoded,
    None for that of its beginning."""

    becomes: Literal["encode", "drop"]
    reason: str
    shape: SoundShape | None = None


@dataclass
class CarriedStreams:
    """The streams of ``output`` beside its picture.

    ``container``: mp4, mkv or mov. ``origin_s``: the moment of the source that becomes zero.
    ``begun``: see :func:`look_ahead`. ``remedies``: number of a stream → what becomes of it
    instead of being copied. ``carriers``: number of a stream of the source → what carries it.
    ``warnings``: a line about each stream that is not kept as it is.
    """

    output: OutputContainer
    facts: VideoFacts
    container: str
    audio: AudioWish
    origin_s: Fraction
    begun: Mapping[int, Beginning]
    remedies: Mapping[int, Remedy]
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
        about = self._facts_of(stream.index)
        if isinstance(stream, av.AudioStream) and (absence := self._absence(stream)):
            self.warnings.append(f"{stream_name(about)}: {absence}, left out")
            return
        becomes, note = self._settled(stream, about)
        if note:
            self.warnings.append(note)
        if becomes == "cover" and self.container == "mkv":
            self._attach(stream, about.codec)
        elif becomes != "drop":
            self._carry(stream, becomes)

    def _absence(self, stream: av.AudioStream) -> str:
        """Why there is no sound in a stream of it, "" where there is some."""
        begun, context = self.begun.get(stream.index), stream.codec_context
        if begun is None:
            is_known = context is not None and context.sample_rate
            return "" if is_known else "is announced but holds no sound"
        if begun.played is None and begun.first.is_discard:
            return "its edit list hides all of it"
        is_known = context is not None and (context.sample_rate or begun.shape is not None)
        if is_known and context.codec.canonical_name == "aac":
            is_known = has_parameters(stream, begun.first)
        return "" if is_known else "nothing of it can be decoded"

    def _settled(self, stream: av.stream.Stream, about: StreamFacts) -> tuple[StreamFate, str]:
        """What becomes of a stream, and a line about it where it is not kept as it is.

        FFmpeg refuses some streams only when the header is written, and then nothing can be taken
        back, so a file of this stream alone is begun in memory.
        """
        if stream.index in self.remedies:
            return self._remedied(stream, about, self.remedies[stream.index])
        becomes, reason = stream_fate(about.kind, about.codec, self.container, self.audio), ""
        if stream.type == "video" and not is_cover(stream):
            becomes = "drop"
        if becomes not in ("drop", "cover"):
            reason = self._refusal(stream, becomes)
            if reason and stream.type == "audio" and self.audio == "transcode":
                becomes, reason = "encode", self._refusal(stream, "encode")
        becomes = "drop" if reason else becomes
        note = fate_note(about, becomes, self.container)
        return becomes, f"{note}: {reason}" if note and reason else note

    def _remedied(
        self, stream: av.stream.Stream, about: StreamFacts, remedy: Remedy
    ) -> tuple[StreamFate, str]:
        what = f"{stream_name(about)}: {remedy.reason}"
        if remedy.becomes == "encode" and not self._refusal(stream, "encode"):
            return "encode", f"{what}, encoded as {SOUND_CODECS[self.container]}"
        return "drop", f"{what}, left out"

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
            return add_text(stream, output, self.container, self.origin_s)
        if isinstance(stream, av.AudioStream):
            if becomes == "encode":
                shape = self._shape(stream)
                return EncodedSound(stream, output, self.container, self.origin_s, shape)
            return add_copied_sound(stream, output, self.origin_s, self.begun.get(stream.index))
        return add_copied_stream(stream, output, self.origin_s)

    def _shape(self, stream: av.AudioStream) -> SoundShape:
        """Of sound that is encoded. Raises ValueError where nothing is known of it."""
        begun, remedy = self.begun.get(stream.index), self.remedies.get(stream.index)
        shape = (remedy and remedy.shape) or (begun and begun.shape)
        return shape or SoundShape.of(stream.codec_context)

    def _attach(self, stream: av.stream.Stream, codec: str) -> None:
        """Cover art is an attached file in Matroska."""
        begun = self.begun.get(stream.index)
        if begun is not None:
            name, kind = _COVER_FILES[codec]
            name = stream.metadata.get("filename", name)
            self.output.add_attachment(name, kind, bytes(begun.first))

    def name(self, index: int) -> str:
        """A stream of the source, as warnings call it."""
        return stream_name(self._facts_of(index))

    def _facts_of(self, index: int) -> StreamFacts:
        known = {each.index: each for each in self.facts.streams}
        # A broadcast may have streams that began only after its facts were read.
        return known.get(index) or StreamFacts(index, "data", "unknown")


def _is_timecode(stream: av.stream.Stream) -> bool:
    return stream.codec_context is None and "timecode" in stream.metadata
