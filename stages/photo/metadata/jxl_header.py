"""The start of a JPEG XL file: its boxes and the header of its codestream.

Source: ISO/IEC 18181-1 (codestream, annex D: image header) and 18181-2 (file format).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from restore_batch.stages.media import Extra
from restore_batch.stages.photo.metadata.allowance import Allowance

Curve = Literal["srgb", "linear", "other"]

CODESTREAM = b"\xff\x0a"
CONTAINER = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
_HEAD_BYTES = 4096
_MAX_BOXES = 10_000
_GREY, _XYB = 1, 2
_D65, _SRGB, _CUSTOM = 1, 1, 2
_CURVES: dict[int, Curve] = {8: "linear", 13: "srgb"}
_ALPHA, _SPOT, _CFA = 0, 2, 5


class JxlError(ValueError):
    """The header cannot be followed."""


@dataclass
class JxlHead:
    """What a JPEG XL file says before its pixels. ``width`` and ``height`` as coded, before
    ``orientation``, which decoders apply; ``curve``: of samples in sRGB's primaries and white,
    "other" where any of them is another."""

    width: int = 0
    height: int = 0
    bits: int = 8
    is_float: bool = False
    channels: int = 3
    has_alpha: bool = False
    other_channels: int = 0
    orientation: int = 1
    is_animated: bool = False
    curve: Curve = "srgb"
    exif: bytes | None = None
    xmp: bytes | None = None
    left_out: tuple[Extra, ...] = ()
    """What was too much."""


class _Bits:
    """Fields of a codestream, least significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        if count > self._left:
            raise JxlError("cut off inside the header")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return value

    def flag(self) -> bool:
        return bool(self.take(1))

    def choice(self, *kinds: tuple[int, int]) -> int:
        """One of four (bits, offset)."""
        count, offset = kinds[self.take(2)]
        return self.take(count) + offset

    def kind(self) -> int:
        return self.choice((0, 0), (0, 1), (4, 2), (6, 18))


def head(file: BinaryIO) -> JxlHead:
    """Read boxes and header, not the pixels. Raises JxlError."""
    file.seek(0)
    start = file.read(len(CONTAINER))
    if start.startswith(CODESTREAM):
        file.seek(0)
        return _image_header(file.read(_HEAD_BYTES))
    coded = b""
    exif = xmp = None
    allowance = Allowance()
    for name, payload in _boxes(file, allowance):
        if name in {b"jxlc", b"jxlp"} and len(coded) < _HEAD_BYTES:
            coded += payload[4:] if name == b"jxlp" else payload
        elif name == b"Exif" and len(payload) > 4:
            exif = payload[4 + int.from_bytes(payload[:4], "big") :]
        elif name == b"xml ":
            xmp = payload
    found = _image_header(coded[:_HEAD_BYTES])
    found.exif, found.xmp = exif or None, xmp or None
    found.left_out = allowance.left_out
    return found


def _boxes(file: BinaryIO, allowance: Allowance) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each box, of codestreams their start; packed ones unpacked."""
    end = file.seek(0, io.SEEK_END)
    at = len(CONTAINER)
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        file.seek(at)
        size, name = int.from_bytes(file.read(4), "big"), file.read(4)
        start = at + 8
        if size == 1:
            size, start = int.from_bytes(file.read(8), "big"), at + 16
        at = at + size if size else end
        if at < start:
            raise JxlError(f"impossible size of box {name.decode('latin-1')!r}")
        file.seek(start)
        if name in {b"jxlc", b"jxlp"}:
            yield name, file.read(min(at - start, _HEAD_BYTES))
        elif name in {b"Exif", b"xml ", b"brob"}:
            what, size = f"box {name.decode('latin-1')!r}", min(at, end) - start
            if not allowance.takes(size, what):
                continue
            payload: bytes | None = file.read(size)
            if name == b"brob" and payload is not None:
                name, payload = payload[:4], _unpacked(payload[4:], allowance, what)
            if payload is not None:
                yield name, payload
    raise JxlError(f"more than {_MAX_BOXES:,} boxes")


def _unpacked(data: bytes, allowance: Allowance, what: str) -> bytes | None:
    """Brotli's data; None where they do not fit."""
    import imagecodecs

    limit = allowance.left_bytes
    try:
        unpacked = bytes(imagecodecs.brotli_decode(data, out=limit))
    except imagecodecs.BrotliError:
        # Which of both it is, the decoder does not tell.
        allowance.refuse(f"{what} that is damaged or too large")
        return None
    return unpacked if allowance.takes(len(unpacked), what) else None


def _image_header(data: bytes) -> JxlHead:
    if data[:2] != CODESTREAM:
        raise JxlError("no codestream in the file")
    bits, found = _Bits(data[2:]), JxlHead()
    found.width, found.height = _size(bits)
    if bits.flag():  # all as usual
        return found
    if bits.flag():
        found.orientation = bits.take(3) + 1
        if bits.flag():
            _size(bits)
        if bits.flag():
            raise JxlError("it holds a preview, which is not supported")
        found.is_animated = bits.flag()
        if found.is_animated:
            bits.choice((0, 100), (0, 1000), (10, 1), (30, 1))
            bits.choice((0, 1), (0, 1001), (8, 1), (10, 1))
            bits.choice((0, 0), (3, 0), (16, 0), (32, 0))
            bits.flag()
    found.bits, found.is_float = _depth(bits)
    bits.flag()  # whether 16-bit buffers are enough
    for _ in range(bits.choice((0, 0), (0, 1), (4, 2), (12, 1))):
        if _extra_channel(bits) == _ALPHA and not found.has_alpha:
            found.has_alpha = True
        else:
            found.other_channels += 1
    bits.flag()  # whether colours are coded as XYB
    found.channels, found.curve = _colours(bits)
    return found


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.flag()

    def side() -> int:
        return (bits.take(5) + 1) * 8 if small else bits.choice((9, 1), (13, 1), (18, 1), (30, 1))

    height = side()
    ratio = bits.take(3)
    if ratio:
        across, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
        return height * across // down, height
    return side(), height


def _depth(bits: _Bits) -> tuple[int, bool]:
    if not bits.flag():
        return bits.choice((0, 8), (0, 10), (0, 12), (6, 1)), False
    depth = bits.choice((0, 32), (0, 16), (0, 24), (6, 1))
    bits.take(4)
    return depth, True


def _extra_channel(bits: _Bits) -> int:
    """What a channel beside the colours is."""
    if bits.flag():
        return _ALPHA
    kind = bits.kind()
    _depth(bits)
    bits.choice((0, 0), (0, 3), (0, 4), (3, 1))
    for _ in range(bits.choice((0, 0), (4, 0), (5, 16), (10, 48))):
        bits.take(8)
    if kind == _ALPHA:
        bits.flag()
    elif kind == _SPOT:
        bits.take(64)
    elif kind == _CFA:
        bits.choice((0, 1), (2, 0), (4, 3), (8, 19))
    return kind


def _colours(bits: _Bits) -> tuple[int, Curve]:
    """Channels of colour, and their curve."""
    if bits.flag():
        return 3, "srgb"
    has_profile, space = bits.flag(), bits.kind()
    channels = 1 if space == _GREY else 3
    if has_profile or space == _XYB:
        return channels, "other"
    white = bits.kind()
    if white == _CUSTOM:
        return channels, "other"
    primaries = _SRGB if space == _GREY else bits.kind()
    if (white, primaries) != (_D65, _SRGB) or bits.flag():  # a power as curve
        return channels, "other"
    return channels, _CURVES.get(bits.kind(), "other")
