"""What GIF files hold beside their first picture: only the comments before it are kept.

Source: CompuServe GIF89a specification, sections 18 to 27; XMP specification part 3, 1.1.2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from restore_batch.stages.media import Extra
from restore_batch.stages.photo.metadata import promises
from restore_batch.stages.photo.metadata.allowance import Allowance
from restore_batch.stages.photo.metadata.behind import extras_behind
from restore_batch.stages.photo.metadata.extras import left_out, unknown

_IMAGE, _EXTENSION = 0x2C, 0x21
_PLAIN_TEXT, _CONTROL, _COMMENT, _APPLICATION = 0x01, 0xF9, 0xFE, 0xFF
_TRAILER = b";"
_OF_ANIMATION = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"XMP DataXMP")
_SCREEN_AT, _SCREEN_BYTES = 6, 13
_MAX_BLOCKS = 4_000_000
"""A gigabyte, of blocks as large as they can be."""


@dataclass
class Gif:
    """``picture``: a file of the first picture alone, cut off where the file is; ``frames``: how
    many there are; ``comment``: all comments before the first."""

    picture: bytes
    frames: int
    comment: bytes
    extras: tuple[Extra, ...]


def read(data: bytes) -> Gif:
    """The blocks of a whole file. Raises ValueError for more than any picture has."""
    allowance = Allowance()
    found: list[Extra] = []
    comments: list[bytes] = []
    start = min(_SCREEN_BYTES + _table(data, 10), len(data))
    picture = [data[:_SCREEN_BYTES], data[_SCREEN_BYTES:start]]
    at, frames, blocks = start, 0, 0
    while at + 1 < len(data) and data[at] in {_IMAGE, _EXTENSION}:
        label = _IMAGE if data[at] == _IMAGE else data[at + 1]
        head = 11 + _table(data, at + 9) if label == _IMAGE else 2
        end, count = _behind_blocks(data, at + head, _MAX_BLOCKS - blocks)
        blocks += count
        if label == _IMAGE:
            if not frames:
                picture[0] = _screen(data, at)
                picture.append(data[at:end])
                picture.append(_TRAILER if data[end - 1 : end] == b"\x00" else b"")
            frames += 1
        elif label == _CONTROL:
            picture += [_without_disposal(data[at:end])] if not frames else []
        elif label == _COMMENT:
            if not frames and allowance.takes(end - at, "comment"):
                comments.append(_joined(data, at + head))
        elif (extra := _extra(label, data[at + 3 : at + 14])) is not None:
            found += [extra] if allowance.takes(0, "GIF extension") else []
        at = end
    if data[at : at + 1] == _TRAILER:
        found += extras_behind(data, at + 1)
    comment = b"\n".join(filter(None, comments))
    return Gif(b"".join(picture), frames, comment, (*found, *allowance.left_out))


def _extra(label: int, word: bytes) -> Extra | None:
    if label == _PLAIN_TEXT:
        return unknown("GIF text drawn over the picture")
    if label == _APPLICATION and word.startswith(b"C2PA_GIF"):
        return left_out(promises.CREDENTIALS)
    if label == _APPLICATION and word not in _OF_ANIMATION:
        return unknown(f"GIF extension {word.decode('latin-1')!r}")
    return None


def _without_disposal(control: bytes) -> bytes:
    """A control block that asks nothing of what comes after its picture."""
    return control[:3] + bytes((control[3] & 0xE3,)) + control[4:] if len(control) > 3 else control


def _screen(data: bytes, at: int) -> bytes:
    """The screen's descriptor, large enough for the first picture, which starts at ``at``: some
    writers' is not. Raises ValueError."""
    if at + 9 > len(data):
        return data[:_SCREEN_BYTES]
    left, top, width, height = struct.unpack_from("<4H", data, at + 1)
    across, down = struct.unpack_from("<2H", data, _SCREEN_AT)
    across, down = max(across, left + width), max(down, top + height)
    if max(across, down) > 0xFFFF:
        raise ValueError(f"its first picture ends at {across}x{down}")
    size = struct.pack("<2H", across, down)
    return data[:_SCREEN_AT] + size + data[_SCREEN_AT + 4 : _SCREEN_BYTES]


def _behind_blocks(data: bytes, at: int, most: int) -> tuple[int, int]:
    """The end of the sub-blocks that start at ``at``, and how many they are. Raises ValueError for
    more than ``most``."""
    end, count = len(data), 0
    while at < end and data[at]:
        at += 1 + data[at]
        count += 1
        if count > most:
            raise ValueError(f"more than {_MAX_BLOCKS:,} blocks")
    return min(at + 1, end), count + 1


def _joined(data: bytes, at: int) -> bytes:
    """The content of the sub-blocks that start at ``at``."""
    parts = []
    while at < len(data) and data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts)


def _table(data: bytes, at: int) -> int:
    """Bytes of the colour table that the packed field at ``at`` announces."""
    packed = data[at] if at < len(data) else 0
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0
