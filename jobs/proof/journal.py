"""The journal beside a manifest: a line for each change, sealed, from which it can be rebuilt.

A line is a JSON object: ``n``, its number; ``tables``, the rows that the change left, by table
and key (a key without rows: they are gone); ``kept``, whether it was forced to the disk before
the change was; ``seal``, the hash of all that. A line that was cut off or altered has no valid
seal and counts for nothing; the others stand for themselves.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from restore_batch.files import sync_folder, whole
from restore_batch.jobs.proof.faults import fault_of_file

Tables: TypeAlias = Mapping[str, Mapping[str, list[dict[str, Any]]]]
"""Rows by table and key. Columns that are NULL are left out."""

NAME = "journal.jsonl"
_SEAL = b', "seal": "'
_SEAL_DIGITS = 16


@dataclass(frozen=True)
class Position:
    """Where a line stands: its number, and its bytes ``[start, end)`` in the journal."""

    number: int
    start: int
    end: int


@dataclass(frozen=True)
class Line:
    """A line whose seal is good."""

    position: Position
    tables: Tables
    kept: bool


class Journal:
    """A journal that is written to. Errors of the disk are raised as ManifestError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = -1
        self.reopen()

    def reopen(self) -> None:
        """Open the file that is at the path now."""
        self.close()
        try:
            is_new = not self.path.exists()
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._handle = os.open(self.path, flags, 0o666)
            if is_new:
                sync_folder(self.path.parent)
            self._end_torn_line()
        except OSError as error:
            self.close()
            raise fault_of_file(error, self.path) from None

    def close(self) -> None:
        """No more lines."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        try:
            return os.fstat(self._handle).st_size
        except OSError as error:
            raise fault_of_file(error, self.path) from None

    def append(self, number: int, tables: Tables, *, kept: bool) -> Position:
        """Write a line; with ``kept`` it is on the disk when this returns."""
        data = sealed(number, tables, kept=kept)
        try:
            start = os.fstat(self._handle).st_size
            try:
                written = 0
                while written < len(data):
                    written += os.write(self._handle, data[written:])
                if kept:
                    os.fdatasync(self._handle)
            except OSError:
                os.ftruncate(self._handle, start)
                raise
        except OSError as error:
            raise fault_of_file(error, self.path) from None
        return Position(number, start, start + len(data))

    def holds(self, position: Position) -> bool:
        """Whether that line is still there as it was written."""
        if position.number == 0:
            return True  # nothing was written yet
        try:
            if not 0 <= position.start < position.end <= os.fstat(self._handle).st_size:
                return False
            text = os.pread(self._handle, position.end - position.start, position.start)
        except OSError as error:
            raise fault_of_file(error, self.path) from None
        line = _unsealed(text, position.start)
        return line is not None and line.position.number == position.number

    def lines(self, start: int = 0) -> Iterator[Line]:
        """The lines from byte ``start`` on whose seals are good."""
        return read_lines(self.path, start)

    def replace(self, changes: Iterable[Tables]) -> Position:
        """Put a journal of these changes in the place of this one; where its last line stands."""
        position = write_journal(self.path, changes)
        self.reopen()
        return position

    def _end_torn_line(self) -> None:
        size = os.fstat(self._handle).st_size
        if size and os.pread(self._handle, 1, size - 1) != b"\n":
            os.write(self._handle, b"\n")


def read_lines(path: Path, start: int = 0) -> Iterator[Line]:
    """The lines of a journal from byte ``start`` on whose seals are good; none where it is not."""
    try:
        if not path.is_file():
            return
        with path.open("rb") as file:
            file.seek(start)
            for text in file:
                line = _unsealed(text, start)
                start += len(text)
                if line is not None:
                    yield line
    except OSError as error:
        raise fault_of_file(error, path) from None


def write_journal(path: Path, changes: Iterable[Tables]) -> Position:
    """Make a journal of these changes, durably and in the place of any other; where its last line
    stands."""
    position = Position(0, 0, 0)
    try:
        with whole(path) as staged, staged.open("wb") as file:
            for number, tables in enumerate(changes, 1):
                data = sealed(number, tables, kept=True)
                file.write(data)
                position = Position(number, position.end, position.end + len(data))
    except OSError as error:
        raise fault_of_file(error, path) from None
    return position


def sealed(number: int, tables: Tables, *, kept: bool) -> bytes:
    """A line with its seal and its end."""
    body = json.dumps({"n": number, "kept": kept, "tables": tables}).encode()
    return body[:-1] + _SEAL + _seal(body) + b'"}\n'


def _unsealed(text: bytes, start: int) -> Line | None:
    line = text.rstrip(b"\n")
    cut = len(line) - len(_SEAL) - _SEAL_DIGITS - 2
    body = line[:cut] + b"}"
    if cut < 0 or line != body[:-1] + _SEAL + _seal(body) + b'"}':
        return None
    plain = json.loads(body)
    return Line(Position(plain["n"], start, start + len(text)), plain["tables"], plain["kept"])


def _seal(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_SEAL_DIGITS].encode()
