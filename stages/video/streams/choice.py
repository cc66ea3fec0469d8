"""What becomes of the streams beside a film's picture: which of them the result's container takes.

What it takes is copied, bit for bit. Text subtitles that it does not take are put into its own
form; sound that it does not take is encoded anew if the job allows it. Everything else stays
behind, and the plan says so.
"""

from __future__ import annotations

import functools
import io
from typing import Literal

import av

from restore_batch.stages.video.types import StreamFacts, VideoFacts

__all__ = [
    "FORMATS",
    "SOUND_CODECS",
    "TEXT_CODECS",
    "AudioWish",
    "StreamFate",
    "fate_note",
    "left_out_of_pictures",
    "stream_fate",
    "stream_name",
    "stream_warnings",
]

AudioWish = Literal["copy", "transcode", "drop"]
"""``copy``: sound as it is or not at all. ``transcode``: what cannot be copied is encoded anew."""

StreamFate = Literal["copy", "cover", "encode", "text", "drop"]
"""``cover``: kept as the container keeps cover art. ``encode``: sound, encoded anew. ``text``:
subtitles in another form."""

# Container → FFmpeg's muxer, the codec of sound encoded anew, and that of text subtitles. FLAC
# loses nothing; players of MP4 hardly know it there.
FORMATS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska"}
SOUND_CODECS = {"mp4": "aac", "mov": "aac", "mkv": "flac"}
TEXT_CODECS = {"mp4": "mov_text", "mov": "mov_text", "mkv": "subrip"}

_TEXT = frozenset({"subrip", "srt", "mov_text", "ass", "ssa", "webvtt", "text"})
_PICTURES = {
    "mp4": frozenset({"mjpeg", "png", "bmp"}),
    "mov": frozenset({"mjpeg", "png", "bmp"}),
    "mkv": frozenset({"mjpeg", "png"}),
}
# FFmpeg lists these for MOV and then refuses to write them.
_REFUSED = {"mov": frozenset({"flac", "opus", "truehd"}), "mp4": frozenset({"truehd"})}
# The only kind of timed data that FFmpeg writes, beside what it makes itself.
_DATA = "bin_data"
_UNKNOWN = "unknown"
_BESIDE_PICTURES = {"audio": "sound", "subtitle": "subtitles", "attachment": "attached files"}
_NAVIGATION = frozenset({"dvd_nav_packet"})


def stream_fate(kind: str, codec: str, container: str, audio: AudioWish = "copy") -> StreamFate:
    """What becomes of a stream other than the picture, in ``container`` (mp4, mkv or mov)."""
    if kind in ("audio", "subtitle") and _takes(container, codec):
        return "drop" if (kind, audio) == ("audio", "drop") else "copy"
    kept: StreamFate = "drop"
    match kind:
        case "audio" if audio == "transcode":
            kept = "encode"
        case "subtitle" if codec in _TEXT:
            kept = "text"
        case "attachment" if container == "mkv":
            kept = "copy"
        case "video" if codec in _PICTURES[container]:
            kept = "cover"
        case "data" if codec == _DATA and container != "mkv":
            kept = "copy"
    return kept


def stream_warnings(
    facts: VideoFacts, container: str, audio: AudioWish = "copy"
) -> tuple[str, ...]:
    """What of the source will not be in the result as it is, a line each, for the plan.

    Sound that the job itself drops is not mentioned.
    """
    notes = []
    for stream in facts.streams:
        unwanted = (stream.kind, audio) == ("audio", "drop")
        if stream.index != facts.video_stream and not unwanted and not _made_anew(stream, facts):
            becomes = stream_fate(stream.kind, stream.codec, container, audio)
            notes.append(fate_note(stream, becomes, container))
    return tuple(note for note in notes if note)


def left_out_of_pictures(facts: VideoFacts, audio: AudioWish = "copy") -> tuple[str, ...]:
    """A line about what stays behind where a film is written as pictures, if anything does."""
    kinds = {stream.kind for stream in facts.streams}
    if audio == "drop":
        kinds.discard("audio")
    lost = [name for kind, name in _BESIDE_PICTURES.items() if kind in kinds]
    lost += ["chapters"] * (facts.chapters > 0)
    if not lost:
        return ()
    names = " and ".join(filter(None, (", ".join(lost[:-1]), lost[-1])))
    return (f"only its pictures are written, without its {names}",)


def stream_name(stream: StreamFacts) -> str:
    """``stream 2 (audio, aac, deu)``."""
    named = f"stream {stream.index} ({stream.kind}, {stream.codec}"
    return named + (f", {stream.language})" if stream.language not in ("", "und") else ")")


def fate_note(stream: StreamFacts, becomes: StreamFate, container: str) -> str:
    """A line about a stream that is not kept as it is; empty for one that is."""
    what = stream_name(stream)
    refused = f"{what}: {container} does not take it"
    match becomes:
        case "encode":
            return f"{refused}, encoded as {SOUND_CODECS[container]}"
        case "text":
            return f"{refused}, written as {TEXT_CODECS[container]}"
        case "drop":
            reasons = {
                "video": f"{what}: only the first film of a file is restored, this one is left out",
                "audio": f"{refused}, left out; audio: transcode keeps it",
            }
            if stream.codec == _UNKNOWN:
                return f"{what}: left out, unless it is the timecode, which is kept"
            return reasons.get(stream.kind, f"{refused}, left out")
    return ""


def _made_anew(stream: StreamFacts, facts: VideoFacts) -> bool:
    """Whether a data stream only holds the chapters, or the menus of a DVD."""
    chapters = facts.chapters > 0 and stream.codec == _DATA
    return stream.kind == "data" and (chapters or stream.codec in _NAVIGATION)


def _takes(container: str, codec: str) -> bool:
    return _implementation(codec) in _muxable(container) and codec not in _REFUSED.get(
        container, frozenset()
    )


@functools.cache
def _muxable(container: str) -> frozenset[str]:
    """FFmpeg's names of the encoders and decoders whose codecs the container can hold."""
    with av.open(io.BytesIO(), "w", format=FORMATS[container]) as output:
        return frozenset(output.supported_codecs)


@functools.cache
def _implementation(codec: str) -> str:
    """Any coder of ``codec``, which FFmpeg may call by another name than its own."""
    for mode in ("r", "w"):
        try:
            return str(av.Codec(codec, mode).name)
        except ValueError:
            continue
    return codec
