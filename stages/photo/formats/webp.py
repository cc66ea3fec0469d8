"""WebP, by Pillow: lossless where the source was and no quality is asked for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from PIL import WebPImagePlugin

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.formats import pillow
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.metadata import riff_extras
from restore_batch.stages.photo.raster import Header, Picture, Raster
from restore_batch.stages.photo.source import in_memory


class WebP(WrittenFormat):
    name = "webp"
    title = "WebP"
    suffixes = (".webp",)
    max_side_px = 16383
    holds_grey = False
    holds_alpha = True
    carries = frozenset({"exif", "xmp", "icc"})
    takes_quality = True
    usual_quality = 92
    bytes_a_pixel = 0.4

    def matches(self, head: bytes, file: BinaryIO) -> bool:
        return head[:4] == b"RIFF" and head[8:12] == b"WEBP"

    def header(self, file: BinaryIO, source: str) -> Header:
        file.seek(0)
        return pillow.header(WebPImagePlugin.WebPImageFile(file))

    def decode(self, file: BinaryIO, source: str) -> Raster:
        data = in_memory(file)
        picture = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
        lossless = _is_lossless(io.BytesIO(data))
        extras = riff_extras.extras(data)
        return pillow.raster(picture, self.name, lossless=lossless, extras=extras)

    def encode(
        self, picture: Picture, meta: PhotoMeta, path: Path, quality: int | None
    ) -> tuple[str, ...]:
        lossless = quality is None and bool(meta.quality_hint.get("lossless"))
        path.write_bytes(
            pillow.saved(
                picture,
                "WEBP",
                lossless=lossless,
                # For lossless pictures Pillow reads quality as effort, 80 being a sound middle.
                quality=80 if lossless else quality or self.usual_quality,
                exact=True,
                icc_profile=picture.icc,
                exif=meta.exif,
                xmp=meta.xmp,
            )
        )
        return ()


def _is_lossless(file: BinaryIO) -> bool:
    """Whether the first picture chunk of a RIFF file is VP8L."""
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


FORMAT = WebP()
