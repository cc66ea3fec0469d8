"""How files of the ISO base media format say what they are: AVIF, HEIF, some camera raws.

Source: ISO/IEC 14496-12, section 4.3 (file type box).
"""

from __future__ import annotations


def brands(head: bytes) -> tuple[bytes, frozenset[bytes]]:
    """The major brand, and all that are listed; empty for what is no such file."""
    if head[4:8] != b"ftyp":
        return b"", frozenset()
    length = max(int.from_bytes(head[:4], "big"), 16)
    listed = head[8:length]
    return listed[:4], frozenset(listed[i : i + 4] for i in range(0, len(listed), 4))
