"""Reading a manifest without a trace: nothing beside it is made or changed, and nothing held.

An ordinary reader of a SQLite file in write-ahead mode makes the index file that readers share, and
the log too where the run that had one has just ended; and one that stays open keeps a run that ends
from tidying up. Who only looks on does none of that.

Source: SQLite, "Write-Ahead Logging" and "File Locking And Concurrency In SQLite Version 3"; for
locks of an open file description, fcntl(2).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from restore_batch.jobs.database import Database, connect_as
from restore_batch.jobs.proof.faults import ManifestError, fault_of_file

Answer = TypeVar("Answer")
Stamp = tuple[int, ...]

_SHARED_FIRST, _SHARED_SIZE = 0x40000000 + 2, 510
"""The bytes of a database that readers lock, and that who takes its log away must have alone."""
_READS, _LETS_GO = fcntl.F_RDLCK, fcntl.F_UNLCK
_TRIES = 20
_WAIT_S = 0.05


def look(path: Path, question: Callable[[Database], Answer]) -> Answer:
    """What ``question`` finds out about the manifest at ``path``, of one moment.

    It is asked again where a run came or went meanwhile, so it must do nothing but ask. Raises
    ManifestError where the manifest is not there, damaged, or never at rest.
    """
    for tries_left in reversed(range(_TRIES)):
        before = stamp_of(path)
        if before is None:
            raise ManifestError(f"{path}: it is not there; was the output folder moved or removed?")
        try:
            with _log_stays(path):
                query, is_told_of_writers = _way(path)
                with contextlib.closing(connect_as(path, f"mode=ro&{query}")) as database:
                    database.execute("BEGIN")
                    answer = question(database)
                    database.execute("ROLLBACK")
            if is_told_of_writers or stamp_of(path) == before:
                return answer
        except ManifestError:
            # A run that begins or ends at this moment makes and removes files of its own.
            if not tries_left:
                raise
        time.sleep(_WAIT_S)
    raise ManifestError(f"{path}: runs come and go there too quickly to be looked at")


def stamp_of(path: Path) -> Stamp | None:
    """What is another after each change of the manifest at ``path``; None where there is none.

    Raises ManifestError where its folder cannot be read.
    """
    found: list[int] = []
    for each in (path, _beside(path, "wal")):
        try:
            status = each.stat()
            found += [status.st_ino, status.st_size, status.st_mtime_ns]
        except (FileNotFoundError, NotADirectoryError):
            if each == path:
                return None
        except OSError as error:
            raise fault_of_file(error, path) from None
    return tuple(found)


def _way(path: Path) -> tuple[str, bool]:
    """How it is opened, and whether a writer that comes while it is open would be noticed."""
    try:
        is_ahead = _beside(path, "wal").stat().st_size > 0
    except FileNotFoundError:
        is_ahead = False
    if not is_ahead:
        return "immutable=1", False  # all of it is in the file itself
    if not _beside(path, "shm").exists():
        raise ManifestError(
            f"{path}: a run was cut off, and the index file beside it is gone;"
            f" `restore-batch status {path.parent.parent}` makes it anew"
        )
    return "readonly_shm=1", True


def _beside(path: Path, end: str) -> Path:
    return path.with_name(f"{path.name}-{end}")


_guard = threading.Lock()
_readers: dict[tuple[int, int], list[int]] = {}
"""By file: a handle, and how many are at it. Handles stay open: whoever closes a file gives up all
locks that SQLite has on it in the same process."""


@contextlib.contextmanager
def _log_stays(path: Path) -> Iterator[None]:
    """While this lasts nobody takes the log of ``path`` away; where the system has no such locks,
    somebody may."""
    held = None
    with _guard, contextlib.suppress(FileNotFoundError, PermissionError):
        held = _reader_of(path)
        if not held[1]:
            _lock(held[0], _READS, path)
        held[1] += 1
    try:
        yield
    finally:
        if held is not None:
            with _guard:
                held[1] -= 1
                if not held[1]:
                    _lock(held[0], _LETS_GO, path)


def _reader_of(path: Path) -> list[int]:
    status = path.stat()
    known = _readers.get((status.st_dev, status.st_ino))
    if known is None:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(handle)
        known = _readers[status.st_dev, status.st_ino] = [handle, 0]
    return known


def _lock(handle: int, kind: int, path: Path) -> None:
    if sys.platform != "linux":
        return
    asked = struct.pack("hhqqi0q", kind, os.SEEK_SET, _SHARED_FIRST, _SHARED_SIZE, 0)
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, asked)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise ManifestError(f"{path}: a run ends there at this moment; look again") from None
        # A file system without locks: what could be lost is tidiness.
