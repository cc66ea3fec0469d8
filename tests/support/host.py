"""What tests borrow from the machine: a terminal, a file system that is small."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def read_until_closed(master: int) -> bytes:
    """All that a program writes to its terminal, by the other end of that."""
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


@contextmanager
def small_file_system(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own at ``folder``, of ``size`` as mount writes it; skips without the
    right to mount."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
