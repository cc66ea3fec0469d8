"""What GIF files hold beside their pictures and comments: XMP, and nothing else that is kept.

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
_XMP = b"XMP DataXMP"
# Behind a packet, so that readers who take its bytes for lengths of blocks get out of it.
_BEHIND_XMP = bytes((1, 0xFF, 0xFE, 0xFD, 0xFC))
_OF_ANIMATION = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


def xmp_of(data: bytes) -> bytes | None:
    """The first packet of XMP in a whole file, or None."""
    for label, start in _blocks(data)[0]:
        if label == _APPLICATION and data.startswith(_XMP, start):
            start += len(_XMP)
            end = data.find(_BEHIND_XMP, start)
            if end > start:
                return data[start:end]
    return None


def extras(data: bytes) -> tuple[Extra, ...]:
    """All extras of a whole file."""
    found: list[Extra] = []
    blocks, end = _blocks(data)
    known = (_XMP,) if xmp_of(data) else ()
    for label, start in blocks:
        word = data[start : start + 11]
        if label == _PLAIN_TEXT:
            found.append(unknown("GIF text drawn over the picture"))
        elif label == _APPLICATION and word.startswith(b"C2PA_GIF"):
            found.append(left_out(promises.CREDENTIALS))
        elif label == _APPLICATION and word not in (*_OF_ANIMATION, *known):
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
