"""TIFF: read and written lossless, strip by strip, by the modules beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo import tiff_write
from restore_batch.stages.photo.formats import tiff_read
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.metadata import photoshop, tiff_tags
from restore_batch.stages.photo.metadata.extras import header_notes
from restore_batch.stages.photo.raster import Header, Picture, Raster


class Tiff(WrittenFormat):
    name = "tiff"
    title = "TIFF"
    suffixes = (".tif", ".tiff")
    magic = tiff_tags.MAGIC
    # Most camera raws are TIFFs.
    general = True
    max_side_px = 2**32 - 1
    bit_depths = (8, 16)
    holds_alpha = True
    grey_takes_rgb_profile = True
    carries = frozenset({"exif", "xmp", "iptc", "icc", "dpi"})
    stores_extras = frozenset({photoshop.STORED_AS})
    bytes_a_pixel = 2.6
    converted = (
        "CMYK and Lab become sRGB",
        "palettes become colours",
        "tiles and planes become strips",
    )
    left_out = (
        "smaller pictures, pictures marked as reduced copies, masks",
        "layers of Photoshop, further channels",
        "tags of the samples as they were, repeated tags",
        "content credentials",
    )
    refused = (
        "several pages, or pictures in SubIFDs that are no copies",
        "floating-point, signed and 32-bit samples",
        "files that are cut off",
    )

    def header(self, file: BinaryIO, source: str) -> Header:
        return tiff_read.header(file)

    def decode(self, file: BinaryIO, source: str) -> Raster:
        return tiff_read.decode(file, source)

    def not_kept(self, file: BinaryIO) -> tuple[str, ...]:
        return header_notes(tiff_read.described(file))

    def encode(
        self, picture: Picture, meta: PhotoMeta, path: Path, quality: int | None
    ) -> tuple[str, ...]:
        tiff_write.write(path, picture, meta)
        return ()


FORMAT = Tiff()
