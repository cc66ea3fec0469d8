"""Files of phones and cameras, by packages that are extras: HEIF and camera raw."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from restore_batch.errors import MediaError
from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.metadata import tiff_tags
from restore_batch.stages.photo.raster import Header, Raster, exif_of, full_range, split_alpha


def _missing(source: str, extra: str, what: str) -> MediaError:
    return MediaError(f'{source}: {what} needs an extra: pip install "restore-batch[{extra}]"')


def _open_heif(file: BinaryIO, source: str):  # type: ignore[no-untyped-def]
    try:
        import pillow_heif
    except ImportError as error:
        raise _missing(source, "heif", "HEIF") from error
    file.seek(0)
    return pillow_heif.open_heif(file, convert_hdr_to_8bit=False)


def heif_header(file: BinaryIO, source: str) -> Header:
    picture = _open_heif(file, source)
    mode = picture.mode
    width, height = picture.size
    return Header(
        width,
        height,
        int(picture.info.get("bit_depth", 8)),
        1 if mode[:1] in {"L", "I"} else 3,
        picture.has_alpha,
        len(picture),
    )


def heif(file: BinaryIO, source: str) -> Raster:
    """The primary picture, turned and mirrored by libheif as the file asks."""
    picture = _open_heif(file, source)
    bits = int(picture.info.get("bit_depth", 8))
    pixels = np.asarray(picture)
    if pixels.dtype == np.uint16:
        # Handed over shifted up to 16 bits, which leaves white below 65535.
        pixels = full_range(pixels >> (16 - bits), bits)
    samples, space, alpha = split_alpha(pixels)
    others = len(picture) - 1
    meta = PhotoMeta(
        container="heif",
        bits=bits,
        exif=exif_of(picture.info),
        xmp=picture.info.get("xmp") or None,
        icc=picture.info.get("icc_profile") or None,
        quality_hint={"lossless": False},
    )
    warnings = (f"only the first of the {others + 1} pictures is kept",) if others else ()
    return Raster(samples, space, meta, alpha, orientation=1, warnings=warnings)


def _open_raw(file: BinaryIO, source: str):  # type: ignore[no-untyped-def]
    try:
        import rawpy
    except ImportError as error:
        raise _missing(source, "raw", "camera raw") from error
    file.seek(0)
    return rawpy.imread(file)


def raw_header(file: BinaryIO, source: str) -> Header:
    with _open_raw(file, source) as picture:
        sizes = picture.sizes
        sideways = sizes.flip in {5, 6}
        width, height = (sizes.iheight, sizes.iwidth) if sideways else (sizes.iwidth, sizes.iheight)
        return Header(width, height, 16, 3)


def raw(file: BinaryIO, source: str) -> Raster:
    """Developed by LibRaw: the camera's white balance, no brightening, sRGB, 16 bits."""
    with _open_raw(file, source) as picture:
        pixels = picture.postprocess(
            use_camera_wb=True, no_auto_bright=True, output_bps=16, gamma=(2.4, 12.92)
        )
    try:
        described = tiff_tags.tree(file, of_raw=True)
    except tiff_tags.TagError:
        described = None
    meta = PhotoMeta(
        container="raw",
        bits=16,
        exif=tiff_tags.block(described) if described else None,
        icc=None,
        quality_hint={"lossless": True},
    )
    warning = "developed from sensor data with the camera's white balance: keep the original"
    return Raster(pixels, "rgb", meta, orientation=1, warnings=(warning,))
