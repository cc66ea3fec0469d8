"""BMP, by Pillow; what its header says of colours by ourselves.

Source: Microsoft, [MS-WMF] 2.2.2.4 and 2.2.2.5 (BitmapV4Header and BitmapV5Header).
"""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path
from typing import BinaryIO

from PIL import BmpImagePlugin

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.colorimetry import Stated
from restore_batch.stages.photo.formats import pillow
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.metadata.allowance import MAX_BYTES
from restore_batch.stages.photo.metadata.behind import extras_behind
from restore_batch.stages.photo.raster import Header, Picture, Raster

_HEADER_AT, _HEADER_BYTES, _V4_BYTES, _V5_BYTES = 14, 54, 108, 124
_CALIBRATED, _EMBEDDED = 0, int.from_bytes(b"MBED", "big")


class Bmp(WrittenFormat):
    name = "bmp"
    title = "BMP"
    suffixes = (".bmp", ".dib")
    magic = (b"BM",)
    max_side_px = 2**31 - 1
    carries = frozenset({"dpi"})
    bytes_a_pixel = 3.0
    converted = ("colours that its header states become sRGB",)
    left_out = ("what lies behind the picture",)

    def header(self, file: BinaryIO, source: str) -> Header:
        file.seek(0)
        return pillow.header(BmpImagePlugin.BmpImageFile(file))

    def decode(self, file: BinaryIO, source: str) -> Raster:
        file.seek(0)
        start = file.read(_HEADER_AT + _V5_BYTES)
        end = int.from_bytes(start[2:6], "little")
        file.seek(end)
        extras = extras_behind(file.read(), 0) if end > _HEADER_BYTES else ()
        profile = _embedded_profile(file, start)
        file.seek(0)
        picture = BmpImagePlugin.BmpImageFile(file)
        raster = pillow.raster(picture, self.name, lossless=True, extras=extras)
        meta = dataclasses.replace(raster.meta, icc=profile)
        return dataclasses.replace(raster, meta=meta, stated=_stated(start))

    def encode(
        self, picture: Picture, meta: PhotoMeta, path: Path, quality: int | None
    ) -> tuple[str, ...]:
        path.write_bytes(pillow.saved(picture, "BMP", dpi=meta.dpi))
        return ()


def _space(data: bytes, least_bytes: int) -> int | None:
    """The kind of colours that a header of at least this size states."""
    size = int.from_bytes(data[_HEADER_AT : _HEADER_AT + 4], "little")
    if size < least_bytes or len(data) < _HEADER_AT + least_bytes:
        return None
    return int.from_bytes(data[_HEADER_AT + 56 : _HEADER_AT + 60], "little")


def _embedded_profile(file: BinaryIO, start: bytes) -> bytes | None:
    if _space(start, _V5_BYTES) != _EMBEDDED:
        return None
    at, length = struct.unpack_from("<II", start, _HEADER_AT + 112)
    file.seek(_HEADER_AT + at)
    return file.read(min(length, MAX_BYTES)) or None


def _stated(data: bytes) -> Stated:
    """Primaries and gamma of a calibrated picture; many programs leave them empty."""
    if _space(data, _V4_BYTES) != _CALIBRATED:
        return Stated()
    ends = [value / (1 << 30) for value in struct.unpack_from("<9I", data, _HEADER_AT + 60)]
    gammas = [value / (1 << 16) for value in struct.unpack_from("<3I", data, _HEADER_AT + 96)]
    xyz = [ends[0:3], ends[3:6], ends[6:9]]
    xyz = [[sum(axis) for axis in zip(*xyz, strict=True)], *xyz]
    if not all(sum(colour) for colour in xyz) or not gammas[1]:
        return Stated()
    places = tuple(colour[axis] / sum(colour) for colour in xyz for axis in (0, 1))
    return Stated(gamma=1 / gammas[1], chromaticities=places)


FORMAT = Bmp()
