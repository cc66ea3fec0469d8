"""MP4 files whose edit list shows several stretches of them, in any order, as editors save them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["edited"]


def edited(source: Path, edits: Sequence[tuple[float, float]]) -> Path:
    """Give all tracks of an MP4 of the test clips an edit list. Returns ``source``.

    ``edits``: seconds that each lasts, and where in the media it begins.
    """
    content = source.read_bytes()
    start, end = _find(content, 0, len(content), b"moov")
    if end != len(content):
        raise ValueError("expected the index behind the pictures: nothing is moved here")
    movie_hz = _time_scale(content, _find(content, start + 8, end, b"mvhd")[0])
    boxes = b""
    for kind, begin, stop in _boxes(content, start + 8, end):
        if kind == b"trak":
            boxes += _box(kind, _track(content, begin + 8, stop, movie_hz, edits))
        else:
            boxes += content[begin:stop]
    source.write_bytes(content[:start] + _box(b"moov", boxes))
    return source


def _track(
    content: bytes, start: int, end: int, movie_hz: int, edits: Sequence[tuple[float, float]]
) -> bytes:
    media, media_end = _find(content, start, end, b"mdia")
    media_hz = _time_scale(content, _find(content, media + 8, media_end, b"mdhd")[0])
    boxes, delay = b"", 0
    for kind, begin, stop in _boxes(content, start, end):
        if kind == b"edts":  # begins where the first picture is shown
            delay = max(0, struct.unpack(">i", content[begin + 28 : begin + 32])[0])
        else:
            boxes += content[begin:stop]
    rows = b"".join(
        struct.pack(">IiI", round(lasts_s * movie_hz), round(from_s * media_hz) + delay, 1 << 16)
        for lasts_s, from_s in edits
    )
    return boxes + _box(b"edts", _box(b"elst", struct.pack(">II", 0, len(edits)) + rows))


def _boxes(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while start < end:
        size, kind = struct.unpack(">I4s", content[start : start + 8])
        yield kind, start, start + size
        start += size


def _find(content: bytes, start: int, end: int, wanted: bytes) -> tuple[int, int]:
    return next((a, b) for kind, a, b in _boxes(content, start, end) if kind == wanted)


def _time_scale(content: bytes, header: int) -> int:
    """Of a ``mvhd`` or ``mdhd`` box of version 0."""
    (hertz,) = struct.unpack(">I", content[header + 20 : header + 24])
    return int(hertz)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content
