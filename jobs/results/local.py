"""Results in a folder: a rename puts a file in its place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from restore_batch.errors import RestoreBatchError
from restore_batch.files import (
    content_of,
    copy_anew,
    holds,
    make_folder,
    put,
    side_by_side,
    sync_folder,
)
from restore_batch.jobs.results.base import Look, Move, Uncommitted


class LocalResults:
    """Results below ``folder``, on the file system that they are staged on."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._folder_text = folder, str(folder)

    def where(self, name: str) -> str:
        return str(self._folder / name)

    def is_taken(self, name: str) -> bool:
        return os.path.lexists(self._path(name))

    def says_ours(self, name: str) -> bool:
        """A file cannot say whose it is."""
        return False

    def looks(self, names: Sequence[str]) -> list[Look | None]:
        return list(side_by_side(_look, [self._path(name) for name in names]))

    def content(self, name: str) -> str | None:
        return content_of(self._folder / name)

    def holds(self, name: str, sha256: str | None) -> bool:
        """What lies there is read."""
        return holds(self._folder / name, sha256)

    def put(self, moves: Sequence[Move]) -> list[Look | Uncommitted]:
        """One fsync of each folder makes the names of all files in it durable."""
        found: dict[int, Look | Uncommitted] = {}
        by_folder: dict[str, list[int]] = {}
        for number, move in enumerate(moves):
            folder = move.name.rpartition("/")[0]
            with _noting(found, [number]):
                if folder not in by_folder:
                    make_folder(self._folder / folder)
                put(move.staged, self._path(move.name))
                by_folder.setdefault(folder, []).append(number)
        for folder, inside in by_folder.items():
            with _noting(found, inside):
                sync_folder(self._folder / folder)
        for number, move in enumerate(moves):
            with _noting(found, [number]):
                status = os.stat(self._path(move.name))  # noqa: PTH116
                found.setdefault(number, Look(status.st_size, status.st_mtime_ns))
        return [found[number] for number in range(len(moves))]

    def keep_as(self, name: str, other: str) -> None:
        """A second name for the same file, or a copy where the file system knows none."""
        path, beside = self._folder / name, self._folder / other
        try:
            os.link(path, beside, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:
            copy_anew(path, beside)
        sync_folder(beside.parent)

    def remove(self, name: str) -> None:
        with contextlib.suppress(OSError):  # a file too many is no reason to fail
            (self._folder / name).unlink()

    def _path(self, name: str) -> str:
        """Quicker than a Path, of which a million take their time."""
        return f"{self._folder_text}/{name}"

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    def begin(self, manifest: Path) -> None:
        """Nothing to do: the ledger lies in the folder itself."""

    def check(self) -> None:
        """Nothing to do: who holds the folder is alone there."""

    def end(self, manifest: Path | None) -> None:
        """Nothing to do: the ledger lies in the folder itself."""


@contextlib.contextmanager
def _noting(found: dict[int, Look | Uncommitted], numbers: Sequence[int]) -> Iterator[None]:
    """What stops one file stops none of the others."""
    try:
        yield
    except (OSError, RestoreBatchError) as error:
        found.update({number: error for number in numbers if number not in found})


def _look(path: str) -> Look | None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return Look(status.st_size, status.st_mtime_ns)
