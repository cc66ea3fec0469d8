"""What JPEG segments hold beside what :mod:`jpeg_segments` reads: kept, or left out and why.

Source: ITU-T T.81 annex B; ExifTool's JPEG tag tables for what makers put where; ISO/IEC 19566-5
(JUMBF in APP11); ISO 21496-1 annex C (gain map in APP2); JFIF 1.02 (thumbnails).
"""

from __future__ import annotations

import dataclasses

from restore_batch.stages.media import Extra
from restore_batch.stages.photo.metadata import behind, jpeg_segments, photoshop, promises
from restore_batch.stages.photo.metadata.extras import in_bytes, left_out, unknown

STORED_AS = jpeg_segments.STORED_AS
_APP0, _APP11, _COMMENT = 0xE0, 0xEB, 0xFE
# Marker and first bytes of segments that speak of nothing that changes: text, dates, serial
# numbers, measurements of sensors.
_KEPT = (
    (0xE0, b"CIFF"),
    (0xE1, b"FLIR\x00"),
    (0xE3, b"Meta\x00"),
    (0xE3, b"META\x00"),
    (0xE4, b"SAMSUNG"),
    (0xE4, b"ssuniqueid\x00"),
    (0xE5, b"RMETA\x00"),
    (0xE5, b"ssuniqueid\x00"),
    (0xE5, b"SamsungUniqueID"),
    (0xE6, b"EPPIM\x00"),
    (0xE6, b"GoPro\x00"),
    (0xE6, b"NITF\x00"),
    (0xE7, b"PENTAX \x00"),
    (0xE9, b"Media Jukebox\x00"),
    (0xEA, b"UNICODE\x00"),
    (0xEC, b"Ducky"),
    (0xEC, b"[picture info]"),
    (0xEC, b"PictureInfo"),
    (0xED, b"Adobe_CM\x00"),
)
_GAIN_MAPS = ((0xE2, b"urn:iso:std:iso:ts:21496"), (0xEB, b"HDR_RI"), (0xE1, b"HDR_GAIN"))


def extras(data: bytes, head: jpeg_segments.JpegHead) -> tuple[Extra, ...]:
    """All extras of a whole file."""
    end, between = jpeg_segments.scans(data, head.data_at)
    items = promises.items_of(head.xmp) if head.xmp else ()
    behind_it = behind.extras_behind(data, end, items, head.previews) if end else ()
    if head.pictures > 1 and not behind_it:
        what = f"{head.pictures - 1} further pictures of its index"
        behind_it = (Extra(what, left_out="they are not in the file"),)
    fits = head.allowance.takes
    kept = tuple(
        _extra(*segment)
        for segment in between
        if fits(len(segment[1]), f"JPEG segment 0x{segment[0]:02X}")
    )
    return (*of_segments(head), *kept, *behind_it, *head.allowance.left_out)


def of_header(head: jpeg_segments.JpegHead) -> tuple[Extra, ...]:
    """The extras as far as they show before the picture's data."""
    found = (*of_segments(head), *head.allowance.left_out)
    promised = promises.items_of(head.xmp) if head.xmp else ()
    if head.pictures > 1 and not promised:
        found += (left_out(promises.OTHER_PICTURES, f" ({head.pictures - 1})"),)
    return found


def of_segments(head: jpeg_segments.JpegHead) -> tuple[Extra, ...]:
    """The extras before the picture's data."""
    # A box of JUMBF may fill many segments, which share a number.
    boxes = {payload[:4] for marker, payload in head.others if _is_c2pa(marker, payload)}
    found = [left_out(promises.CREDENTIALS)] if boxes else []
    if head.shape:
        found.append(_shape(head.shape))
    for marker, payload in head.others:
        if not (marker == _APP11 and payload[:4] in boxes):
            found.append(_extra(marker, payload))
    return (*found, *photoshop.extras_of(head.resources))


def _is_c2pa(marker: int, payload: bytes) -> bool:
    return marker == _APP11 and payload.startswith(b"JP") and b"c2pa" in payload[:200]


def _extra(marker: int, payload: bytes) -> Extra:
    name = _name(marker, payload)
    if marker == _COMMENT:
        return _kept("comment", marker, payload, text_key="Comment")
    if any(marker == known and payload.startswith(start) for known, start in _GAIN_MAPS):
        return left_out(promises.GAIN_MAP, f" in {name}")
    if payload.startswith(b"\xff\xd8\xff") or payload[:4] in {b"JFIF", b"JFXX"}:
        return left_out(promises.THUMBNAIL, f" in {name}")
    if any(marker == known and payload.startswith(start) for known, start in _KEPT):
        return _kept(name, marker, payload)
    return unknown(name + in_bytes(len(payload)))


def _shape(sides: bytes) -> Extra:
    extra = _kept("", _APP0, jpeg_segments.JFIF + sides)
    what = f"{_name(_APP0, extra.payload)} (shape of a pixel)"
    return dataclasses.replace(extra, what=what, holds="upright")


def _kept(what: str, marker: int, payload: bytes, text_key: str = "") -> Extra:
    return Extra(
        what, stored_as=STORED_AS, kind=bytes((marker,)), payload=payload, text_key=text_key
    )


def _name(marker: int, payload: bytes) -> str:
    """A segment by its number and the word that its first bytes spell."""
    word = payload[:40].split(b"\x00", 1)[0]
    spelt = word.decode("ascii") if word.isascii() and word.decode("ascii").isprintable() else ""
    number = f"APP{marker - 0xE0}" if 0xE0 <= marker <= 0xEF else f"0x{marker:02X}"
    return f"JPEG segment {number}" + (f" {spelt!r}" if len(spelt) > 1 else "")
