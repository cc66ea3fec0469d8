"""Small videos of every codec and container, made on the spot, whose frames say their number."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import av.filter
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from restore_batch.stages.video.types import ColourTags

from support.clip_sound import add_audio, add_subtitles

__all__ = ["CODECS", "attachment", "clip", "decoded", "frame_number", "numbered_picture"]

Picture = Callable[[int], np.ndarray]

# Codec → what it usually is: (pixel format, options of a quick encode of good quality).
CODECS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "libx264": ("yuv420p", {"preset": "veryfast", "crf": "12", "b_strategy": "0"}),
    "libx265": ("yuv420p", {"preset": "ultrafast", "crf": "12"}),
    "libsvtav1": ("yuv420p", {"preset": "10", "crf": "18"}),
    "libvpx-vp9": ("yuv420p", {"deadline": "realtime", "cpu-used": "5", "crf": "12", "b": "0"}),
    "libvpx": ("yuv420p", {"deadline": "realtime", "cpu-used": "5", "crf": "8", "b": "4M"}),
    "mpeg2video": ("yuv420p", {"qscale": "2"}),
    "mpeg4": ("yuv420p", {"qscale": "2"}),
    "mjpeg": ("yuvj420p", {"qscale": "2"}),
    "prores_ks": ("yuv422p10le", {}),
    "ffv1": ("yuv420p", {}),
    "dvvideo": ("yuv420p", {}),
}
# x264's macroblock tree reads memory it has not set when there are B-frames (AVX-512): its bytes
# would change from run to run.
# One thread: the same bytes on every machine, and no fight over the cores with other tests.
_PRIVATE = {
    "libx264": ("x264-params", "scenecut=0:mbtree=0"),
    "libx265": ("x265-params", "log-level=error:pools=none:frame-threads=1:scenecut=0:b-adapt=0"),
    "libsvtav1": ("svtav1-params", "lp=1"),
}
_REORDERING = frozenset({"libx264", "libx265", "mpeg2video", "mpeg4"})
# Their bitstreams have no pixel aspect, and PyAV cannot set the one of a Matroska track.
_SQUARE_IN_MATROSKA = frozenset({"libvpx", "libvpx-vp9", "libsvtav1", "mjpeg", "prores_ks"})
_RGB_DEEP, _RGB = "rgb48le", "rgb24"
_SCALER = int(Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT)
_LIMITED, _FULL = int(ColorRange.MPEG), int(ColorRange.JPEG)
_FONT = "application/x-truetype-font"
_COVER = av.stream.Disposition.attached_pic
os.environ.setdefault("SVT_LOG", "1")  # that encoder prints a page about itself otherwise


def clip(
    path: Path,
    *,
    codec: str = "libx264",
    frames: int = 24,
    size: tuple[int, int] = (64, 48),
    pix_fmt: str | None = None,
    rate: Fraction = Fraction(25),
    time_base: Fraction | None = None,
    pts: Sequence[int] | None = None,
    gop: int = 12,
    b_frames: int = 0,
    options: Mapping[str, str] | None = None,
    sample_aspect: Fraction = Fraction(1),
    rotation_deg: int = 0,
    colour: ColourTags | None = None,
    interlaced: bool = False,
    picture: Picture | None = None,
    audio: Sequence[str] = (),
    audio_delay_s: float = 0.0,
    subtitles: int = 0,
    chapters: int = 0,
    attachments: int = 0,
    metadata: Mapping[str, str] | None = None,
    tones: bool = True,
    mux_options: Mapping[str, str] | None = None,
) -> Path:
    """Encode ``frames`` pictures to ``path``; the suffix chooses the container. Returns ``path``.

    ``size``: (width, height) as stored, before rotation. ``pix_fmt``: the codec's usual one if
    None. ``time_base``: of ``pts``, one over ``rate`` if None; ``pts`` in order of presentation.
    ``rotation_deg``: the clockwise turn that shows the stored picture upright. ``picture``: the
    upright picture of a number, (H, W, 3) uint8 or uint16. ``interlaced``: top field first;
    the bottom field of the default picture is half a frame later. ``audio``: codec of each
    stream, a tone of its own with a beat twice a second (silence without ``tones``), starting
    with the picture plus ``audio_delay_s``. ``subtitles``: how many text streams;
    ``attachments``: in Matroska only. ``options`` go to the encoder, ``mux_options`` to the
    container. Raises PyAV's errors for what codec or container do not know.
    """
    if sample_aspect != 1 and codec in _SQUARE_IN_MATROSKA and path.suffix in (".mkv", ".webm"):
        raise ValueError(f"PyAV cannot write the aspect of {codec} into {path.suffix}")
    base = time_base or 1 / Fraction(rate)
    stamps = list(pts) if pts is not None else list(range(frames))
    durations = _durations(stamps, round(1 / (Fraction(rate) * base)))
    begin_s, end_s = stamps[0] * base, (stamps[-1] + durations[-1]) * base
    draw = picture or _default_picture(size, pix_fmt, rotation_deg, interlaced)
    # Without the muxer's version and random identifiers.
    muxing = {"fflags": "+bitexact", **(mux_options or {})}
    with av.open(str(path), "w", options=muxing) as output:
        output.metadata.update(metadata or {})
        if chapters:
            output.set_chapters(_chapters(chapters, begin_s, end_s))
        stream = cast(av.VideoStream, output.add_stream(codec, rate=Fraction(rate)))
        _configure(stream, size, pix_fmt, base, gop, b_frames, options or {}, interlaced)
        stream.disposition = av.stream.Disposition.default
        stream.codec_context.sample_aspect_ratio = sample_aspect
        if colour is not None:
            _tag(stream.codec_context, colour)
        if rotation_deg:
            stream.set_display_rotation(-rotation_deg)
        for number in range(attachments):
            output.add_attachment(
                f"font{number}.ttf", "application/x-truetype-font", attachment(number)
            )
        packets = list(
            _encoded(stream, draw, stamps, durations, base, colour, interlaced, rotation_deg)
        )
        sound_begin_s = begin_s + Fraction(audio_delay_s).limit_denominator(48000)
        packets += add_audio(output, audio, sound_begin_s, end_s - begin_s, tones)
        packets += add_subtitles(output, path.suffix, subtitles, begin_s, end_s)
        # Sorted here because the muxer only sorts within ten seconds.
        packets.sort(key=lambda packet: (packet.dts or 0) * packet.time_base)
        for packet in packets:
            output.mux(packet)
    return path


def _configure(
    stream: av.VideoStream,
    size: tuple[int, int],
    pix_fmt: str | None,
    base: Fraction,
    gop: int,
    b_frames: int,
    options: Mapping[str, str],
    interlaced: bool,
) -> None:
    codec = stream.codec_context.name
    usual_pix_fmt, quick = CODECS.get(codec, ("yuv420p", {}))
    stream.width, stream.height = size
    stream.pix_fmt = pix_fmt or usual_pix_fmt
    context = stream.codec_context
    context.time_base = base
    context.gop_size = gop
    context.thread_count = 1
    if codec in _REORDERING:
        context.max_b_frames = b_frames
    chosen = {**quick, **options}
    if codec in _PRIVATE:
        key, ours = _PRIVATE[codec]
        chosen[key] = f"{ours}:{chosen[key]}" if key in chosen else ours
    if "qscale" in chosen:
        quality = int(chosen.pop("qscale"))
        context.qmin = context.qmax = quality
        context.qscale = True
    if interlaced:
        chosen["flags"] = chosen.get("flags", "") + "+ildct+ilme"
    context.options = chosen


def _encoded(
    stream: av.VideoStream,
    draw: Picture,
    stamps: Sequence[int],
    durations: Sequence[int],
    base: Fraction,
    colour: ColourTags | None,
    interlaced: bool,
    rotation_deg: int,
) -> Iterator[av.Packet]:
    fields = _FieldFlags(stream, base) if interlaced else None
    lengths = dict(zip(stamps, durations, strict=True))
    for number, stamp in enumerate(stamps):
        stored = np.ascontiguousarray(np.rot90(draw(number), k=rotation_deg // 90))
        frame = _frame(stored, stream.pix_fmt or "", colour)
        frame.pts, frame.time_base, frame.duration = stamp, base, durations[number]
        for packet in stream.encode(fields(frame) if fields else frame):
            yield _lasting(packet, lengths)
    for packet in stream.encode(None):
        yield _lasting(packet, lengths)


def _lasting(packet: av.Packet, lengths: Mapping[int, int]) -> av.Packet:
    """With its frame's duration: most encoders would write that of the frame rate."""
    if packet.pts is not None:
        packet.duration = lengths.get(packet.pts, packet.duration or 0)
    return packet


class _FieldFlags:
    """Marks frames as interlaced, top field first: PyAV itself can only read that flag."""

    def __init__(self, stream: av.VideoStream, base: Fraction) -> None:
        self._graph = av.filter.Graph()
        entry = self._graph.add_buffer(
            width=stream.width,
            height=stream.height,
            format=av.VideoFormat(stream.pix_fmt or ""),
            time_base=base,
        )
        flag = self._graph.add("setfield", "tff")
        self._graph.link_nodes(entry, flag, self._graph.add("buffersink")).configure()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        self._graph.vpush(frame)
        return self._graph.vpull()


def _frame(rgb_hwc: np.ndarray, pix_fmt: str, colour: ColourTags | None) -> av.VideoFrame:
    """An RGB picture in the pixel format and with the matrix and range of ``colour``."""
    tags = colour or ColourTags()
    packed = _RGB_DEEP if rgb_hwc.dtype == np.uint16 else _RGB
    picture = av.VideoFrame.from_ndarray(rgb_hwc, format=packed)
    full = tags.full_range or pix_fmt.startswith("yuvj")
    frame = picture.reformat(
        format=pix_fmt,
        dst_colorspace=_matrix(tags.matrix, rgb_hwc.shape[0]),
        dst_color_range=_FULL if full else _LIMITED,
        interpolation=_SCALER,
        threads=1,
    )
    frame.colorspace, frame.color_primaries = tags.matrix, tags.primaries
    frame.color_trc = tags.transfer
    frame.color_range = _range(tags.full_range) or (_FULL if full else 0)
    return frame


def _matrix(matrix: int, height: int) -> int:
    """The matrix to compute with: that of the size where none is said."""
    if matrix in (0, 2, 3):
        return int(Colorspace.ITU601 if height < 720 else Colorspace.ITU709)
    return int(Colorspace.BT2020) if matrix in (9, 10) else matrix


def _range(full_range: bool | None) -> int:
    return 0 if full_range is None else _FULL if full_range else _LIMITED


def _tag(context: av.VideoCodecContext, colour: ColourTags) -> None:
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    context.colorspace, context.color_range = colour.matrix, _range(colour.full_range)


def _durations(stamps: Sequence[int], last: int) -> list[int]:
    return [after - before for before, after in pairwise(stamps)] + [max(last, 1)]


def _chapters(count: int, begin_s: Fraction, end_s: Fraction) -> list[Any]:
    edges = [round((begin_s + (end_s - begin_s) * i / count) * 1000) for i in range(count + 1)]
    return [
        {
            "id": number + 1,
            "start": start,
            "end": end,
            "time_base": Fraction(1, 1000),
            "metadata": {"title": f"Chapter {number + 1}"},
        }
        for number, (start, end) in enumerate(pairwise(edges))
    ]


def attachment(number: int) -> bytes:
    """The bytes of attachment ``number``: no real font, only the same every time."""
    return np.random.default_rng(number).bytes(2000)


# -- pictures that say their number -----------------------------------------------------------

_COLUMNS, _ROWS = 8, 2
_BITS = _COLUMNS * _ROWS - 2
_DARK, _LIGHT = 56, 200


def numbered_picture(size: tuple[int, int], *, deep: bool = False) -> Callable[[float], np.ndarray]:
    """A smooth pattern that moves, with the frame's number in blocks over its top third.

    ``size``: (width, height). The result draws picture i as (H, W, 3) uint8, or uint16 if
    ``deep``; for a fraction the pattern moves on but the number is that of the frame before. The
    first block is always dark and the last light; between them are 14 bits, the lowest last.
    """
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    y, x = y / height, x / width

    def draw(i: float) -> np.ndarray:
        turn = 2 * np.pi * i / 48
        waves = (np.sin(2 * np.pi * x + turn), np.cos(2 * np.pi * y - 2 * turn))
        rgb = np.stack(
            [128 + 70 * waves[0], 128 + 70 * waves[1], 128 + 50 * waves[0] * waves[1]], axis=-1
        )
        bits = [0, *(int(i) >> bit & 1 for bit in reversed(range(_BITS))), 1]
        for bit, block in zip(bits, _blocks(height, width), strict=True):
            rgb[block] = _LIGHT if bit else _DARK
        return np.rint(rgb * 257).astype(np.uint16) if deep else np.rint(rgb).astype(np.uint8)

    return draw


def _default_picture(
    size: tuple[int, int], pix_fmt: str | None, rotation_deg: int, interlaced: bool
) -> Picture:
    upright = (size[1], size[0]) if rotation_deg in (90, 270) else size
    deep = pix_fmt is not None and av.VideoFormat(pix_fmt).components[0].bits > 8
    draw = numbered_picture(upright, deep=deep)

    def woven(i: int) -> np.ndarray:
        picture = draw(i)
        picture[1::2] = draw(i + 0.5)[1::2]
        return picture

    return woven if interlaced else draw


def frame_number(rgb_hwc: np.ndarray) -> int:
    """The number that ``numbered_picture`` wrote into this picture, whatever its size and tone."""
    luma = rgb_hwc.mean(axis=2)
    levels = [_centre(luma[block]).mean() for block in _blocks(*luma.shape)]
    threshold = (levels[0] + levels[-1]) / 2
    if levels[-1] - levels[0] < 0.1 * np.iinfo(rgb_hwc.dtype).max:
        raise ValueError("this picture has no readable number")
    return sum((level > threshold) << bit for bit, level in enumerate(reversed(levels[1:-1])))


def _blocks(height: int, width: int) -> list[tuple[slice, slice]]:
    rows = [round(height * i / (3 * _ROWS)) for i in range(_ROWS + 1)]
    columns = [round(width * i / _COLUMNS) for i in range(_COLUMNS + 1)]
    return [
        (slice(top, bottom), slice(left, right))
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]


def _centre(block: np.ndarray) -> np.ndarray:
    """Without its edges, which a codec smears."""
    height, width = block.shape
    return block[height // 4 : height - height // 4, width // 4 : width - width // 4]


def decoded(path: Path) -> list[tuple[int, np.ndarray]]:
    """Every frame of the first video stream by plain PyAV: (pts, upright (H, W, 3)).

    uint16 over the full range for sources deeper than 8 bits, else uint8.
    """
    frames = []
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams.video if not s.disposition & _COVER)
        for frame in container.decode(stream):
            if frame.pts is None:
                raise ValueError(f"{path}: a frame without a timestamp")
            deep = frame.format.components[0].bits > 8
            picture = frame.reformat(
                format=_RGB_DEEP if deep else _RGB,
                src_colorspace=_matrix(frame.colorspace, frame.height),
                interpolation=_SCALER,
                threads=1,
            )
            frames.append((frame.pts, np.rot90(picture.to_ndarray(), k=frame.rotation // 90)))
    return frames
