"""A written file, made durable and known by its content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_READ_BYTES = 1 << 20


def settle(path: Path) -> tuple[int, str]:
    """Force a file to the disk; its size in bytes and the SHA-256 of what can be read back."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        os.fsync(file.fileno())
        while block := file.read(_READ_BYTES):
            digest.update(block)
        return file.tell(), digest.hexdigest()
