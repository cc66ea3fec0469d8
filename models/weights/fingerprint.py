"""Checksums of files, computed once a process for a file that does not change."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path


def sha256_of(path: Path, *, fresh: bool = False) -> str:
    """Hex sha256 of a file's bytes; cached by path, size and time unless ``fresh``."""
    if fresh:
        return _hash(path)
    seen = path.stat()
    return _hashed(str(path), seen.st_size, seen.st_mtime_ns)


@lru_cache(maxsize=256)
def _hashed(path: str, _size_bytes: int, _mtime_ns: int) -> str:
    return _hash(Path(path))


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def combined(sha256s: Sequence[str]) -> str:
    """One checksum of a model's files: the file's own where there is one."""
    if len(sha256s) == 1:
        return sha256s[0]
    return hashlib.sha256("\n".join(sha256s).encode()).hexdigest()
