"""PCX, by Pillow: only read, because it holds neither 16 bits nor anything beside the picture.

Source: ZSoft PCX File Format Technical Reference Manual (1991).
"""

from __future__ import annotations

import dataclasses
import io
from typing import BinaryIO

from PIL import PcxImagePlugin

from restore_batch.stages.photo.formats import pillow
from restore_batch.stages.photo.formats.base import Format
from restore_batch.stages.photo.raster import Header, Raster
from restore_batch.stages.photo.source import in_memory

_MANUFACTURER, _VERSIONS, _RUN_LENGTHS, _BITS = 10, {0, 2, 3, 4, 5}, 1, {1, 2, 4, 8}


class Pcx(Format):
    name = "pcx"
    title = "PCX"
    suffixes = (".pcx",)
    # Its first four bytes are small numbers that other files may begin with too.
    general = True
    kept_as = "png"
    refused = ("files that are cut off",)

    def matches(self, head: bytes, file: BinaryIO) -> bool:
        return (
            len(head) >= 128
            and head[0] == _MANUFACTURER
            and head[1] in _VERSIONS
            and head[2] == _RUN_LENGTHS
            and head[3] in _BITS
            and head[64] == 0
        )

    def header(self, file: BinaryIO, source: str) -> Header:
        file.seek(0)
        return pillow.header(PcxImagePlugin.PcxImageFile(file))

    def decode(self, file: BinaryIO, source: str) -> Raster:
        picture = PcxImagePlugin.PcxImageFile(io.BytesIO(in_memory(file)))
        raster = pillow.raster(picture, self.name, lossless=True)
        # Many programs note the size of a screen where the resolution belongs.
        across, down = raster.meta.dpi or (0, 0)
        dpi = raster.meta.dpi if across == down else None
        return dataclasses.replace(raster, meta=dataclasses.replace(raster.meta, dpi=dpi))


FORMAT = Pcx()
