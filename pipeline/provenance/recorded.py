"""What a manifest knows of each item, as records for others tell it."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote_from_bytes

from restore_batch.errors import UsageError
from restore_batch.jobs.history import Entry, Finished, History
from restore_batch.jobs.outputs import sidecar_of
from restore_batch.stages.film.frames_out import INDEX_NAME, is_of_film


@dataclass(frozen=True)
class Recorded:
    """One item. ``finished``: when and in which run its result came, or when it failed; None where
    that is not on record. ``error``: why it has no result, "" where it has one."""

    entry: Entry
    finished: Finished | None
    error: str

    @property
    def original_name(self) -> str:
        """Name of the original's file."""
        return PurePosixPath(self.entry.source).name

    def beside(self, output_dir: Path) -> tuple[str, ...]:
        """Further files of the result, relative to the output folder: masks, films that were
        inside a photo, the pictures of a film without a file."""
        output = self.entry.output
        found = [sidecar_of(output, suffix) for suffix in self.entry.sidecars]
        if PurePosixPath(output).name == INDEX_NAME:
            folder = PurePosixPath(output).parent
            names = sorted(path.name for path in (output_dir / folder).iterdir())
            found += [str(folder / name) for name in names if is_of_film(name)]
        return tuple(found)


class Records:
    """All that is recorded of a job, at one moment. ``runs``: the oldest first."""

    def __init__(self, history: History, output_dir: Path) -> None:
        self._history, self.output_dir = history, output_dir
        self.runs: Sequence[dict[str, Any]] = history.runs()
        self._finished = history.finished()

    def items(self) -> Iterator[Recorded]:
        """Items with a result and those that failed, in order of output path."""
        for entry in self._history.entries():
            if entry.state in ("done", "failed"):
                error = (entry.error or "failed") if entry.state == "failed" else ""
                yield Recorded(entry, self._finished.get(entry.unit), error)

    @property
    def unfinished(self) -> int:
        """Items that a run has begun and not ended, and those of a run that was cut off."""
        total = max((run["total"] or 0 for run in self.runs[-1:]), default=0)
        states = [entry.state for entry in self._history.entries()]
        ended = sum(state in ("done", "failed") for state in states)
        return max(total, len(states)) - ended


@contextmanager
def records_of(output_dir: Path) -> Iterator[Records]:
    """The records of an output folder. Raises UsageError where nothing was run."""
    history = History.read(output_dir)
    if history is None:
        raise UsageError(f"{output_dir}: nothing was run there yet; expected an output folder")
    with history, history.at_one_moment():
        yield Records(history, output_dir)


def clock(seconds: float | None) -> str:
    """A moment as ISO 8601 has it, in UTC."""
    moment = datetime.datetime.fromtimestamp(seconds or 0, datetime.UTC)
    return moment.isoformat(timespec="seconds")


def as_uri(path: str) -> str:
    """A relative path as a URI says it, whatever bytes are in it."""
    return quote_from_bytes(os.fsencode(path), safe="/~")
