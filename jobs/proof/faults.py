"""What an error of SQLite or of the disk means to whoever runs a job: one line, and what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from restore_batch.errors import RestoreBatchError
from restore_batch.files import storage_fault

_OF_THE_DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
_OF_OTHERS = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_OF_OPENING = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
_OF_CONTENT = {
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_EMPTY,
}  # fmt: skip


class ManifestError(RestoreBatchError):
    """The manifest cannot be read or written. It ends a run, which can be gone on with."""


class DamagedManifestError(ManifestError):
    """The manifest is not what was written; it must be rebuilt before a run goes on. ``reason``:
    what is wrong with it, alone."""

    reason = ""


def damaged(manifest: Path, reason: str) -> DamagedManifestError:
    """What is said of a manifest that is not as it was written."""
    output, reason = manifest.parent.parent, " ".join(reason.split())
    error = DamagedManifestError(
        f"{manifest}: damaged ({reason}); `restore-batch repair-manifest {output}` rebuilds it"
        " without losing a result"
    )
    error.reason = reason
    return error


def fault_of(error: sqlite3.Error, manifest: Path) -> ManifestError:
    """What SQLite met while it read or wrote ``manifest``."""
    text = " ".join(str(error).split())
    # A text that is no UTF-8 is found by Python and has no code.
    extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    code = extended & 0xFF
    for name in (manifest.name, f"{manifest.name}-wal", f"{manifest.name}-shm"):
        if manifest.with_name(name).is_dir():
            return damaged(manifest, f"a folder is in the place of {name}")
    if extended == sqlite3.SQLITE_READONLY and _is_writable(manifest):
        return damaged(manifest, "its header says that nobody may write to it")
    if code in _OF_CONTENT:
        return damaged(manifest, text)
    if code in _OF_OPENING:
        return _not_opened(manifest, text)
    if code in _OF_THE_DISK:
        # A full or read-only disk reaches SQLite as any of these.
        again = _state_of_disk(manifest.parent, full=code == sqlite3.SQLITE_FULL)
        again = again or "see to the disk (space, quota, permissions, mount) and run again"
        return ManifestError(f"{manifest}: cannot be read or written ({text}): {again}")
    who = "another program holds it" if code in _OF_OTHERS else "it cannot be used"
    return ManifestError(f"{manifest}: {who} ({text}); see to that and run again")


def fault_of_file(error: OSError, path: Path) -> ManifestError:
    """What the system met while it read or wrote ``path``, a file beside the manifest."""
    again = storage_fault(error, path.parent) or "see to it and run again"
    return ManifestError(f"{path}: cannot be read or written ({error.strerror or error}): {again}")


def _not_opened(manifest: Path, text: str) -> ManifestError:
    if disk := _state_of_disk(manifest.parent, full=False):
        return ManifestError(f"{manifest}: cannot be opened ({text}): {disk}")
    if (error := lacking_permission(manifest)) is not None:
        return error
    return ManifestError(f"{manifest}: cannot be opened ({text}); see to it and run again")


def lacking_permission(manifest: Path) -> ManifestError | None:
    """What is said where ``manifest``, if it is there, may not be read and written."""
    for path, mode in ((manifest, os.R_OK), (manifest, os.W_OK), (manifest.parent, os.W_OK)):
        if path.exists() and not os.access(path, mode):
            verb = "read" if mode == os.R_OK else "write"
            return ManifestError(
                f"{path}: no permission to {verb} it; change that, or run as its owner"
            )
    return None


def _is_writable(manifest: Path) -> bool:
    return lacking_permission(manifest) is None and not _state_of_disk(manifest.parent, full=False)


def _state_of_disk(folder: Path, *, full: bool) -> str:
    """Why nothing can be written below ``folder``; "" where the file system does not say."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return ""
    if status.f_flag & os.ST_RDONLY:
        return storage_fault(OSError(errno.EROFS, ""), folder)
    # A disk of which others have freed some since is still the one that was full.
    if full or status.f_bavail == 0:
        return storage_fault(OSError(errno.ENOSPC, ""), folder)
    return ""
