"""Opening the streams of a result that go along with its picture, in the order of the source."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.container import InputContainer, OutputContainer
from av.stream import Discard, Disposition
from av.subtitles.stream import SubtitleStream

from restore_batch.stages.audio_encode import EncodedSound
from restore_batch.stages.stream_carriers import Carrier, Copied, Cover, Text, add_copied_sound
from restore_batch.stages.video_streams import FORMATS, AudioWish, Fate, describe, fate
from restore_batch.stages.video_tags import stream_tags
from restore_batch.stages.video_types import StreamFacts, VideoFacts

__all__ = ["Carried", "first_packets", "open_carried"]

_LOOKAHEAD_PACKETS = 5000
_COVER_NAMES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}


@dataclass
class Carried:
    """``carriers``: number of a stream of the source → what carries it."""

    carriers: dict[int, Carrier] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def first_packets(source: InputContainer, kinds: Sequence[str]) -> dict[int, av.Packet]:
    """The first packet of every stream of these kinds that has one near the beginning.

    The reader is spent afterwards: open another one.
    """
    wanted = [stream for stream in source.streams if stream.type in kinds]
    wanted = [stream for stream in wanted if stream.type != "video" or _is_cover(stream)]
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


def open_carried(
    source: InputContainer,
    output: OutputContainer,
    facts: VideoFacts,
    container: str,
    audio: AudioWish,
    origin_s: Fraction,
    first: Mapping[int, av.Packet],
    add_picture: Callable[[], None],
) -> Carried:
    """Add every stream to ``output``; ``add_picture`` is called where the picture's turn is."""
    carried = Carried()
    for stream in source.streams:
        if stream.index == facts.video_stream:
            add_picture()
        else:
            _open(stream, output, facts, container, audio, origin_s, first, carried)
        if stream.index not in carried.carriers:
            stream.discard = Discard.all  # spares reading the whole old picture
    return carried


def _open(
    stream: av.stream.Stream,
    output: OutputContainer,
    facts: VideoFacts,
    container: str,
    audio: AudioWish,
    origin_s: Fraction,
    first: Mapping[int, av.Packet],
    carried: Carried,
) -> None:
    if stream.type == "data" and (stream.discard == Discard.all or _is_timecode(stream)):
        return  # chapters and timecodes are written anew from the tags
    if stream.type == "audio" and audio == "drop":
        return
    about = _facts_of(stream, facts)
    becomes = _fate(stream, about, container, audio)
    if note := describe(about, becomes, container):
        carried.warnings.append(note)
    if becomes == "drop":
        return
    packet = first.get(stream.index)
    if becomes == "cover" and container == "mkv":
        name, kind = _COVER_NAMES[about.codec]
        if packet is not None:
            output.add_attachment(stream.metadata.get("filename", name), kind, bytes(packet))
        return
    try:
        carrier = _carrier(stream, output, becomes, container, origin_s, packet)
    except (av.FFmpegError, ValueError) as error:
        reason = " ".join(str(error).split())
        carried.warnings.append(f"{describe(about, 'drop', container)}: {reason}")
        return
    if carrier is not None:
        carrier.target.metadata.update(stream_tags(stream.metadata, container))
        if becomes != "cover":
            carrier.target.disposition = stream.disposition
        carried.carriers[stream.index] = carrier


def _carrier(
    stream: av.stream.Stream,
    output: OutputContainer,
    becomes: Fate,
    container: str,
    origin_s: Fraction,
    first: av.Packet | None,
) -> Carrier | None:
    if stream.type == "attachment":
        target = output.add_stream_from_template(stream)
        target.metadata.update(stream.metadata)
        return None
    if isinstance(stream, SubtitleStream) and becomes == "text":
        return Text(stream, output, container, origin_s)
    if isinstance(stream, av.AudioStream):
        if becomes == "encode":
            return EncodedSound(stream, output, container, origin_s)
        return add_copied_sound(stream, output, origin_s, first)
    if becomes == "cover":
        return Cover(output.add_stream_from_template(stream, opaque=True))
    return Copied(output.add_stream_from_template(stream), origin_s)


def _fate(stream: av.stream.Stream, about: StreamFacts, container: str, audio: AudioWish) -> Fate:
    """The fate by name, corrected by a trial: FFmpeg refuses some streams only at the header."""
    if stream.type == "video" and not _is_cover(stream):
        return "drop"
    becomes = fate(about.kind, about.codec, container, audio)
    if becomes != "copy" or _is_written(stream, container):
        return becomes
    return "encode" if stream.type == "audio" and audio == "transcode" else "drop"


def _is_written(stream: av.stream.Stream, container: str) -> bool:
    trial = av.open(io.BytesIO(), "w", format=FORMATS[container])
    try:
        trial.add_stream_from_template(stream)
        trial.start_encoding()
        trial.close()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _facts_of(stream: av.stream.Stream, facts: VideoFacts) -> StreamFacts:
    known = {each.index: each for each in facts.streams}
    # A stream that began only after the header was read.
    return known.get(stream.index) or StreamFacts(stream.index, "data", "unknown")


def _is_cover(stream: av.stream.Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _is_timecode(stream: av.stream.Stream) -> bool:
    return stream.codec_context is None and "timecode" in stream.metadata
