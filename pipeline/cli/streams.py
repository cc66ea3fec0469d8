"""Standard output and error that outlive their readers: a lost reader never costs work.

What cannot be written any more (the reader of the pipe has left, the disk is full, the terminal is
closed) is dropped, and that is said once. The streams write by descriptors of their own, so that
the standard ones can be turned away from the words of libraries (``engine/ray_noise.py``).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from restore_batch.pipeline.cli.output import say

UNSHOWN = 3
"""Exit code where all was done, and what was to be printed of it has not arrived."""

_CLOSED = -1


class _Kept(io.BufferedIOBase):
    """Bytes to a descriptor for as long as it takes them. ``loss``: what ended that.

    Without a buffer: a signal handler may print while it interrupts another print, which
    Python's own buffers refuse.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.loss: OSError | None = None
        self.goes_on = ""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._descriptor == _CLOSED:
            raise io.UnsupportedOperation("closed")
        return self._descriptor

    def isatty(self) -> bool:
        return self._descriptor != _CLOSED and os.isatty(self._descriptor)

    def write(self, data: Any, /) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self.loss is None:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # another program that has it too made it so
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.loss = error
                if error.errno != errno.EPIPE or self.goes_on:
                    _say_lost(self)
        return size


def _say_lost(kept: _Kept) -> None:
    errors = sys.stderr
    if kept.loss is None or errors is None or getattr(errors, "buffer", None) is kept:
        return
    closed = kept.loss.errno == errno.EBADF
    reason = "it is closed" if closed else kept.loss.strerror
    say(f"restore-batch: standard output takes no more ({reason}){kept.goes_on}", err=True)


@contextlib.contextmanager
def kept_streams() -> Iterator[None]:
    """While it lasts, no write to sys.stdout and sys.stderr fails, and none is lost unsaid."""
    closed = _fill_in_standard_descriptors()
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as opened:
        sys.stdout = _kept(sys.stdout, 1 in closed, opened)
        sys.stderr = _kept(sys.stderr, 2 in closed, opened)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def goes_on(what: str) -> None:
    """From now on a reader of standard output that leaves is told of: ``what`` does not end."""
    if (kept := _kept_of(sys.stdout)) is not None:
        kept.goes_on = f"; {what} goes on"


def lost() -> bool:
    """Whether something that was printed has not arrived, though nobody chose to leave."""
    kept = _kept_of(sys.stdout)
    return kept is not None and kept.loss is not None and kept.loss.errno != errno.EPIPE


def _kept_of(stream: Any) -> _Kept | None:
    buffer = getattr(stream, "buffer", None)
    return buffer if isinstance(buffer, _Kept) else None


def _kept(stream: TextIO | None, closed: bool, opened: contextlib.ExitStack) -> Any:
    try:
        descriptor = _CLOSED if closed or stream is None else os.dup(stream.fileno())
    except (OSError, ValueError):
        return stream  # nothing of the system's behind it: somebody else's, in this process
    if descriptor != _CLOSED:
        opened.callback(os.close, descriptor)
    encoding = stream.encoding if stream is not None else "utf-8"
    errors = (stream.errors if stream is not None else None) or "backslashreplace"
    kept: Any = _Kept(descriptor)
    return io.TextIOWrapper(kept, encoding, errors, write_through=True)


def _fill_in_standard_descriptors() -> set[int]:
    """Those that were closed. Else the next file that is opened, a manifest, would get the number
    and everything that libraries print."""
    closed = set()
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            closed.add(number)
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    return closed
