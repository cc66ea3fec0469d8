"""Reading a manifest without a trace: nothing beside it is made or changed, and nothing held.

An ordinary reader of a SQLite file in write-ahead mode makes the index file that readers share, and
one that stays open keeps a run that ends from tidying up. Who only looks on does neither.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from restore_batch.jobs.database import Database, connect_as
from restore_batch.jobs.proof.faults import ManifestError, fault_of_file

Answer = TypeVar("Answer")
Stamp = tuple[int, ...]

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
