"""The chunks of a PNG file: check them, read what they say, put others in.

Every checksum is verified, because decoders differ in what they let pass.

Source: W3C PNG specification, third edition (2025).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from restore_batch.stages.media import Extra
from restore_batch.stages.photo.metadata import packets as metadata
from restore_batch.stages.photo.metadata import photoshop
from restore_batch.stages.photo.metadata.allowance import Allowance
from restore_batch.text import plural

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP_KEY = "XML:com.adobe.xmp"
_RAW_PROFILE = "Raw profile type "
STORED_AS = "png"
# How viewers must interpret the samples where there is no ICC profile: kept as they are.
_COLOUR = (b"cICP", b"gAMA", b"cHRM", b"sRGB")
_OF_PIXELS = frozenset({b"IDAT", b"IEND", b"fcTL", b"fdAT", b"iDOT"})
_OF_FILE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_HEADER_CHUNK_MAX = 4 << 20
_COLOUR_CHUNK_MAX = 64
_MAX_CHUNKS = 100_000
"""Beside those of the pixels."""

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


class PngError(ValueError):
    """The chunks of a PNG file are damaged."""


@dataclass
class PngHead:
    """What the chunks say beside the pixels."""

    width: int
    height: int
    bits: int
    colour: int
    """PNG colour type: 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGB + alpha."""
    transparent: bool = False
    frames: int = 1
    palette: bytes = b""
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: dict[str, str] = field(default_factory=dict)
    colour_chunks: dict[str, bytes] = field(default_factory=dict)
    resources: bytes = b""
    """Photoshop image resources, the IPTC records among them."""

    texts: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    """Key, name and payload of the chunks that ``text`` comes from."""

    others: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Name and payload of chunks that nothing here reads."""

    left_out: tuple[Extra, ...] = ()
    """What was too much."""

    @property
    def has_alpha(self) -> bool:
        return self.colour in {4, 6} or self.transparent

    @property
    def channels(self) -> int:
        """Colour channels of a pixel without alpha, after looking up a palette."""
        return 1 if self.colour in {0, 4} else 3

    @property
    def raw_bytes(self) -> int:
        """Least size of the pixels before compression."""
        return self.height * ((self.width * self.bits * _CHANNELS[self.colour] + 7) // 8)


def _places(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the payload of every chunk up to IEND. Raises PngError at the first
    damage."""
    at, others = len(SIGNATURE), 0
    view = memoryview(data)
    while True:
        if at + 12 > len(data):
            raise PngError("cut off: the end chunk is missing")
        size = int.from_bytes(view[at : at + 4], "big")
        name = bytes(view[at + 4 : at + 8])
        end = at + 8 + size
        if end + 4 > len(data):
            raise PngError(f"cut off inside a chunk of {plural(size, 'byte')}")
        stored = int.from_bytes(view[end : end + 4], "big")
        if zlib.crc32(view[at + 4 : end]) != stored:
            raise PngError(f"wrong checksum in chunk {name.decode('latin-1')!r}")
        others += name not in _OF_PIXELS
        if others > _MAX_CHUNKS:
            raise PngError(_TOO_MANY)
        yield name, at + 8, end
        if name == b"IEND":
            return
        at = end + 4


_TOO_MANY = f"more than {_MAX_CHUNKS:,} chunks beside its pixels"


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and payload of every chunk up to IEND, of pixels without it. Raises PngError at the
    first damage."""
    for name, start, end in _places(data):
        yield name, b"" if name in {b"IDAT", b"fdAT"} else data[start:end]


def header_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The small chunks of a file without its pixels and without checks, for a quick look."""
    file.seek(len(SIGNATURE))
    others = 0
    while len(start := file.read(8)) == 8:
        size, name = int.from_bytes(start[:4], "big"), start[4:]
        others += name not in _OF_PIXELS
        if others > _MAX_CHUNKS:
            raise PngError(_TOO_MANY)
        if size <= _HEADER_CHUNK_MAX and name not in {b"IDAT", b"fdAT"}:
            payload = file.read(size)
            yield name, payload
            file.seek(4, 1)
        else:
            file.seek(size + 4, 1)


def head(found: Iterable[tuple[bytes, bytes]]) -> PngHead:  # noqa: PLR0912 - one branch a chunk
    """What the chunks say, as far as it fits one allowance. Raises PngError on a wrong header."""
    result: PngHead | None = None
    allowance, texts = Allowance(), dict[str, list[str]]()
    for name, payload in found:
        if result is None:
            result = _start(name, payload)
        elif name in _OF_PIXELS:
            continue
        elif not allowance.takes(len(payload), f"PNG chunk {name.decode('latin-1')}"):
            result.transparent |= name == b"tRNS"
        elif name == b"PLTE":
            result.palette = payload[:768]
        elif name == b"tRNS":
            result.transparent = True
        elif name == b"acTL" and len(payload) >= 4:
            result.frames = max(int.from_bytes(payload[:4], "big"), 1)
        elif name == b"eXIf" and result.exif is None:
            result.exif = payload.removeprefix(b"Exif\x00\x00")
        elif name == b"iCCP":
            _, _, rest = payload.partition(b"\x00")
            result.icc = _inflate(rest[1:], allowance, "colour profile")
            result.icc = rest if result.icc == b"" else result.icc
        elif name == b"pHYs" and len(payload) == 9:
            across, down = struct.unpack(">II", payload[:8])
            if payload[8] == 1:
                result.dpi = across * 0.0254, down * 0.0254
            elif across != down:
                result.others.append((name, payload))
        elif name in {b"tEXt", b"zTXt", b"iTXt"}:
            _take_text(result, name, payload, allowance, texts)
        elif name in _COLOUR and len(payload) <= _COLOUR_CHUNK_MAX:
            result.colour_chunks[name.decode()] = payload
        else:
            result.others.append((name, payload))
    if result is None:
        raise PngError("no header")
    result.text = {key: "\n".join(values) for key, values in texts.items()}
    result.left_out = allowance.left_out
    return result


def _start(name: bytes, payload: bytes) -> PngHead:
    if name != b"IHDR" or len(payload) != 13:
        raise PngError("the file does not start with a header")
    width, height, bits, colour = struct.unpack(">IIBB", payload[:10])
    if not width or not height or colour not in _CHANNELS or bits not in {1, 2, 4, 8, 16}:
        raise PngError(f"impossible header: {width}x{height}, {bits} bits, colour type {colour}")
    return PngHead(width, height, bits, colour)


def _inflate(data: bytes, allowance: Allowance, what: str) -> bytes | None:
    """Unpacked; empty where that fails, None where it does not fit."""
    try:
        return allowance.inflated(data, what)
    except zlib.error:
        return b""


def _take_text(
    result: PngHead,
    name: bytes,
    payload: bytes,
    allowance: Allowance,
    texts: dict[str, list[str]],
) -> None:
    raw_key, _, rest = payload.partition(b"\x00")
    key = raw_key.decode("latin-1")
    what = f"text entry {key!r}"
    is_international = name == b"iTXt"
    body: bytes | None = rest
    if is_international:
        body = rest[2:].split(b"\x00", 2)[-1]
    if name == b"zTXt" or (is_international and rest[:1] == b"\x01"):
        body = _inflate(body if is_international else rest[1:], allowance, what)  # type: ignore[arg-type]
    if body is None:
        return
    if is_international and key == _XMP_KEY and result.xmp is None:
        result.xmp = body
        return
    if key.startswith(_RAW_PROFILE):
        if not _take_raw_profile(result, key.removeprefix(_RAW_PROFILE), body):
            result.others.append((name, payload))
        return
    value = body.decode("utf-8", "replace") if is_international else body.decode("latin-1")
    # Beyond Latin-1 every character of a text takes as many bytes as its widest.
    if not body.isascii() and not allowance.takes(3 * len(value), what):
        return
    result.texts.append((key, name, payload))
    texts.setdefault(key, []).append(value)


def _take_raw_profile(result: PngHead, kind: str, value: bytes) -> bool:
    """A profile in ImageMagick's way: name, size and hexadecimal digits as text. Whether it could
    be read and is the first of its kind."""
    try:
        # The name may be of several words: "IPTC profile".
        lines = value.lstrip().split(b"\n", 2)
        body = bytes.fromhex(lines[2].decode("ascii") if len(lines) > 2 else "")
    except ValueError:
        return False
    if kind in {"iptc", "8bim"}:
        if body[:1] == b"\x1c" and result.iptc is None:
            result.iptc = body
        elif body[:4] == b"8BIM" and not result.resources:
            result.resources, result.iptc = body, photoshop.iptc_of(body)
        else:
            return False
    elif kind in {"exif", "APP1"} and body[:6] == b"Exif\x00\x00" and result.exif is None:
        result.exif = body[6:]
    elif kind == "xmp" and result.xmp is None:
        result.xmp = body
    else:
        return False
    return True


def only_pixels(data: bytes) -> bytes:
    """A PNG file of the chunks that make the pixels, so that decoders see no other. Raises
    PngError."""
    view = memoryview(data)
    kept = (view[at - 8 : end + 4] for name, at, end in _places(data) if name in _OF_FILE)
    return b"".join((SIGNATURE, *kept))


def chunk(name: bytes, payload: bytes) -> bytes:
    """One chunk with its checksum."""
    check = zlib.crc32(payload, zlib.crc32(name))
    return len(payload).to_bytes(4, "big") + name + payload + check.to_bytes(4, "big")


def with_metadata(
    png: bytes | memoryview,
    *,
    exif: bytes | None,
    xmp: bytes | None,
    iptc: bytes | None,
    icc: bytes | None,
    dpi: tuple[float, float] | None,
    text: Mapping[str, str],
    colour_chunks: Mapping[str, bytes],
    extras: Sequence[Extra] = (),
) -> list[bytes | memoryview]:
    """``png`` with these chunks between its header and its pixels, in pieces. ``extras``: chunks,
    which stand for the text entries they are of, and Photoshop resources."""
    added = []
    if icc:
        added.append(chunk(b"iCCP", b"ICC profile\x00\x00" + zlib.compress(icc, 9)))
    else:
        added += [chunk(name.encode(), colour_chunks[name]) for name in colour_chunks]
    if dpi:
        across, down = metadata.dots_a_metre(dpi)
        added.append(chunk(b"pHYs", struct.pack(">IIB", across, down, 1)))
    if exif:
        added.append(chunk(b"eXIf", exif))
    if xmp:
        added.append(chunk(b"iTXt", _XMP_KEY.encode() + b"\x00" * 5 + xmp))
    if resources := photoshop.section(iptc, extras):
        added.append(_raw_profile("iptc", resources))
    kept = [extra for extra in extras if extra.stored_as == STORED_AS]
    kept = [extra for extra in kept if not dpi or extra.kind != b"pHYs"]
    verbatim = {extra.text_key for extra in kept if extra.text_key}
    added += [chunk(extra.kind, extra.payload) for extra in kept]
    added += [_text_chunk(key, text[key]) for key in text if key not in verbatim]
    after_header = len(SIGNATURE) + 25
    view = memoryview(png)
    return [view[:after_header], *added, view[after_header:]]


def _raw_profile(kind: str, body: bytes) -> bytes:
    digits = body.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    value = f"\n{kind}\n{len(body):8d}\n{lines}\n"
    key = (_RAW_PROFILE + kind).encode()
    return chunk(b"zTXt", key + b"\x00\x00" + zlib.compress(value.encode(), 9))


def _text_chunk(key: str, value: str) -> bytes:
    name = key.encode("latin-1", "replace")[:79]
    try:
        body = value.encode("latin-1")
    except UnicodeEncodeError:
        return chunk(b"iTXt", name + b"\x00" * 5 + value.encode("utf-8", "replace"))
    if len(body) > 1024:
        return chunk(b"zTXt", name + b"\x00\x00" + zlib.compress(body, 9))
    return chunk(b"tEXt", name + b"\x00" + body)
