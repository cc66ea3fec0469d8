"""Where the subject is by an EXIF block, and how many pixels it has to the unit across and down.

Values are overwritten where they stand; a tag that is taken out leaves the others in their places.

Source: Exif 2.32, sections 4.6.4 and 4.6.5; TIFF/EP (ISO 12234-2), which has the area in the main
directory.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from restore_batch.stages.photo.metadata import tiff_tags
from restore_batch.stages.photo.metadata.places.geometry import Change
from restore_batch.stages.photo.metadata.tiff_tags import Entry, Layout

_NAMES = {37396: "subject area", 41492: "subject location"}
_AXES = (
    (tiff_tags.X_RESOLUTION, tiff_tags.Y_RESOLUTION),
    (41486, 41487),  # of the sensor
)
_CODES = {tiff_tags.SHORT: "H", tiff_tags.LONG: "I"}
_MOST_NUMBERS = 4


def moved(exif: bytes, change: Change) -> tuple[bytes, tuple[str, ...]]:
    """``exif`` with its subject where ``change`` took it, and what had to go. Raises
    tiff_tags.TagError."""
    file = io.BytesIO(exif)
    layout, _ = tiff_tags.layout_of(file)
    if layout.big:
        return exif, ()
    out = bytearray(exif)
    gone = []
    for at in _directories(file, layout):
        lost = []
        entries = tiff_tags.entries_of(file, layout, at)[0]
        if change.is_sideways:
            _exchange_axes(out, file, layout, at)
        for entry in entries:
            if entry.code in _NAMES and not _move(out, file, layout, entry, change):
                lost.append(entry)
                gone.append(f"{_NAMES[entry.code]} in its EXIF block")
        for entry in reversed(lost):
            _take_out(out, layout, at, entry)
    return bytes(out), tuple(gone)


def _directories(file: BinaryIO, layout: Layout) -> Iterator[int]:
    _, at = tiff_tags.layout_of(file)
    yield at
    for entry in tiff_tags.entries_of(file, layout, at)[0]:
        if entry.code == tiff_tags.EXIF_IFD:
            inner = layout.unpack("I", tiff_tags.exactly(file, entry.value_at, 4))
            try:
                tiff_tags.entries_of(file, layout, inner)
            except tiff_tags.TagError:
                continue
            if inner != at:
                yield inner


def _move(out: bytearray, file: BinaryIO, layout: Layout, entry: Entry, change: Change) -> bool:
    """Overwrite one subject; False where that cannot be."""
    code = _CODES.get(entry.field_type)
    if code is None or not 2 <= entry.count <= _MOST_NUMBERS:
        return False
    numbers = f"{layout.order}{entry.count}{code}"
    try:
        said = tiff_tags.exactly(file, entry.value_at, struct.calcsize(numbers))
        now = struct.pack(numbers, *change.subject(struct.unpack(numbers, said)))
    except (ValueError, struct.error):
        return False
    out[entry.value_at : entry.value_at + len(now)] = now
    return True


def _exchange_axes(out: bytearray, file: BinaryIO, layout: Layout, at: int) -> None:
    """Let resolutions across and down change places where they differ."""
    tags = tiff_tags.directory_at(file, layout, at)
    places = {entry.code: entry.at for entry in tiff_tags.entries_of(file, layout, at)[0]}
    for across, down in _AXES:
        if across not in tags or down not in tags or tags[across] == tags[down]:
            continue
        one, other = (slice(places[code] + 2, places[code] + 12) for code in (across, down))
        out[one], out[other] = out[other], out[one]


def _take_out(out: bytearray, layout: Layout, at: int, entry: Entry) -> None:
    """Close the gap in a directory; the values, which others may share, stay where they are."""
    count = layout.unpack("H", bytes(out[at : at + 2]))
    end = at + 2 + 12 * count + 4
    out[entry.at : end] = out[entry.at + 12 : end] + bytes(12)
    struct.pack_into(layout.order + "H", out, at, count - 1)
