"""Where the ledgers of a job are read: in its local folder, or in a copy beside its results.

What a user names, a job file, a folder or a URL, leads to one of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from restore_batch.errors import UsageError

if TYPE_CHECKING:
    from restore_batch.jobs.results.copied_ledger import CopiedLedger
    from restore_batch.pipeline.copied import CopySeen

_LOOKS_S, _STORE_LOOKS_S = 1.0, 5.0
"""How often a watch looks at a ledger, and asks a store whether it has another copy."""


class Named(NamedTuple):
    """What a user names: ``folder``: the job's local one; ``places``: the folders in it that may
    have a manifest, by name; ``url``: of its results, "" where they lie in the folder."""

    folder: Path
    places: Mapping[str, Path]
    url: str


def places(job: str) -> tuple[Path, Mapping[str, Path]]:
    """The output folder of a job, and the folders in it that may have a manifest, by name."""
    asked = named(job)
    return asked.folder, asked.places


def named(job: str) -> Named:
    """What ``job``, a job file, a folder or a URL, leads to. Raises UsageError for what none of
    these is, JobFileError."""
    from restore_batch.jobs.outputs import FOLDER, folder_of, output_folders
    from restore_batch.jobs.source import load_job
    from restore_batch.jobs.spec import is_url
    from restore_batch.pipeline.copied import output_url

    if is_url(job):
        url = output_url(job)
        folder = folder_of(url)
        return Named(folder, {"": folder}, url)
    folder = Path(job)
    if not os.path.lexists(folder):
        raise UsageError(f"{job}: no such file or folder; expected a job file or an output folder")
    if not os.path.isdir(folder):  # noqa: PTH112 - a path without permission is none, too
        described = load_job(job).job
        url = described.output if isinstance(described.output, str) else ""
        folder = folder_of(described.output, described.state)
        return Named(folder, output_folders(described), url)
    if os.path.lexists(folder / FOLDER):
        return Named(folder, {"": folder}, "")
    # The folder of a comparison has none of its own, but every folder in it does.
    inner = sorted(path.parent for path in folder.glob(f"*/{FOLDER}") if path.is_dir())
    return Named(folder, {path.name: path for path in inner}, "")


class Place(Protocol):
    """Where the ledgers of a job are read. ``looks_s``: how often a watch looks."""

    looks_s: float
    folders: Mapping[str, Path]

    def goes_on(self) -> bool:
        """Whether a run goes on there."""
        ...

    def now(self) -> float:
        """When the ledger was as it is read now, on a clock that only counts."""
        ...

    def seen(self) -> CopySeen | None:
        """The copy that is read; None where it is the ledger itself."""
        ...


class Here:
    """The ledgers themselves, of one manifest or of all restorers that are compared."""

    looks_s = _LOOKS_S

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.folders: Mapping[str, Path] = folders

    def goes_on(self) -> bool:
        from restore_batch.jobs.outputs import FOLDER
        from restore_batch.jobs.proof.hold import is_held

        return any(is_held(folder / FOLDER) for folder in self.folders.values())

    def now(self) -> float:
        return time.monotonic()

    def seen(self) -> CopySeen | None:
        return None

    def is_begun(self) -> bool:
        from restore_batch.pipeline.copied import has_ledger

        return any(has_ledger(folder) for folder in self.folders.values())


class Elsewhere:
    """The copy beside results in a bucket."""

    looks_s = _STORE_LOOKS_S

    def __init__(self, url: str, copied: CopiedLedger) -> None:
        self.folders: Mapping[str, Path] = {"": copied.folder}
        self._url, self._copied = url, copied
        self._is_asked = True  # just now, when it was fetched

    def goes_on(self) -> bool:
        if not self._is_asked:
            self._copied.refresh()
        self._is_asked = False
        return self._copied.noted.goes_on

    def now(self) -> float:
        return self._copied.noted.written

    def seen(self) -> CopySeen | None:
        from restore_batch.pipeline.copied import seen

        return seen(self._url, self._copied)


@contextmanager
def place_of(asked: Named) -> Iterator[Place]:
    """The ledgers of what a user names: its own where its state is on this machine, else the copy
    beside the results, while this lasts. Raises what
    :func:`~restore_batch.pipeline.copied.copy_at` does."""
    here = Here(asked.places)
    if not asked.url or here.is_begun():
        yield here
        return
    from restore_batch.pipeline.copied import copy_at

    with copy_at(asked.url, asked.folder) as copied:
        yield Elsewhere(asked.url, copied)


def nothing_run(job: str, folder: Path) -> UsageError:
    """What is said where no manifest is found in ``folder``, the one that ``job`` leads to."""
    from restore_batch.jobs.spec import is_url

    if is_url(job):
        # A URL does not tell where the job that writes there keeps its state.
        return UsageError(
            f"{job}: no run of this user is known there ({folder}); of a job that sets state:,"
            " name the job file or that folder instead"
        )
    starts = f"`restore-batch run {job}`" if not Path(job).is_dir() else "`restore-batch run`"
    return UsageError(f"{folder}: nothing was run there yet; {starts} starts it")
