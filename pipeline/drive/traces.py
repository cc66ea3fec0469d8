"""Where an error that nobody has foreseen came from: tracebacks of failed units, kept in files.

A message is one line. Whoever is to mend a stage, or an extension, needs the place in the code too,
which is on another machine and gone with its worker. So the traceback comes along with the failure
and is written beside the manifest. One file for each traceback: a fault that meets every photo is
the same fault.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from restore_batch import __version__
from restore_batch.pipeline.engine.backend import Failed

FAILURES = "failures"
MOST_FILES = 100
"""In the folder: it is for people."""


class Traces:
    """``folder``: of the manifest. ``node_of``: of the id of a unit, where it was begun last."""

    def __init__(self, folder: Path, node_of: Callable[[str], str]) -> None:
        self._folder, self._node_of = folder / FAILURES, node_of

    def kept(self, outcome: Failed) -> Failed:
        """The failure with its traceback written, and the name of the file in its message; itself
        where it has none, or where it cannot be written."""
        failure = outcome.failure
        if not failure.trace or failure.storage_fault:
            return outcome
        path = self._folder / f"{_mark(failure.trace)}.txt"
        try:
            if not path.exists() and not self._written(path, outcome):
                return outcome
        except OSError:
            return outcome
        place = f"{self._folder.parent.name}/{FAILURES}/{path.name}"
        message = f"{failure.message} (its traceback: {place})"
        return Failed(outcome.unit, replace(failure, message=message))

    def _written(self, path: Path, outcome: Failed) -> bool:
        """Whether there was room for it."""
        self._folder.mkdir(exist_ok=True)
        if sum(1 for _ in self._folder.iterdir()) >= MOST_FILES:
            return False
        unit, failure = outcome.unit, outcome.failure
        node = self._node_of(unit.id)
        lines = [
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            f"restore-batch {__version__}{f', on {node}' if node else ''}",
            f"{unit.kind} {unit.id}, stage {failure.stage}: {unit.source}",
            failure.message,
            "",
            failure.trace,
        ]
        text = "\n".join(lines).rstrip("\n") + "\n"
        with path.open("x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        return True


def _mark(trace: str) -> str:
    """Of the places in the code alone: what is said there may name the file."""
    places = [line for line in trace.splitlines() if line.lstrip().startswith("File ")]
    return hashlib.sha256("\n".join(places or [trace]).encode(errors="replace")).hexdigest()[:12]
