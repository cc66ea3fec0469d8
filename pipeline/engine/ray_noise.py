"""Keep Ray's words out of what this program prints.

Ray's driver prints errors of the cluster ("a worker died …") to standard output from a thread of
its own, whatever ``log_to_driver`` says. We report losses ourselves, and ``--json`` must stay JSON.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_THREAD = "ray_listen_error_messages"


class _WithoutRay:
    """A text stream that drops what Ray's thread writes to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.current_thread().name == _THREAD:
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def without_ray() -> Iterator[None]:
    """While it lasts, Ray's thread of error messages prints nothing to standard output."""
    before = sys.stdout
    ours: Any = _WithoutRay(before)
    sys.stdout = ours
    try:
        yield
    finally:
        # Somebody else may have put a stream of theirs there meanwhile: that is not ours to end.
        if sys.stdout is ours:
            sys.stdout = before
