"""Decoded pictures to R'G'B' frames, and frames to pictures for an encoder.

The networks see the source's R'G'B': matrix and range are undone, the primaries stay. FFmpeg's
scaler only brings chroma to every pixel, at 16 bits; the matrix of ITU-T H.273 is computed here
(:mod:`restore_batch.stages.video.colour.ycbcr`), so that white is white at any depth, which the
scaler's own conversion to deep RGB misses. All of it runs on one thread and gives the same bits
every time.
"""

from __future__ import annotations

from fractions import Fraction

import av
import av.error
import av.filter
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from restore_batch.errors import MediaError
from restore_batch.stages.media import Frame
from restore_batch.stages.video.colour.tone_map import TONE_CURVES
from restore_batch.stages.video.colour.ycbcr import (
    UNSPECIFIED,
    from_samples,
    reduce_chroma,
    stated_matrix,
    to_samples,
)
from restore_batch.stages.video.types import ColourTags, VideoFacts

__all__ = ["FrameConverter", "colour_warnings", "refuse_hdr", "to_av_frame"]

# Bit-exact: the scaler then computes the same on every CPU.
_SCALING = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.BITEXACT
)
# Codecs whose decoders leave open where chroma lies (FFmpeg's scaler then centres it, as JPEG
# does): for these it lies left, as in everything descended from MPEG-2.
_LEFT_CHROMA = frozenset(
    {"av1", "cfhd", "dnxhd", "ffv1", "ffvhuff", "huffyuv", "prores", "rawvideo", "utvideo"}
    | {"v210", "vp8", "vp9", "vvc"}
)
_REPACKING = Interpolation.POINT | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_SAMPLINGS = {(1, 1): "444", (2, 1): "422", (2, 2): "420", (1, 2): "440", (4, 1): "411"}
_ROWS_AT_ONCE = 256


class FrameConverter:
    """Turns the decoded pictures of one film into frames.

    ``colour``: the film's tags, for pictures that do not state theirs. Where neither does: BT.601
    below 720 lines, else BT.709; limited range, but full for grey (and always for RGB and the
    yuvj formats). ``codec``: FFmpeg's name, tells where chroma lies if the picture does not.
    """

    def __init__(self, colour: ColourTags, codec: str = "") -> None:
        self._colour = colour
        self._left_chroma = codec in _LEFT_CHROMA
        self._tagging: tuple[tuple[str, int, int], av.filter.Graph] | None = None
        self._scaler = VideoReformatter()

    def __call__(self, picture: av.VideoFrame) -> Frame:
        """rgb_hwc uint8 for components of 8 bits or fewer, else uint16 over the full range.

        Not rotated; alpha is dropped. Raises MediaError, without the file's name, for colour
        matrices and pixel formats that are not known.
        """
        layout = picture.format
        bits = layout.components[0].bits
        if bits > 16 or layout.is_bayer:
            raise MediaError(f"its pixel format is {layout.name}, which is not supported")
        if layout.is_rgb or layout.has_palette:
            return Frame(_rgb(picture, max(part.bits for part in layout.components)))
        if len(layout.components) < 3:
            return Frame(self._grey(picture, bits), grey=True)
        return Frame(self._ycbcr(picture, bits))

    def _grey(self, picture: av.VideoFrame, bits: int) -> np.ndarray:
        depth = 8 if bits <= 8 else bits
        luma = _plane(_repacked(picture, "gray" if depth == 8 else f"gray{depth}le"), 0)
        unit = 2.0 ** (depth - 8)
        limited = self._full_range(picture) is False
        black, white = (16 * unit, 235 * unit) if limited else (0.0, 2.0**depth - 1)
        grey = _stretched(luma, depth, black, white, 8 if depth == 8 else 16)
        return np.asarray(cv2.merge([grey] * 3))

    def _ycbcr(self, picture: av.VideoFrame, bits: int) -> np.ndarray:
        name = picture.format.name
        jpeg = name.startswith("yuvj")
        full = jpeg or bool(self._full_range(picture))
        matrix = int(picture.colorspace)
        if matrix == UNSPECIFIED:
            matrix = self._colour.matrix
        matrix = stated_matrix(matrix, picture.height)
        undo = from_samples(
            matrix,
            full=full,
            bits=bits,
            # The one layout whose luma the scaler spreads over all 16 bits.
            luma_peak=65535.0 if name == "yuvj444p" else None,
        ).astype(np.float32)
        every_pixel = self._every_pixel(picture, jpeg=jpeg)
        planes = [_plane(every_pixel, number) for number in range(3)]
        height, width = planes[0].shape
        rgb_hwc = np.empty((height, width, 3), np.uint8 if bits <= 8 else np.uint16)
        # A few rows at a time stay in the processor's cache.
        for top in range(0, height, _ROWS_AT_ONCE):
            rows = slice(top, top + _ROWS_AT_ONCE)
            rgb = cv2.transform(cv2.merge([plane[rows] for plane in planes]), undo)
            rgb_hwc[rows] = cv2.convertScaleAbs(rgb, alpha=1 / 257) if bits <= 8 else rgb
        return rgb_hwc

    def _full_range(self, picture: av.VideoFrame) -> bool | None:
        if picture.color_range in (ColorRange.MPEG, ColorRange.JPEG):
            return int(picture.color_range) == ColorRange.JPEG
        return self._colour.full_range

    def _every_pixel(self, picture: av.VideoFrame, *, jpeg: bool) -> av.VideoFrame:
        """As yuv444p16le, samples shifted to the top of 16 bits and otherwise untouched."""
        if self._left_chroma and not jpeg:
            picture = self._tagged_left(picture)
        # The same matrix and range on both sides, whatever they really are: nothing to compute.
        levels = ColorRange.JPEG if jpeg else ColorRange.MPEG
        return self._scaler.reformat(
            picture,
            format="yuv444p16le",
            src_colorspace=Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=levels,
            dst_color_range=levels,
            interpolation=_SCALING,
            threads=1,
        )

    def _tagged_left(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The same samples, said to have their chroma on the left: only a filter can say that."""
        key = (picture.format.name, picture.width, picture.height)
        if self._tagging is None or self._tagging[0] != key:
            graph = av.filter.Graph()
            graph.threads = 1
            entry = graph.add_buffer(
                width=picture.width,
                height=picture.height,
                format=picture.format,
                time_base=Fraction(1),
            )
            tagged = graph.add("setparams", "chroma_location=left")
            graph.link_nodes(entry, tagged, graph.add("buffersink")).configure()
            self._tagging = key, graph
        self._tagging[1].vpush(picture)
        return self._tagging[1].vpull()


def to_av_frame(frame: Frame, pix_fmt: str, colour: ColourTags) -> av.VideoFrame:
    """``frame`` as a picture of ``pix_fmt`` with the matrix and range of ``colour``, and its tags.

    ``pix_fmt``: Y'CbCr of any sampling, grey, or RGB, of 8 to 16 bits and without alpha;
    semi-planar ones of even width only. Raises ValueError for others. Where ``colour`` does not
    say: matrix by the number of lines (BT.601 below 720, else BT.709), limited range, but full
    for grey; RGB has neither. Values are rounded, not dithered. Chroma lies left, midway between
    rows (:mod:`restore_batch.stages.video.colour.ycbcr`).
    """
    layout = av.VideoFormat(pix_fmt, frame.width, frame.height)
    bits = layout.components[0].bits
    alpha = any(component.is_alpha for component in layout.components)
    # FFmpeg leaves the last chroma column of a semi-planar picture of odd width unwritten.
    interleaved = len({c.plane for c in layout.components}) == 2 and frame.width % 2
    if alpha or interleaved or not 8 <= bits <= 16 or layout.has_palette or layout.is_bayer:
        raise ValueError(f"no film {frame.width} pixels wide is written as {pix_fmt}")
    if layout.is_rgb:
        picture = _to_planar_rgb(frame, bits)
        matrix, full = 0, True
    else:
        grey = len(layout.components) == 1
        said = colour.full_range
        full = pix_fmt.startswith("yuvj") or (grey if said is None else said)
        matrix = stated_matrix(colour.matrix, frame.height)
        picture = _to_planar_ycbcr(frame, layout, to_samples(matrix, full=full, bits=bits))
    # Repacked between equal matrices and ranges, which changes no sample; the scaler does not know
    # every matrix.
    range_tag = ColorRange.JPEG if full else ColorRange.MPEG
    picture.colorspace, picture.color_range = Colorspace.ITU709, range_tag
    picture = _repacked(picture, pix_fmt)
    picture.colorspace, picture.color_range = matrix, range_tag
    picture.color_primaries, picture.color_trc = colour.primaries, colour.transfer
    return picture


def refuse_hdr(facts: VideoFacts, tonemap: str | None, source: str) -> None:
    """Raise MediaError, naming ``source``, for a film of high dynamic range without ``tonemap``.

    The networks know standard pictures only: PQ and HLG values would look pale and flat to them.
    """
    if facts.colour.hdr and tonemap is None:
        transfer = {16: "PQ", 18: "HLG"}[facts.colour.transfer]
        raise MediaError(
            f"{source}: high dynamic range ({transfer}), expected standard range; set "
            f"video.tonemap to {', '.join(TONE_CURVES[:-1])} or {TONE_CURVES[-1]} to convert it"
        )


def colour_warnings(facts: VideoFacts) -> tuple[str, ...]:
    """What of the film's colours is not kept, a line each, for the plan."""
    try:
        components = av.VideoFormat(facts.pix_fmt).components
    except ValueError:
        return ()
    if any(component.is_alpha for component in components):
        return (f"its transparency ({facts.pix_fmt}) is not kept",)
    return ()


# -- from samples ---
def _rgb(picture: av.VideoFrame, bits: int) -> np.ndarray:
    """rgb_hwc of a picture of any RGB layout."""
    if bits <= 8:
        packed = _repacked(picture, "rgb24")
        rows = np.frombuffer(memoryview(packed.planes[0]), np.uint8)
        rows = rows.reshape(-1, packed.planes[0].line_size)[: packed.height, : 3 * packed.width]
        return rows.reshape(packed.height, packed.width, 3).copy()
    planar = _repacked(picture, f"gbrp{bits}le")
    peak = 2.0**bits - 1
    channels = [_stretched(_plane(planar, number), bits, 0.0, peak, 16) for number in (2, 0, 1)]
    return np.asarray(cv2.merge(channels))


def _stretched(
    plane: np.ndarray, bits: int, black: float, white: float, to_bits: int
) -> np.ndarray:
    """Samples of ``bits`` bits rescaled so that ``black`` is 0 and ``white`` the most."""
    most = 2**to_bits - 1
    levels = np.rint((np.arange(2**bits) - black) * (most / (white - black)))
    table = np.clip(levels, 0, most).astype(np.uint8 if to_bits == 8 else np.uint16)
    return np.asarray(table[plane])


# -- to samples ---
def _to_planar_rgb(frame: Frame, bits: int) -> av.VideoFrame:
    picture = av.VideoFrame(frame.width, frame.height, "gbrp" if bits == 8 else f"gbrp{bits}le")
    depth = 8 * frame.rgb_hwc.itemsize
    for number, channel in enumerate((1, 2, 0)):
        values = frame.rgb_hwc[..., channel]
        if depth != bits:
            values = _requantised(values, depth, bits)
        _plane(picture, number)[...] = values
    return picture


def _requantised(values: np.ndarray, depth: int, bits: int) -> np.ndarray:
    """Full-range values of ``depth`` bits to ``bits``, rounded."""
    table = np.rint(np.arange(2**depth) * ((2**bits - 1) / (2**depth - 1)))
    return np.asarray(table.astype(np.uint16)[values])


def _to_planar_ycbcr(frame: Frame, layout: av.VideoFormat, matrix: np.ndarray) -> av.VideoFrame:
    """A picture of the planar layout that has the depth and sampling of ``layout``."""
    bits, grey = layout.components[0].bits, len(layout.components) == 1
    columns, rows = (1, 1) if grey else _sampling(layout)
    name = "gray" if grey else f"yuv{_SAMPLINGS[columns, rows]}p"
    picture = av.VideoFrame(frame.width, frame.height, name if bits == 8 else f"{name}{bits}le")
    samples = _samples(frame, (matrix[:1] if grey else matrix).astype(np.float32))
    for number in range(samples.shape[2]):
        plane = samples[..., number]
        if number:
            plane = reduce_chroma(plane, columns, rows)
        _plane(picture, number)[...] = _rounded(plane, bits)
    return picture


def _sampling(layout: av.VideoFormat) -> tuple[int, int]:
    """Pixels per chroma sample: (columns, rows)."""
    sampling = 4 // layout.chroma_width(4), 4 // layout.chroma_height(4)
    if sampling not in _SAMPLINGS:
        raise ValueError(f"no film is written as {layout.name}")
    return sampling


def _samples(frame: Frame, matrix: np.ndarray) -> np.ndarray:
    """(H, W, C) uint16, samples at the top of 16 bits, one for each row of ``matrix``."""
    height, width = frame.rgb_hwc.shape[:2]
    out = np.empty((height, width, len(matrix)), np.uint16)
    for top in range(0, height, _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        rgb = frame.rgb_hwc[rows]
        deep = np.multiply(rgb, 257, dtype=np.uint16) if rgb.dtype == np.uint8 else rgb
        part = cv2.transform(np.ascontiguousarray(deep), matrix)
        out[rows] = np.asarray(part).reshape(out[rows].shape)
    return out


def _rounded(plane: np.ndarray, bits: int) -> np.ndarray:
    """Samples at the top of 16 bits to whole ones of ``bits``; what is too large is the most."""
    if bits == 16:
        return plane
    shift = 16 - bits
    half = 1 << (shift - 1)
    return np.asarray((np.minimum(plane, 65535 - half) + np.uint16(half)) >> np.uint16(shift))


# -- pictures as arrays ---
def _repacked(picture: av.VideoFrame, pix_fmt: str) -> av.VideoFrame:
    """The same samples in another layout of the same depth and sampling."""
    if picture.format.name == pix_fmt:
        return picture
    try:
        return picture.reformat(format=pix_fmt, interpolation=_REPACKING, threads=1)
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(
            f"its pixel format {picture.format.name} cannot be read as {pix_fmt}: {error}"
        ) from error


def _plane(picture: av.VideoFrame, number: int) -> np.ndarray:
    """A view of one plane of a planar picture, (H, W) uint8 or uint16."""
    plane = picture.planes[number]
    dtype = np.dtype(np.uint8 if picture.format.components[0].bits <= 8 else np.uint16)
    rows = np.frombuffer(memoryview(plane), dtype).reshape(-1, plane.line_size // dtype.itemsize)
    return rows[: plane.height, : plane.width]
