"""Joining a film: the restored parts in a row, and everything else of the source beside them.

No picture is decoded or encoded here. Packets are copied one by one, interleaved by time, so a
film of any length takes the memory of a few seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer

from restore_batch.errors import MediaError
from restore_batch.files import naming, settle
from restore_batch.stages.media import Artifact
from restore_batch.stages.video.headers.early_blocks import early_begin_ticks
from restore_batch.stages.video.headers.matroska import DISPLAY_ROOM, set_display
from restore_batch.stages.video.headers.parameter_sets import IN_BAND_TAGS
from restore_batch.stages.video.parts import FilmParts, Part, check_parts
from restore_batch.stages.video.probe import open_video
from restore_batch.stages.video.streams.ahead import look_ahead
from restore_batch.stages.video.streams.beside import packets_beside
from restore_batch.stages.video.streams.carried import CarriedStreams, Remedy
from restore_batch.stages.video.streams.carriers import ChangedSoundError
from restore_batch.stages.video.streams.choice import FORMATS, AudioWish, stream_fate
from restore_batch.stages.video.streams.shape import largest_shape
from restore_batch.stages.video.streams.tags import (
    copy_chapters,
    film_tags,
    mp4_options,
    stream_tags,
)
from restore_batch.stages.video.types import FRAME_FOLDER, VideoFacts, VideoFormat
from restore_batch.stages.video.write import tag_colour

__all__ = ["JoinReport", "Part", "join"]

# Their clocks start anywhere; a player subtracts the start, and so does the result.
_FREE_CLOCKS = frozenset({"mpegts", "mpeg"})
# What is heard or read before the picture begins must not lie before zero either.
_TIMED = frozenset({"audio", "subtitle"})
_ISO = frozenset({"mp4", "mov"})
_FINEST_CLOCK_HZ = 1_000_000


@dataclass(frozen=True)
class JoinReport:
    """A finished film. ``frames``: how many. ``warnings``: a line about each stream that is not
    kept as it is. ``origin_s``: the moment of the source that is its zero."""

    artifact: Artifact
    frames: int
    warnings: tuple[str, ...]
    origin_s: Fraction = Fraction(0)


def join(
    source: str,
    parts: Sequence[Part],
    facts: VideoFacts,
    format: VideoFormat,
    staged: Path,
    *,
    audio: AudioWish = "copy",
    metadata: Mapping[str, str] | None = None,
    excerpt: bool = False,
) -> JoinReport:
    """Write the film to ``staged``.

    The picture has the source's timestamps to the tick in MP4 and MOV, to the millisecond in
    Matroska, which counts no finer. Other streams keep their distance to it. ``metadata``: tags
    of the film beside the source's. ``excerpt``: the parts are a stretch of the film, which then
    begins at zero, with the sound and subtitles of that stretch and without chapters. Raises
    MediaError for parts that do not hold what they promise, or a file that cannot be written;
    nothing is then left at ``staged``.
    """
    film = check_parts(parts, facts.time_base_s, format)
    work = _Work(source, film, facts, format, staged, audio, metadata or {}, excerpt)
    try:
        warnings, origin_s = _written(work)
        size_bytes, sha256 = settle(staged)
    except (av.FFmpegError, OSError, ValueError) as error:
        staged.unlink(missing_ok=True)
        reason = " ".join(str(error).split())
        raise MediaError(f"{source}: cannot be joined as {format.container}: {reason}") from error
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    artifact = Artifact(str(staged), size_bytes, sha256, format.width, format.height)
    return JoinReport(artifact, len(film.pts), warnings, origin_s)


@dataclass(frozen=True)
class _Work:
    source: str
    film: FilmParts
    facts: VideoFacts
    format: VideoFormat
    staged: Path
    audio: AudioWish
    metadata: Mapping[str, str]
    excerpt: bool


def _written(work: _Work) -> tuple[tuple[str, ...], Fraction]:
    """Write the film; begin again with other sound where it turns out that it cannot be copied.

    What the sound is worth is seen only while it is copied: damage and changes may lie anywhere.
    """
    remedies: dict[int, Remedy] = {}
    while True:
        try:
            return _write(work, remedies)
        except ChangedSoundError as found:
            with open_video(work.source) as source:
                shape = largest_shape(source, found.stream)
            remedies[found.stream] = Remedy("encode", found.reason, shape)
        except av.FFmpegError as error:
            further = _without_copies(work, remedies, error)
            if isinstance(error, OSError) or further == remedies:
                raise
            remedies = further


def _without_copies(
    work: _Work, tried: Mapping[int, Remedy], error: av.FFmpegError
) -> dict[int, Remedy]:
    """What else may become of the sound where FFmpeg cannot write the film: it is encoded, then
    left out."""
    further = dict(tried)
    for stream in work.facts.streams:
        fate = stream_fate(stream.kind, stream.codec, work.format.container, work.audio)
        if stream.kind == "audio" and fate != "drop":
            before = tried.get(stream.index)
            reason = before.reason if before else f"cannot be copied ({error.strerror})"
            further[stream.index] = Remedy("drop" if before else "encode", reason)
    return further


def _write(work: _Work, remedies: Mapping[int, Remedy]) -> tuple[tuple[str, ...], Fraction]:
    source, film, facts, format = work.source, work.film, work.facts, work.format
    staged, excerpt = work.staged, work.excerpt
    with ExitStack() as stack:
        old = None
        if facts.container != FRAME_FOLDER:
            old = stack.enter_context(open_video(source))
        origin_s = _begin_s(film) if excerpt else _origin_s(film, facts, old)
        tags = film_tags(old, facts.video_stream, work.metadata)
        output = stack.enter_context(
            av.open(
                str(staged.absolute()),
                "w",
                format=FORMATS[format.container],
                container_options=_options(film, format.container, tags, old),
            )
        )
        output.metadata.update(tags)
        first = stack.enter_context(av.open(str(film.parts[0].part.path.absolute()))).streams.video[
            0
        ]
        pictures: list[av.VideoStream] = []

        def add_picture() -> None:
            pictures.append(_add_picture(output, first, film, format, facts, old))

        beside: Iterable[av.Packet] = ()
        warnings: list[str] = []
        if old is None:
            add_picture()
        else:
            with open_video(source) as ahead:
                begun = look_ahead(ahead)
            carried = CarriedStreams(
                output, facts, format.container, work.audio, origin_s, begun, remedies
            )
            carried.open(old, add_picture)
            if not excerpt:
                copy_chapters(old, output, origin_s)
            warnings = carried.warnings
            span_s = (_begin_s(film), _end_s(film)) if excerpt else None
            beside = packets_beside(old, carried, span_s)
        if not pictures:
            raise MediaError(f"{source}: stream {facts.video_stream} is gone: the file has changed")
        try:
            for packet in _interleaved(film.packets(pictures[0], origin_s), beside):
                with naming(staged):
                    output.mux_one(packet)
        except ChangedSoundError:
            with suppress(av.FFmpegError):  # of a file that is written again
                output.close()
            raise
        with naming(staged):
            output.close()
    if format.container == "mkv":
        with naming(staged):
            set_display(staged, format.sample_aspect)
    return tuple(warnings), origin_s


def _add_picture(
    output: OutputContainer,
    part: av.VideoStream,
    film: FilmParts,
    format: VideoFormat,
    facts: VideoFacts,
    old: InputContainer | None,
) -> av.VideoStream:
    stream = output.add_stream_from_template(part, opaque=True)
    context = stream.codec_context
    context.sample_aspect_ratio = format.sample_aspect
    context.framerate = Fraction(dict(format.options)["framerate"])
    tag_colour(context, format.colour)
    if format.container in _ISO:
        if film.own_headers:
            context.codec_tag = IN_BAND_TAGS[format.codec]
        elif format.codec == "hevc":
            context.codec_tag = "hvc1"  # Apple's players do not know FFmpeg's choice
    stream.time_base = film.time_base_s
    if old is not None:
        before = old.streams[facts.video_stream]
        stream.metadata.update(stream_tags(before.metadata, format.container))
        stream.disposition = before.disposition
    if format.container == "mkv":
        title = next((k for k in stream.metadata if k.lower() == "title"), "title")
        stream.metadata[title] = stream.metadata.get(title, "") + DISPLAY_ROOM
    return stream


def _origin_s(film: FilmParts, facts: VideoFacts, old: InputContainer | None) -> Fraction:
    """The moment of the source that becomes zero, a multiple of the picture's time base.

    Zero itself, so that nothing moves, unless the source's clock means nothing or its picture
    begins before it, which no container could say.
    """
    begin = _begin_s(film)
    if old is None:
        return min(begin, Fraction(0))
    if facts.container not in _FREE_CLOCKS:
        early = early_begin_ticks(old).items()
        begins = [Fraction(ticks) * (old.streams[index].time_base or 0) for index, ticks in early]
        return math.floor(min([begin, Fraction(0), *begins]) / film.time_base_s) * film.time_base_s
    begins = [
        stream.start_time * stream.time_base
        for stream in old.streams
        if stream.type in _TIMED and stream.start_time is not None and stream.time_base
    ]
    return math.floor(min([begin, *begins]) / film.time_base_s) * film.time_base_s


def _options(
    film: FilmParts, container: str, tags: Mapping[str, str], old: InputContainer | None
) -> dict[str, str]:
    """Options of the muxer. No versions, dates or random numbers of this moment in any file."""
    if container not in _ISO:
        # Priming samples lie before zero; moving everything to make room would move the picture.
        return {"fflags": "+bitexact", "avoid_negative_ts": "disabled"}
    # Delays are counted in the clock of the whole file: exact for picture and sound if it can be.
    sounds = old.streams.audio if old else ()
    # One that a broadcast announces and does not send has no rate, one of no known kind no codec.
    known = [each.codec_context for each in sounds if each.codec_context is not None]
    rates = [context.sample_rate for context in known if context.sample_rate]
    picture_hz = film.time_base_s.denominator
    clock_hz = math.lcm(1000, picture_hz, *rates)
    return {
        "fflags": "+bitexact",
        "movflags": "+faststart" + mp4_options(tags, container),
        "movie_timescale": str(clock_hz if clock_hz <= _FINEST_CLOCK_HZ else picture_hz),
    }


def _begin_s(film: FilmParts) -> Fraction:
    return film.pts[0] * film.time_base_s


def _end_s(film: FilmParts) -> Fraction:
    last = film.parts[-1].part.durations[-1] * film.ticks
    return (film.pts[-1] + last) * film.time_base_s


def _interleaved(picture: Iterable[av.Packet], beside: Iterable[av.Packet]) -> Iterator[av.Packet]:
    """Both in order of decoding time, neither read further ahead than by a packet."""
    waiting = iter(picture)
    ready = next(waiting, None)
    for packet in beside:
        while ready is not None and _time_s(ready) <= _time_s(packet):
            yield ready
            ready = next(waiting, None)
        yield packet
    if ready is not None:
        yield ready
    yield from waiting


def _time_s(packet: av.Packet) -> float:
    return float((packet.dts or 0) * packet.time_base)
