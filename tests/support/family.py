"""Processes that belong to a run, as a test meets them."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from restore_batch.pipeline.engine.ray_warden import members

LONG_S = 120
"""What takes longer hangs, also on a machine with much else to do."""


def until(true: Callable[[], object], what: str, within_s: float = LONG_S) -> None:
    """Wait until ``true()`` is."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.05)


def folders_of(pid: int) -> list[Path]:
    """The folders of the private Ray of process ``pid``."""
    return list(Path("/tmp").glob(f"rb-{pid}-*"))


def ray_of(pid: int) -> list[psutil.Process]:
    """All processes of the private Ray of process ``pid``."""
    found = []
    for folder in folders_of(pid):
        for member in members(str(folder)):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(member))
    return found


def named(processes: list[psutil.Process], name: str) -> list[psutil.Process]:
    """Those with ``name`` in their command line."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if any(name in word for word in process.cmdline()[:1]):
                found.append(process)
    return found


def handles(process: subprocess.Popen[bytes], number: int) -> bool:
    """Whether ``process`` has a handler of its own for the signal."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) & (1 << (number - 1)))
    return False
