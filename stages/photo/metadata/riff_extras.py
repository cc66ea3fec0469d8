"""The chunks of a WebP file: what it says of its first picture, and what it holds beside it.

Of what is beside picture, profile, EXIF and XMP nothing is kept.

Source: RFC 9649, sections 2.3 (RIFF), 2.5 to 2.7 (chunks), 3.4 (lossless header); RFC 6386, section
9.1 (lossy header); C2PA 2.1, annex A.3.5 (C2PA chunk).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from restore_batch.stages.media import Extra
from restore_batch.stages.photo.metadata import promises
from restore_batch.stages.photo.metadata.allowance import Allowance
from restore_batch.stages.photo.metadata.behind import extras_behind
from restore_batch.stages.photo.metadata.extras import in_bytes, left_out, unknown

_PICTURES = frozenset({b"VP8 ", b"VP8L"})
_READ = _PICTURES | {b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "}
_ALPHA_FLAG = 0x10
_MAX_CHUNKS = 200_000


class WebpError(ValueError):
    """The chunks cannot be followed."""


@dataclass
class WebpHead:
    """``width`` and ``height`` of the canvas. ``first``: chunks of the first picture, which is
    smaller in some animations and then lies at ``left``, ``top``."""

    width: int = 0
    height: int = 0
    has_alpha: bool = False
    lossless: bool = False
    frames: int = 1
    animated: bool = False
    left: int = 0
    top: int = 0
    first: list[tuple[bytes, bytes]] = field(default_factory=list)
    exif: bytes | None = None
    xmp: bytes | None = None
    icc: bytes | None = None
    extras: tuple[Extra, ...] = ()


def head(data: bytes) -> WebpHead:
    """The chunks of a whole file. Raises WebpError."""
    found, allowance, frames = WebpHead(), Allowance(), 0
    others: list[Extra] = []
    end = min(8 + int.from_bytes(data[4:8], "little"), len(data))
    for name, start, stop in _chunks(data, 12, end):
        size = stop - start
        if name == b"VP8X" and size >= 10 and not found.width:
            found.has_alpha = bool(data[start] & _ALPHA_FLAG)
            across, down = (data[at : at + 3] for at in (start + 4, start + 7))
            found.width = int.from_bytes(across, "little") + 1
            found.height = int.from_bytes(down, "little") + 1
        elif name == b"ANMF":
            if not frames:
                _take_frame(found, data, start, stop)
            frames += 1
        elif name in _PICTURES | {b"ALPH"}:
            if not found.animated and not _has_picture(found):
                found.first.append((name, data[start:stop]))
        elif name not in _READ or name in {b"ICCP", b"EXIF", b"XMP "}:
            what = f"WebP chunk {name.decode('latin-1')!r}"
            if allowance.takes(size if name in _READ else 0, what):
                _take(found, others, name, data[start:stop] if name in _READ else b"", size)
    _take_first(found)
    found.frames = max(frames, 1)
    found.extras = (*others, *allowance.left_out, *extras_behind(data, end))
    return found


def _take(found: WebpHead, others: list[Extra], name: bytes, body: bytes, size: int) -> None:
    if name == b"ICCP":
        found.icc = found.icc or body
    elif name == b"EXIF":
        found.exif = found.exif or body
    elif name == b"XMP ":
        found.xmp = found.xmp or body
    elif name == b"C2PA":
        others.append(left_out(promises.CREDENTIALS))
    else:
        others.append(unknown(f"WebP chunk {name.decode('latin-1')!r}{in_bytes(size)}"))


def _chunks(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the content of each chunk."""
    for _ in range(_MAX_CHUNKS):
        if at + 8 > end:
            return
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], at + 8, min(at + 8 + size, end)
        at += 8 + size + size % 2
    raise WebpError(f"more than {_MAX_CHUNKS:,} chunks")


def _has_picture(found: WebpHead) -> bool:
    return any(name in _PICTURES for name, _ in found.first)


def _take_frame(found: WebpHead, data: bytes, start: int, stop: int) -> None:
    found.animated = True
    left, top = data[start : start + 3], data[start + 3 : start + 6]
    found.left = 2 * int.from_bytes(left, "little")
    found.top = 2 * int.from_bytes(top, "little")
    found.first = []
    for name, at, end in _chunks(data, start + 16, stop):
        if name in _PICTURES | {b"ALPH"}:
            found.first.append((name, data[at:end]))
        if name in _PICTURES:
            return


def _take_first(found: WebpHead) -> None:
    """Size and kind as the first picture says."""
    if not _has_picture(found):
        raise WebpError("no picture")
    name, body = found.first[-1]
    found.lossless = name == b"VP8L"
    width, height, has_alpha = _of_lossless(body) if found.lossless else _of_lossy(body)
    if not found.animated:
        has_alpha |= len(found.first) > 1 or (found.has_alpha and not found.lossless)
        found.has_alpha = has_alpha
        found.width, found.height = found.width or width, found.height or height
    if not found.width or (not found.animated and (width, height) != (found.width, found.height)):
        raise WebpError(f"a picture of {width}x{height} on {found.width}x{found.height}")
    if found.left + width > found.width or found.top + height > found.height:
        raise WebpError("its first picture is not inside")


def _of_lossy(body: bytes) -> tuple[int, int, bool]:
    if body[3:6] != b"\x9d\x01\x2a" or len(body) < 10:
        raise WebpError("damaged picture header")
    width, height = struct.unpack("<HH", body[6:10])
    return width & 0x3FFF, height & 0x3FFF, False


def _of_lossless(body: bytes) -> tuple[int, int, bool]:
    if body[:1] != b"\x2f" or len(body) < 5:
        raise WebpError("damaged picture header")
    bits = int.from_bytes(body[1:5], "little")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)


def first_picture(found: WebpHead) -> tuple[bytes, int, int]:
    """A file of the first picture alone, its width and its height."""
    name, body = found.first[-1]
    width, height, _ = _of_lossless(body) if name == b"VP8L" else _of_lossy(body)
    chunks = [_chunk(*each) for each in found.first]
    if len(found.first) > 1:
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        chunks.insert(0, _chunk(b"VP8X", bytes((_ALPHA_FLAG, 0, 0, 0)) + size))
    content = b"".join((b"WEBP", *chunks))
    return b"RIFF" + len(content).to_bytes(4, "little") + content, width, height


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)
