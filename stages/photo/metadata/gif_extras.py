"""What GIF files hold beside their pictures and comments: nothing of it is kept.

Source: CompuServe GIF89a specification, sections 20 to 27; XMP specification part 3, 1.1.2.
"""

from __future__ import annotations

from restore_batch.stages.media import Extra
from restore_batch.stages.photo.metadata import promises
from restore_batch.stages.photo.metadata.behind import extras_behind
from restore_batch.stages.photo.metadata.extras import left_out, unknown

_IMAGE, _EXTENSION = 0x2C, 0x21
_PLAIN_TEXT, _APPLICATION = 0x01, 0xFF
_TRAILER = b";"
_OF_ANIMATION = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"XMP DataXMP")


def extras(data: bytes) -> tuple[Extra, ...]:
    """All extras of a whole file."""
    found: list[Extra] = []
    blocks, end = _blocks(data)
    for label, start in blocks:
        word = data[start : start + 11]
        if label == _PLAIN_TEXT:
            found.append(unknown("GIF text drawn over the picture"))
        elif label == _APPLICATION and word.startswith(b"C2PA_GIF"):
            found.append(left_out(promises.CREDENTIALS))
        elif label == _APPLICATION and word not in _OF_ANIMATION:
            found.append(unknown(f"GIF extension {word.decode('latin-1')!r}"))
    return (*found, *(extras_behind(data, end + 1) if data[end : end + 1] == _TRAILER else ()))


def _blocks(data: bytes) -> tuple[list[tuple[int, int]], int]:
    """Label and start of each extension's content, and where the blocks end."""
    found = []
    at = 13 + _table(data, 10)
    while at + 1 < len(data) and data[at] in {_IMAGE, _EXTENSION}:
        if data[at] == _IMAGE:
            at += 11 + _table(data, at + 9)
        else:
            found.append((data[at + 1], at + 3))
            at += 2
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return found, at


def _table(data: bytes, at: int) -> int:
    """Bytes of the colour table that the packed field at ``at`` announces."""
    packed = data[at] if at < len(data) else 0
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0
