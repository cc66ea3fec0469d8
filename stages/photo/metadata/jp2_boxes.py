"""The boxes of a JPEG 2000 file: read what they say, put others in.

Source: ISO/IEC 15444-1 annex A (codestream) and annex I (JP2); the UUIDs are those that ExifTool
and the XMP specification (part 3) use.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from restore_batch.stages.media import Extra
from restore_batch.stages.photo.metadata import packets as metadata
from restore_batch.stages.photo.metadata import photoshop, promises
from restore_batch.stages.photo.metadata.allowance import Allowance
from restore_batch.stages.photo.metadata.extras import in_bytes, left_out, unknown

_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_SUPERBOXES = frozenset({b"jp2h", b"res "})
_EXIF = b"JpgTiffExif->JP2"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
_PHOTOSHOP = bytes.fromhex("2c4c0100850440b9a03e562148d6dfeb")
_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_OF_PICTURE = frozenset(
    {b"jP  ", b"ftyp", b"jp2h", b"res ", b"ihdr", b"bpcc", b"pclr", b"cmap", b"free", b"rreq"}
)
# XML, intellectual property, and where to read about UUIDs.
_KEPT = frozenset({b"xml ", b"jp2i", b"uinf"})
STORED_AS = "jp2"
_CMYK, _SRGB, _GREY = 12, 16, 17
_SIZ, _COD = b"\xff\x51", b"\xff\x52"
_MAX_BOXES, _MAX_DEPTH, _MAX_CHANNELS = 10_000, 4, 4


class Jp2Error(ValueError):
    """The boxes or the codestream's header cannot be followed."""


@dataclass
class Jp2Head:
    """What a JPEG 2000 file says before its data."""

    width: int = 0
    height: int = 0
    bits: int = 8
    signed: bool = False
    components: int = 0
    reversible: bool = False
    is_cmyk: bool = False
    alpha_channel: int | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    codestream_at: int = 0
    extras: list[Extra] = field(default_factory=list)


def _boxes(file: BinaryIO, at: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the content of each box, with those of superboxes."""
    if depth > _MAX_DEPTH:
        raise Jp2Error("boxes nested too deeply")
    while at + 8 <= end:
        file.seek(at)
        size, name = struct.unpack(">I4s", file.read(8))
        start = at + 8
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
            start += 8
        stop = end if size == 0 else at + size
        if stop < start or stop > end:
            raise Jp2Error(f"cut off inside box {name.decode('latin-1')!r}")
        yield name, start, stop
        if name in _SUPERBOXES:
            yield from _boxes(file, start, stop, depth + 1)
        at = stop


def head(file: BinaryIO, file_size: int) -> Jp2Head:
    """Read boxes and codestream header. Raises Jp2Error."""
    found = Jp2Head()
    file.seek(0)
    if file.read(4) == b"\xff\x4f\xff\x51":
        _codestream(file, 0, found)
        return found
    allowance = Allowance()
    for number, (name, start, end) in enumerate(_boxes(file, 0, file_size)):
        if number > _MAX_BOXES:
            raise Jp2Error(f"more than {_MAX_BOXES:,} boxes")
        if name == b"jp2c" and not found.components:
            _codestream(file, start, found)
        elif name in _SUPERBOXES or name == b"jp2c":
            continue
        elif allowance.takes(end - start, f"box {name.decode('latin-1')!r}"):
            file.seek(start)
            _take(found, name, file.read(end - start))
    found.extras += allowance.left_out
    if not found.components:
        raise Jp2Error("no codestream")
    if found.alpha_channel is None and not found.is_cmyk and found.components in {2, 4}:
        found.alpha_channel = found.components - 1
    return found


def _take(found: Jp2Head, name: bytes, body: bytes) -> None:  # noqa: PLR0912 - one branch a box
    if name == b"colr":
        if body[:1] == b"\x01" and len(body) >= 7:
            found.is_cmyk = int.from_bytes(body[3:7], "big") == _CMYK
        elif body[:1] in {b"\x02", b"\x03"} and len(body) >= 3:
            found.icc = found.icc or body[3:]
    elif name in {b"pclr", b"cmap"}:
        channels = body[2] if name == b"pclr" and len(body) > 2 else len(body) // 4
        if channels > _MAX_CHANNELS:
            raise Jp2Error(f"its palette makes {channels} channels")
    elif name == b"cdef":
        for at in range(2, len(body) - 5, 6):
            channel, kind, _ = struct.unpack(">HHH", body[at : at + 6])
            if kind in {1, 2}:
                found.alpha_channel = channel
    elif name in {b"resc", b"resd"}:
        if len(body) < 10:
            return
        down_n, down_d, across_n, across_d, down_e, across_e = struct.unpack(">HHHHbb", body[:10])
        if down_d and across_d:
            across = across_n / across_d * 10.0**across_e * 0.0254
            found.dpi = across, down_n / down_d * 10.0**down_e * 0.0254
    elif name == b"uuid":
        _take_uuid(found, body[:16], body[16:])
    elif name not in _OF_PICTURE:
        found.extras.append(_extra(name, body))


def _extra(name: bytes, body: bytes) -> Extra:
    if name == b"jumb" and b"c2pa" in body[:200]:
        return left_out(promises.CREDENTIALS)
    what = f"box {name.decode('latin-1')!r}{in_bytes(len(body))}"
    if name in _KEPT:
        return Extra(what, stored_as=STORED_AS, kind=name, payload=body)
    return unknown(what)


def _take_uuid(found: Jp2Head, kind: bytes, content: bytes) -> None:
    if kind == _EXIF and found.exif is None:
        found.exif = content.removeprefix(b"Exif\x00\x00")
    elif kind == _XMP and found.xmp is None:
        found.xmp = content
    elif kind == _IPTC and found.iptc is None:
        found.iptc = content
    elif kind == _PHOTOSHOP:
        found.iptc = found.iptc or photoshop.iptc_of(content)
        found.extras += photoshop.extras_of(content)
    elif kind == _C2PA:
        found.extras.append(left_out(promises.CREDENTIALS))
    else:
        found.extras.append(unknown(f"box uuid {kind.hex()}{in_bytes(len(content))}"))


def _codestream(file: BinaryIO, at: int, found: Jp2Head) -> None:
    file.seek(at)
    data = file.read(65536)
    if data[2:4] != _SIZ or len(data) < 42:
        raise Jp2Error("no picture size in the codestream")
    right, bottom, left, top = struct.unpack(">4I", data[8:24])
    found.codestream_at = at
    found.width, found.height = right - left, bottom - top
    found.components = int.from_bytes(data[40:42], "big")
    depths = data[42 : 42 + 3 * found.components : 3]
    found.bits = max((depth & 127) + 1 for depth in depths) if depths else 8
    found.signed = any(depth & 128 for depth in depths)
    if found.width <= 0 or found.height <= 0 or not depths:
        raise Jp2Error("impossible picture size in the codestream")
    marker = data.find(_COD, 42)
    found.reversible = marker >= 0 and data[marker + 13 : marker + 14] == b"\x01"


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, name) + body


def with_metadata(
    codestream: bytes,
    *,
    width: int,
    height: int,
    channels: int,
    bits: int,
    has_alpha: bool,
    exif: bytes | None,
    xmp: bytes | None,
    iptc: bytes | None,
    icc: bytes | None,
    dpi: tuple[float, float] | None,
    extras: Sequence[Extra] = (),
) -> bytes:
    """A JP2 file around ``codestream``; ``channels`` counts alpha, which is the last.
    ``extras``: boxes, and Photoshop resources."""
    colours = channels - has_alpha
    header = [_box(b"ihdr", struct.pack(">IIHBBBB", height, width, channels, bits - 1, 7, 0, 0))]
    if icc:
        header.append(_box(b"colr", b"\x02\x00\x00" + icc))
    else:
        space = _GREY if colours == 1 else _SRGB
        header.append(_box(b"colr", b"\x01\x00\x00" + struct.pack(">I", space)))
    if has_alpha:
        rows = [(channel, 0, channel + 1) for channel in range(colours)] + [(colours, 1, 0)]
        body = struct.pack(">H", len(rows)) + b"".join(struct.pack(">HHH", *row) for row in rows)
        header.append(_box(b"cdef", body))
    if dpi:
        header.append(_box(b"res ", _box(b"resc", _resolution(dpi))))
    file_type = b"jp2 " + bytes(4) + b"jp2 "
    boxes = [_SIGNATURE, _box(b"ftyp", file_type), _box(b"jp2h", b"".join(header))]
    resources = photoshop.section(None, extras)
    uuids = ((_EXIF, exif), (_XMP, xmp), (_IPTC, iptc), (_PHOTOSHOP, resources))
    for kind, content in uuids:
        if content:
            boxes.append(_box(b"uuid", kind + content))
    boxes += [_box(each.kind, each.payload) for each in extras if each.stored_as == STORED_AS]
    boxes.append(_box(b"jp2c", codestream))
    return b"".join(boxes)


def _resolution(dpi: tuple[float, float]) -> bytes:
    across, down = metadata.dots_a_metre(dpi)
    exponents = [2 if value > 65535 else 0 for value in (down, across)]
    numbers = [value // 10**e for value, e in zip((down, across), exponents, strict=True)]
    return struct.pack(">HHHHbb", numbers[0], 1, numbers[1], 1, *exponents)
