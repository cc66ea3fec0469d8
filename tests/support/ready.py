"""The command line in processes that need not import torch any more.

A run imports torch, which takes a processor two seconds, and tests start a hundred runs. Here one
process imports it for all of them; each run is forked from it: a process of its own, with its own
folder, variables, streams, signals and end. Whatever is about the start of the installed program
itself calls :func:`support.archive.command`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_BEFOREHAND = (
    *("torch", "torchvision", "cv2", "av", "PIL.Image", "restore_batch.models.registry"),
    *(f"restore_batch.pipeline.{each}" for each in ("cli.run", "session", "drive.run")),
    "restore_batch.pipeline.engine.local",
)


@dataclass(frozen=True)
class Call:
    """What a run is told: program and arguments, folder, all variables, and the ends of pipes."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    streams: tuple[int, int]


class Ready:
    """The process that has imported all: started when it is first asked, again where it is lost."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._lock = threading.Lock()

    def run(
        self,
        argv: Sequence[str],
        cwd: Path | None,
        env: Mapping[str, str],
        timeout_s: float,
    ) -> subprocess.CompletedProcess[str]:
        """Run ``argv``, the installed program with its arguments, to its end. Raises
        TimeoutExpired after it was killed."""
        with self._lock:
            channel, self._channel = self._channel or _started(), None
            told = json.dumps([list(argv), str(cwd or Path.cwd()), dict(env)]).encode()
            reads, writes = zip(*(os.pipe() for _ in range(2)), strict=True)
            channel.sendall(len(told).to_bytes(4, "big"))
            socket.send_fds(channel, [b"."], writes)
            channel.sendall(told)
            for end in writes:
                os.close(end)
            texts = [_Reader(end) for end in reads]
            process = int.from_bytes(_received(channel, 4), "big")
            channel.settimeout(timeout_s)
            try:
                code = int.from_bytes(_received(channel, 4), "big", signed=True)
            except TimeoutError:
                os.kill(process, signal.SIGKILL)
                channel.settimeout(None)
                _received(channel, 4)
                self._channel = channel
                raise subprocess.TimeoutExpired(list(argv), timeout_s) from None
            finally:
                channel.settimeout(None)
            out, err = (text.read() for text in texts)
            self._channel = channel
        return subprocess.CompletedProcess(list(argv), code, out, err)


class _Reader:
    """Reads a pipe to its end meanwhile."""

    def __init__(self, end: int) -> None:
        self._end, self._text = end, ""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with open(self._end, encoding="utf-8") as file:  # noqa: PTH123
            self._text = file.read()

    def read(self) -> str:
        self._thread.join()
        return self._text


def _started() -> socket.socket:
    ours, theirs = socket.socketpair()
    # Numerical libraries must start no thread before a fork.
    alone = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "MKL")}
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "support.ready", str(theirs.fileno())],
            pass_fds=[theirs.fileno()], env={**os.environ, **alone}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    return ours


def _received(channel: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        some = channel.recv(count - len(found))
        if not some:
            raise EOFError("the other side has ended")
        found += some
    return found


def _next_call(channel: socket.socket) -> Call | None:
    try:
        length = int.from_bytes(_received(channel, 4), "big")
    except EOFError:
        return None
    _, streams, _, _ = socket.recv_fds(channel, 1, 2)
    argv, cwd, env = json.loads(_received(channel, length))
    return Call(argv, cwd, env, (streams[0], streams[1]))


def _fork(channel: socket.socket) -> Call | None:
    """In this process None, once nobody asks any more; in each child what it is to do."""
    while call := _next_call(channel):
        child = os.fork()
        if child == 0:
            channel.close()
            return call
        for end in call.streams:
            os.close(end)
        channel.sendall(child.to_bytes(4, "big"))
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        channel.sendall(code.to_bytes(4, "big", signed=True))
    return None


def _become(call: Call) -> None:
    """Be the program from here on."""
    for place, end in enumerate(call.streams, 1):
        os.dup2(end, place)
        os.close(end)
    os.chdir(call.cwd)
    os.environ.clear()
    os.environ.update(call.env)
    sys.argv = call.argv
    folders = [each for each in call.env.get("PYTHONPATH", "").split(os.pathsep) if each]
    rest = [each for each in sys.path[1:] if each not in folders]
    sys.path[:] = [str(Path(call.argv[0]).parent), *folders, *rest]
    importlib.invalidate_caches()
    from restore_batch.pipeline.cli.main import main

    code: object = 1
    try:
        main(call.argv[1:])
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    # As an interpreter ends, but for taking torch apart, which takes as long as importing it.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0)


def _serve(channel: socket.socket) -> None:
    for name in _BEFOREHAND:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else each child copies all of it, to count what is referred to
    call = _fork(channel)
    if call is not None:
        _become(call)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
