"""Changing an EXIF block without rebuilding it.

Maker notes hold offsets relative to the start of the block, so everything stays where it is:
values are overwritten, the thumbnail (which would show the unrestored picture) is unlinked.

Source: Exif 2.32, section 4.6.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import BinaryIO

from restore_batch.stages.photo.metadata import tiff_tags

_PIXEL_X, _PIXEL_Y = 40962, 40963
_IMAGE_WIDTH, _IMAGE_LENGTH = 256, 257
_COLOUR_SPACE = 40961
_THUMBNAIL_AT, _THUMBNAIL_SIZE = 513, 514


def orientation(exif: bytes) -> int | None:
    """The EXIF orientation, 1 to 8; None where absent or nonsense. Raises tiff_tags.TagError."""
    file = io.BytesIO(exif)
    layout, at = tiff_tags.layout_of(file)
    tag = tiff_tags.directory_at(file, layout, at).get(tiff_tags.ORIENTATION)
    value = tag.integers(1) if tag else ()
    return value[0] if value and 1 <= value[0] <= 8 else None


def stated_orientation(exif: bytes | None) -> int:
    """The EXIF orientation, 1 to 8; 1 where the block is absent, damaged or silent."""
    try:
        return (exif and orientation(exif)) or 1
    except tiff_tags.TagError:
        return 1


def has_thumbnail(exif: bytes | None) -> bool:
    """Whether a second directory follows the main one; False where the block is damaged."""
    try:
        file = io.BytesIO(exif or b"")
        layout, at = tiff_tags.layout_of(file)
        _, link_at = tiff_tags.entries_of(file, layout, at)
        return any(tiff_tags.exactly(file, link_at, 4))
    except tiff_tags.TagError:
        return False


def resolution(exif: bytes) -> tuple[float, float] | None:
    """Dots an inch as the EXIF block says, or None."""
    file = io.BytesIO(exif)
    layout, at = tiff_tags.layout_of(file)
    return tiff_tags.resolution_of(tiff_tags.directory_at(file, layout, at))


def with_resolution(dpi: tuple[float, float]) -> bytes:
    """A block that says nothing but the resolution, in dots an inch."""
    return tiff_tags.block(tiff_tags.Tree({}, {}, {}, {}), tiff_tags.resolution_tags(dpi))


def upright(exif: bytes) -> bytes:
    """``exif`` with orientation 1 and no thumbnail. Raises tiff_tags.TagError."""
    return _without_thumbnail(_patched(exif, {tiff_tags.ORIENTATION: 1}))


def sized(exif: bytes, width: int, height: int) -> bytes:
    """``exif`` with the pixel dimensions it states set to those of the output."""
    sizes = {_PIXEL_X: width, _PIXEL_Y: height, _IMAGE_WIDTH: width, _IMAGE_LENGTH: height}
    return _patched(exif, sizes)


def as_srgb(exif: bytes) -> bytes:
    """``exif`` with the colour space that it states, if it does, set to sRGB."""
    return _patched(exif, {_COLOUR_SPACE: 1})


def _patched(exif: bytes, values: Mapping[int, int]) -> bytes:
    file = io.BytesIO(exif)
    layout, at = tiff_tags.layout_of(file)
    entries = tiff_tags.entries_of(file, layout, at)[0]
    for entry in list(entries):
        if entry.code == tiff_tags.EXIF_IFD:
            pointer = tiff_tags.exactly(file, entry.value_at, 4)
            try:
                entries += tiff_tags.entries_of(file, layout, layout.unpack("I", pointer))[0]
            except tiff_tags.TagError:
                continue
    out = bytearray(exif)
    for entry in entries:
        if (
            entry.code not in values
            or entry.count != 1
            or entry.field_type not in {tiff_tags.SHORT, tiff_tags.LONG}
        ):
            continue
        value = values[entry.code]
        kind = entry.field_type if value < 65536 else tiff_tags.LONG
        struct.pack_into(layout.order + "H", out, entry.at + 2, kind)
        field = struct.pack(layout.order + ("H" if kind == tiff_tags.SHORT else "I"), value)
        out[entry.at + 8 : entry.at + 12] = field.ljust(4, b"\x00")
    return bytes(out)


def _without_thumbnail(exif: bytes) -> bytes:
    """Unlink the second directory, which holds the thumbnail, and blank or cut its picture."""
    file = io.BytesIO(exif)
    layout, at = tiff_tags.layout_of(file)
    _, link_at = tiff_tags.entries_of(file, layout, at)
    link = tiff_tags.exactly(file, link_at, 4)
    if not any(link):
        return exif
    out = bytearray(exif)
    out[link_at : link_at + 4] = bytes(4)
    try:
        second = tiff_tags.directory_at(file, layout, layout.unpack("I", link))
    except tiff_tags.TagError:
        return bytes(out)
    place = _integer(second, _THUMBNAIL_AT)
    size = _integer(second, _THUMBNAIL_SIZE)
    if place is not None and size is not None and 8 <= place < len(out):
        if place + size >= len(out) and not _points_beyond(file, layout, at, place):
            del out[place:]
        else:
            end = min(place + size, len(out))
            out[place:end] = bytes(end - place)
    return bytes(out)


def _integer(directory: Mapping[int, tiff_tags.Tag], code: int) -> int | None:
    value = directory[code].integers(1) if code in directory else ()
    return value[0] if value else None


def _points_beyond(file: BinaryIO, layout: tiff_tags.Layout, at: int, limit: int) -> bool:
    """Whether anything of the main directory or its branches lies at or after ``limit``."""
    pending: list[int] = [at]
    seen: set[int] = set()
    while pending:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        try:
            entries, end = tiff_tags.entries_of(file, layout, at)
        except tiff_tags.TagError:
            return True
        if end > limit:
            return True
        for entry in entries:
            size = tiff_tags.VALUE_SIZES.get(entry.field_type, (1, 1))[0] * entry.count
            if entry.value_at + size > limit:
                return True
            if entry.code in {tiff_tags.EXIF_IFD, tiff_tags.GPS_IFD, tiff_tags.INTEROP_IFD}:
                pending.append(layout.unpack("I", tiff_tags.exactly(file, entry.value_at, 4)))
    return False
