"""Memory that was freed, given back to the system.

The C library keeps what is freed for what is asked for next. Decoders and networks ask for some
megabytes at a time, hundreds of them, and what they leave behind is of no use to a picture, which
is one piece: a scan would take its size twice.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

WORTH_BYTES = 32 << 20
"""Pictures that weigh as much are worth the milliseconds that giving back takes; larger pieces
glibc gives back itself."""


def give_back() -> None:
    """Give back what is free now; nothing where the C library is not glibc."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):
        return None
