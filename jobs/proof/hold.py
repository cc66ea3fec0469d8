"""The hold of one process on an output folder, and whether the folder is still that folder."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from restore_batch.errors import OutputLockedError, RestoreBatchError
from restore_batch.files import storage_fault
from restore_batch.jobs.proof.faults import ManifestError

_LOOKED_AT_S = 0.5


class Hold:
    """What a process has locked: ``folder/lock``, and the folder above it where that can be.

    The file says who holds it. The folder above outlives a ``.restore-batch`` that somebody
    removes: a second process that makes a new one is kept out all the same.
    """

    def __init__(self, folder: Path) -> None:
        """Raises OutputLockedError naming the process that holds ``folder``, RestoreBatchError
        where it cannot be locked."""
        self._folder = folder
        self._watched: dict[str, tuple[int, int]] = {}
        path = folder / "lock"
        self._handles: list[int] = []
        try:
            while not self._watched:
                lock = self._lock(path)
                # Between opening and locking, the file may have been removed or replaced.
                if _identity(path) == _identity(lock):
                    self.watch(path)
                else:
                    self.release()
            self._lock_outer()
            _write_owner(lock)
        except OSError as error:
            self.release()
            reason = storage_fault(error, folder) or error.strerror or str(error)
            raise RestoreBatchError(f"{path}: cannot write there ({reason})") from None
        except BaseException:
            self.release()
            raise

    def watch(self, path: Path) -> None:
        """Count ``path`` among the files that must stay what they are."""
        if (identity := _identity(path)) is not None:
            self._watched[str(path)] = identity

    def check(self) -> None:
        """Raise ManifestError where a file that is watched has been removed or replaced."""
        for path, identity in self._watched.items():
            if _identity(path) != identity:
                raise ManifestError(
                    f"{path}: removed or replaced while a run was writing there; nothing was"
                    " committed since. Put the folder back as it was, or run again"
                )

    def release(self) -> None:
        """Let others in."""
        while self._handles:
            os.close(self._handles.pop())

    def _lock(self, path: Path) -> int:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._handles.append(handle)
        try:
            _lock_soon(handle)
        except BlockingIOError:
            owner = os.pread(handle, 100, 0).decode(errors="replace").strip()
            raise self._refusal(owner or "another process") from None
        except OSError as error:
            raise RestoreBatchError(
                f"{path}: this file system cannot lock files ({error.strerror}); choose another"
                " output"
            ) from None
        return handle

    def _lock_outer(self) -> None:
        handle = os.open(self._folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._handles.append(handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._refusal(f"a run whose {self._folder.name} was removed") from None
        except OSError:
            pass  # file systems on a network may lock files only

    def _refusal(self, owner: str) -> OutputLockedError:
        return OutputLockedError(
            f"{self._folder.parent}: {owner} is writing there; wait for it or choose another output"
        )


def is_held(folder: Path) -> bool:
    """Whether a process holds ``folder``, which may be on another machine that shares it.

    Where nobody does, this takes it for a moment, shared: whoever begins at that very moment waits
    for it.
    """
    try:
        handle = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _lock_soon(handle: int) -> None:
    """Raises BlockingIOError where somebody holds it for more than a moment, as whoever asks
    :func:`is_held` does not."""
    end = time.monotonic() + _LOOKED_AT_S
    while True:
        try:
            # flock is released by the kernel when the process dies, however it dies.
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise
        time.sleep(_LOOKED_AT_S / 50)


def _write_owner(lock: int) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()}".encode(), 0)


def _identity(file: Path | str | int) -> tuple[int, int] | None:
    try:
        status = os.stat(file)  # noqa: PTH116 - a path or a handle
    except OSError:
        return None
    return status.st_dev, status.st_ino
