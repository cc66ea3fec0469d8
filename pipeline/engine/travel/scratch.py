"""A folder of a worker's own on the disk of its node, gone when the worker is."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

_PREFIX = "restore-batch-scratch-"
_UNLOCKED = "restore-batch-new-"


class Scratch:
    """``folder``: in that for temporary files, which ``TMPDIR`` may name. What workers that were
    killed have left on this machine is removed first: a lock ends with whoever holds it."""

    def __init__(self) -> None:
        parent = Path(tempfile.gettempdir())
        for left in parent.glob(f"{_PREFIX}*"):
            if _is_left(left):
                shutil.rmtree(left, ignore_errors=True)
        made = Path(tempfile.mkdtemp(prefix=_UNLOCKED, dir=parent))
        self._lock = os.open(made, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Only now it has the name by which others look for what is left.
        self.folder = made.rename(parent / f"{_PREFIX}{made.name.removeprefix(_UNLOCKED)}")
        self._numbers = count()

    @contextmanager
    def room(self) -> Iterator[Path]:
        """A new folder, for as long as the block lasts."""
        room = self.folder / str(next(self._numbers))
        room.mkdir()
        try:
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)

    def close(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def _is_left(folder: Path) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    with suppress(OSError):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(handle).st_uid == os.geteuid()
        finally:
            os.close(handle)
    return False
