"""TGA (Targa), by Pillow: only read, because hardly anything beside the picture finds room in it.

The first bytes of a file are numbers that many files could begin with, so all that its header says
has to fit together. What stands behind the picture is read by ourselves.

Source: Truevision TGA File Format Specification 2.0 (1991).
"""

from __future__ import annotations

import dataclasses
import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

from PIL import TgaImagePlugin

from restore_batch.stages.media import Extra, PhotoMeta
from restore_batch.stages.photo.formats import pillow
from restore_batch.stages.photo.formats.base import Format
from restore_batch.stages.photo.metadata import packets, promises
from restore_batch.stages.photo.metadata.extras import header_notes, left_out, unknown
from restore_batch.stages.photo.raster import Header, Raster
from restore_batch.stages.photo.source import in_memory, size_of

_HEAD = struct.Struct("<BBBHHBHHHHBB")
_FOOTER_BYTES, _SIGNATURE = 26, b"TRUEVISION-XFILE."
_EXTENSION_BYTES = 495
_INDEXED, _TRUE_COLOUR, _GREY, _RUN_LENGTHS = 1, 2, 3, 8
_BITS = {_INDEXED: {8}, _TRUE_COLOUR: {16, 24, 32}, _GREY: {8, 16}}
_PALETTE_BITS = {15, 16, 24, 32}
_USEFUL_ALPHA = {3, 4}
_LINE_BYTES = 81
# Text of the extension area: name of the entry, offset, length.
_TEXTS = (("Author", 2, 41), ("Comment", 43, 324), ("Title", 379, 41), ("Software", 426, 41))


@dataclass(frozen=True)
class _Head:
    """``palette``: its first entry, their number, bits of each. ``alpha_bits``: bits of a pixel
    that are no colour."""

    has_palette: int
    kind: int
    palette: tuple[int, int, int]
    width: int
    height: int
    bits: int
    alpha_bits: int
    reserved: int


def _head(data: bytes) -> _Head | None:
    if len(data) < _HEAD.size:
        return None
    _, has_palette, kind, *rest = _HEAD.unpack_from(data)
    first, entries, palette_bits, _, _, width, height, bits, flags = rest
    palette = (first, entries, palette_bits)
    return _Head(has_palette, kind, palette, width, height, bits, flags & 15, flags >> 6)


class Tga(Format):
    name = "tga"
    title = "TGA"
    suffixes = (".tga", ".icb", ".vda", ".vst")
    general = True
    kept_as = "png"
    converted = ("palettes become colours or grey",)
    left_out = ("thumbnails, gamma, table of colours, developer area",)

    def matches(self, head: bytes, file: BinaryIO) -> bool:
        found = _head(head)
        if (
            found is None
            or found.reserved
            or found.has_palette > 1
            or not found.width * found.height
        ):
            return False
        kind = found.kind & ~_RUN_LENGTHS
        if found.bits not in _BITS.get(kind, ()) or (kind == _INDEXED) != bool(found.has_palette):
            return False
        _, entries, palette_bits = found.palette
        if found.has_palette:
            fits = palette_bits in _PALETTE_BITS and 0 < entries <= 256
        else:
            fits = found.palette == (0, 0, 0)
        if not fits or found.kind & _RUN_LENGTHS:
            return fits
        return size_of(file) >= _HEAD.size + found.width * found.height * found.bits // 8

    def header(self, file: BinaryIO, source: str) -> Header:
        file.seek(0)
        header = pillow.header(TgaImagePlugin.TgaImageFile(file))
        return dataclasses.replace(header, has_alpha=header.has_alpha and _has_alpha(file))

    def decode(self, file: BinaryIO, source: str) -> Raster:
        picture = TgaImagePlugin.TgaImageFile(io.BytesIO(in_memory(file)))
        raster = pillow.raster(picture, self.name, lossless=True, extras=_extras(file))
        texts = _texts(_extension(file), picture.info.get("id_section", b""))
        raster = dataclasses.replace(raster, meta=dataclasses.replace(raster.meta, text=texts))
        return raster if _has_alpha(file) else dataclasses.replace(raster, alpha_hw=None)

    def not_kept(self, file: BinaryIO) -> tuple[str, ...]:
        return header_notes(PhotoMeta(self.name, extras=_extras(file)))


def _has_alpha(file: BinaryIO) -> bool:
    """Whether the bits of a pixel that are no colour are its transparency: old programs fill them
    with anything and say that there are none."""
    extension = _extension(file)
    if extension:
        return extension[494] in _USEFUL_ALPHA
    file.seek(0)
    head = _head(file.read(_HEAD.size))
    return head is not None and (head.alpha_bits > 0 or head.palette[2] == 32)


def _footer(file: BinaryIO) -> tuple[int, int]:
    """Where the extension area and the developer area are; 0 for none."""
    file.seek(max(size_of(file) - _FOOTER_BYTES, 0))
    footer = file.read(_FOOTER_BYTES)
    if not footer[8:].startswith(_SIGNATURE):
        return 0, 0
    return int.from_bytes(footer[:4], "little"), int.from_bytes(footer[4:8], "little")


def _extension(file: BinaryIO) -> bytes:
    """The extension area of a file of version 2, or nothing."""
    at, _ = _footer(file)
    file.seek(at)
    area = file.read(_EXTENSION_BYTES) if at else b""
    return area if len(area) == _EXTENSION_BYTES else b""


def _texts(extension: bytes, image_id: bytes) -> dict[str, str]:
    found = {"Comment": _spelt(image_id)}
    for name, at, size in _TEXTS:
        field = extension[at : at + size]
        lines = [_spelt(field[i : i + _LINE_BYTES]) for i in range(0, len(field), _LINE_BYTES)]
        found[name] = "\n".join(filter(None, (found.get(name, ""), *lines)))
    return {name: text for name, text in found.items() if text}


def _spelt(field: bytes) -> str:
    return packets.decoded(field.split(b"\x00", 1)[0]).strip()


def _extras(file: BinaryIO) -> tuple[Extra, ...]:
    extension, found = _extension(file), []
    if extension:
        above, below, colours, thumbnail = struct.unpack_from("<HHII", extension, 478)
        if thumbnail:
            found.append(left_out(promises.THUMBNAIL))
        if colours:
            found.append(unknown("TGA table of corrected colours"))
        if below and above != below:
            found.append(unknown(f"TGA gamma of {above / below:g}"))
    if _footer(file)[1]:
        found.append(unknown("TGA developer area"))
    return tuple(found)


FORMAT = Tga()
