"""A TIFF file of which decoders see one page, and of that only how its pixels are stored.

What else the file holds they would read whole, before anything is known of its size: thousands of
tags that name the same megabytes, pages without end.

Source: TIFF revision 6.0, section 2; TIFF technical note on BigTIFF.
"""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

from restore_batch.stages.photo.metadata import tiff_tags
from restore_batch.stages.photo.source import size_of

_OF_PIXELS = frozenset(
    {
        *(256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 297, 317, 320),
        *(322, 323, 324, 325, 332, 334, 338, 339, 347, *range(512, 522), 529, 530, 531, 532),
        *(32997, 32998, 42113),
    }
)
_MAX_VALUE_BYTES = 8 << 20
"""Of one tag: a million strips or tiles."""


def one_page(file: BinaryIO, at: int) -> io.BufferedReader:
    """The file whose only directory is what the one at ``at`` says of pixels. Raises TagError."""
    return io.BufferedReader(_OnePage(file, at))


class _OnePage(io.RawIOBase):
    """The file, read-only, with another header and a directory behind its end."""

    def __init__(self, file: BinaryIO, at: int) -> None:
        super().__init__()
        layout, _ = tiff_tags.layout_of(file)
        rows: dict[int, bytes] = {}
        row_bytes = 20 if layout.big else 12
        for entry in tiff_tags.entries_of(file, layout, at)[0]:
            if entry.code not in _OF_PIXELS or entry.code in rows:
                continue
            size = tiff_tags.VALUE_SIZES.get(entry.field_type, (1, 1))[0] * entry.count
            if size > _MAX_VALUE_BYTES:
                raise tiff_tags.TagError(f"tag {entry.code} has {entry.count:,} values")
            rows[entry.code] = tiff_tags.exactly(file, entry.at, row_bytes)
        self._file = file
        self._end = size_of(file)
        padding = bytes(self._end % 2)
        place = self._end + len(padding)
        word = "Q" if layout.big else "I"
        if not layout.big and place >= 1 << 32:
            raise tiff_tags.TagError("larger than 4 GiB, which only BigTIFF can be")
        count = struct.pack(layout.order + ("Q" if layout.big else "H"), len(rows))
        self._behind = b"".join((padding, count, *rows.values(), bytes(layout.word)))
        start = tiff_tags.exactly(file, 0, layout.word)
        self._start = start + struct.pack(layout.order + word, place)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence, self._size)
        self._at = max(base + offset, 0)
        return self._at

    @property
    def _size(self) -> int:
        return self._end + len(self._behind)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        at, wanted = self._at, memoryview(buffer).cast("B")
        if len(self._start) <= at < self._end:
            self._file.seek(at)
            size = self._file.readinto(wanted[: self._end - at])  # type: ignore[attr-defined]
        else:
            part, start = (self._start, 0) if at < self._end else (self._behind, self._end)
            data = part[at - start : at - start + len(wanted)]
            wanted[: len(data)] = data
            size = len(data)
        self._at += size
        return int(size)
