"""How much of a photo file may be metadata: one allowance for each reading of a file.

A few megabytes of deflated zeros are gigabytes of text, and a table may name the same bytes a
thousand times. So whatever a reader keeps, unpacked or not, is taken from one allowance that all
its parts share. What does not fit is left out and said; the picture is restored all the same.
"""

from __future__ import annotations

import zlib
from collections import Counter

from restore_batch.stages.media import Extra

MAX_BYTES = 64 << 20
"""Of all that lies beside the picture, unpacked. The largest packets of XMP and maker notes that
programs and cameras write have a tenth of it."""

_LEAST_BYTES = 512
"""What a piece costs however short it is, about what Python needs to hold it."""

_TRIED_TIMES = 4
"""How much more than the allowance is unpacked to find out that it does not fit."""

_MOST_NAMES = 20


class Allowance:
    """What a reading may still take. ``left_out``: what did not fit, as extras that say so."""

    def __init__(self, limit_bytes: int = MAX_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._left_bytes = limit_bytes
        self._tried_bytes = 0
        self._left_out: Counter[str] = Counter()

    @property
    def left_bytes(self) -> int:
        return max(self._left_bytes, 0)

    @property
    def left_out(self) -> tuple[Extra, ...]:
        why = f"the metadata of a picture may have {self._limit_bytes >> 20} MiB"
        names = (f"{n:,} x {what}" if n > 1 else what for what, n in self._left_out.items())
        return tuple(Extra(name, left_out=why) for name in names)

    def takes(self, size_bytes: int, what: str) -> bool:
        """Whether a piece of this size fits; then it is taken."""
        cost = max(size_bytes, _LEAST_BYTES)
        if cost > self._left_bytes:
            self.refuse(what)
            return False
        self._left_bytes -= cost
        return True

    def refuse(self, what: str) -> None:
        """Note a piece that is left out."""
        what = what if len(what) <= 100 else what[:97] + "..."
        if what not in self._left_out and len(self._left_out) >= _MOST_NAMES:
            what = "other metadata"
        self._left_out[what] += 1

    def inflated(self, data: bytes, what: str) -> bytes | None:
        """Deflated ``data`` unpacked, as far as it goes where it is damaged; None where it does not
        fit. Raises zlib.error for what is not deflated at all."""
        if self._tried_bytes > _TRIED_TIMES * self._limit_bytes:
            self.refuse(what)
            return None
        limit = self.left_bytes
        unpacker = zlib.decompressobj()
        unpacked = unpacker.decompress(data, limit + 1)
        self._tried_bytes += len(unpacked)
        if len(unpacked) > limit:
            self.refuse(what)
            return None
        return unpacked if self.takes(len(unpacked), what) else None
