"""HEIF (HEIC) of phones and cameras, by pillow-heif, which is an extra."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.colorimetry import Stated, refuse_high_dynamic_range
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.formats.iso_media import brands
from restore_batch.stages.photo.formats.pillow import exif_of, given
from restore_batch.stages.photo.metadata import iso_extras
from restore_batch.stages.photo.metadata.extras import FILM, films_of, header_notes
from restore_batch.stages.photo.raster import Header, Picture, Raster, full_range, split_alpha

_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2"}
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


class Heif(WrittenFormat):
    name = "heif"
    title = "HEIF"
    suffixes = (".heic", ".heif", ".hif")
    extra = "heif"
    # AVIF is one codec of this container.
    general = True
    max_side_px = 16384
    bit_depths = (8, 10)
    holds_alpha = True
    carries = frozenset({"exif", "xmp", "icc"})
    stores_extras = frozenset({FILM})
    takes_quality = True
    usual_quality = 90
    bytes_a_pixel = 0.3
    converted = (
        "nclx colours become a profile",
        "the clean aperture is cut out, turns and mirrors are applied",
    )
    left_out = (
        "further pictures",
        "gain maps, depth maps, mattes, thumbnails",
        "content credentials",
        "other boxes and items",
    )
    refused = ("PQ and HLG",)

    def matches(self, head: bytes, file: BinaryIO) -> bool:
        return bool(brands(head)[1] & _BRANDS)

    def header(self, file: BinaryIO, source: str) -> Header:
        picture = self._opened(file, source)
        refuse_high_dynamic_range(_cicp(picture.info.get("nclx_profile")))
        width, height = picture.size
        return Header(
            width,
            height,
            int(picture.info.get("bit_depth", 8)),
            1 if picture.mode[:1] in {"L", "I"} else 3,
            picture.has_alpha,
            len(picture),
            notes=_notes(len(picture)),
        )

    def decode(self, file: BinaryIO, source: str) -> Raster:
        """The primary picture, turned and mirrored by libheif as the file asks."""
        picture = self._opened(file, source)
        bits = int(picture.info.get("bit_depth", 8))
        pixels = np.asarray(picture)
        if pixels.dtype == np.uint16:
            # Handed over shifted up to 16 bits, which leaves white below 65535.
            pixels = full_range(pixels >> (16 - bits), bits)
        samples, space, alpha = split_alpha(pixels)
        meta = PhotoMeta(
            container=self.name,
            bits=bits,
            exif=exif_of(picture.info),
            xmp=picture.info.get("xmp") or None,
            icc=picture.info.get("icc_profile") or None,
            quality_hint={"lossless": False},
            extras=iso_extras.extras(file),
        )
        stated = Stated(cicp=_cicp(picture.info.get("nclx_profile")))
        return Raster(samples, space, meta, alpha, orientation=1, stated=stated)

    def not_kept(self, file: BinaryIO) -> tuple[str, ...]:
        return header_notes(PhotoMeta(self.name, extras=iso_extras.extras(file)))

    def _opened(self, file: BinaryIO, source: str) -> Any:
        try:
            import pillow_heif
        except ImportError as error:
            raise self.needs_extra(source) from error
        file.seek(0)
        return pillow_heif.open_heif(file, convert_hdr_to_8bit=False)

    @property
    def can_write(self) -> bool:
        return _has_encoder()

    @property
    def kept_as(self) -> str:
        return self.name if self.can_write else "jpeg"

    def encode(
        self, picture: Picture, meta: PhotoMeta, path: Path, quality: int | None
    ) -> tuple[str, ...]:
        """8 or, from deeper sources, 10 bits; 4:4:4."""
        import pillow_heif

        array = picture.whole()
        buffer = io.BytesIO()
        pillow_heif.encode(
            _MODES[picture.channels] + (";16" if picture.bits == 16 else ""),
            (picture.width, picture.height),
            array.tobytes(),
            buffer,
            quality=quality or self.usual_quality,
            chroma="444",
            **given(icc_profile=picture.icc, exif=meta.exif, xmp=meta.xmp),
        )
        path.write_bytes(buffer.getvalue() + films_of(meta.extras))
        rounded = picture.bits == 16 > meta.bits
        return ("HEIF holds 10 bits here: rounded from 16",) if rounded else ()


def _cicp(nclx: Mapping[str, int] | None) -> tuple[int, int] | None:
    """Primaries and transfer by the numbers of ITU-T H.273."""
    return (nclx["color_primaries"], nclx["transfer_characteristics"]) if nclx else None


def _notes(pictures: int) -> tuple[str, ...]:
    return (f"only the first of the {pictures} pictures is kept",) if pictures > 1 else ()


@functools.cache
def _has_encoder() -> bool:
    """Whether pillow-heif is installed and was built with an HEVC encoder."""
    try:
        import pillow_heif
    except ImportError:
        return False
    return bool(pillow_heif.libheif_info()["HEIF"])


FORMAT = Heif()
