"""Opening a video file, and what it is by its header and its first picture."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any, cast

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition

from restore_batch.errors import MediaError
from restore_batch.stages.photo.formats.catalogue import of_head
from restore_batch.stages.photo.source import AWAY, open_source
from restore_batch.stages.video.first_picture import first_picture
from restore_batch.stages.video.length import film_length
from restore_batch.stages.video.limits import (
    MOST_STREAMS,
    USUAL_PIXELS,
    limit_memory,
    refuse_large,
    refuse_long_header,
)
from restore_batch.stages.video.types import StreamFacts, StreamKind, VideoFacts

__all__ = [
    "VIDEO_SUFFIXES",
    "Examined",
    "examine",
    "is_video",
    "open_video",
    "probe_video",
    "video_stream",
]

VIDEO_SUFFIXES = frozenset(
    {".3g2", ".3gp", ".3gpp", ".amv", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gxf"}
    | {".264", ".265", ".h264", ".h265", ".hevc", ".ivf", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v"}
    | {".m4v", ".mjpeg", ".mjpg", ".mkv", ".mod", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mpv"}
    | {".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".tod", ".trp"}
    | {".ts", ".vob", ".webm", ".wmv", ".wtv", ".xvid", ".y4m"}
)

# FFmpeg also "plays" text, subtitles, playlists that name other files, and single pictures.
_FORMATS = (
    "mov,matroska,webm,avi,mpeg,mpegts,mxf,dv,asf,flv,ogg,rm,nut,gxf,wtv,ivf,obu,h261,h263,h264,"
    "hevc,vvc,m4v,mpegvideo,mjpeg,vc1,dirac,cavsvideo,avs,amv,nsv,nuv,pva,ty,smjpeg,lxf,mlv,"
    "yuv4mpegpipe,dhav,kux,live_flv,ismv,av1"
)
_JPEG = b"\xff\xd8\xff"
# Of animations too, which have a movie box.
_PICTURE_BRANDS = frozenset({b"avif", b"avis", b"heic", b"hevc", b"mif1", b"msf1"})
_KINDS = frozenset({"video", "audio", "subtitle", "attachment", "data"})
_ISO_BOXES = frozenset({b"ftyp", b"mdat", b"wide", b"free", b"skip"})
# Fragments of a live recording have two each, and come behind the movie's own.
_MOST_BOXES = 10_000
_NOT_FILMS = Disposition.attached_pic | Disposition.timed_thumbnails


def is_video(source: str) -> bool:
    """Whether the name of ``source`` (path or URL) ends like that of a video."""
    path = source.rstrip("/")
    if path[path.rfind(".") :].lower() not in VIDEO_SUFFIXES:
        return False  # as of nearly all in a million
    return os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES  # noqa: PTH122


@contextmanager
def open_video(source: str) -> Iterator[InputContainer]:
    """The demuxer of a local file, or of one that is ``AWAY``; raises MediaError, one line, for
    what is not a video."""
    if "://" in source and not source.startswith(AWAY):
        raise MediaError(
            f"{source}: a video has to be a local file, because it is read more than once; "
            "copy it to a local disk first"
        )
    try:
        with open_source(source) as file:
            head = file.read(4096)
    except OSError as error:
        raise MediaError(f"{source}: cannot be opened: {error.strerror or error}") from error
    if not head:
        raise MediaError(f"{source}: the file is empty (0 bytes); copy it again")
    is_motion_jpeg = _is_motion_jpeg(source)
    if _looks_like_pictures(source, head) and not is_motion_jpeg:
        _refuse_picture(source)
    options = {
        "format_whitelist": _FORMATS,
        "protocol_whitelist": "file",
        "max_streams": str(MOST_STREAMS),
        # FFmpeg decodes some pictures to see what a stream is; its size is known before.
        "max_pixels": str(USUAL_PIXELS),
    }
    limit_memory()
    with ExitStack() as held:
        # Absolute, because FFmpeg takes "a:b.mp4" for a protocol named a.
        opened: Any = str(Path(source).absolute())
        if source.startswith(AWAY):
            opened = held.enter_context(open_source(source))
        try:
            container = av.open(
                opened,
                # A short one looks like a single picture.
                format="mjpeg" if is_motion_jpeg and head.startswith(_JPEG) else None,
                options=options,
                metadata_errors="replace",
            )
        except av.error.FFmpegError as error:
            _refuse_picture(source)
            raise MediaError(_unreadable(source, head, error)) from error
        with container:
            yield container


def _is_motion_jpeg(source: str) -> bool:
    return PurePath(source).suffix.lower() in {".mjpeg", ".mjpg"}


def _looks_like_pictures(source: str, head: bytes) -> bool:
    """Whether a file is one or several pictures, of which FFmpeg would make a film."""
    if head[4:8] == b"ftyp":
        return head[8:12] in _PICTURE_BRANDS or not _has_movie_box(source)
    return head.startswith(_JPEG)


def _refuse_picture(source: str) -> None:
    """Raise MediaError, a line that says what it is, for a photo under the name of a film."""
    with open_source(source) as file:
        try:
            photo = of_head(file, source)
        except MediaError:
            return
    raise MediaError(
        f"{source}: not a video but a picture ({photo.title}); expected a film; "
        f"rename it to {PurePath(source).stem}{photo.suffixes[0]} to have it restored as a photo"
    )


def _unreadable(source: str, head: bytes, error: av.error.FFmpegError) -> str:
    expected = "expected MP4, MOV, MKV, WebM, AVI, MPEG or the like"
    if b"\0" not in head and _is_text(head):
        return f"{source}: not a video: the content is text; {expected}; take it out of the inputs"
    if isinstance(error, MemoryError):
        return (
            f"{source}: asks for more than {MOST_STREAMS} streams or for more memory than a film "
            f"needs; {expected}; take it out of the inputs"
        )
    if head[4:8] in _ISO_BOXES and not _has_movie_box(source):
        return (
            f"{source}: cut off: its index (moov) is missing, so that nothing can be read; "
            "expected a complete MP4 or MOV; copy it again from where it came, or have it repaired"
        )
    return (
        f"{source}: not a video, or a damaged one ({error.strerror}); {expected}; "
        "copy it again from where it came, or take it out of the inputs"
    )


def _is_text(head: bytes) -> bool:
    try:
        head[:-3].decode("utf-8")  # without the last bytes, which may be half a character
    except UnicodeDecodeError:
        return False
    return True


def _has_movie_box(source: str) -> bool:
    """Whether an ISO media file has a ``moov`` box, complete or not (ISO/IEC 14496-12, 4.2).

    Raises MediaError where more boxes lie before it than any film has: FFmpeg would read them all.
    """
    with open_source(source) as file:
        place, size_of_file = 0, file.seek(0, 2)
        for _ in range(_MOST_BOXES):
            if place + 8 > size_of_file:
                return False
            file.seek(place)
            size, kind = struct.unpack(">I4s", file.read(8))
            if kind == b"moov":
                return True
            if size == 1:  # the size did not fit: it follows, in 64 bits
                size = int.from_bytes(file.read(8), "big")
            if size < 8:
                return False
            place += size
    raise MediaError(
        f"{source}: not a video: more than {_MOST_BOXES} boxes and no index (moov) among them; "
        "copy it again from where it came, or take it out of the inputs"
    )


def video_stream(container: InputContainer, source: str) -> av.VideoStream:
    """The first stream that is a film, not cover art; raises MediaError without one."""
    for stream in container.streams.video:
        if not stream.disposition & _NOT_FILMS:
            if stream.codec_context is None:
                raise MediaError(
                    f"{source}: its video codec is not known here; expected H.264, HEVC, VP9, AV1, "
                    "MPEG, ProRes, FFV1, DV or the like; convert it to one of them first"
                )
            return stream
    kinds = sorted({stream.type for stream in container.streams})
    raise MediaError(
        f"{source}: no video in it (only {', '.join(kinds) or 'nothing'}); expected a film; "
        "take it out of the inputs"
    )


def probe_video(source: str, max_megapixels: float = float("inf")) -> VideoFacts:
    """What a local video file is, by its header and first picture: fast, however long it is.

    ``frame_count`` and ``duration_s`` are what the header promises; where it has no count of
    frames, they are counted in a small file and else estimated, and a warning says so. Raises
    MediaError, one line that names the file, for what is not a video, holds none, has larger
    frames than ``max_megapixels``, or no picture that can be decoded.
    """
    found = examine(source, max_megapixels)
    facts = found.facts
    if found.counted:
        return facts
    with open_video(source) as container:
        stream = video_stream(container, source)
        size_bytes = Path(source).stat().st_size
        length = film_length(container, stream, source, size_bytes, facts.mean_fps)
    if length is not None:
        facts = replace(
            facts,
            frame_count=length.frames,
            duration_s=length.duration_s,
            mean_fps=length.frames / length.duration_s,
        )
    if length is not None and length.counted:
        return facts
    estimate = "the number of frames is estimated from the duration"
    return replace(facts, warnings=(*facts.warnings, estimate))


@dataclass(frozen=True)
class Examined:
    """``counted``: ``facts.frame_count`` is the header's, not estimated from the duration.
    ``first_pts``: when the first picture is shown that can be decoded, None if unknown."""

    facts: VideoFacts
    counted: bool
    first_pts: int | None


def examine(source: str, max_megapixels: float = float("inf")) -> Examined:
    """What :func:`probe_video` says, without its words about the estimate."""
    with open_video(source) as container:
        stream = video_stream(container, source)
        refuse_long_header(stream, source)
        refuse_large(stream.width, stream.height, max_megapixels, source)
        warnings = _oddities(container, stream)
        duration_s = _header_duration_s(container, stream)
        fps = _frames_a_second(stream)
        # Of the demuxers that fill this in, only this one counts pictures and not clock ticks.
        frames = stream.frames if _is_mov(container) else 0
        picture = first_picture(container, stream, source)
        aspect = stream.sample_aspect_ratio
        if container.format.name == "dv":  # the stream has that of the picture read last
            aspect = picture.aspect or aspect
        facts = VideoFacts(
            container=_container_name(container, source),
            codec=stream.codec_context.codec.canonical_name,
            pix_fmt=picture.pix_fmt,
            width=picture.width,
            height=picture.height,
            rotation_deg=picture.rotation_deg,
            sample_aspect=aspect or Fraction(1),
            bits=picture.bits,
            field_order=picture.field_order,
            colour=picture.colour,
            time_base_s=stream.time_base or Fraction(1, 1000),
            frame_count=frames or max(1, round(duration_s * fps)),
            duration_s=duration_s or max(frames, 1) / fps,
            mean_fps=fps,
            streams=tuple(_stream_facts(each) for each in container.streams),
            video_stream=stream.index,
            chapters=len(container.chapters()),
            captions=picture.captions,
            warnings=(*warnings, *picture.warnings),
            coded_aspect=picture.aspect,
        )
    return Examined(facts, bool(frames), picture.pts)


def _header_duration_s(container: InputContainer, stream: av.VideoStream) -> float:
    """How long the film is by its header (or FFmpeg's estimate); 0 if nothing is known."""
    if stream.duration is not None and stream.duration > 0 and stream.time_base:
        return float(stream.duration * stream.time_base)
    return max(container.duration or 0, 0) / av.time_base


def _frames_a_second(stream: av.VideoStream) -> float:
    """The mean rate by the header; 25 if nothing is known."""
    mean, guessed = stream.average_rate, stream.guessed_rate
    if mean and guessed and mean * (stream.time_base or 0) == 1:
        mean = guessed  # DV and GXF count ticks, of which a frame lasts many
    return float(mean or guessed or 25)


def _oddities(container: InputContainer, stream: av.VideoStream) -> list[str]:
    films = [each for each in container.streams.video if not each.disposition & _NOT_FILMS]
    odd = []
    if len(films) != 1:
        odd.append(f"it has {len(films)} video streams; stream {stream.index} is restored")
    if len(container.streams) >= MOST_STREAMS:
        odd.append(f"only its first {MOST_STREAMS} streams are read")
    return odd


def _is_mov(container: InputContainer) -> bool:
    return container.format.name.startswith("mov")


def _container_name(container: InputContainer, source: str) -> str:
    name = container.format.name
    if _is_mov(container):
        # QuickTime files older than 2001 have no brand at all.
        brand = container.metadata.get("major_brand", "qt")
        return "mov" if brand.startswith("qt") else "mp4"
    if name.startswith("matroska"):
        with open_source(source) as file:
            # The document type is in the EBML header, the first element of the file.
            return "webm" if b"webm" in file.read(64) else "mkv"
    return name.partition(",")[0]


def _stream_facts(stream: av.stream.Stream) -> StreamFacts:
    kind = stream.type if stream.type in _KINDS else "data"
    context = stream.codec_context
    return StreamFacts(
        index=stream.index,
        kind=cast(StreamKind, kind),
        # A stream of no known kind has no name at all.
        codec=context.codec.canonical_name
        if context
        else getattr(stream, "name", None) or "unknown",
        language=stream.metadata.get("language", ""),
        title=stream.metadata.get("title", ""),
    )
