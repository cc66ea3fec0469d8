"""WebP, read by imagecodecs and written by Pillow: lossless where the source was and no quality is
asked for."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.formats import pillow
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.formats.pillow import exif_of, first_of
from restore_batch.stages.photo.metadata import exif as exif_block
from restore_batch.stages.photo.metadata import riff_extras
from restore_batch.stages.photo.raster import Header, Picture, Raster, split_alpha
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
    left_out = (
        "further frames",
        "content credentials",
        "other chunks",
        "what lies behind the picture",
    )

    def matches(self, head: bytes, file: BinaryIO) -> bool:
        return head[:4] == b"RIFF" and head[8:12] == b"WEBP"

    def header(self, file: BinaryIO, source: str) -> Header:
        head = riff_extras.head(in_memory(file))
        return Header(
            head.width,
            head.height,
            8,
            3,
            head.has_alpha,
            head.frames,
            exif_block.stated_orientation(exif_of({"exif": head.exif})),
            notes=first_of(head.frames),
        )

    def decode(self, file: BinaryIO, source: str) -> Raster:
        head = riff_extras.head(in_memory(file))
        samples, space, alpha = split_alpha(_canvas(head))
        meta = PhotoMeta(
            container=self.name,
            exif=exif_of({"exif": head.exif}),
            xmp=head.xmp,
            icc=head.icc,
            quality_hint={"lossless": head.lossless},
            extras=head.extras,
        )
        return Raster(samples, space, meta, alpha)

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


def _canvas(head: riff_extras.WebpHead) -> np.ndarray:
    """(H, W, 3 or 4) uint8: the first picture on its canvas. libwebp's own reader of animations
    takes three times the memory."""
    coded, width, height = riff_extras.first_picture(head)
    pixels = np.asarray(imagecodecs.webp_decode(coded, hasalpha=head.has_alpha))
    if (width, height) == (head.width, head.height):
        return pixels
    canvas = np.zeros((head.height, head.width, pixels.shape[2]), np.uint8)
    canvas[head.top : head.top + height, head.left : head.left + width] = pixels
    return canvas


FORMAT = WebP()
