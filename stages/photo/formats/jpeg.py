"""JPEG: baseline and progressive by Pillow, 12-bit and lossless by imagecodecs.

Written at quality 95 or the source's own where that was higher, with full colour resolution.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import JpegImagePlugin

from restore_batch.errors import MediaError
from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo import jpeg_damage
from restore_batch.stages.photo.formats import pillow
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.metadata import exif as exif_block
from restore_batch.stages.photo.metadata import (
    jpeg_extras,
    jpeg_segments,
    photoshop,
    tiff_tags,
)
from restore_batch.stages.photo.metadata.extras import FILM, films_of, header_notes
from restore_batch.stages.photo.raster import Header, Picture, Raster, full_range, split_alpha
from restore_batch.stages.photo.source import in_memory

_MOST_OPTIMISED_PX = 64 << 20
"""Above this files come out about a tenth larger, and take less memory while they are written:
tables made for one picture take all its coefficients at once, twice the picture's size."""


class Jpeg(WrittenFormat):
    name = "jpeg"
    title = "JPEG"
    # A multi-picture file (MPO) is a JPEG with others behind it.
    suffixes = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")
    read_only_suffixes = frozenset({".mpo"})
    magic = (b"\xff\xd8\xff",)
    max_side_px = 65500
    grey_takes_rgb_profile = True
    carries = frozenset({"exif", "xmp", "iptc", "icc", "dpi"})
    text_keys = frozenset({"Comment"})
    stores_extras = frozenset({jpeg_extras.STORED_AS, photoshop.STORED_AS, FILM})
    takes_quality = True
    usual_quality = 95
    bytes_a_pixel = 0.6
    converted = (
        "CMYK becomes sRGB",
        "12 and 16 bits become 8",
    )
    left_out = (
        "further pictures, gain maps, depth maps, thumbnails",
        "content credentials",
        "segments that nothing here knows",
        "what lies behind the picture",
    )
    refused = ("files that are cut off",)

    def header(self, file: BinaryIO, source: str) -> Header:
        head = jpeg_segments.head(file)
        return Header(
            head.width,
            head.height or jpeg_damage.height_after(in_memory(file), head),
            head.bits,
            head.components,
            pages=head.pictures,
            orientation=exif_block.stated_orientation(head.exif),
        )

    def decode(self, file: BinaryIO, source: str) -> Raster:
        data = in_memory(file)
        head = jpeg_segments.head(io.BytesIO(data))
        scans = jpeg_damage.scans(data, head)
        if scans.too_many:
            most = jpeg_damage.MOST_SCANS
            raise MediaError(
                f"{source}: its picture comes in more than {most} scans, to keep its readers busy;"
                f" expected at most {most}: save it anew with another program"
            )
        if not head.height:
            data = jpeg_damage.with_height(data, jpeg_damage.height_after(data, head))
        if not scans.has_end:
            data = jpeg_damage.ended(data)
        plain = jpeg_segments.only_pixels(data, head)
        damage = jpeg_damage.damage(plain, head)
        if not scans.has_end:
            if damage != "":
                raise MediaError(f"{source}: cut off: the end of the JPEG data is missing")
            damage = "its end marker is missing; all of its pixels are there"
        extras = jpeg_extras.extras(data, head)
        if head.bits == 8:
            del data
            try:
                pixels = pillow.loaded(JpegImagePlugin.JpegImageFile(io.BytesIO(plain)))
            except OSError:
                plain = jpeg_damage.without_stray_markers(plain, head)
                damage = jpeg_damage.damage(plain, head) or "some of its data is wrong"
                pixels = pillow.loaded(JpegImagePlugin.JpegImageFile(io.BytesIO(plain)))
        else:
            pixels = full_range(np.asarray(imagecodecs.jpeg8_decode(data)), head.bits)
        meta = PhotoMeta(
            container=self.name,
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
            extras=extras,
        )
        if pixels.ndim == 3 and pixels.shape[2] == 4:
            return Raster(pixels, "cmyk", meta, damage=damage or "")
        samples, space, _ = split_alpha(pixels)
        return Raster(samples, space, meta, damage=damage or "")

    def not_kept(self, file: BinaryIO) -> tuple[str, ...]:
        head = jpeg_segments.head(file)
        found = jpeg_extras.of_header(head)
        return header_notes(PhotoMeta(self.name, exif=head.exif, xmp=head.xmp, extras=found))

    def encode(
        self, picture: Picture, meta: PhotoMeta, path: Path, quality: int | None
    ) -> tuple[str, ...]:
        hint = meta.quality_hint.get("jpeg_quality")
        estimated = hint if isinstance(hint, int) else 0
        data = _coded(
            picture,
            quality or max(self.usual_quality, estimated),
            progressive=bool(meta.quality_hint.get("progressive")),
        )
        exif, warnings = _short_enough(meta.exif)
        pieces = jpeg_segments.with_metadata(
            data,
            exif=exif,
            xmp=meta.xmp,
            iptc=meta.iptc,
            icc=picture.icc,
            comment=meta.text.get("Comment"),
            dpi=meta.dpi,
            extras=meta.extras,
        )
        with path.open("wb") as file:
            file.writelines((*pieces, films_of(meta.extras)))
        return warnings


def _coded(picture: Picture, quality: int, *, progressive: bool) -> memoryview:
    """The JPEG file of a picture, nothing beside it. Both encoders are libjpeg-turbo; not Pillow's,
    whose buffer for optimised tables is too short for grainy pictures."""
    optimised = picture.width * picture.height <= _MOST_OPTIMISED_PX
    if not progressive:
        samples = picture.whole().reshape(picture.height, picture.width, -1)
        coded = imagecodecs.jpeg8_encode(
            samples, level=quality, subsampling="444", optimize=optimised
        )
        return memoryview(coded)
    import cv2

    # imagecodecs writes none that are progressive. OpenCV wants a copy in another order.
    written, data = cv2.imencode(
        ".jpg",
        picture.whole(bgr=True),
        [
            *(cv2.IMWRITE_JPEG_QUALITY, quality),
            *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
            *(cv2.IMWRITE_JPEG_OPTIMIZE, int(optimised)),
            *(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        ],
    )
    if not written:
        raise ValueError("its encoder refused it")
    return memoryview(data.tobytes())


def _short_enough(exif: bytes | None) -> tuple[bytes | None, tuple[str, ...]]:
    """An EXIF block that fits into a JPEG segment: without its maker note, or none at all."""
    if exif is None or len(exif) <= jpeg_segments.EXIF_MAX:
        return exif, ()
    described = tiff_tags.tree(io.BytesIO(exif))
    rest = {code: tag for code, tag in described.exif.items() if code != tiff_tags.MAKER_NOTE}
    shorter = tiff_tags.block(
        tiff_tags.Tree(described.main, rest, described.gps, described.interop)
    )
    if len(shorter) <= jpeg_segments.EXIF_MAX:
        return shorter, ("its EXIF block is too long for JPEG: the maker note is not kept",)
    return None, ("its EXIF block is too long for JPEG: not kept",)


FORMAT = Jpeg()
