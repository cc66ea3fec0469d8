"""What lies behind the end of a picture in its file: films, further pictures, makers' trailers.

Source: Motion Photo format 1.0; CIPA DC-007 (multi-picture format); ExifTool's Samsung.pm for the
trailer of Samsung phones (blocks listed by a table between ``SEFH`` and ``SEFT``).
"""

from __future__ import annotations

import dataclasses
import io
import struct
from collections.abc import Collection, Iterator

from restore_batch.stages.media import Extra
from restore_batch.stages.photo.metadata import jpeg_segments, promises
from restore_batch.stages.photo.metadata.extras import FILM, film, in_bytes, left_out, unknown

_JPEG = b"\xff\xd8\xff"
_BLANK = b"\x00\xff \r\n\t"
_GAIN_MAP_MARKS = (b"hdr-gain-map", b"hdrgainmap", b"urn:iso:std:iso:ts:21496")
_DEPTH_MARKS = (b"depth", b"disparity")
_PICTURE = "further picture"
_NO_PIECE = "bytes behind the end of the picture"
_MAX_BOXES = 100_000
_MAX_PIECES = 100
_MARKED_BYTES = 1 << 18
"""How much of a picture is searched for what it is."""

_HEAD_BYTES = 16 << 20


def extras_behind(
    data: bytes,
    at: int,
    items: tuple[str, ...] = (),
    previews: Collection[int] = (),
) -> tuple[Extra, ...]:
    """What lies in ``data`` from ``at`` on; nothing for padding.

    ``items``: what the picture's XMP calls the things behind it, in order; ``previews``: sizes in
    bytes of pictures that are smaller copies of it.
    """
    samsung_at, samsung = _samsung(data, at)
    found: list[Extra] = []
    while at < samsung_at:
        if len(found) >= _MAX_PIECES:
            found.append(unknown(f"{samsung_at - at:,} {_NO_PIECE}"))
            break
        end, extra = _next(data, at, samsung_at, previews)
        if extra is not None:
            # Its place is counted from the end of the file: it stays true only of the last thing.
            found = [_not_last(each) for each in found]
            found.append(extra)
        at = end
    named = [index for index, extra in enumerate(found) if not extra.what.endswith(_NO_PIECE)]
    if len(named) == len(items):
        for index, item in zip(named, items, strict=True):
            kind, what = promises.kind_of_item(item), found[index].what
            if what.startswith(_PICTURE) and kind in {promises.GAIN_MAP, promises.DEPTH_MAP}:
                found[index] = left_out(kind, what.removeprefix(_PICTURE))
    if samsung:
        found = [_not_last(each) for each in found]
    return (*found, *samsung)


def _not_last(extra: Extra) -> Extra:
    if extra.stored_as != FILM:
        return extra
    return dataclasses.replace(extra, stored_as="", payload=b"")


def _next(data: bytes, at: int, end: int, previews: Collection[int]) -> tuple[int, Extra | None]:
    """Where the thing at ``at`` ends, and what it is."""
    if data.startswith(_JPEG, at):
        stop = min(_end_of_jpeg(data, at, end), end)
        return stop, _picture(data[at : min(stop, at + _MARKED_BYTES)], stop - at, previews)
    if data[at + 4 : at + 8] == b"ftyp":
        stop = _end_of_boxes(data, at, end)
        return stop, film(in_bytes(stop - at), data[at:], data[at:stop])
    places = [data.find(_JPEG, at + 1, end), data.find(b"ftyp", at + 5, end) - 4]
    stop = min((place for place in places if place > at), default=end)
    if not data[at:stop].strip(_BLANK):
        return stop, None
    return stop, unknown(f"{stop - at:,} {_NO_PIECE}")


def _end_of_jpeg(data: bytes, at: int, end: int) -> int:
    try:
        head = jpeg_segments.head(io.BytesIO(data[at : min(end, at + _HEAD_BYTES)]))
    except (jpeg_segments.JpegError, struct.error):
        return end
    return jpeg_segments.end_of(data, at + head.data_at) or end


def _end_of_boxes(data: bytes, at: int, end: int) -> int:
    """The end of the boxes of an ISO media file that starts at ``at``."""
    for _ in range(_MAX_BOXES):
        if at + 8 > end or not data[at + 4 : at + 8].isalnum():
            return at
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8 or at + size > end:
            return end
        at += size
    return end


def _picture(start: bytes, size: int, previews: Collection[int]) -> Extra:
    """What a JPEG of ``size`` bytes is, by its first."""
    if size in previews:
        return left_out(promises.THUMBNAIL, in_bytes(size))
    head = start.lower()
    if any(mark in head for mark in _GAIN_MAP_MARKS):
        return left_out(promises.GAIN_MAP, in_bytes(size))
    if any(mark in head for mark in _DEPTH_MARKS):
        return left_out(promises.DEPTH_MAP, in_bytes(size))
    what = _PICTURE + in_bytes(size)
    return Extra(what, left_out="a result holds the first picture alone")


def _samsung(data: bytes, at: int) -> tuple[int, tuple[Extra, ...]]:
    """Where Samsung's trailer starts (or the file ends), and what it holds."""
    end = len(data.rstrip(b"\x00")) if data.endswith(b"\x00") else len(data)
    if end - at < 20 or data[end - 4 : end] != b"SEFT":
        return len(data), ()
    table = end - 8 - int.from_bytes(data[end - 8 : end - 4], "little")
    if table < at or data[table : table + 4] != b"SEFH":
        return len(data), ()
    start, found = table, []
    for offset, size in _entries(data, table, end):
        place = table - offset
        if not at <= place <= place + size <= table or size < 8:
            continue
        start = min(start, place)
        name_size = int.from_bytes(data[place + 4 : place + 8], "little")
        name = data[place + 8 : place + 8 + min(name_size, 64)].decode("ascii", "replace")
        found.append(_of_samsung(name, data[place + 8 + name_size : place + size]))
    if any(extra.film for extra in found):
        # The trailer is carried as a whole: its places are counted from its end.
        found = [dataclasses.replace(extra, stored_as=FILM, payload=b"") for extra in found]
        found[0] = dataclasses.replace(found[0], payload=data[start:])
    return start, tuple(found)


def _entries(data: bytes, table: int, end: int) -> Iterator[tuple[int, int]]:
    count = int.from_bytes(data[table + 8 : table + 12], "little")
    for row in range(table + 12, min(table + 12 + 12 * min(count, _MAX_PIECES), end - 8), 12):
        _, _, offset, size = struct.unpack_from("<HHII", data, row)
        yield offset, size


def _of_samsung(name: str, content: bytes) -> Extra:
    detail = f" {name!r}{in_bytes(len(content))}"
    if name == "MotionPhoto_Data":
        return film(detail, b"", content)
    if "depth" in name.lower():
        return left_out(promises.DEPTH_MAP, detail)
    return unknown(f"Samsung trailer{detail}")
