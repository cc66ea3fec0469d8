"""How files of the ISO base media format say what they are: AVIF, HEIF, some camera raws.

Also what an image item says of its colours and of its clean aperture.

Source: ISO/IEC 14496-12, sections 4.3 (file type), 8.11 (meta), 12.1.4 (clean aperture) and 12.1.5
(colour information); ISO/IEC 23008-12, section 9.3 (item properties).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction


def brands(head: bytes) -> tuple[bytes, frozenset[bytes]]:
    """The major brand, and all that are listed; empty for what is no such file."""
    if head[4:8] != b"ftyp":
        return b"", frozenset()
    length = max(int.from_bytes(head[:4], "big"), 16)
    listed = head[8:length]
    return listed[:4], frozenset(listed[i : i + 4] for i in range(0, len(listed), 4))


def item_properties(data: bytes) -> dict[bytes, bytes]:
    """Payloads of the properties of the primary image by the names of their boxes, of each kind
    the first but for colours, where nclx is kept as ``b"nclx"``. Empty where none are found."""
    meta = _named(_boxes(data), b"meta")[4:]
    inside = dict(reversed(list(_boxes(meta))))
    properties = dict(reversed(list(_boxes(inside.get(b"iprp", b"")))))
    every = list(_boxes(properties.get(b"ipco", b"")))
    pitm = inside.get(b"pitm", b"")
    primary = int.from_bytes(pitm[4:8] if pitm[:1] == b"\1" else pitm[4:6], "big")
    found: dict[bytes, bytes] = {}
    for index in _associated(properties.get(b"ipma", b""), primary):
        if 0 < index <= len(every):
            name, payload = every[index - 1]
            if name == b"colr":
                name, payload = payload[:4], payload[4:]
            found.setdefault(name, payload)
    return found


def cicp_of(nclx: bytes) -> tuple[int, int] | None:
    """Primaries and transfer by the numbers of ITU-T H.273, of an nclx box's payload."""
    return struct.unpack(">HH", nclx[:4]) if len(nclx) >= 6 else None


def aperture(clap: bytes, width: int, height: int) -> tuple[slice, slice] | None:
    """Rows and columns of a clean aperture in a picture of this size, whole pixels; None where it
    is none, or not inside the picture."""
    if len(clap) < 32:
        return None
    numbers = struct.unpack(">II II iI iI", clap[:32])
    if not all(numbers[1::2]):
        return None
    across, down, right, below = (
        Fraction(above, under) for above, under in zip(numbers[::2], numbers[1::2], strict=True)
    )
    # The offset is that of the aperture's centre from the picture's.
    left, top = right + (width - across) / 2, below + (height - down) / 2
    rows = slice(round(top), round(top) + round(down))
    columns = slice(round(left), round(left) + round(across))
    inside = 0 <= rows.start < rows.stop <= height and 0 <= columns.start < columns.stop <= width
    return (rows, columns) if inside else None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and payloads of the boxes, as far as they are whole; the last may be cut off."""
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        start = at + 8
        if size == 1:
            size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        end = at + size if size else len(data)
        if end < start:
            return
        yield name, data[start:end]
        at = end


def _named(boxes: Iterator[tuple[bytes, bytes]], name: bytes) -> bytes:
    return next((payload for found, payload in boxes if found == name), b"")


def _associated(ipma: bytes, item: int) -> Iterator[int]:
    """Places of an item's properties, counted from 1."""
    if len(ipma) < 8:
        return
    id_bytes, wide = (4 if ipma[0] else 2), bool(ipma[3] & 1)
    at = 8
    for _ in range(int.from_bytes(ipma[4:8], "big")):
        if at >= len(ipma):
            return
        found = int.from_bytes(ipma[at : at + id_bytes], "big")
        at += id_bytes
        count = ipma[at] if at < len(ipma) else 0
        step = 2 if wide else 1
        places = [ipma[at + 1 + step * i : at + 1 + step * (i + 1)] for i in range(count)]
        at += 1 + step * count
        if found == item:
            # The first bit says that a reader must know the property.
            yield from (int.from_bytes(p, "big") & ((1 << 8 * step - 1) - 1) for p in places)
