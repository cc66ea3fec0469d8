"""Checksums of weight files: read once a process as long as a file looks the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from restore_batch.files import sha256_of


def fingerprint(path: Path) -> str:
    """Hex SHA-256 of a file, remembered while its path, size and time stay the same."""
    seen = path.stat()
    return _remembered(path, seen.st_size, seen.st_mtime_ns)


@lru_cache(maxsize=256)
def _remembered(path: Path, _size_bytes: int, _mtime_ns: int) -> str:
    return sha256_of(path)


def combined(sha256s: Sequence[str]) -> str:
    """One checksum of a model's files: the file's own where there is one."""
    if len(sha256s) == 1:
        return sha256s[0]
    return hashlib.sha256("\n".join(sha256s).encode()).hexdigest()
