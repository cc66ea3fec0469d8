"""What WebP files hold beside picture, profile, EXIF and XMP: nothing of it is kept.

Source: RFC 9649, sections 2.3 (RIFF) and 2.7 (chunks); C2PA 2.1, annex A.3.5 (C2PA chunk).
"""

from __future__ import annotations

from restore_batch.stages.media import Extra
from restore_batch.stages.photo.metadata import promises
from restore_batch.stages.photo.metadata.behind import extras_behind
from restore_batch.stages.photo.metadata.extras import in_bytes, left_out, unknown

_READ = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "})


def extras(data: bytes) -> tuple[Extra, ...]:
    """All extras of a whole file."""
    found: list[Extra] = []
    end = min(8 + int.from_bytes(data[4:8], "little"), len(data))
    at = 12
    while at + 8 <= end:
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"C2PA":
            found.append(left_out(promises.CREDENTIALS))
        elif name not in _READ:
            found.append(unknown(f"WebP chunk {name.decode('latin-1')!r}{in_bytes(size)}"))
        at += 8 + size + size % 2
    return (*found, *extras_behind(data, end))
