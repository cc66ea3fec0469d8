"""Photoshop image resources: the IPTC records among them, and which of the others stay true.

Source: Adobe Photoshop File Formats Specification (2019), "Image Resources Section"; IPTC-IIM 4.2.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from restore_batch.stages.media import Extra, Holds
from restore_batch.text import plural

STORED_AS: Final = "photoshop"
_RESOLUTION, _IPTC = 0x03ED, 0x0404
_SIGNATURES = frozenset({b"8BIM", b"PHUT", b"DCSR", b"AgHg", b"MeSa"})
_AS_IT_WAS = "of the picture as it was"
_ELSEWHERE = "read and written elsewhere in the file"
_LEFT_OUT: Final = {
    0x03E8: ("size and mode", _AS_IT_WAS),
    0x0406: ("JPEG quality", _AS_IT_WAS),
    0x0409: ("thumbnail", _AS_IT_WAS),
    0x040C: ("thumbnail", _AS_IT_WAS),
    0x040F: ("colour profile", _ELSEWHERE),
    0x0422: ("second EXIF block", _ELSEWHERE),
    0x0423: ("second EXIF block", _ELSEWHERE),
    0x0424: ("second XMP packet", _ELSEWHERE),
}
_NAMES: Final = {
    _RESOLUTION: "resolution",
    0x0401: "working path",
    0x0408: "grid and guides",
    0x040A: "copyright flag",
    0x040B: "URL",
    0x041A: "slices",
    0x0425: "IPTC digest",
    0x0BB7: "name of the clipping path",
}
_PATHS = range(0x07D0, 0x0BB7)
_UPRIGHT = frozenset({_RESOLUTION, 0x0401, 0x0428, 0x0BB7, *_PATHS})
_SIZED = frozenset({0x0408, 0x041A})


@dataclass(frozen=True)
class Resource:
    """One resource; ``block``: all its bytes, with signature and padding."""

    number: int
    data: bytes
    block: bytes


def resources(data: bytes) -> Iterator[Resource]:
    """The resources in order, up to the first that is damaged."""
    at = 0
    while data[at : at + 4] in _SIGNATURES and at + 12 <= len(data):
        start = at
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        name_size = data[at + 6] + 1
        at += 6 + name_size + name_size % 2
        size = int.from_bytes(data[at : at + 4], "big")
        at += 4 + size
        if at > len(data):
            return
        body = data[at - size : at]
        at += size % 2
        padding = b"\x00" * max(at - len(data), 0)
        yield Resource(number, body, data[start:at] + padding)


def iptc_of(data: bytes) -> bytes | None:
    """The IPTC records among Photoshop image resources, or None."""
    return next((found.data or None for found in resources(data) if found.number == _IPTC), None)


def extras_of(data: bytes, without: Collection[int] = (_IPTC,)) -> tuple[Extra, ...]:
    """The resources but for those of some numbers (IPTC records), and what cannot be followed."""
    found, size = [], 0
    for resource in resources(data):
        size += len(resource.block)
        if resource.number not in without:
            found.append(_extra(resource))
    if data[size:].strip(b"\x00"):
        what = f"{plural(len(data) - size, 'byte')} among the Photoshop resources"
        found.append(Extra(what, left_out="they are damaged"))
    return tuple(found)


def _extra(resource: Resource) -> Extra:
    number = resource.number
    if number in _LEFT_OUT:
        name, why = _LEFT_OUT[number]
        return Extra(f"Photoshop resource {number} ({name})", left_out=why)
    name = "path" if number in _PATHS else _NAMES.get(number, "")
    return Extra(
        f"Photoshop resource {number}" + (f" ({name})" if name else ""),
        stored_as=STORED_AS,
        kind=number.to_bytes(2, "big"),
        payload=resource.block,
        holds=_holds(resource),
    )


def _holds(resource: Resource) -> Holds:
    if resource.number == _RESOLUTION and resource.data[:4] == resource.data[8:12]:
        return "always"  # as many dots across as down
    if resource.number in _SIZED:
        return "size"
    return "upright" if resource.number in _UPRIGHT else "always"


def section(iptc: bytes | None, extras: Iterable[Extra]) -> bytes:
    """Image resources of IPTC records and of the extras that are resources; empty for neither."""
    blocks = [extra.payload for extra in extras if extra.stored_as == STORED_AS]
    if iptc:
        head = b"8BIM" + struct.pack(">HHI", _IPTC, 0, len(iptc))
        blocks.insert(0, head + iptc + b"\x00" * (len(iptc) % 2))
    return b"".join(blocks)
