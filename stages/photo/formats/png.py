"""PNG, by imagecodecs; everything beside the pixels by our own reader of its chunks."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo import png_damage
from restore_batch.stages.photo.colorimetry import Stated, refuse_high_dynamic_range
from restore_batch.stages.photo.formats import pillow
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.metadata import exif as exif_block
from restore_batch.stages.photo.metadata import photoshop, png_chunks, png_extras
from restore_batch.stages.photo.metadata.extras import header_notes
from restore_batch.stages.photo.raster import (
    Header,
    Picture,
    Raster,
    grey_if_neutral,
    split_alpha,
)
from restore_batch.stages.photo.source import in_memory

_PALETTE = 3
_LEVEL = 6


class Png(WrittenFormat):
    name = "png"
    title = "PNG"
    suffixes = (".png",)
    magic = (png_chunks.SIGNATURE,)
    max_side_px = 2**31 - 1
    bit_depths = (8, 16)
    holds_alpha = True
    carries = frozenset({"exif", "xmp", "iptc", "icc", "dpi"})
    text_keys = None
    stores_extras = frozenset({png_extras.STORED_AS, photoshop.STORED_AS})
    bytes_a_pixel = 2.2
    converted = ("palettes become colours or grey",)
    left_out = (
        "further frames",
        "what tells of the samples as they were (`sBIT`, `hIST`, `sPLT`, `pCAL`, `sCAL`, `tIME`)",
        "gain maps, content credentials",
        "chunks that are not safe to copy",
        "what lies behind the picture",
    )
    refused = (
        "PQ and HLG",
        "files that are cut off",
    )

    def header(self, file: BinaryIO, source: str) -> Header:
        head = png_chunks.head(png_chunks.header_chunks(file))
        refuse_high_dynamic_range(_stated(head.colour_chunks).cicp)
        return Header(
            head.width,
            head.height,
            8 if head.colour == _PALETTE else head.bits,
            head.channels,
            head.has_alpha,
            head.frames,
            exif_block.stated_orientation(head.exif),
            notes=pillow.first_of(head.frames),
        )

    def decode(self, file: BinaryIO, source: str) -> Raster:
        data, damage = png_damage.repaired(in_memory(file))
        head = png_chunks.head(png_chunks.chunks(data))
        extras = png_extras.extras(data, head)
        plain = png_chunks.only_pixels(data)
        del data
        pixels = np.asarray(imagecodecs.png_decode(plain))
        samples, space, alpha = split_alpha(pixels)
        if head.colour == _PALETTE:
            samples, space = grey_if_neutral(samples)
        meta = PhotoMeta(
            container=self.name,
            bits=8 if head.colour == _PALETTE else head.bits,
            exif=head.exif,
            xmp=head.xmp,
            iptc=head.iptc,
            icc=head.icc,
            dpi=head.dpi,
            text=head.text,
            quality_hint={"lossless": True, "png_colour": head.colour_chunks},
            extras=extras,
        )
        stated = _stated(head.colour_chunks)
        return Raster(samples, space, meta, alpha, stated=stated, damage=damage)

    def not_kept(self, file: BinaryIO) -> tuple[str, ...]:
        head = png_chunks.head(png_chunks.header_chunks(file))
        found = png_extras.of_chunks(head)
        return header_notes(PhotoMeta(self.name, exif=head.exif, xmp=head.xmp, extras=found))

    def encode(
        self, picture: Picture, meta: PhotoMeta, path: Path, quality: int | None
    ) -> tuple[str, ...]:
        data = memoryview(imagecodecs.png_encode(picture.whole(), level=_LEVEL))
        found = meta.quality_hint.get("png_colour")
        # They hold where the samples are still in the space that they say.
        hold = picture.icc == meta.icc and (meta.icc is None or meta.icc_made)
        chunks = found if hold and isinstance(found, dict) else {}
        colours = picture.channels - picture.has_alpha
        extras = [png_extras.fitted(extra, colours, picture.bits) for extra in meta.extras]
        pieces = png_chunks.with_metadata(
            data,
            exif=meta.exif,
            xmp=meta.xmp,
            iptc=meta.iptc,
            icc=None if chunks else picture.icc,
            dpi=meta.dpi,
            text=meta.text,
            colour_chunks=chunks,
            extras=extras,
        )
        with path.open("wb") as file:
            file.writelines(pieces)
        return ()


def _stated(chunks: Mapping[str, bytes]) -> Stated:
    """What the chunks say of colours; the first of cICP, sRGB, gAMA and cHRM counts."""
    cicp, gamma, places = (chunks.get(name, b"") for name in ("cICP", "gAMA", "cHRM"))
    return Stated(
        cicp=(cicp[0], cicp[1]) if len(cicp) == 4 else None,
        narrow=len(cicp) == 4 and cicp[3] == 0,
        srgb="sRGB" in chunks,
        gamma=int.from_bytes(gamma, "big") / 100_000 if len(gamma) == 4 else None,
        chromaticities=(
            tuple(value / 100_000 for value in struct.unpack(">8i", places))
            if len(places) == 32
            else None
        ),
    )


FORMAT = Png()
