"""File operations that survive a power cut: nothing is seen half-written."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO


def sha256_of(path: Path) -> str:
    """Hex checksum of a file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def publish(staged: Path, final: Path) -> None:
    """Move a finished, fsynced file into place, atomically and durably."""
    _make_folder(final.parent)
    staged.replace(final)
    sync_folder(final.parent)


def publish_copy(source: BinaryIO, staged: Path, final: Path) -> None:
    """Copy a stream to ``final`` by way of ``staged`` (same file system)."""
    try:
        with staged.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        publish(staged, final)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def _make_folder(folder: Path) -> None:
    # A file is only as durable as every new folder above it.
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
