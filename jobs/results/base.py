"""What a ledger asks of the place where results lie, whatever that is.

Names are paths relative to the job's output, with ``/``. What lies below ``.restore-batch/`` is the
job's own and always a local file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from restore_batch.errors import RestoreBatchError

FOLDER = ".restore-batch"
"""What a job keeps for itself in its output folder."""

Uncommitted: TypeAlias = OSError | RestoreBatchError
"""Why a file did not get to its place."""


class Look(NamedTuple):
    """What a place says of a file without reading it. ``stamp`` is another when the content is: in
    a folder the time of modification in nanoseconds."""

    size_bytes: int
    stamp: int


class Move(NamedTuple):
    """A file on its way: from ``staged``, a settled local file with this checksum, to ``name``.
    ``replaces``: whether what lies there is known to be this job's."""

    staged: Path
    name: str
    sha256: str
    replaces: bool = False


class ResultPlace(Protocol):
    """The place of a job's results."""

    def where(self, name: str) -> str:
        """The whole path or URL of ``name``, for people and for whoever opens it."""
        ...

    def is_taken(self, name: str) -> bool:
        """Whether something lies there, whosever it is."""
        ...

    def says_ours(self, name: str) -> bool:
        """Whether what lies there says itself that it is this job's."""
        ...

    def looks(self, names: Sequence[str]) -> list[Look | None]:
        """What is said of each; None where there is no file."""
        ...

    def content(self, name: str) -> str | None:
        """Checksum of what lies there, read for it; None where there is no file to read."""
        ...

    def holds(self, name: str, sha256: str | None) -> bool:
        """Whether a file with that checksum lies there, as far as can be told without moving it
        over a network."""
        ...

    def put(self, moves: Sequence[Move]) -> list[Look | Uncommitted]:
        """Take files to their places, each whole or not at all; durable when this returns. A look
        at each, or why it did not get there."""
        ...

    def keep_as(self, name: str, other: str) -> None:
        """Let what lies at ``name`` lie at ``other`` too, durably; it is about to be replaced.
        Raises OSError, RestoreBatchError; FileExistsError where something lies there."""
        ...

    def remove(self, name: str) -> None:
        """Take a file away; nothing where it is gone or cannot be."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever runs the job is to be told of the place, a line each."""
        ...

    def begin(self, manifest: Path) -> None:
        """A run holds the job's folder and will open ``manifest``, which may not be there yet; it
        calls :meth:`end` whatever comes. Raises RestoreBatchError where nothing can be put here."""
        ...

    def check(self) -> None:
        """Raises ManifestError where the results have become another run's."""
        ...

    def end(self, manifest: Path | None) -> None:
        """The run is over; ``manifest``: its ledger as it stays, None where that is not known."""
        ...


def in_the_way(final: str) -> RestoreBatchError:
    """What is said of a place that a file of somebody else has."""
    return RestoreBatchError(
        f"{final}: a file that this job did not write is in the way; move it or choose another"
        " output"
    )
