"""Files that are handed out: opened so that no link leads elsewhere, sent whole or in part."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PIECE = 1 << 18
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def open_below(folder: Path, path: str) -> BinaryIO:
    """Open the file at ``path``, relative and with ``/``, below ``folder``.

    Below it no link is followed, and nothing leads up again. Raises OSError, also for what is no
    file.
    """
    *above, name = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in (*above, name)):
        raise FileNotFoundError(path)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in above:
        try:
            inner = os.open(part, _READ | os.O_DIRECTORY, dir_fd=handle)
        finally:
            os.close(handle)
        handle = inner
    try:
        return _as_file(os.open(name, _READ, dir_fd=handle))
    finally:
        os.close(handle)


def open_at(path: str) -> BinaryIO:
    """Open the file at ``path`` unless it is a link. Raises OSError, also for what is no file."""
    if "\0" in path:
        raise FileNotFoundError(path)
    return _as_file(os.open(path, _READ))


def _as_file(handle: int) -> BinaryIO:
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise FileNotFoundError("it is no file")
        os.set_blocking(handle, True)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def asked_part(header: str, size: int) -> range | None:
    """The bytes that a ``Range`` header asks for; None where it asks for all or for what is not
    understood, and all is sent. Raises ValueError for a part that is not there."""
    found = _RANGE.fullmatch(header.strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:  # so many at the end
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1 if last else size)
    if start >= stop:
        raise ValueError(header)
    return range(start, stop)


def pieces(file: BinaryIO, part: range) -> Iterator[bytes]:
    """The bytes of a part, some at a time; the file is closed after it."""
    with file:
        file.seek(part.start)
        left = len(part)
        while left and (piece := file.read(min(left, _PIECE))):
            left -= len(piece)
            yield piece
