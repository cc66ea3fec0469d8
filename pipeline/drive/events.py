"""What becomes of the units of a run, told as it happens to whoever keeps or counts it.

A line a change goes to ``events.jsonl`` beside the manifest, for programs that follow a run; its
form is in ``deploy/events.schema.json``. It is no record: the manifest is. So a thread of its own
writes it, nothing waits for the disk, and what cannot be written is left out and counted.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from restore_batch.jobs.units import Unit
from restore_batch.pipeline.engine.backend import Backend, Change, Done, Failed, Meter
from restore_batch.text import legible

NAME = "events.jsonl"
FORM = 1
"""Raised where a reader of earlier lines would misunderstand later ones; new keys may come."""
LARGEST_BYTES, FILES_KEPT = 16 << 20, 4
"""Then it becomes ``events.jsonl.1`` and so on; so many are kept beside it."""
_MOST_WAITING = 50_000
_TOGETHER_S = 0.05
"""Lines that come within this are written together."""
_ENDS_WITHIN_S = 5.0


class Events:
    """The changes of one run. None of its methods waits or fails, but for the seconds of
    :meth:`ended`."""

    def __init__(self, folder: Path) -> None:
        """``folder``: of the manifest."""
        self._log, self._run = EventLog(folder / NAME), 0
        self._meter: Meter | None = None
        self._host: Callable[[str], str] = str
        self._at_work: dict[str, _AtWork] = {}

    def follow(self, backend: Backend) -> None:
        """From now on units are begun by the workers of ``backend``."""
        self._meter, self._host = backend.meter, backend.host

    def began(self, run: int, version: str, total: int) -> None:
        """The run itself, by its number in the manifest, with ``total`` items."""
        self._run = run
        self._write({"kind": "run", "state": "begun", "version": version, "total": total})

    def ended(self, state: str, items: Mapping[str, int], seconds: float) -> None:
        """The run has, with so many items in each state; what waits is written, as far as a few
        seconds allow."""
        line = {"state": state, "items": dict(items), "seconds": round(seconds, 3)}
        self._write({"kind": "run", **line})
        self._log.close()

    def begun(self, unit: Unit, node: str) -> None:
        """A worker on ``node`` was given it."""
        at = self._at_work.setdefault(unit.id, _AtWork())
        at.node, at.since, at.is_begun = self._host(node), time.monotonic(), True
        self._tell(Change("begun", unit, at.node, at.lost + 1))

    def node_of(self, unit_id: str) -> str:
        """Where a unit was begun last, as people call it; "" where it was not."""
        at = self._at_work.get(unit_id)
        return "" if at is None else at.node

    def lost(self, unit: Unit, reason: str) -> None:
        """The worker that had it is gone."""
        at = self._at_work.setdefault(unit.id, _AtWork())
        at.lost, at.is_begun = at.lost + 1, False
        self._tell(Change("lost", unit, at.node, at.lost, at.seconds, reason=reason))

    def done(self, outcome: Done) -> None:
        """Its result is committed."""
        chunk, at = outcome.chunk, self._at_work.pop(outcome.unit.id, _AtWork())
        faces = sum(len(records) for records in chunk.records)
        self._tell(
            Change("done", outcome.unit, at.node, at.lost + 1, at.seconds, chunk.seconds, faces)
        )

    def failed(self, outcome: Failed) -> None:
        """It has no result."""
        unit, failure = outcome.unit, outcome.failure
        at = self._at_work.pop(unit.id, None) or _AtWork()
        change = Change("failed", unit, at.node, at.lost + at.is_begun, at.seconds)
        self._tell(replace(change, stage=failure.stage, reason=failure.message))

    def _tell(self, change: Change) -> None:
        if self._meter is not None:
            self._meter.changed(change)
        unit = change.unit
        line: dict[str, Any] = {
            "kind": unit.kind, "state": change.state, "unit": unit.id,
            "source": unit.source, "output": unit.output, "node": change.node,
            "attempts": change.attempts,
        }  # fmt: skip
        if change.state != "begun":
            line["seconds"] = round(change.seconds, 3)
        if change.state == "done":
            line["stages"] = {name: round(spent, 3) for name, spent in change.stages.items()}
            line["faces"] = change.faces
        if change.stage:
            line["stage"] = change.stage
        if change.reason:
            line["reason"] = legible(change.reason)
        self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._log.write({"v": FORM, "time": now, "run": self._run, **line})


@dataclass
class _AtWork:
    """``lost``: how many workers it has lost so far in this run."""

    node: str = ""
    since: float | None = None
    lost: int = 0
    is_begun: bool = False

    @property
    def seconds(self) -> float:
        return 0.0 if self.since is None else time.monotonic() - self.since


class EventLog:
    """Lines of JSON in a file that is replaced when it is long. Writing never waits or raises."""

    def __init__(
        self, path: Path, largest_bytes: int = LARGEST_BYTES, files_kept: int = FILES_KEPT
    ) -> None:
        self._path, self._largest_bytes, self._files_kept = path, largest_bytes, files_kept
        self._waiting: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._file: BinaryIO | None = None
        self._skipped = self._refused = 0
        self._thread: threading.Thread | None = None

    @property
    def left_out(self) -> int:
        """Lines that were not written: the disk refused them, or was slower than the run."""
        return self._skipped + self._refused

    def write(self, line: dict[str, Any]) -> None:
        """Hand a line to the thread that writes."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="events", daemon=True)
            self._thread.start()
        if self._waiting.qsize() < _MOST_WAITING:
            self._waiting.put(line)
        else:
            self._skipped += 1

    def close(self) -> None:
        """Write what waits, within a few seconds: a disk that hangs holds up no end of a run."""
        if self._thread is None:
            return
        self._waiting.put(None)
        self._closing.set()
        self._thread.join(_ENDS_WITHIN_S)

    def _work(self) -> None:
        line = self._waiting.get()
        while line is not None:
            if self._is_open():
                # A thread that wakes for each line takes its turns from the one that drives.
                self._closing.wait(_TOGETHER_S)
                others = (self._waiting.get() for _ in range(self._waiting.qsize()))
                together = [line, *others]
                self._append([each for each in together if each is not None])
                if together[-1] is None:
                    break
            else:
                self._refused += 1
            line = self._waiting.get()
        self._close_file()

    def _is_open(self) -> bool:
        with suppress(OSError):
            self._file = self._file or self._open()
        return self._file is not None

    def _close_file(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        self._file = None

    def _append(self, lines: list[dict[str, Any]]) -> None:
        assert self._file is not None
        waiting: list[bytes] = []
        size = self._file.tell()
        for line in lines:
            told = {**line, "left_out": self.left_out} if self.left_out else line
            data = json.dumps(told).encode("ascii") + b"\n"
            if size and size + len(data) > self._largest_bytes:
                self._put(waiting)
                self._begin_another()
                waiting, size = [], 0
            waiting.append(data)
            size += len(data)
        self._put(waiting)

    def _put(self, lines: list[bytes]) -> None:
        data, written = b"".join(lines), 0
        if self._is_open():
            with suppress(OSError):
                written = self._file.write(data)  # type: ignore[union-attr]
        if written < len(data):
            self._refused += len(lines) - data[:written].count(b"\n")
            self._close_file()

    def _begin_another(self) -> None:
        self._close_file()
        # A file that cannot be renamed is gone on with.
        with suppress(OSError):
            for number in range(self._files_kept, 0, -1):
                with suppress(FileNotFoundError):
                    self._numbered(number - 1).replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _open(self) -> BinaryIO:
        file = self._path.open("ab+", buffering=0)
        # A run that was killed, or a full disk, may have left half a line.
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        return file
