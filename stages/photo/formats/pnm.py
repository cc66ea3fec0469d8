"""PNM: the Netpbm family of PBM (black and white), PGM (grey) and PPM (colour), plain and raw.

A file is a short header and its samples, so numpy reads and writes them: Pillow rounds 16-bit
colour to 8 bits, and OpenCV leaves white grey where it is not 255 or 65535. What a file is, its
first two bytes say, not its suffix. A restored PBM has greys and is written as PNM.

Source: Netpbm manual pages pbm(5), pgm(5), ppm(5), pnm(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from restore_batch.errors import MediaError
from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.formats.base import WrittenFormat
from restore_batch.stages.photo.raster import Header, Picture, Raster
from restore_batch.stages.photo.source import in_memory

_SPACE = b" \t\n\v\f\r"
_HEADER_BYTES = 1 << 16
_COMMENT_BYTES = 1 << 15
_ROWS_AT_ONCE = 64
_TEXT_BYTES, _DIGITS = 1 << 20, 1 << 10
_MAGIC = re.compile(rb"P[1-6][\s#]")
_TOKEN = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])*([0-9]{1,10})(?=[\s#])")
_COMMENT = re.compile(rb"#[^\r\n]*")
_PLAIN = frozenset({b"P1", b"P2", b"P3"})
_BLACK_AND_WHITE = frozenset({b"P1", b"P4"})
_COLOUR = frozenset({b"P3", b"P6"})


@dataclass(frozen=True)
class _Head:
    """``white``: the greatest sample; ``samples_at``: offset of the first sample; ``comment``: all
    comments before it."""

    kind: bytes
    width: int
    height: int
    white: int
    samples_at: int
    comment: str

    @property
    def channels(self) -> int:
        return 3 if self.kind in _COLOUR else 1

    @property
    def count(self) -> int:
        return self.width * self.height * self.channels


class Pnm(WrittenFormat):
    name = "pnm"
    title = "PNM"
    suffixes = (".pnm", ".ppm", ".pgm", ".pbm")
    read_only_suffixes = frozenset({".pbm"})
    max_side_px = 2**31 - 1
    bit_depths = (8, 16)
    text_keys = frozenset({"Comment"})
    bytes_a_pixel = 3.0
    converted = ("black and white becomes grey",)
    left_out = ("further pictures",)
    refused = ("files that are cut off",)

    def matches(self, head: bytes, file: BinaryIO) -> bool:
        return _MAGIC.match(head) is not None

    def header(self, file: BinaryIO, source: str) -> Header:
        file.seek(0)
        head = _head(file.read(_HEADER_BYTES))
        return Header(head.width, head.height, head.white.bit_length(), head.channels)

    def decode(self, file: BinaryIO, source: str) -> Raster:
        data = in_memory(file)
        head = _head(data[:_HEADER_BYTES])
        read = _plain if head.kind in _PLAIN else _raw
        samples, rest = read(data, head, source)
        if samples.max(initial=0) > head.white:
            raise ValueError(f"a sample of {samples.max()}, where white is {head.white}")
        shape = (head.height, head.width, head.channels)
        warnings = ("what follows the first picture in the file is not kept",) if rest else ()
        meta = PhotoMeta(
            container=self.name,
            bits=head.white.bit_length(),
            text={"Comment": head.comment} if head.comment else {},
            quality_hint={"lossless": True},
        )
        pixels = _full_range(samples, head).reshape(shape)
        return Raster(pixels, "rgb" if head.channels == 3 else "grey", meta, warnings=warnings)

    def encode(
        self, picture: Picture, meta: PhotoMeta, path: Path, quality: int | None
    ) -> tuple[str, ...]:
        kind = b"P6" if picture.channels == 3 else b"P5"
        white = (1 << picture.bits) - 1
        lines = meta.text.get("Comment", "").splitlines()
        comment = "".join(f"# {line}\n" for line in lines).encode()
        warnings: tuple[str, ...] = ()
        if len(comment) > _COMMENT_BYTES:
            comment, warnings = b"", ("its comment is too long for PNM: not kept",)
        size = f"{picture.width} {picture.height}\n{white}\n".encode()
        with path.open("wb") as file:
            file.write(kind + b"\n" + comment + size)
            for top in range(0, picture.height, _ROWS_AT_ONCE):
                rows = picture.rows(slice(top, min(top + _ROWS_AT_ONCE, picture.height)))
                file.write(rows.astype(rows.dtype.newbyteorder(">")).tobytes())
        return warnings


def _head(start: bytes) -> _Head:
    """The header in the first bytes of a file. Raises ValueError."""
    kind, at = start[:2], 2
    numbers = []
    for name in ("width", "height") if kind in _BLACK_AND_WHITE else ("width", "height", "white"):
        found = _TOKEN.match(start, at)
        if found is None:
            raise ValueError(f"the header has no {name}")
        numbers.append(int(found[1]))
        at = found.end()
    width, height, white = (*numbers, 1)[:3]
    if not width or not height or not 0 < white < 65536:
        raise ValueError(f"{width}x{height} with a white of {white}; expected 1 to 65535")
    # One space ends the header; a comment in its place ends with the line.
    last = _COMMENT.match(start, at)
    samples_at = (last.end() if last else at) + 1
    comments = [line[1:].strip() for line in _COMMENT.findall(start[:samples_at])]
    text = b"\n".join(comments).decode("utf-8", "replace")
    return _Head(kind, width, height, white, samples_at, text)


def _raw(data: bytes, head: _Head, source: str) -> tuple[np.ndarray, bool]:
    """The samples, one after the other, and whether another picture follows them."""
    row_bytes = (head.width + 7) // 8
    size = row_bytes * head.height
    if head.kind not in _BLACK_AND_WHITE:
        size = head.count * (1 if head.white < 256 else 2)
    end = head.samples_at + size
    if end > len(data):
        raise _cut_off(source, f"its samples should reach byte {end}, the file has {len(data)}")
    coded = np.frombuffer(data, np.uint8, size, head.samples_at)
    follows = bool(data[end : end + _HEADER_BYTES].strip(_SPACE + b"\x00"))
    if head.kind in _BLACK_AND_WHITE:
        bits = np.unpackbits(coded.reshape(head.height, row_bytes), axis=1, count=head.width)
        return 1 - bits.reshape(-1), follows
    return coded if head.white < 256 else coded.view(">u2"), follows


def _plain(data: bytes, head: _Head, source: str) -> tuple[np.ndarray, bool]:
    """As :func:`_raw`, from decimal numbers."""
    body = _COMMENT.sub(b"", data[head.samples_at :])
    if head.kind in _BLACK_AND_WHITE:
        digits = np.frombuffer(body.translate(None, _SPACE), np.uint8)
        # Black and white digits need no space between them. Black is 1.
        values = b"1"[0] - digits.astype(np.int16)
        wrong = bool(((values < 0) | (values > 1)).any())
    else:
        wrong = bool(body.translate(None, b"0123456789" + _SPACE))
        values = np.zeros(0, np.uint32) if wrong else _numbers(body, head.count + 1)
    if wrong:
        raise ValueError("something that is no number among its samples")
    if values.size < head.count:
        raise _cut_off(source, f"{head.count} samples expected, {values.size} found")
    return values[: head.count], values.size > head.count


def _numbers(body: bytes, most: int) -> np.ndarray:
    """The first numbers in a text, as uint32, piece by piece: as numpy reads them they take eight
    bytes each."""
    parts, found, at = [], 0, 0
    while at < len(body) and found < most:
        # A piece ends with a number.
        end = at + _TEXT_BYTES
        rest = body[end : end + _DIGITS]
        more = len(rest) - len(rest.lstrip(b"0123456789"))
        if more == _DIGITS:
            raise ValueError(f"a number of more than {_DIGITS} digits")
        end += more
        piece = body[at:end].strip(_SPACE)  # numpy reads blanks alone as a zero
        values = np.fromstring(piece, np.int64, sep=" ")
        parts.append(np.minimum(values, 2**32 - 1).astype(np.uint32))
        found, at = found + len(values), end
    return np.concatenate(parts) if parts else np.zeros(0, np.uint32)


def _cut_off(source: str, how: str) -> MediaError:
    return MediaError(f"{source}: cut off: {how}")


def _full_range(samples: np.ndarray, head: _Head) -> np.ndarray:
    """Samples up to ``white`` to the full range of uint8, or of uint16 where white is over 255."""
    target = np.uint8 if head.white < 256 else np.uint16
    top = int(np.iinfo(target).max)
    if head.white == top:
        return samples.astype(target)
    steps = np.arange(head.white + 1, dtype=np.uint32)
    return ((steps * top + head.white // 2) // head.white).astype(target)[samples]


FORMAT = Pnm()
