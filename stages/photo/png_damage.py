"""What is wrong in a PNG file that does not touch its pixels, and the file without it.

Damage to chunks that make the picture is left for the decoder to refuse.

Source: W3C PNG specification, third edition (2025), sections 5 (chunks) and 13.2 (errors).
"""

from __future__ import annotations

import zlib
from collections import Counter

from restore_batch.stages.photo.metadata.png_chunks import SIGNATURE, chunk

_AROUND = 12
"""Bytes of length, name and checksum."""
_END = chunk(b"IEND", b"")
_NO_END = "its end chunk is missing; all of its pixels are there"


def repaired(data: bytes) -> tuple[bytes, str]:
    """``data`` with an end and without chunks beside the picture whose checksums are wrong; and
    what was wrong with it, or "". A file that is cut off inside its picture stays as it is."""
    view = memoryview(data)
    parts: list[memoryview | bytes] = []
    wrong: Counter[str] = Counter()
    start, at, has_end = 0, len(SIGNATURE), False
    while at + _AROUND <= len(data) and not has_end:
        name = bytes(view[at + 4 : at + 8])
        end = at + _AROUND + int.from_bytes(view[at : at + 4], "big")
        if end > len(data):
            break
        has_end = name == b"IEND"
        if (has_end or name[:1].islower()) and _is_wrong(view[at:end]):
            wrong[name.decode("latin-1")] += 1
            parts += [view[start:at], _END if has_end else b""]
            start = end
        at = end
    said = ", ".join(f"{count} x {name}" if count > 1 else name for name, count in wrong.items())
    faults = [f"wrong checksums, hence not kept: {said}"] if said.replace("IEND", "") else []
    if not has_end:
        cut = bytes(view[at + 4 : at + 8])
        if not (b"IEND".startswith(cut) or cut[:1].islower()):
            return data, ""
        parts += [view[start:at], _END]
        start = len(data)
        faults.append(_NO_END)
    return b"".join((*parts, view[start:])) if parts else data, "; ".join(faults)


def _is_wrong(chunk: memoryview) -> bool:
    """Whether the checksum of a whole chunk is not that of its name and content."""
    return zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big")
