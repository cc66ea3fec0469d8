"""What a codec may do to its process, by name; for calls that are to survive it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def do(deed: str) -> str:
    """Crash, hang, allocate …; what is no misdeed is answered with its name."""
    match deed:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "abort":
            os.abort()
        case "exit":
            os._exit(7)
        case "leave":
            sys.exit("gone")
        case "hang":
            while True:
                pass
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "gorge":
            held = []
            while True:
                held.append(bytearray(32 << 20))
        case "babble":
            for handle in range(3, 64):
                with suppress(OSError), socket.socket(fileno=os.dup(handle)) as channel:
                    channel.send(b"GARBAGE\n" * 3)
            time.sleep(60)
        case "raise":
            raise KeyError(deed)
    return deed


@dataclass(frozen=True)
class Misdeeds:
    """A task whose requests are misdeeds. ``marks``: a folder that remembers which processes there
    were."""

    marks: str

    def open(self) -> None:
        (Path(self.marks) / str(os.getpid())).touch()

    def __call__(self, deed: Any) -> Any:
        if isinstance(deed, float):
            time.sleep(deed)
            return deed
        if deed == "modules":
            return sorted(sys.modules)
        return do(deed)


@dataclass(frozen=True)
class Unopenable:
    def open(self) -> None:
        raise ValueError("no such codec")

    def __call__(self, request: Any) -> Any:
        return request
