"""Inputs in a process of their own: how each ends, what it says, what it costs."""

from __future__ import annotations

import os
import re
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from support.fuzz.readers import Reader

MOST_CPU_S = 10.0
MOST_BYTES = 1 << 30
"""Above what the process takes before it reads the input."""
_HANG_S = 120.0
_ROOM_BYTES = 6 << 30
_INPUTS_OF_A_PROCESS = 200

Outcome = Literal["done", "refused", "fault", "died", "hung", "slow", "large"]
GOOD: frozenset[Outcome] = frozenset({"done", "refused"})


@dataclass(frozen=True)
class Trial:
    """``text``: the refusal, or what is wrong."""

    outcome: Outcome
    text: str
    cpu_s: float
    bytes_above: int

    @property
    def good(self) -> bool:
        return self.outcome in GOOD


class Trials:
    """Has ``readers`` read inputs, one after the other, in a process that is forked from this one
    and replaced when it ends. To be used in a process with one thread."""

    def __init__(self, readers: Mapping[str, Reader]) -> None:
        self._readers = readers
        self._child: _Child | None = None

    def read(self, reader: str, path: Path) -> Trial:
        """Have ``reader`` read ``path``."""
        if self._child is None:
            self._child = _Child(self._readers)
        trial = self._child.read(reader, path)
        # What one input took and did not give back is not to be blamed on the next.
        if not trial.good or self._child.inputs >= _INPUTS_OF_A_PROCESS:
            self.close()
        return trial

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    def __init__(self, readers: Mapping[str, Reader]) -> None:
        self.inputs = 0
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(self._requests)
            os.close(self._answers)
            _serve(readers, requests, answers)
        os.close(requests)
        os.close(answers)
        self._ended: int | None = None

    def read(self, reader: str, path: Path) -> Trial:
        self.inputs += 1
        os.write(self._requests, f"{reader}\t{path}\n".encode())
        answer = self._answer()
        if answer is None:
            self._kill()
            return Trial("hung", f"no end after {_HANG_S:g} s", _HANG_S, 0)
        if not answer:
            return Trial("died", self._death(), 0.0, 0)
        figures, _, said = answer.partition("\n")
        cpu_s, above = float(figures.split()[0]), int(figures.split()[1])
        outcome, _, text = said.partition("\n")
        if cpu_s > MOST_CPU_S:
            outcome, text = "slow", f"{cpu_s:.1f} s of CPU; {outcome}: {text}"
        elif above > MOST_BYTES:
            outcome, text = "large", f"{above >> 20} MiB; {outcome}: {text}"
        return Trial(outcome, text, cpu_s, above)  # type: ignore[arg-type]

    def _answer(self) -> str | None:
        """What the process says, "" where it is gone, None where it says nothing."""
        said, end = b"", time.monotonic() + _HANG_S
        while not said.endswith(b"\0"):
            ready, _, _ = select.select([self._answers], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return None
            part = os.read(self._answers, 1 << 16)
            if not part:
                return ""
            said += part
        return said[:-1].decode(errors="replace")

    def _death(self) -> str:
        code = os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        self._ended = code
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def _kill(self) -> None:
        os.kill(self._process, signal.SIGKILL)
        self._death()

    def end(self) -> None:
        os.close(self._requests)
        os.close(self._answers)
        if self._ended is None:
            self._death()


def _serve(readers: Mapping[str, Reader], requests: int, answers: int) -> None:
    """Read what is asked for until nobody asks any more."""
    # Bounded, so that an input that asks for everything does not get it from the machine.
    most = _pages()[0] + _ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nothing = os.open(os.devnull, os.O_RDWR)
    for place in (0, 1, 2):
        os.dup2(nothing, place)
    with os.fdopen(requests, encoding="utf-8") as lines, os.fdopen(answers, "wb", 0) as out:
        for line in lines:
            name, path = line.rstrip("\n").split("\t")
            _answer_to(readers[name], Path(path), out)
    os._exit(0)


def _answer_to(reader: Reader, path: Path, out: IO[bytes]) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins anew
    resident, before = _pages()[1], time.process_time()
    said = _said(reader, path)
    cpu_s = time.process_time() - before
    text = f"{cpu_s} {max(0, _peak() - resident)}\n{said}".replace("\0", "?")
    out.write(text.encode(errors="replace")[:60_000] + b"\0")


def _said(reader: Reader, path: Path) -> str:
    try:
        reader.read(path)
    except reader.refusals as refusal:
        lines = str(refusal).splitlines()
        one = len(lines) == 1 or (reader.several_lines and lines and all(map(str.strip, lines)))
        return f"refused\n{refusal}" if one else f"fault\nnot one line: {str(refusal)!r}"
    except BaseException as error:
        where = traceback.extract_tb(sys.exc_info()[2])[-1]
        return f"fault\n{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
    return "done\n"


def _pages() -> tuple[int, int]:
    """Bytes of address space and of memory of this process."""
    size, resident, *_ = Path("/proc/self/statm").read_text().split()
    page = resource.getpagesize()
    return int(size) * page, int(resident) * page


def _peak() -> int:
    """The most bytes of memory that this process took since its peak began anew."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) << 10 if found else 0
