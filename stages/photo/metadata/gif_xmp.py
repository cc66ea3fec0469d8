"""The packet of XMP in a GIF file.

Source: XMP specification part 3, 1.1.2.
"""

from __future__ import annotations

_START = b"\x21\xff\x0bXMP DataXMP"
# Behind a packet, so that readers who take its bytes for lengths of blocks get out of it.
_BEHIND = bytes((1, 0xFF, 0xFE, 0xFD, 0xFC))
_MOST_BYTES = 8 << 20


def packet(data: bytes) -> bytes | None:
    """The packet in a whole file, or None; up to the end of the file where that of the packet is
    missing."""
    start = data.find(_START)
    if start < 0:
        return None
    start += len(_START)
    end = data.find(_BEHIND, start, start + _MOST_BYTES)
    return data[start:end] if end > start else data[start : start + _MOST_BYTES].rstrip(b";\x00")
