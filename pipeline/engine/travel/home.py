"""Where the files of a job are: read and written in pieces, for nodes that do not see them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from restore_batch.errors import MediaError, RestoreBatchError
from restore_batch.files import naming, open_regular, settle, version_of
from restore_batch.models.base import ModelRef
from restore_batch.models.weights.cache import record_path
from restore_batch.models.weights.store import Store
from restore_batch.stages.photo.checksum import content_of_source

PIECE_BYTES = 8 << 20


class HomeLostError(RestoreBatchError):
    """Where the files are does not answer any more: no fault of the unit, nor of its worker."""


class State(NamedTuple):
    """Of an original: its size, and what differs between two states of its file."""

    size_bytes: int
    version: str


class WeightPiece(NamedTuple):
    """Some bytes of a file of a model: the ``number`` of the file and its ``name``."""

    number: int
    name: str
    piece: bytes


class Home(Protocol):
    """The files of a job, as its driver sees them. All of it raises OSError and RestoreBatchError
    as they were raised where the files are, and HomeLostError."""

    def state_of(self, source: str) -> State:
        """The original's."""
        ...

    def pieces(self, source: str, first: int, stop: int) -> Iterator[bytes]:
        """The bytes of an original from ``first`` to before ``stop``, in order."""
        ...

    def names_in(self, folder: str) -> Sequence[str]:
        """Of the files in a folder."""
        ...

    def content_of(self, source: str) -> str:
        """SHA-256 of an original, read where it is."""
        ...

    def put(self, staged: Path, name: str, sha256: str) -> None:
        """Bring a file to the staging folder, under ``name``, and force it to the disk there.
        Raises RestoreBatchError where it arrives as something else than ``sha256``."""
        ...

    def weights(self, ref: ModelRef) -> Iterator[WeightPiece]:
        """The files of a model, with what belongs to them, one after the other."""
        ...


class FilesHere:
    """The files of a job on the machine that has them, a piece at a time."""

    def __init__(self, staging_dir: str, weights_dir: Path | None) -> None:
        self._staging_dir, self._weights_dir = Path(staging_dir), weights_dir

    def state_of(self, source: str) -> State:
        """See :class:`Home`."""
        try:
            status = Path(source).stat()
        except OSError as error:
            raise MediaError(f"{source}: cannot be opened: {error.strerror or error}") from error
        return State(status.st_size, version_of(status))

    def read(self, source: str, first: int, count: int) -> bytes:
        """Up to ``count`` bytes of an original."""
        try:
            with open_regular(source) as file:
                file.seek(first)
                return file.read(count)
        except OSError as error:
            raise MediaError(f"{source}: cannot be read: {error.strerror or error}") from error

    def names_in(self, folder: str) -> Sequence[str]:
        """See :class:`Home`."""
        return sorted(path.name for path in Path(folder).iterdir() if path.is_file())

    def content_of(self, source: str) -> str:
        """See :class:`Home`."""
        return content_of_source(source)

    def write(self, name: str, first: int, piece: bytes) -> None:
        """Some bytes of a file in the staging folder."""
        path = self._staging_dir / name
        with naming(path):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
            try:
                while piece:
                    count = os.pwrite(handle, piece, first)
                    piece, first = piece[count:], first + count
            finally:
                os.close(handle)

    def settle(self, name: str, sha256: str) -> None:
        """Force a file in the staging folder to the disk. Raises RestoreBatchError where it is not
        what was sent; then it is gone."""
        path = self._staging_dir / name
        path.touch()  # an empty file comes in no piece
        _, found = settle(path)
        if found != sha256:
            path.unlink(missing_ok=True)
            raise RestoreBatchError(
                f"{name}: arrived damaged from its node (sha256 {found}, expected {sha256}); run"
                " again, and check that node's memory and disk"
            )

    def weight_files(self, ref: ModelRef) -> Sequence[tuple[int, Path]]:
        """The files of a model here and those that lie beside them for it, with the number of the
        file that each belongs to. Raises WeightsError."""
        files = []
        for number, path in enumerate(Store(self._weights_dir, download=False).paths_of(ref)):
            beside = (record_path(path), path.with_suffix(".param"))
            files += [(number, each) for each in (path, *beside) if each.is_file()]
        return files
