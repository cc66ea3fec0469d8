"""Calls that may crash, hang or ask for all memory, in processes of their own.

What a codec does with a damaged file nobody can promise: it may end its process or never return.
Here that costs the one call: its process is replaced, and the other calls go on. Answers come in
the order of the requests, whatever order they are made in.

Not :mod:`multiprocessing`: the processes it spawns run the caller's script once more, and those it
forks inherit locks that other threads held. Answers are JSON, so that a process that a file has
taken over can say something wrong, and do nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol

from restore_batch.errors import ExecutorError

_START_S = 300.0
_GRACE_S = 5.0
"""A process ends itself at its limit, also when nobody waits for it any more; it is ended from
outside where it cannot."""
_END_S = 5.0
_LONGEST_ANSWER = 64 << 20
_NONSENSE = "gave no proper answer"
_PR_SET_PDEATHSIG = 1


class Task(Protocol):
    """What the processes do; it is pickled to get there."""

    def open(self) -> None:
        """Import and load what all calls need."""
        ...

    def __call__(self, request: Any, /) -> Any:
        """Answer a request, which is pickled, as JSON can say it; else it becomes text."""
        ...


@dataclass(frozen=True)
class Bounds:
    """What a call may take. ``memory_bytes``: beyond what its process holds once it is open; None:
    whatever there is."""

    time_s: float
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Lost:
    """A call without an answer. ``reason``: what it did, such as ``crashed (SIGSEGV)``."""

    reason: str


class Isolated:
    """Processes that do ``task``, started when they are needed.

    ``environment``: variables that they have beside those of this process. Leaving the context
    ends them.
    """

    def __init__(
        self,
        task: Task,
        bounds: Bounds,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._task, self._bounds = task, bounds
        self._environment = {**os.environ, **(environment or {})}
        self._processes: list[_Process] = []

    def __enter__(self) -> Isolated:
        return self

    def __exit__(self, *error: object) -> None:
        # One by one off the list: two threads may end them at once.
        with contextlib.suppress(IndexError):
            while True:
                process = self._processes.pop()
                # Who has nothing to do ends by itself, at once.
                process.end(_END_S if process.is_open and process.number is None else 0.0)

    def start(self) -> None:
        """Start a process before there is anything to do: it takes a while."""
        self._processes.append(_Process(self._task, self._bounds, self._environment))

    def answers(self, requests: Iterable[Any], processes: int = 1) -> Iterator[Any | Lost]:
        """The answer to each of ``requests``, in their order; :class:`Lost` where there is none.

        Requests are taken as processes, up to so many, come to them. Raises ExecutorError where no
        process can be started.
        """
        calls = enumerate(requests)
        answered: dict[int, Any | Lost] = {}
        told = 0
        while True:
            self._hand_out(calls, processes)
            busy = [process for process in self._processes if process.number is not None]
            if not busy:
                return
            answered |= self._collect(busy)
            while told in answered:
                yield answered.pop(told)
                told += 1

    def _hand_out(self, calls: Iterator[tuple[int, Any]], processes: int) -> None:
        while True:
            idle = next((each for each in self._processes if each.number is None), None)
            if idle is None and len(self._processes) >= processes:
                return
            call = next(calls, None)
            if call is None:
                return
            if idle is None:
                self.start()
                idle = self._processes[-1]
            idle.ask(*call)

    def _collect(self, busy: Sequence[_Process]) -> dict[int, Any | Lost]:
        """What is answered, or is not going to be, once something may be."""
        answered: dict[int, Any | Lost] = {}
        first = min(process.deadline for process in busy)
        heard = wait([process.channel for process in busy], max(0.0, first - time.monotonic()))
        for process in busy:
            number = process.number
            assert number is not None
            try:
                if process.channel in heard:
                    answered |= ((number, answer) for answer in process.read())
                elif time.monotonic() > process.deadline:
                    raise _GoneError(_too_long(self._bounds))
            except _GoneError as gone:
                self._processes.remove(process)
                code = process.end(0.0 if gone.reason else _END_S)
                reason = gone.reason or _fate(code, self._bounds)
                if not process.is_open:
                    text = f"a process to read files in cannot be started: it {reason}"
                    raise ExecutorError(text) from None
                answered[number] = Lost(reason)
        return answered


class _GoneError(Exception):
    """A process is of no more use. ``reason``: "" where its end says why."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason)


class _Process:
    def __init__(self, task: Task, bounds: Bounds, environment: Mapping[str, str]) -> None:
        self._bounds = bounds
        self.number: int | None = None
        """Of the call that it is at."""
        self.is_open = False
        self._heard = b""
        self.channel, theirs = socket.socketpair()
        with theirs:
            handle = theirs.fileno()
            # The path of this process: a package may have been found by it and by nothing else.
            code = (
                f"import sys; sys.path[:] = {sys.path!a}\n"
                f"from {__name__} import serve; serve({handle})"
            )
            # In a session of its own, where Ctrl-C at the terminal does not reach it.
            self._popen = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[handle],
                env=dict(environment),
                start_new_session=True,
            )
        self.channel.settimeout(_GRACE_S)
        self._send((bounds, task))
        self.deadline = time.monotonic() + _START_S

    def ask(self, number: int, request: object) -> None:
        """Give it a call; it has none."""
        self.number = number
        if self.is_open:
            self._watch()
        self._send(request)

    def _send(self, content: object) -> None:
        # A process that has gone is seen when it is read from.
        with contextlib.suppress(OSError):
            self.channel.sendall(pickle.dumps(content))

    def _watch(self) -> None:
        self.deadline = time.monotonic() + self._bounds.time_s + _GRACE_S

    def read(self) -> list[Any | Lost]:
        """The answer to its call, or nothing yet. Raises _GoneError."""
        try:
            heard = self.channel.recv(1 << 20)
        except OSError:
            heard = b""
        if not heard:
            raise _GoneError
        *lines, self._heard = (self._heard + heard).split(b"\n")
        if len(self._heard) > _LONGEST_ANSWER or len(lines) > 2:
            raise _GoneError(_NONSENSE)
        return [answer for line in lines for answer in self._understood(line)]

    def _understood(self, line: bytes) -> list[Any | Lost]:
        try:
            kind, value = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            raise _GoneError(_NONSENSE) from None
        if not self.is_open:
            if kind != "open":
                raise _GoneError(f"failed: {value}")
            self.is_open = True
            self._watch()
            return []
        if self.number is None:
            raise _GoneError(_NONSENSE)
        self.number = None
        return [value if kind == "answer" else Lost(f"failed: {value}")]

    def end(self, patience_s: float = 0.0) -> int:
        """End it, with what it has started, unless it ends by itself; how it ended."""
        self.channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(patience_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_END_S)  # unless a disk or a network holds it
        return self._popen.returncode or 0


def _too_long(bounds: Bounds) -> str:
    return f"took longer than {bounds.time_s:g} s"


def _fate(code: int, bounds: Bounds) -> str:
    """What a process came to, by its exit code."""
    if code == -signal.SIGALRM:
        return _too_long(bounds)
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), as for want of memory"
    if code < 0:
        return f"crashed ({signal.Signals(-code).name})"
    return f"ended its process (exit {code})"


# --- in the process ----------------------------------------------------------------------------


def serve(handle: int) -> None:
    """Do what comes over the socket ``handle`` until it is closed."""
    _die_with_the_caller()
    channel = socket.socket(fileno=handle)
    with channel, channel.makefile("rb") as requests:
        bounds, task = pickle.load(requests)
        try:
            task.open()
        except Exception as error:
            _say(channel, "failed", _line(error))
            return
        _restrain(bounds)
        _say(channel, "open", "")
        while True:
            try:
                request = pickle.load(requests)
            except (EOFError, ConnectionError):
                os._exit(0)  # at once: nothing here is worth an interpreter's tidy end
            # Not handled, so that it ends the process even within a codec.
            signal.setitimer(signal.ITIMER_REAL, bounds.time_s)
            try:
                kind, value = "answer", task(request)
            except MemoryError:
                kind, value = "failed", "there is not enough memory"
            except Exception as error:
                kind, value = "failed", f"{type(error).__name__}: {_line(error)}"
            signal.setitimer(signal.ITIMER_REAL, 0)
            _say(channel, kind, value)


def _say(channel: socket.socket, kind: str, value: object) -> None:
    channel.sendall(json.dumps([kind, value], default=str).encode() + b"\n")


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _die_with_the_caller() -> None:
    """Also where it is killed and cannot end its processes."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _restrain(bounds: Bounds) -> None:
    """Bound the memory; leave no core file; be the first to go where memory runs out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    if bounds.memory_bytes is not None:
        import psutil

        most = psutil.Process().memory_info().vms + bounds.memory_bytes
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
