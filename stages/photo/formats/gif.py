"""GIF, by Pillow: only read, because its 256 colours do not hold a restored picture."""

from __future__ import annotations

import dataclasses
import io
from typing import BinaryIO

from PIL import GifImagePlugin

from restore_batch.stages.photo.formats import pillow
from restore_batch.stages.photo.formats.base import Format
from restore_batch.stages.photo.metadata import gif_extras, gif_xmp
from restore_batch.stages.photo.raster import Header, Raster
from restore_batch.stages.photo.source import in_memory


class Gif(Format):
    name = "gif"
    title = "GIF"
    suffixes = (".gif",)
    magic = (b"GIF87a", b"GIF89a")
    kept_as = "png"
    left_out = (
        "further frames",
        "text over the picture and other extensions",
        "content credentials",
        "what lies behind the picture",
    )

    def header(self, file: BinaryIO, source: str) -> Header:
        found = gif_extras.read(in_memory(file))
        picture = GifImagePlugin.GifImageFile(io.BytesIO(found.picture))
        notes = pillow.first_of(found.frames)
        return dataclasses.replace(pillow.header(picture), pages=found.frames, notes=notes)

    def decode(self, file: BinaryIO, source: str) -> Raster:
        data = in_memory(file)
        found = gif_extras.read(data)
        picture = GifImagePlugin.GifImageFile(io.BytesIO(found.picture))
        picture.info["comment"] = found.comment
        raster = pillow.raster(
            picture, self.name, lossless=True, from_palette=True, extras=found.extras
        )
        meta = dataclasses.replace(raster.meta, xmp=gif_xmp.packet(data))
        return dataclasses.replace(raster, meta=meta)


FORMAT = Gif()
