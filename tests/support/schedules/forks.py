"""Runs of the job as processes forked from one that has imported what they need.

A run that imports torch takes two seconds before it does anything, and is killed within one.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from restore_batch.models import registry
from restore_batch.stages import catalogue as stages
from restore_batch.stages.photo.formats import catalogue as formats

from support.archive import command

STOPPED = 1000
_LIMIT_S = 240
_NEEDED = ("cli.run", "cli.progress", "session", "drive.run", "engine.local")


def load() -> None:
    """Import all that a run needs, without starting a thread."""
    for name in ("av", "cv2", "torch", *(f"restore_batch.pipeline.{each}" for each in _NEEDED)):
        importlib.import_module(name)
    registry.families()
    stages.stage_classes()
    formats.formats()


class Fork:
    """A run of the job. ``process``: its id."""

    def __init__(self, process: int, log: Path) -> None:
        self.process = process
        self._log = log

    def wait(self) -> int | None:
        """Its exit code, -N for a signal, ``STOPPED`` where it is stopped, None where it hangs
        (and is killed)."""
        end = time.monotonic() + _LIMIT_S
        while time.monotonic() < end:
            if (code := self.poll()) is not None:
                return code
            time.sleep(0.005)
        self.send(signal.SIGKILL)
        os.waitpid(self.process, 0)
        return None

    def poll(self) -> int | None:
        """What :meth:`wait` says, or None while it runs."""
        done, status = os.waitpid(self.process, os.WNOHANG | os.WUNTRACED)
        if not done:
            return None
        return STOPPED if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process, number)

    def stderr(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


def forked(arguments: list[str], log: Path, before: Callable[[], None]) -> Fork:
    """This process, which has imported all, as the program; ``before``: what it does first."""
    child = os.fork()
    if child == 0:
        try:
            _stand_alone(log)
            before()
            _be_the_program(arguments)
        finally:
            os._exit(99)
    return Fork(child, log)


def forked_program(arguments: list[str], log: Path, variables: Mapping[str, str]) -> Fork:
    """The installed program: a private Ray starts more of what it was started with."""
    child = os.fork()
    if child == 0:
        try:
            _stand_alone(log)
            os.environ.update(variables)
            program = command(*arguments)
            os.execv(program[0], program)
        finally:
            os._exit(99)
    return Fork(child, log)


def _stand_alone(log: Path) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for place, handle in enumerate((nothing, nothing, errors)):
        os.dup2(handle, place)


def _be_the_program(arguments: list[str]) -> None:
    from restore_batch.pipeline.cli.main import main

    try:
        main(arguments)
    except SystemExit as end:
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        sys.stderr.flush()
        os._exit(1)
