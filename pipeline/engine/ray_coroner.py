"""Starts a worker of a private Ray and notes how it ended: Ray itself cannot tell.

Run in the place of Python: ``python ray_coroner.py FOLDER python ARGUMENTS…``. A worker that ends
with anything but status 0 leaves ``FOLDER/PID``: ``signal 11`` or ``status 7``. The worker ends
with this process and this one with the raylet that started it, at once and whatever state they
are in. Signals that ask a process to end are held back in both: whoever stops a service asks all
its processes, and what workers are at is the driver's to finish.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

_MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Workers ask for memory in huge pages, unless the environment says otherwise: networks alone are
a few hundredths faster, and what is given back is soon had again."""
_PR_SET_PDEATHSIG = 1
_HELD_BACK = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def main() -> None:
    """See above."""
    folder, arguments = Path(sys.argv[1]), sys.argv[2:]
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    _end_with_parent()
    worker = os.fork()
    if worker == 0:
        _end_with_parent()
        os.execvpe(arguments[0], arguments, {**_MALLOC, **os.environ})
    status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    if status:
        note = folder / f".{worker}"
        note.write_text(f"status {status}" if status > 0 else f"signal {-status}")
        note.rename(folder / str(worker))


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
