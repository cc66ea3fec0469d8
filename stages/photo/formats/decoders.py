"""The table of header readers and decoders, and those of the common kinds of file.

Pillow's plugins are called directly, not through ``Image.open``: its limit on pixels is global to
the process, ours belongs to the job and is checked before any of the decoders here is called.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    WebPImagePlugin,
)

from restore_batch.errors import MediaError
from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.formats import camera as camera_files
from restore_batch.stages.photo.formats import tiff_read
from restore_batch.stages.photo.metadata import exif as exif_block
from restore_batch.stages.photo.metadata import jp2_boxes, jpeg_segments, png_chunks, tiff_tags
from restore_batch.stages.photo.raster import (
    Header,
    Raster,
    exif_of,
    full_range,
    grey_if_neutral,
    split_alpha,
)
from restore_batch.stages.photo.source import Container, in_memory, size_of


def _orientation(exif: bytes | None) -> int:
    try:
        return (exif and exif_block.orientation(exif)) or 1
    except tiff_tags.TagError:
        return 1


# JPEG


def jpeg_header(file: BinaryIO) -> Header:
    head = jpeg_segments.head(file)
    channels = 1 if head.components == 1 else head.components
    return Header(
        head.width,
        head.height,
        head.bits,
        channels,
        pages=head.pictures,
        orientation=_orientation(head.exif),
    )


def jpeg(file: BinaryIO, source: str) -> Raster:
    """Baseline and progressive JPEG by Pillow; 12-bit and lossless JPEG by imagecodecs."""
    data = in_memory(file)
    head = jpeg_segments.head(io.BytesIO(data))
    if not jpeg_segments.is_complete(data, head):
        raise MediaError(f"{source}: cut off: the end of the JPEG data is missing")
    if head.bits == 8:
        plain = jpeg_segments.only_pixels(data, head)
        pixels = _load(JpegImagePlugin.JpegImageFile(io.BytesIO(plain)))
    else:
        pixels = full_range(np.asarray(imagecodecs.jpeg_decode(data)), head.bits)
    warnings: tuple[str, ...] = ()
    if head.pictures > 1:
        warnings = (f"only the first of the {head.pictures} pictures in the file is kept",)
    meta = PhotoMeta(
        container="jpeg",
        bits=head.bits,
        exif=head.exif,
        xmp=head.xmp,
        iptc=head.iptc,
        icc=head.icc,
        dpi=head.dpi,
        text={"Comment": head.comment} if head.comment else {},
        quality_hint={
            "lossless": False,
            "jpeg_quality": jpeg_segments.estimated_quality(head.tables),
            "progressive": head.progressive,
        },
    )
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return Raster(pixels, "cmyk", meta, warnings=warnings)
    samples, space, _ = split_alpha(pixels)
    return Raster(samples, space, meta, warnings=warnings)


def _load(picture: Image.Image) -> np.ndarray:
    picture.load()
    return np.asarray(picture)


# PNG


def png_header(file: BinaryIO) -> Header:
    head = png_chunks.head(png_chunks.header_chunks(file))
    return Header(
        head.width,
        head.height,
        8 if head.colour == 3 else head.bits,
        head.channels,
        head.has_alpha,
        head.frames,
        _orientation(head.exif),
    )


def png(file: BinaryIO, source: str) -> Raster:
    data = in_memory(file)
    head = png_chunks.head(png_chunks.chunks(data))
    pixels = np.asarray(imagecodecs.png_decode(png_chunks.only_pixels(png_chunks.chunks(data))))
    samples, space, alpha = split_alpha(pixels)
    if head.colour == 3:
        samples, space = grey_if_neutral(samples)
    meta = PhotoMeta(
        container="png",
        bits=8 if head.colour == 3 else head.bits,
        exif=head.exif,
        xmp=head.xmp,
        iptc=head.iptc,
        icc=head.icc,
        dpi=head.dpi,
        text=head.text,
        quality_hint={"lossless": True, "png_colour": head.colour_chunks},
    )
    return Raster(samples, space, meta, alpha, warnings=_first_of(head.frames))


def _first_of(frames: int) -> tuple[str, ...]:
    return (f"animated: only the first of its {frames} frames is kept",) if frames > 1 else ()


# JPEG 2000


def jp2_header(file: BinaryIO) -> Header:
    head = jp2_boxes.head(file, size_of(file))
    colours = head.components - (head.alpha_channel is not None)
    return Header(
        head.width,
        head.height,
        head.bits,
        colours,
        head.alpha_channel is not None,
        orientation=_orientation(head.exif),
    )


def jp2(file: BinaryIO, source: str) -> Raster:
    data = in_memory(file)
    head = jp2_boxes.head(io.BytesIO(data), len(data))
    # Given the whole file the decoder would apply the profile, and round to its own depth.
    coded = data[head.codestream_at :] if head.icc else data
    pixels = np.asarray(imagecodecs.jpeg2k_decode(coded))
    if pixels.dtype.kind != "u" or pixels.dtype.itemsize > 2:
        raise MediaError(f"{source}: JPEG 2000 with {pixels.dtype} samples; expected unsigned")
    pixels = full_range(pixels, head.bits)
    meta = PhotoMeta(
        container="jpeg2000",
        bits=head.bits,
        exif=head.exif,
        xmp=head.xmp,
        iptc=head.iptc,
        icc=head.icc,
        dpi=head.dpi,
        quality_hint={"lossless": head.reversible},
    )
    if head.is_cmyk and pixels.ndim == 3 and pixels.shape[2] >= 4:
        return Raster(pixels[..., :4], "cmyk", meta)
    samples, space, alpha = split_alpha(pixels)
    return Raster(samples, space, meta, alpha)


# WebP, AVIF, GIF, BMP: Pillow's plugins


_PLUGINS: dict[str, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    "webp": WebPImagePlugin.WebPImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
}


def _plugin(container: Container, file: BinaryIO) -> ImageFile.ImageFile:
    file.seek(0)
    return _PLUGINS[container](file)


def _pillow_header(container: Container) -> Callable[[BinaryIO], Header]:
    def header(file: BinaryIO) -> Header:
        picture = _plugin(container, file)
        return Header(
            *picture.size,
            _avif_bits(file) if container == "avif" else 8,
            1 if picture.mode in {"1", "L", "LA"} else 3,
            picture.has_transparency_data,
            getattr(picture, "n_frames", 1),
            _orientation(exif_of(picture.info)),
        )

    return header


def _avif_bits(file: BinaryIO) -> int:
    """Bits a channel from the first codec configuration (av1C box) of an AVIF file."""
    file.seek(0)
    data = file.read(1 << 20)
    at = data.find(b"av1C")
    flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def _by_pillow(container: Container, *, lossless: bool) -> Callable[[BinaryIO, str], Raster]:
    def decode(file: BinaryIO, source: str) -> Raster:
        file = io.BytesIO(in_memory(file))
        picture = _plugin(container, file)
        bits = _avif_bits(file) if container == "avif" else 8
        file.seek(0)
        info = dict(picture.info)
        frames = getattr(picture, "n_frames", 1)
        if bits > 8:
            # Pillow rounds AVIF to 8 bits.
            pixels = full_range(np.asarray(imagecodecs.avif_decode(file.getvalue())), bits)
        else:
            pixels = _plain(picture)
        samples, space, alpha = split_alpha(pixels)
        if picture.mode == "P" or container == "gif":
            samples, space = grey_if_neutral(_three(samples))
        comment = info.get("comment", b"")
        comment = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else comment
        meta = PhotoMeta(
            container=container,
            bits=bits,
            exif=exif_of(info),
            xmp=info.get("xmp") or None,
            icc=info.get("icc_profile") or None,
            dpi=info.get("dpi"),
            text={"Comment": comment} if comment else {},
            quality_hint={"lossless": lossless or _is_lossless_webp(file)},
        )
        return Raster(samples, space, meta, alpha, warnings=_first_of(frames))

    return decode


def _plain(picture: Image.Image) -> np.ndarray:
    """Samples of one of the modes L, LA, RGB and RGBA."""
    transparent = picture.has_transparency_data
    if picture.mode == "1":
        return np.asarray(picture.convert("L"))
    if picture.mode not in {"L", "LA", "RGB", "RGBA"} or (
        transparent and not picture.mode.endswith("A")
    ):
        return np.asarray(picture.convert("RGBA" if transparent else "RGB"))
    return _load(picture)


def _three(samples: np.ndarray) -> np.ndarray:
    return np.repeat(samples, 3, axis=2) if samples.shape[2] == 1 else samples


def _is_lossless_webp(file: BinaryIO) -> bool:
    """Whether the first picture chunk of a RIFF file is VP8L."""
    file.seek(0)
    if file.read(4) != b"RIFF":
        return False
    file.seek(12)
    while len(start := file.read(8)) == 8:
        if start[:4] in {b"VP8L", b"VP8 "}:
            return start[:4] == b"VP8L"
        if start[:4] == b"ANMF":
            file.seek(16, 1)
            continue
        size = int.from_bytes(start[4:], "little")
        file.seek(size + size % 2, 1)
    return False


def _unnamed(read: Callable[[BinaryIO], Header]) -> Callable[[BinaryIO, str], Header]:
    return lambda file, source: read(file)


HEADERS: dict[str, Callable[[BinaryIO, str], Header]] = {
    "jpeg": _unnamed(jpeg_header),
    "png": _unnamed(png_header),
    "jpeg2000": _unnamed(jp2_header),
    "tiff": _unnamed(tiff_read.header),
    "webp": _unnamed(_pillow_header("webp")),
    "avif": _unnamed(_pillow_header("avif")),
    "gif": _unnamed(_pillow_header("gif")),
    "bmp": _unnamed(_pillow_header("bmp")),
    "heif": camera_files.heif_header,
    "raw": camera_files.raw_header,
}

DECODERS: dict[str, Callable[[BinaryIO, str], Raster]] = {
    "jpeg": jpeg,
    "png": png,
    "jpeg2000": jp2,
    "tiff": tiff_read.decode,
    "webp": _by_pillow("webp", lossless=False),
    "avif": _by_pillow("avif", lossless=False),
    "gif": _by_pillow("gif", lossless=True),
    "bmp": _by_pillow("bmp", lossless=True),
    "heif": camera_files.heif,
    "raw": camera_files.raw,
}
