"""Memory that was freed, given back to the system.

The C library keeps what is freed for what is asked for next. Decoders and networks ask for some
megabytes at a time, hundreds of them, and what they leave behind is of no use to a picture, which
is one piece: a scan would take its size twice.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

WORTH_BYTES = 32 << 20
"""Pictures that weigh as much are worth the milliseconds that giving back takes; larger pieces
glibc gives back itself."""

HUGE_BYTES = 192 << 20
"""Pictures that weigh as much, and their results, leave little beside them on a laptop: from 67
megapixels on memory is worth a fifth to a fourth of the time."""
_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of glibc's mallopt."""
_APART_BYTES, _USUAL_BYTES = 2 << 20, 32 << 20
"""What glibc lets the threshold rise to by itself is usual."""


def give_back() -> None:
    """Give back what is free now; nothing where the C library is not glibc."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


@contextmanager
def large_pieces_apart(wanted: bool) -> Iterator[None]:
    """While this lasts, pieces of 2 MiB and more are the system's again as soon as they are freed,
    instead of lying between others: a network takes little more than it holds. To ask for them
    again takes time. Nothing unless ``wanted``, or where the C library is not glibc."""
    set_option = _of_glibc("mallopt") if wanted else None
    if set_option is None:
        yield
        return
    set_option(_MMAP_THRESHOLD, _APART_BYTES)
    try:
        yield
    finally:
        set_option(_MMAP_THRESHOLD, _USUAL_BYTES)


@cache
def _of_glibc(name: str) -> Any:
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, TypeError, AttributeError):
        return None
