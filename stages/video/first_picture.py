"""The first picture of a film: what only a decoded frame tells for certain.

Pixel format, colour tags, which field is first, which way is up, and from which time on frames
come out of the decoder at all.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import av.error
import av.filter
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData, Type

from restore_batch.errors import MediaError
from restore_batch.stages.video.headers.captions import captions_of
from restore_batch.stages.video.limits import limit_pictures
from restore_batch.stages.video.packets import numbered_packets
from restore_batch.stages.video.types import ColourTags, FieldOrder

# AVFieldOrder: which field is *shown* first; the other letter says which one is stored first.
_TOP_FIRST, _BOTTOM_FIRST = frozenset({2, 5}), frozenset({3, 4})
_UNSPECIFIED = 2
# BlockAddID of WebM's alpha; FFmpeg says 0 where a file leaves out the usual one.
_ALPHA_IDS = frozenset({0, 1})
_RANGES = {1: False, 2: True}  # AVColorRange


@dataclass(frozen=True)
class FirstPicture:
    """``pts``: its time in units of the stream, None if unknown. ``width``, ``height``: as stored.
    ``bits``: of a component. ``rotation_deg``: clockwise turn that shows it upright.
    ``captions``: it brings closed captions. ``warnings``: what is odd about it, a line each.
    ``aspect``: see :func:`coded_aspect`."""

    pts: int | None
    pix_fmt: str
    width: int
    height: int
    bits: int
    rotation_deg: int
    field_order: FieldOrder
    colour: ColourTags
    captions: bool = False
    warnings: tuple[str, ...] = ()
    aspect: Fraction | None = None


def first_picture(container: InputContainer, stream: av.VideoStream, source: str) -> FirstPicture:
    """Decode from the start of a freshly opened ``container`` until a frame comes out.

    Raises MediaError when none does.
    """
    frame, alpha = _first_frame(container, stream)
    if frame is None:
        raise MediaError(
            f"{source}: none of its pictures can be decoded ({stream.codec_context.name}); "
            "expected a video that plays from its beginning; copy it again from where it came"
        )
    rotation_deg, warnings = _rotation(frame)
    if alpha:
        warnings += (f"its transparency (alpha of {stream.codec_context.name}) is not kept",)
    return FirstPicture(
        pts=frame.pts,
        pix_fmt=frame.format.name,
        width=frame.width,
        height=frame.height,
        bits=max(component.bits for component in frame.format.components),
        rotation_deg=rotation_deg,
        field_order=_field_order(frame, stream.codec_context.field_order),
        colour=_colour(frame),
        captions=bool(captions_of(frame)),
        warnings=warnings,
        aspect=coded_aspect(stream),
    )


def coded_aspect(stream: av.VideoStream) -> Fraction | None:
    """Width of a pixel over its height in the picture whose packet the decoder was given last, None
    where nothing says so: PyAV does not show it of a frame."""
    return stream.codec_context.sample_aspect_ratio or None


def _first_frame(
    container: InputContainer, stream: av.VideoStream
) -> tuple[av.VideoFrame | None, bool]:
    """The first that is decoded, and whether the file has alpha that the decoder does not see."""
    # One thread gives the first frame after the fewest packets.
    stream.codec_context.thread_count = 1
    limit_pictures(stream)
    alpha = stream.metadata.get("alpha_mode") == "1"
    for _, packet in numbered_packets(container, stream):
        alpha = alpha or _has_alpha_beside(stream, packet)
        try:
            frames = packet.decode()
        except av.error.FFmpegError:  # damaged, or it refers to pictures before the file's start
            continue
        if frames:
            return frames[0], alpha
    try:
        return next(iter(stream.decode(None)), None), alpha
    except av.error.FFmpegError:
        return None, alpha


def _has_alpha_beside(stream: av.VideoStream, packet: av.Packet) -> bool:
    """Whether a packet brings alpha as WebM keeps it: a second VP8 or VP9 picture beside the first.

    Files of old writers lack the track's word for it.
    """
    if stream.codec_context.name not in ("vp8", "vp9"):
        return False
    if not packet.has_sidedata("matroska_block_additional"):
        return False
    beside = bytes(packet.get_sidedata("matroska_block_additional"))
    return int.from_bytes(beside[:8], "big") in _ALPHA_IDS and len(beside) > 8


def _rotation(frame: av.VideoFrame) -> tuple[int, tuple[str, ...]]:
    """The clockwise turn that the display matrix asks for, and what it asks for besides."""
    try:
        sides = tuple(cast(Iterable[SideData], frame.side_data))
    except ValueError:
        # PyAV shows none of it where one kind is newer than its list, as Exif of JPEG and TIFF is.
        return -frame.rotation % 360, ()
    data = next((bytes(side) for side in sides if side.type is Type.DISPLAYMATRIX), None)
    if data is None:
        return 0, ()
    # Row vectors times a 3×3 matrix, the left two columns in 16.16 fixed point (ISO/IEC 14496-12,
    # 8.3.2); FFmpeg stores it in the machine's byte order.
    matrix = struct.unpack("=9i", data)
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    warnings = []
    if a * d - b * c < 0:
        # Undone first, so that the rest is a rotation: (x, y) → (−x, y) turns its first row.
        a, b = -a, -b
        warnings.append("it is marked to be shown mirrored, which is not done")
    angle = math.degrees(math.atan2(b, a))
    turn = round(angle / 90) * 90
    if abs(angle - turn) > 1:
        warnings.append(f"it is marked to be turned by {angle:.0f} degrees, {turn % 360} are done")
    return turn % 360, tuple(warnings)


def _field_order(frame: av.VideoFrame, coded: int) -> FieldOrder:
    if coded in _TOP_FIRST:
        return "top-first"
    if coded in _BOTTOM_FIRST:
        return "bottom-first"
    return _first_field(frame) if frame.interlaced_frame else "progressive"


def _first_field(frame: av.VideoFrame) -> FieldOrder:
    """Which field FFmpeg takes out first: PyAV does not show the frame's own flag."""
    graph = av.filter.Graph()
    entry = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    graph.link_nodes(entry, graph.add("separatefields"), graph.add("buffersink")).configure()
    graph.vpush(frame)
    top_lines = _rows(frame)[0::2]
    return "top-first" if np.array_equal(_rows(graph.vpull()), top_lines) else "bottom-first"


def _rows(frame: av.VideoFrame) -> np.ndarray:
    """The visible bytes of the first plane, (H, bytes a line) uint8."""
    plane = frame.planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return lines[: frame.height, : frame.width * max(1, frame.format.components[0].bits // 8)]


def _colour(frame: av.VideoFrame) -> ColourTags:
    full_range = _RANGES.get(int(frame.color_range))
    if frame.format.name.startswith("yuvj"):
        full_range = True
    return ColourTags(
        primaries=int(frame.color_primaries) or _UNSPECIFIED,
        transfer=int(frame.color_trc) or _UNSPECIFIED,
        matrix=int(frame.colorspace),
        full_range=full_range,
    )
