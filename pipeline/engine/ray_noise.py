"""Keep Ray's words out of what this program prints.

Ray's driver prints errors of the cluster ("a worker died …") to standard output from a thread of
its own, whatever ``log_to_driver`` says, and its native part writes to the descriptors below
Python. We report losses ourselves, and ``--json`` must stay JSON.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

_THREADS = "ray_"


class _WithoutRay:
    """A text stream that drops what Ray's threads write to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.current_thread().name.startswith(_THREADS):
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def without_ray() -> Iterator[None]:
    """While it lasts, Ray prints nothing: not from its threads, and not past Python where this
    program's own streams do not write to the standard descriptors themselves."""
    with ExitStack() as turned:
        for number, name in ((1, "stdout"), (2, "stderr")):
            if getattr(sys, name) is None:
                continue
            turned.enter_context(_filtered(name))
            if _descriptor(getattr(sys, name)) not in (None, 1, 2):
                turned.enter_context(_turned_away(number))
        yield


@contextmanager
def _filtered(name: str) -> Iterator[None]:
    before = getattr(sys, name)
    ours: Any = _WithoutRay(before)
    setattr(sys, name, ours)
    try:
        yield
    finally:
        # Somebody else may have put a stream of theirs there meanwhile: that is not ours to end.
        if getattr(sys, name) is ours:
            setattr(sys, name, before)


def _descriptor(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


@contextmanager
def _turned_away(number: int) -> Iterator[None]:
    before, nowhere = os.dup(number), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(before, number)
        os.close(before)
