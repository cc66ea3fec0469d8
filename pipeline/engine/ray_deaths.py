"""Why a worker died, in one line that says what to do."""

from __future__ import annotations

import re
import signal
import time
from collections import deque
from pathlib import Path

from ray import exceptions

from restore_batch import cgroups

_NOTE_WITHIN_S = 2.0
_RECENT_S = 15.0
_LOOKS_S = 1.0
_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE}
_LESS_MEMORY = "try fewer engine.workers or a smaller engine.memory_mb"


class MemoryKills:
    """Processes that the kernel has ended for want of memory, in our control group or anywhere on
    the machine."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()
        self._counters = [
            Path("/proc/vmstat"),
            *(each / "memory.events" for each in cgroups.folders(cgroups.UNIFIED)[:1]),
            *(each / "memory.oom_control" for each in cgroups.folders("memory")[:1]),
        ]
        self.look()

    def look(self) -> None:
        """Note the count, to be called now and then; it looks no more often than is needed."""
        now = time.monotonic()
        if self._counts and now - self._counts[-1][0] < _LOOKS_S:
            return
        self._counts.append((now, self._count()))
        while len(self._counts) > 1 and now - self._counts[1][0] > _RECENT_S:
            self._counts.popleft()

    def recent(self) -> bool:
        """Whether there was one in the last seconds."""
        return self._count() > self._counts[0][1]

    def _count(self) -> int:
        found = [re.search(r"^oom_kill (\d+)$", _read(p), re.MULTILINE) for p in self._counters]
        return sum(int(count[1]) for count in found if count)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # kernels differ in which of them they have


_LOST_MACHINES = (
    exceptions.NodeDiedError,
    exceptions.ActorUnschedulableError,
    # Nobody knows yet what became of it; of a process that died its own node says so at once.
    exceptions.ActorUnavailableError,
)


def is_lost_machine(error: Exception) -> bool:
    """Whether a worker went with its node, or contact to that was lost."""
    return isinstance(error, _LOST_MACHINES) or "its node has died" in str(error)


def describe_death(
    error: Exception, deaths: Path | None = None, memory: MemoryKills | None = None
) -> str:
    """Why a worker died. ``deaths``: where ``ray_coroner`` leaves its notes."""
    text = str(error)
    if isinstance(error, exceptions.OutOfMemoryError) or "running low on memory" in text:
        return f"out of memory: Ray ended it to spare the machine; {_LESS_MEMORY}"
    pid = re.search(r"^\s*pid: (\d+)$", text, re.MULTILINE)
    note = _note(deaths / pid[1]) if deaths is not None and pid else ""
    kind, _, number = note.partition(" ")
    if kind == "signal":
        return _by_signal(int(number), out_of_memory=memory is not None and memory.recent())
    if kind == "status":
        return f"its process ended itself with status {number}; a library did that, for this file"
    return "its process ended unexpectedly: killed, out of memory or crashed; Ray's logs say more"


def _by_signal(number: int, *, out_of_memory: bool) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGKILL and out_of_memory:
        return f"out of memory: the kernel killed it; {_LESS_MEMORY}"
    if number == signal.SIGKILL:
        return "killed with SIGKILL, from outside"
    if number in _CRASHES:
        what = (signal.strsignal(number) or name).lower()
        return f"crashed: {what} ({name}), in a library that reads or restores it"
    return f"ended by {name}, from outside"


def _note(path: Path) -> str:
    # The news that a worker is dead and the note on it travel by different ways.
    until = time.monotonic() + _NOTE_WITHIN_S
    while not path.exists():
        if time.monotonic() > until:
            return ""
        time.sleep(0.01)
    return path.read_text()
