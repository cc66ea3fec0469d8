"""BMP, by Pillow."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from PIL import BmpImagePlugin

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.formats import pillow
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.raster import Header, Picture, Raster
from restore_batch.stages.photo.source import in_memory


class Bmp(WrittenFormat):
    name = "bmp"
    title = "BMP"
    suffixes = (".bmp", ".dib")
    magic = (b"BM",)
    max_side_px = 2**31 - 1
    carries = frozenset({"dpi"})
    bytes_a_pixel = 3.0

    def header(self, file: BinaryIO, source: str) -> Header:
        file.seek(0)
        return pillow.header(BmpImagePlugin.BmpImageFile(file))

    def decode(self, file: BinaryIO, source: str) -> Raster:
        picture = BmpImagePlugin.BmpImageFile(io.BytesIO(in_memory(file)))
        return pillow.raster(picture, self.name, lossless=True)

    def encode(
        self, picture: Picture, meta: PhotoMeta, path: Path, quality: int | None
    ) -> tuple[str, ...]:
        path.write_bytes(pillow.saved(picture, "BMP", dpi=meta.dpi))
        return ()


FORMAT = Bmp()
