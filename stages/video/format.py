"""Choosing how a film is encoded: codec, container, pixel format, colours, rate and quality.

Everything is decided before the first frame is restored, from the wish and the source's facts
alone, so that every part of a film is encoded alike on whatever machine. What a film archivist
would choose is the default: visually lossless, 10 bits for deep sources, a keyframe every two
seconds, and the source's container where it takes the codec.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePath
from typing import Literal, get_args

import av

from restore_batch.errors import MediaError
from restore_batch.stages.geometry import output_size
from restore_batch.stages.video.encoders import Encoder, encoder_of, nvenc_available
from restore_batch.stages.video.headers.captions import CAPTION_CODECS, captions_lost
from restore_batch.stages.video.types import ColourTags, VideoFacts, VideoFormat

__all__ = ["FormatError", "VideoWish", "nominal_rate", "output_suffix", "resolve_format"]

Codec = Literal["auto", "h264", "hevc", "av1", "ffv1", "prores"]
Container = Literal["keep", "mp4", "mkv", "mov"]
EncoderKind = Literal["software", "nvenc", "auto"]
BitDepth = Literal["keep", 8, 10]

# The first suffix is the usual one.
CONTAINER_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "mp4": (".mp4", ".m4v"),
    "mkv": (".mkv",),
    "mov": (".mov", ".qt"),
}
CONTAINER_CODECS: Mapping[str, tuple[str, ...]] = {
    "mp4": ("h264", "hevc", "av1"),
    "mov": ("h264", "hevc", "prores"),
    "mkv": ("h264", "hevc", "av1", "ffv1", "prores"),
}
# What a source's container becomes under "keep"; any other becomes Matroska, which takes nearly
# every kind of sound and subtitle that such files hold.
KEPT_CONTAINERS: Mapping[str, str] = {
    "mp4": "mp4",
    "3gp": "mp4",
    "mov": "mov",
    "mkv": "mkv",
    "webm": "mkv",
}

# Code points of ITU-T H.273. The matrices are those that FFmpeg's scaler can compute with.
_MATRICES = frozenset({1, 4, 5, 6, 7, 9})
_RGB, _BT709, _SMPTE170M, _BT2020_NCL, _BT2020_CL = 0, 1, 6, 9, 10
_HD_LINES = 720


class FormatError(MediaError, ValueError):
    """A film cannot be encoded as wished: one line that begins with the source's name."""


@dataclass(frozen=True)
class VideoWish:
    """What the user asked for. None: the codec's default.

    ``codec``: "auto" is H.264 up to 8 bits and HEVC above, since hardware plays 10-bit HEVC
    but hardly any 10-bit H.264. ``container``: "keep" is the source's where it takes the codec.
    ``crf``: constant quality, lower is better (NVENC calls it CQ). ``preset``: the encoder's own
    name of its speed (medium, 6, p5), for ProRes the profile (hq). ``pixel_format``: FFmpeg's
    name. ``encoder``: "auto" is NVENC where this machine can open it. ``bit_depth`` of a
    component: "keep" is the source's as far as the codec goes.
    """

    codec: Codec = "auto"
    container: Container = "keep"
    crf: int | None = None
    preset: str | None = None
    pixel_format: str | None = None
    encoder: EncoderKind = "software"
    bit_depth: BitDepth = "keep"


def output_suffix(wish: VideoWish, facts: VideoFacts, source_name: str) -> str:
    """Suffix of the result, with its dot; the source's own where it names the container.

    Raises FormatError.
    """
    known = CONTAINER_SUFFIXES[_container(wish, facts, _codec(wish, facts), source_name)[0]]
    suffix = PurePath(source_name).suffix
    return suffix if suffix.lower() in known else known[0]


def resolve_format(
    wish: VideoWish,
    facts: VideoFacts,
    scale: float,
    source_name: str,
    *,
    nvenc: Callable[[str], bool] = nvenc_available,
) -> tuple[VideoFormat, tuple[str, ...]]:
    """Settle every choice of the encoding; also returns what the user should know about it.

    ``scale``: of the upright picture, rounded as ``stages.geometry.output_size`` does.
    ``options`` of the result are FFmpeg's, but for ``framerate``: the nominal rate, by which
    encoders weigh frames and which they write into the stream; it moves no timestamp. An HDR
    source is taken to be tone-mapped to BT.709. Raises FormatError.
    """
    codec = _codec(wish, facts)
    container, warnings = _container(wish, facts, codec, source_name)
    on_gpu = wish.encoder == "nvenc" or (wish.encoder == "auto" and nvenc(codec))
    size = output_size(*facts.upright_size, scale)
    rate = nominal_rate(facts.mean_fps)
    try:
        encoder = encoder_of(codec, nvenc=on_gpu)
        encoder.check_size(*size)
        pix_fmt, notes = _pix_fmt(wish, facts, encoder, size, scale)
        preset = wish.preset
        if preset is None and codec == "prores" and pix_fmt.startswith("yuv444"):
            preset = "4444"
        options = encoder.options(wish.crf, preset, rate, size)
    except ValueError as error:
        raise FormatError(f"{source_name}: {error}") from error
    resolved = VideoFormat(
        codec=codec,
        encoder=encoder.name,
        pix_fmt=pix_fmt,
        options=(*options.items(), ("framerate", str(rate))),
        container=container,
        width=size[0],
        height=size[1],
        sample_aspect=facts.upright_aspect,
        colour=_colour(facts, pix_fmt, codec, size[1]),
        bits=_bits(pix_fmt),
    )
    if facts.captions and codec not in CAPTION_CODECS:
        notes = (*notes, captions_lost(codec))
    return resolved, (*warnings, *notes)


def nominal_rate(mean_fps: float) -> Fraction:
    """The standard frame rate nearest to a measured one, else that one, in frames a second.

    Within 1 to 240, what every encoder here takes; 25 where none is known. Standard rates are
    taken within 0.1 %: nearer than 30 and 30000/1001 are to each other.
    """
    if not mean_fps > 0:
        return Fraction(25)
    standard = [Fraction(whole) for whole in (24, 25, 30, 48, 50, 60, 100, 120)]
    standard += [Fraction(1000 * whole, 1001) for whole in (24, 30, 48, 60, 120)]
    nearest = min(standard, key=lambda rate: abs(float(rate) - mean_fps))
    if abs(float(nearest) - mean_fps) <= 1e-3 * mean_fps:
        return nearest
    return min(max(Fraction(mean_fps).limit_denominator(1001), Fraction(1)), Fraction(240))


def _codec(wish: VideoWish, facts: VideoFacts) -> str:
    if wish.codec != "auto":
        return wish.codec
    return "h264" if _asked_bits(wish, facts) <= 8 else "hevc"


def _asked_bits(wish: VideoWish, facts: VideoFacts) -> int:
    return facts.bits if wish.bit_depth == "keep" else wish.bit_depth


def _container(
    wish: VideoWish, facts: VideoFacts, codec: str, source_name: str
) -> tuple[str, tuple[str, ...]]:
    """The container, and a warning where it is not the one that was asked for."""
    if wish.container == "keep":
        kept = KEPT_CONTAINERS.get(facts.container, "mkv")
        if codec in CONTAINER_CODECS[kept]:
            return kept, () if kept == facts.container else (
                f"a file of kind {facts.container} is not written: the result is {kept}",
            )
        # MP4 and MOV are one family: their sound and subtitles fit each other.
        other = "mov" if kept == "mp4" and codec in CONTAINER_CODECS["mov"] else "mkv"
        return other, (f"{kept} does not take {codec}: the result is {other}",)
    takes = CONTAINER_CODECS.get(wish.container, ())
    if codec in takes:
        return wish.container, ()
    if codec not in get_args(Codec) or not takes:
        raise FormatError(
            f"{source_name}: codec {codec!r} in container {wish.container!r}: expected one of "
            f"{', '.join(get_args(Codec))} in one of {', '.join(get_args(Container))}"
        )
    fitting = " or ".join(name for name, codecs in CONTAINER_CODECS.items() if codec in codecs)
    raise FormatError(
        f"{source_name}: {wish.container} does not take {codec} (it takes {', '.join(takes)}); "
        f"choose container {fitting}"
    )


def _pix_fmt(
    wish: VideoWish, facts: VideoFacts, encoder: Encoder, size: tuple[int, int], scale: float
) -> tuple[str, tuple[str, ...]]:
    """The pixel format and what it costs. Raises ValueError."""
    if wish.pixel_format is not None:
        return _checked_pix_fmt(wish.pixel_format, encoder, size), ()
    notes = []
    asked = _asked_bits(wish, facts)
    bits = next((depth for depth in encoder.depths if depth >= asked), encoder.depths[-1])
    if bits < asked:
        notes.append(f"{encoder.name} writes at most {bits} bits a component, not {asked}")
    if bits > 8 and encoder.codec == "h264":
        notes.append("hardly any hardware plays 10-bit H.264; codec hevc is played by most")
    pix_fmt = encoder.pixel_formats[bits]
    if encoder.odd_sizes or _divides(pix_fmt, size):
        chroma = _chroma(facts.pix_fmt)
        if "420" in pix_fmt and chroma not in (None, "4:2:0") and scale < 2:
            notes.append(
                f"the source's {chroma} chroma is written as 4:2:0; set the pixel format to keep it"
            )
        return pix_fmt, tuple(notes)
    # H.264 and HEVC crop in whole chroma samples, so an odd size needs full chroma; another
    # size than the one promised would be worse.
    full = {"p010le": "yuv444p10le"}.get(pix_fmt, pix_fmt.replace("420", "444"))
    notes.append(f"{size[0]}x{size[1]} is odd: written as {full}, which not every player shows")
    return _checked_pix_fmt(full, encoder, size), tuple(notes)


def _checked_pix_fmt(pix_fmt: str, encoder: Encoder, size: tuple[int, int]) -> str:
    known = encoder.every_pixel_format()
    if pix_fmt not in known:
        raise ValueError(f"{encoder.name} does not take {pix_fmt}; it takes {', '.join(known)}")
    if not encoder.odd_sizes and not _divides(pix_fmt, size):
        raise ValueError(
            f"{size[0]}x{size[1]} cannot be written as {pix_fmt} by {encoder.name}; "
            "choose a 4:4:4 pixel format or another scale"
        )
    return pix_fmt


def _divides(pix_fmt: str, size: tuple[int, int]) -> bool:
    """Whether whole chroma samples cover a picture of this size."""
    columns, rows = _chroma_of(av.VideoFormat(pix_fmt))
    return size[0] % (4 // columns) == 0 and size[1] % (4 // rows) == 0


def _chroma_of(layout: av.VideoFormat) -> tuple[int, int]:
    """(columns, rows) of chroma samples for 4x4 pixels."""
    if len(layout.components) < 3 or layout.is_rgb:
        return 4, 4
    return layout.chroma_width(4), layout.chroma_height(4)


def _chroma(pix_fmt: str) -> str | None:
    """How a pixel format samples chroma, None for grey and for names that FFmpeg lacks."""
    try:
        layout = av.VideoFormat(pix_fmt)
    except ValueError:
        return None
    names = {(4, 4): "4:4:4", (2, 4): "4:2:2", (2, 2): "4:2:0", (4, 2): "4:4:0", (1, 4): "4:1:1"}
    return names.get(_chroma_of(layout)) if len(layout.components) >= 3 else None


def _bits(pix_fmt: str) -> int:
    return av.VideoFormat(pix_fmt).components[0].bits


def _colour(facts: VideoFacts, pix_fmt: str, codec: str, height: int) -> ColourTags:
    """The tags of the result.

    Matrix and range are always said, even where the source leaves them to be guessed: players
    guess by the number of lines, and enlarging changes that.
    """
    said = facts.colour if not facts.colour.hdr else ColourTags(_BT709, _BT709, _BT709, False)
    if _is_rgb(pix_fmt):
        return ColourTags(said.primaries, said.transfer, _RGB, True)
    matrix = _BT2020_NCL if said.matrix == _BT2020_CL else said.matrix
    from_rgb = matrix == _RGB or _is_rgb(facts.pix_fmt)
    if matrix not in _MATRICES:
        lines = height if from_rgb else facts.upright_size[1]
        matrix = _SMPTE170M if lines < _HD_LINES else _BT709
    # A ProRes stream has no word for its range, and every reader takes it as limited.
    limited = codec == "prores" or from_rgb
    full = not limited and (said.full_range or facts.pix_fmt.startswith("yuvj"))
    return ColourTags(said.primaries, said.transfer, matrix, bool(full))


def _is_rgb(pix_fmt: str) -> bool:
    try:
        return av.VideoFormat(pix_fmt).is_rgb
    except ValueError:
        return False
