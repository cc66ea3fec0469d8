"""Ends what is left of a private Ray once its owner has ended, however it ended.

Run as a program of its own, outside the owner's process group, with the read end of a pipe from
the owner as standard input: ``python ray_warden.py FOLDER``. Ray's raylet ends with the owner, but
its agents notice only after a minute, and a stopped worker never does.

Processes are told by what they were started with: ``MARK`` in their environment holds the folder,
whose name no other run has. Nothing else is ever ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

MARK = "RESTORE_BATCH_RAY"
_LOOKS_S = 1.0
_TRIES_S = 20.0


def members(folder: str) -> list[int]:
    """Ids of the processes that were started for the Ray in ``folder``; on Linux."""
    mark = f"{MARK}={folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended, or is another user's
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def end_all(folder: str) -> None:
    """End every process of the Ray in ``folder`` and remove the folder."""
    until = time.monotonic() + _TRIES_S
    while (left := members(folder)) and time.monotonic() < until:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def _await_end_of(owner: int) -> None:
    while os.getppid() == owner:
        ready, _, _ = select.select([sys.stdin], [], [], _LOOKS_S)
        if ready and not os.read(sys.stdin.fileno(), 1):
            return


def main() -> None:
    """See above."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _await_end_of(os.getppid())
    end_all(sys.argv[1])


if __name__ == "__main__":
    main()
