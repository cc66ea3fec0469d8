"""The segments of a JPEG file around its compressed data: find them, put others in.

Source: ITU-T T.81 annex B; Exif 2.32 section 4.5.4 (APP1); XMP specification part 3, 1.1.3
(APP1, and extended XMP for packets that do not fit into one segment).
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from restore_batch.stages.media import Extra
from restore_batch.stages.photo.metadata import packets as metadata
from restore_batch.stages.photo.metadata import photoshop
from restore_batch.stages.photo.metadata.allowance import Allowance

JFIF = b"JFIF\x00"
_EXIF = b"Exif\x00\x00"
_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\x00"
_PHOTOSHOP = b"Photoshop 3.0\x00"
_ICC = b"ICC_PROFILE\x00"
_OLD_PHOTOSHOP = b"Adobe_Photoshop2.5:"
_ADOBE = b"Adobe"
_APP0, _APP1, _APP2, _APP13, _APP14, _COMMENT = 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE
_OF_METADATA = frozenset({*range(_APP0, _APP0 + 16), _COMMENT})
_BLOCK_BYTES, _MAX_SEGMENTS = 1 << 16, 100_000
STORED_AS = "jpeg"
_PREVIEW = 0x010000
_SOS, _EOI = 0xDA, 0xD9
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
SEGMENT_MAX = 65533
EXIF_MAX = SEGMENT_MAX - len(_EXIF)


class JpegError(ValueError):
    """The segments of a JPEG file cannot be followed."""


@dataclass
class JpegHead:
    """Everything before the compressed data."""

    width: int = 0
    height: int = 0
    bits: int = 8
    components: int = 0
    progressive: bool = False
    lossless: bool = False
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    icc: bytes | None = None
    comment: str | None = None
    resources: bytes = b""
    """Photoshop image resources, the IPTC records among them."""

    others: list[tuple[int, bytes]] = field(default_factory=list)
    """Marker and payload of application segments that nothing here reads, and of comments."""

    dpi: tuple[float, float] | None = None
    shape: bytes = b""
    """The sides of a pixel as JFIF has them, where they differ and have no unit."""

    pictures: int = 1
    previews: frozenset[int] = frozenset()
    """Sizes in bytes of those pictures that are smaller copies of the first."""

    tables: dict[int, tuple[int, ...]] = field(default_factory=dict)
    data_at: int = 0
    """Where the first scan starts."""

    allowance: Allowance = field(default_factory=Allowance)
    """What of the file's metadata may still be read."""


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Marker and payload of each segment, up to and with the first start of scan."""
    file.seek(2)
    for _ in range(_MAX_SEGMENTS):
        _to_marker(file)
        byte = b"\xff"
        while byte == b"\xff":
            byte = file.read(1)
        if not byte or byte[0] == _EOI:
            raise JpegError("ends before the picture starts")
        marker = byte[0]
        if marker in {0x00, 0x01} or 0xD0 <= marker <= 0xD8:
            continue
        size = int.from_bytes(file.read(2), "big") - 2
        payload = file.read(max(size, 0))
        if size < 0 or len(payload) != size:
            raise JpegError("cut off before the picture starts")
        yield marker, payload
        if marker == _SOS:
            return
    raise JpegError(f"more than {_MAX_SEGMENTS:,} segments before the picture starts")


def _to_marker(file: BinaryIO) -> None:
    """Go behind the next byte of 255."""
    while (byte := file.read(1)) != b"\xff":
        if not byte:
            raise JpegError("cut off before the picture starts")
        block = file.read(_BLOCK_BYTES)
        at = block.find(b"\xff")
        file.seek((at if at >= 0 else len(block)) - len(block), io.SEEK_CUR)


def head(file: BinaryIO) -> JpegHead:  # noqa: PLR0912, PLR0915 - one branch a kind
    """Read the segments before the first scan, of metadata as much as fits one allowance. Raises
    JpegError."""
    found = JpegHead()
    icc: dict[int, bytes] = {}
    extended: dict[bytes, dict[int, bytes]] = {}
    comments: list[str] = []
    resources: list[bytes] = []
    for marker, payload in _segments(file):
        if marker in _OF_METADATA and not found.allowance.takes(
            len(payload), f"JPEG segment 0x{marker:02X}"
        ):
            continue
        if marker in _FRAMES and len(payload) >= 6:
            found.bits, found.height, found.width, found.components = struct.unpack(
                ">BHHB", payload[:6]
            )
            found.progressive = marker in _PROGRESSIVE
            found.lossless |= marker in _LOSSLESS
        elif marker == 0xDB:
            found.tables.update(_tables(payload))
        elif marker == _APP0 and payload[:5] == JFIF and len(payload) >= 12:
            unit, across, down = struct.unpack(">BHH", payload[7:12])
            if unit in {1, 2} and across and down:
                scale = 2.54 if unit == 2 else 1.0
                found.dpi = across * scale, down * scale
            elif across and down and across != down:
                found.shape = payload[8:12]
            if len(payload) > 14 and payload[12] and payload[13]:
                found.others.append((marker, payload))
        elif marker == _APP1 and payload.startswith(_EXIF) and found.exif is None:
            found.exif = payload[len(_EXIF) :]
        elif marker == _APP1 and payload.startswith(_XMP) and found.xmp is None:
            found.xmp = payload[len(_XMP) :]
        elif marker == _APP1 and payload.startswith(_EXTENDED_XMP):
            start = len(_EXTENDED_XMP)
            at = int.from_bytes(payload[start + 36 : start + 40], "big")
            extended.setdefault(payload[start : start + 32], {})[at] = payload[start + 40 :]
        elif marker == _APP2 and payload.startswith(_ICC) and len(payload) > 14:
            icc[payload[12]] = payload[14:]
        elif marker == _APP2 and payload[:4] == b"MPF\x00":
            found.pictures, found.previews = _index(payload[4:])
        elif marker == _APP13 and payload.startswith(_PHOTOSHOP):
            resources.append(payload[len(_PHOTOSHOP) :])
        elif marker == _APP13 and payload.startswith(_OLD_PHOTOSHOP):
            resources.append(payload[len(_OLD_PHOTOSHOP) :])
        elif marker == _COMMENT:
            comments.append(metadata.decoded(payload))
            found.others.append((marker, payload))
        elif _APP0 <= marker <= _APP0 + 15 and not (
            marker == _APP14 and payload.startswith(_ADOBE)
        ):
            found.others.append((marker, payload))
    if not found.width or not found.components:
        raise JpegError("no picture size before the data")
    found.icc = b"".join(icc[number] for number in sorted(icc)) or None
    found.resources = b"".join(resources)
    found.iptc = photoshop.iptc_of(found.resources)
    found.comment = "\n".join(comments) or None
    whole = _with_extension(found.xmp, extended)
    if extended and whole == found.xmp:
        found.others.append((_APP1, _EXTENDED_XMP))
    found.xmp = whole
    found.data_at = file.tell()
    return found


def _tables(payload: bytes) -> dict[int, tuple[int, ...]]:
    tables, at = {}, 0
    while at < len(payload):
        wide, number = payload[at] >> 4, payload[at] & 15
        size = 128 if wide else 64
        values = payload[at + 1 : at + 1 + size]
        if len(values) == size:
            tables[number] = struct.unpack(">64H" if wide else "64B", values)
        at += 1 + size
    return tables


def _index(mpf: bytes) -> tuple[int, frozenset[int]]:
    """How many pictures a multi-picture index (CIPA DC-007) lists, and the sizes of previews."""
    order = "<" if mpf[:2] == b"II" else ">"
    at = mpf.find(struct.pack(order + "HHI", 0xB001, 4, 1))
    if not 0 <= at <= len(mpf) - 12:
        return 1, frozenset()
    (count,) = struct.unpack_from(order + "I", mpf, at + 8)
    at = mpf.find(struct.pack(order + "HHI", 0xB002, 7, 16 * count))
    if not 0 <= at <= len(mpf) - 12:
        return count, frozenset()
    (table,) = struct.unpack_from(order + "I", mpf, at + 8)
    rows = struct.iter_unpack(order + "IIIHH", mpf[table : table + 16 * count])
    return count, frozenset(row[1] for row in rows if row[0] & 0xFF0000 == _PREVIEW)


def estimated_quality(tables: dict[int, tuple[int, ...]]) -> int | None:
    """The libjpeg quality, 1 to 100, whose luminance table is nearest to the file's."""
    if 0 not in tables:
        return None
    found = sum(tables[0])

    def total(quality: int) -> int:
        scale = 5000 // quality if quality < 50 else 200 - 2 * quality
        return sum(min(max((value * scale + 50) // 100, 1), 255) for value in _LUMINANCE)

    return min(range(100, 0, -1), key=lambda quality: abs(total(quality) - found))


# T.81 table K.1; the order does not matter to a sum.
_LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)


_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)


def end_of(data: bytes, at: int) -> int | None:
    """Where the picture ends whose first scan's data start at ``at``; None where it is cut off."""
    return scans(data, at)[0]


def scans(data: bytes, at: int) -> tuple[int | None, list[tuple[int, bytes]]]:
    """As :func:`end_of`, and the comments and application segments on the way there."""
    found: list[tuple[int, bytes]] = []
    while mark := _MARKER.search(data, at):
        marker, at = mark[1][0], mark.end()
        if marker == _EOI:
            return at, found
        size = int.from_bytes(data[at : at + 2], "big")
        if size < 2 or at + size > len(data):
            break
        if marker == _COMMENT or _APP0 <= marker <= _APP0 + 15:
            found.append((marker, data[at + 2 : at + size]))
        at += size
    return None, found


def only_pixels(data: bytes, found: JpegHead) -> bytes:
    """``data`` without what other readers might stumble over: EXIF, profiles, comments."""
    dropped = _OF_METADATA - {_APP0, _APP14}  # which tell how colours are stored
    kept = (s for s in _segments(io.BytesIO(data[: found.data_at])) if s[0] not in dropped)
    rest = memoryview(data)[found.data_at :]
    return b"".join((data[:2], *(_segment(*each) for each in kept), rest))


def with_metadata(
    jpeg: bytes | memoryview,
    *,
    exif: bytes | None,
    xmp: bytes | None,
    iptc: bytes | None,
    icc: bytes | None,
    comment: str | None,
    dpi: tuple[float, float] | None,
    extras: Sequence[Extra] = (),
) -> list[bytes | memoryview]:
    """``jpeg``, as an encoder wrote it, with these segments and this resolution, in pieces.

    ``exif`` is at most EXIF_MAX long. ``extras``: segments and Photoshop resources.
    """
    kept = [extra for extra in extras if extra.stored_as == STORED_AS]
    shapes = [extra.payload for extra in kept if extra.payload.startswith(JFIF)]
    parts = [_jfif(dpi, shapes[0][len(JFIF) :] if shapes else b"")]
    if exif:
        parts.append(_segment(_APP1, _EXIF + exif))
    if xmp:
        parts += _xmp_segments(xmp)
    resources = photoshop.section(iptc, extras)
    step = SEGMENT_MAX - len(_PHOTOSHOP)
    for at in range(0, len(resources), step):
        parts.append(_segment(_APP13, _PHOTOSHOP + resources[at : at + step]))
    if icc:
        step = SEGMENT_MAX - len(_ICC) - 2
        pieces = [icc[at : at + step] for at in range(0, len(icc), step)]
        for number, piece in enumerate(pieces, start=1):
            place = bytes((number, len(pieces)))
            parts.append(_segment(_APP2, _ICC + place + piece))
    parts += [_segment(each.kind[0], each.payload) for each in kept if each.payload not in shapes]
    if comment and not any(extra.text_key for extra in kept):
        parts.append(_segment(_COMMENT, comment.encode()[:SEGMENT_MAX]))
    at = 2
    if jpeg[2:4] == bytes((0xFF, _APP0)):
        at += 2 + int.from_bytes(jpeg[4:6], "big")
    view = memoryview(jpeg)
    return [view[:2], *parts, view[at:]]


def _jfif(dpi: tuple[float, float] | None, shape: bytes) -> bytes:
    """The JFIF header; pixels of no particular size where the resolution is unknown, and square
    ones unless they have a ``shape``."""
    across, down = (min(max(round(v), 1), 65535) for v in dpi) if dpi else (1, 1)
    sides = shape or struct.pack(">HH", across, down)
    has_unit = bool(dpi) and not shape
    return _segment(_APP0, struct.pack(">5sHB4sBB", JFIF, 0x0102, has_unit, sides, 0, 0))


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


# Every repetition is possessive or starts where nothing of its kind stands before it: a packet
# of blanks must not take the square of its length.
_RDF_START = re.compile(rb"<rdf:RDF\b[^>]*+>")
_RDF_END = re.compile(rb"</rdf:RDF\s*+>")
_HAS_EXTENSION = re.compile(
    rb"(?<!\s)\s*+(?:xmpNote:HasExtendedXMP\s*+=\s*+[\"']([0-9A-Fa-f]{32})[\"']"
    rb"|<xmpNote:HasExtendedXMP>\s*+([0-9A-Fa-f]{32})\s*+</xmpNote:HasExtendedXMP>)"
)


def _with_extension(xmp: bytes | None, extended: dict[bytes, dict[int, bytes]]) -> bytes | None:
    """The main packet with the descriptions of its extension moved into it."""
    link = _HAS_EXTENSION.search(xmp) if xmp else None
    if xmp is None or link is None:
        return xmp
    guid = link[1] or link[2]
    parts = extended.get(guid.upper()) or extended.get(guid.lower()) or {}
    extension = b"".join(parts[at] for at in sorted(parts))
    start = _RDF_START.search(extension)
    stop = extension.rfind(b"</rdf:RDF")
    end = _RDF_END.search(xmp)
    if start is None or stop < start.end() or end is None:
        return xmp
    inner = extension[start.end() : stop]
    return _HAS_EXTENSION.sub(b"", xmp[: end.start()] + inner + xmp[end.start() :])


def _xmp_segments(xmp: bytes) -> list[bytes]:
    """One segment, or a stub and its extension where the packet is too long for one."""
    if len(xmp) + len(_XMP) <= SEGMENT_MAX:
        return [_segment(_APP1, _XMP + xmp)]
    guid = hashlib.md5(xmp, usedforsecurity=False).hexdigest().upper().encode()
    stub = (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'
        b' xmpNote:HasExtendedXMP="' + guid + b'"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )
    parts = [_segment(_APP1, _XMP + stub)]
    step = SEGMENT_MAX - len(_EXTENDED_XMP) - 40
    for at in range(0, len(xmp), step):
        place = guid + struct.pack(">II", len(xmp), at)
        parts.append(_segment(_APP1, _EXTENDED_XMP + place + xmp[at : at + step]))
    return parts
