"""What a piece of work takes at its peak, measured in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from restore_batch.errors import RestoreBatchError

MEBIBYTE = 1 << 20
_REFUSED, _FAULT, _LATE_S = 3, 4, 120


@dataclass(frozen=True)
class Cost:
    """``peak_bytes``: memory above that of the process before. ``said``: what the work returned, or
    the message with which it was ``refused``."""

    peak_bytes: int
    said: str
    refused: bool


def cost_of(work: Callable[[], str], notes: Path) -> Cost:
    """``notes``: a file for what the other process says. AssertionError where ``work`` ends in
    anything but its result or an error for a user, or takes minutes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    before = pages * os.sysconf("SC_PAGE_SIZE")
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the test run has a handler of its own
        signal.alarm(_LATE_S)
        code = _FAULT
        try:
            notes.write_text(work(), encoding="utf-8")
            code = 0
        except RestoreBatchError as error:
            notes.write_text(str(error), encoding="utf-8")
            code = _REFUSED
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, _REFUSED}, f"ended with {code}"
    said = notes.read_text(encoding="utf-8")
    return Cost(used.ru_maxrss * 1024 - before, said, code == _REFUSED)
