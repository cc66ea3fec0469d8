"""Files that survive a power cut: written whole or not at all, and known by their content.

A file is made under another name in the folder (or at least the file system) it is for, forced
to the disk, then renamed, and the folder forced too. A reader sees the old file or the new one.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, TypeVar

Asked = TypeVar("Asked")
Found = TypeVar("Found")

_LOOKS_AT_ONCE = 16
_LOOKS_A_THREAD = 32
"""Fewer are sooner done than handed over."""
_FIRST_LOOKS = 4
_QUICK_S = 100e-6
"""A look that takes no longer is sooner done than handed over, however many there are."""

_FAULTS_OF_STORAGE = {
    errno.ENOSPC: "no space left; free some and run again",
    errno.EDQUOT: "the disk quota is used up; free some and run again",
    errno.EROFS: "the file system has become read-only; see to the disk and run again",
}
_FAULT_OF_A_DISK = "the disk fails (input/output error); see to it and run again"


def storage_fault(error: BaseException, folder: Path) -> str:
    """Why nothing more can be written to ``folder``, if that is behind ``error``; else "".

    Told by the error number, wherever in the chain of causes it stands. A disk that fails is only
    meant where the error names a file in ``folder``: it may be an original that cannot be read.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            if seen.errno in _FAULTS_OF_STORAGE:
                return _FAULTS_OF_STORAGE[seen.errno]
            names = [os.fspath(name) for name in (seen.filename, seen.filename2) if name]
            if seen.errno == errno.EIO and any(
                isinstance(name, str) and Path(name).is_relative_to(folder) for name in names
            ):
                return _FAULT_OF_A_DISK
        seen = seen.__cause__ or seen.__context__
    return ""


_OTHER_THAN_FILES = {
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFDIR: "folder",
}


def open_regular(path: Path | str) -> BinaryIO:
    """Open a file to read it; never waits for a writer, as opening a pipe would.

    Raises OSError, whose ``strerror`` says what is there, for what is no file: a pipe or a device
    may have no end.
    """
    return open(path, "rb", opener=_opened_regular)


def _opened_regular(path: str, flags: int) -> int:
    _expect_file(os.stat(path), path)  # noqa: PTH116
    try:
        # What was a file may be a pipe by now.
        handle = os.open(path, flags | os.O_NOCTTY | os.O_NONBLOCK)
    except BlockingIOError:  # another program has a lease on the file, and is asked to give it up
        handle = os.open(path, flags | os.O_NOCTTY)
    try:
        _expect_file(os.fstat(handle), path)
        os.set_blocking(handle, True)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _expect_file(status: os.stat_result, path: Path | str) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        other = _OTHER_THAN_FILES.get(kind)
        found = f"a {other}" if other else "something else"
        raise OSError(errno.EINVAL, f"it is {found}, expected a file", os.fspath(path))


def other_than_file(path: str) -> str:
    """What lies there instead of a file (``pipe``, ``socket``, ``device``, ``folder``), not where
    links lead from there; "" for a file, and where nothing is."""
    try:
        return _OTHER_THAN_FILES.get(stat.S_IFMT(os.lstat(path).st_mode), "")
    except OSError:
        return ""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What is done within is done to ``path`` alone: an input/output error that names no file, as
    those of fsync and of codecs, is raised as one that names it."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO or error.filename is not None:
            raise
        raise OSError(errno.EIO, os.strerror(errno.EIO), os.fspath(path)) from error


def sha256_of(source: Path | BinaryIO) -> str:
    """Hex SHA-256 of a file's content, or of what is left in a stream; read in pieces."""
    if isinstance(source, Path):
        with open_regular(source) as file:
            return sha256_of(file)
    return hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]


def content_of(path: Path) -> str | None:
    """Checksum of a file; None where there is none to read."""
    try:
        return sha256_of(path)
    except OSError:
        return None


def holds(path: Path, sha256: str | None) -> bool:
    """Whether there is a file with that content."""
    return sha256 is not None and content_of(path) == sha256


def version_of(status: os.stat_result) -> str:
    """What differs between two states of a file, and between two files under one name.

    A program can set back the time of modification, not that of change. The device is left out:
    network mounts number theirs anew at every start, and all of an archive would be read again.
    """
    return f"mtime_ns:{status.st_mtime_ns} ctime_ns:{status.st_ctime_ns} inode:{status.st_ino}"


def side_by_side(look: Callable[[Asked], Found], asked: Sequence[Asked]) -> Iterator[Found]:
    """``look`` at each of ``asked``; what it finds, in their order.

    Of many several at once where a look takes its time, as on a network; on a disk at hand threads
    only stand in each other's way.
    """
    first, size, are_quick = 0, _FIRST_LOOKS, True
    while first < len(asked) and (are_quick or len(asked) - first <= _LOOKS_A_THREAD):
        part, began = asked[first : first + size], time.perf_counter()
        found = list(map(look, part))
        are_quick = time.perf_counter() - began <= _QUICK_S * len(part)
        yield from found
        first, size = first + size, _LOOKS_A_THREAD
    parts = [asked[at : at + _LOOKS_A_THREAD] for at in range(first, len(asked), _LOOKS_A_THREAD)]
    for found in _lookers(os.getpid()).map(lambda part: list(map(look, part)), parts):
        yield from found


@lru_cache(maxsize=1)
def _lookers(process: int) -> ThreadPoolExecutor:
    """Threads that stay: of a million files some hundred are looked at again and again. A process
    that was forked has none of its parent's."""
    return ThreadPoolExecutor(_LOOKS_AT_ONCE, "look")


def settle(path: Path) -> tuple[int, str]:
    """Force a written file to the disk; its size in bytes and the SHA-256 of what reads back."""
    with naming(path), path.open("rb") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size, sha256_of(file)


def sync_file(path: Path) -> None:
    """Force what was written to ``path`` to the disk."""
    with naming(path), path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable: files renamed, made and removed."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with naming(folder):
            os.fsync(handle)
    finally:
        os.close(handle)


def publish(staged: Path, final: Path) -> None:
    """Move a settled file into place, atomically and durably; missing folders are made.

    Both paths are on one file system. A file at ``final`` is replaced.
    """
    make_folder(final.parent)
    put(staged, final)
    sync_folder(final.parent)


def put(staged: Path, final: Path | str) -> None:
    """:func:`publish` into a folder that is there, without its last step: the name is durable once
    that is synced."""
    os.replace(staged, final)  # noqa: PTH105 - a million take their time


def copy_anew(source: Path, target: Path) -> None:
    """Copy a file's content to ``target``, forced to the disk. Raises FileExistsError where
    something lies there."""
    with open_regular(source) as read, target.open("xb") as written:
        try:
            shutil.copyfileobj(read, written, 1 << 20)
            written.flush()
            os.fsync(written.fileno())
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def empty(folder: Path) -> None:
    """Remove all that lies in a folder."""
    for leftover in folder.iterdir():
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


@contextmanager
def whole(final: Path, staged: Path | None = None) -> Iterator[Path]:
    """A path to write to. When the block ends, the file there is forced to the disk and takes
    the place of ``final``; when it raises, the file is gone and ``final`` as it was.

    ``staged``: that path, on the file system of ``final``. By default it lies beside ``final``
    under a fixed name, so that what a killed process left is overwritten by the next: writers
    that may meet must each give a name of their own.
    """
    path = final.with_name(f".{final.name}.tmp") if staged is None else staged
    try:
        yield path
        sync_file(path)
        publish(path, final)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder durably, and those above it, where they are missing."""
    # A file is only as durable as every new folder above it.
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
