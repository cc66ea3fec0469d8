"""The tables of docs/video.md, from what containers and encoders take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from restore_batch.stages.video.encoders import encoder_of
from restore_batch.stages.video.format import (
    CONTAINER_CODECS,
    CONTAINER_SUFFIXES,
    KEPT_CONTAINERS,
    Codec,
)
from restore_batch.stages.video.headers.captions import CAPTION_CODECS
from restore_batch.stages.video.streams.choice import SOUND_CODECS, TEXT_CODECS, stream_fate

_SOUNDS = (
    *("aac", "ac3", "alac", "dts", "eac3", "flac", "mp2", "mp3", "opus", "pcm_s16le"),
    *("pcm_s24le", "truehd", "vorbis", "wmav2"),
)
_SUBTITLES = (
    *("ass", "dvb_subtitle", "dvd_subtitle", "hdmv_pgs_subtitle", "mov_text", "subrip", "webvtt"),
)
_OTHERS = (
    ("attachments", "attachment", "ttf"),
    ("covers", "video", "mjpeg"),
    ("timed data", "data", "bin_data"),
)


def containers() -> str:
    """A line for each container that is written: of what, with what of the source."""
    rows = []
    for name, codecs in CONTAINER_CODECS.items():
        sources = [source for source, kept in KEPT_CONTAINERS.items() if kept == name]
        if name == "mkv":
            sources.append("all others")
        rows.append(
            (
                f"`{name}`",
                " ".join(suffix.removeprefix(".") for suffix in CONTAINER_SUFFIXES[name]),
                ", ".join(sources),
                ", ".join(codecs),
                _fates("audio", _SOUNDS, name),
                SOUND_CODECS[name],
                _fates("subtitle", _SUBTITLES, name),
                TEXT_CODECS[name],
                ", ".join(
                    what
                    for what, kind, codec in _OTHERS
                    if stream_fate(kind, codec, name) != "drop"
                ),
            )
        )
    return _table(
        (
            *("container", "suffixes", "of sources", "picture", "sound copied"),
            *("`audio: transcode`", "subtitles copied", "other text as", "also kept"),
        ),
        rows,
    )


def codecs() -> str:
    """A line for each codec of the picture that is written by the processor."""
    rows = []
    for codec in get_args(Codec):
        if codec == "auto":
            continue
        encoder = encoder_of(codec)
        rows.append(
            (
                f"`{codec}`",
                encoder.name,
                ", ".join(f"{bits} ({pix_fmt})" for bits, pix_fmt in encoder.pixel_formats.items()),
                "–" if encoder.crf is None else f"crf {encoder.crf} (0–{encoder.worst_crf})",
                "{}–{:,}".format(*encoder.sides_px),
                "yes" if codec in CAPTION_CODECS else "said",
                "said",
            )
        )
    return _table(
        ("codec", "encoder", "bits", "quality", "pixels a side", "captions", "transparency"), rows
    )


def _fates(kind: str, known: Sequence[str], container: str) -> str:
    return ", ".join(codec for codec in known if stream_fate(kind, codec, container) == "copy")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(headings)} |", "| --- " * len(headings) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(cell or '–' for cell in row)} |" for row in rows)])
