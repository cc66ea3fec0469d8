"""AVIF: the header by Pillow, the pixels by imagecodecs."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import AvifImagePlugin

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.colorimetry import Stated, refuse_high_dynamic_range
from restore_batch.stages.photo.formats import iso_media, pillow
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.metadata import iso_extras, tiff_tags
from restore_batch.stages.photo.metadata.extras import FILM, films_of, header_notes
from restore_batch.stages.photo.raster import Header, Picture, Raster, full_range
from restore_batch.stages.photo.source import in_memory

_CONFIGURATION_WITHIN_BYTES = 1 << 20


class Avif(WrittenFormat):
    name = "avif"
    title = "AVIF"
    suffixes = (".avif",)
    # AVIF goes to 65536, but readers built on libavif refuse more than this by default.
    max_side_px = 32768
    holds_alpha = True
    carries = frozenset({"exif", "xmp", "icc"})
    stores_extras = frozenset({FILM})
    takes_quality = True
    usual_quality = 90
    bytes_a_pixel = 0.3
    converted = (
        "nclx colours become a profile",
        "the clean aperture is cut out, turns and mirrors are applied",
        "10 and 12 bits become 8",
    )
    left_out = (
        "further frames",
        "gain maps, depth maps, mattes, thumbnails",
        "content credentials",
        "other boxes and items",
    )
    refused = ("PQ and HLG",)

    def matches(self, head: bytes, file: BinaryIO) -> bool:
        return bool(iso_media.brands(head)[1] & {b"avif", b"avis"})

    def header(self, file: BinaryIO, source: str) -> Header:
        file.seek(0)
        start = file.read(_CONFIGURATION_WITHIN_BYTES)
        file.seek(0)
        header = pillow.header(AvifImagePlugin.AvifImageFile(file), _bits(start))
        stated = iso_media.item_properties(start)
        refuse_high_dynamic_range(iso_media.cicp_of(stated.get(b"nclx", b"")))
        clean = iso_media.aperture(stated.get(b"clap", b""), header.width, header.height)
        if clean is None:
            return header
        rows, columns = clean
        width, height = columns.stop - columns.start, rows.stop - rows.start
        return dataclasses.replace(header, width=width, height=height)

    def decode(self, file: BinaryIO, source: str) -> Raster:
        data = in_memory(file)
        picture = AvifImagePlugin.AvifImageFile(io.BytesIO(data))
        start = data[:_CONFIGURATION_WITHIN_BYTES]
        if picture.is_animated:
            # Of several frames imagecodecs writes past the end of the first one's memory.
            bits, pixels = 8, np.asarray(picture)
        else:
            # Pillow rounds AVIF to 8 bits, and takes twice the memory.
            bits = _bits(start)
            pixels = full_range(np.asarray(imagecodecs.avif_decode(data, index=0)), bits)
        extras = iso_extras.extras(file)
        raster = pillow.raster(
            picture, self.name, lossless=False, bits=bits, pixels=pixels, extras=extras
        )
        stated = iso_media.item_properties(start)
        raster = dataclasses.replace(
            raster, stated=Stated(cicp=iso_media.cicp_of(stated.get(b"nclx", b"")))
        )
        clean = iso_media.aperture(stated.get(b"clap", b""), *picture.size)
        return raster if clean is None else raster.cropped(*clean)

    def not_kept(self, file: BinaryIO) -> tuple[str, ...]:
        return header_notes(PhotoMeta(self.name, extras=iso_extras.extras(file)))

    def encode(
        self, picture: Picture, meta: PhotoMeta, path: Path, quality: int | None
    ) -> tuple[str, ...]:
        exif = meta.exif
        if exif is not None:
            # The container says how the picture is turned; Pillow rebuilds a block that does too.
            exif = tiff_tags.block(tiff_tags.tree(io.BytesIO(exif)), _resolution_tags(exif))
        path.write_bytes(
            pillow.saved(
                picture,
                "AVIF",
                quality=quality or self.usual_quality,
                subsampling="4:0:0" if picture.channels == 1 else "4:4:4",
                icc_profile=picture.icc,
                exif=exif,
                xmp=meta.xmp,
            )
            + films_of(meta.extras)
        )
        return ()


def _bits(start: bytes) -> int:
    """Bits a channel from the first codec configuration (av1C box) in the start of a file."""
    at = start.find(b"av1C")
    flags = start[at + 6] if 0 <= at < len(start) - 6 else 0
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def _resolution_tags(exif: bytes) -> tiff_tags.Directory:
    file = io.BytesIO(exif)
    main = next(iter(tiff_tags.directories(file)))
    wanted = (tiff_tags.X_RESOLUTION, tiff_tags.Y_RESOLUTION, tiff_tags.RESOLUTION_UNIT)
    return {code: main[code] for code in wanted if code in main}


FORMAT = Avif()
