"""Films that lie on another node, read in parts: of each only what a segment needs is brought here.

Stages open them by a name that begins with ``away://``. The demuxer finds the film's own bytes at
their places, so that it gives the same packets as where the film is; which they are, nobody needs
to know. What was brought stays in a sparse file: a segment is read twice, and all begin with the
index of their film.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, BinaryIO, ClassVar

import fsspec
from fsspec.spec import AbstractFileSystem

from restore_batch.errors import MediaError
from restore_batch.jobs.numbered import is_numbered
from restore_batch.pipeline.engine.travel.home import Home, State
from restore_batch.stages.photo.source import AWAY

_BLOCK_BYTES = 1 << 20
_MOST_KEPT_BYTES = 512 << 20
_BUFFER_BYTES = 1 << 16


class Paged:
    """A file of ``home``, the blocks of which are brought to the file at ``path`` as they are
    read. Raises what ``home`` raises."""

    def __init__(self, home: Home, source: str, path: Path) -> None:
        self.state: State = home.state_of(source)
        self._home, self._source, self._path = home, source, path
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._here: set[int] = set()
        self._lock = threading.Lock()

    @property
    def is_large(self) -> bool:
        """Whether so much of it is here that it had better go."""
        return len(self._here) * _BLOCK_BYTES > _MOST_KEPT_BYTES

    def read(self, first: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``first`` on; fewer only at its end."""
        stop = min(first + count, self.state.size_bytes)
        if first >= stop:
            return b""
        with self._lock:
            for block in range(first // _BLOCK_BYTES, -(-stop // _BLOCK_BYTES)):
                if block not in self._here:
                    self._bring(block)
        return os.pread(self._handle, stop - first, first)

    def _bring(self, block: int) -> None:
        first = place = block * _BLOCK_BYTES
        stop = min(first + _BLOCK_BYTES, self.state.size_bytes)
        for piece in self._home.pieces(self._source, first, stop):
            os.pwrite(self._handle, piece, place)
            place += len(piece)
        if place != stop:
            raise MediaError(
                f"{self._source}: it became shorter while it was read; run again when nothing"
                " writes to it any more"
            )
        self._here.add(block)

    def close(self) -> None:
        """Keep nothing of it."""
        os.close(self._handle)
        self._path.unlink(missing_ok=True)


class _Reader(io.RawIOBase):
    """A file object on a :class:`Paged`."""

    def __init__(self, paged: Paged, name: str) -> None:
        super().__init__()
        self._paged, self._place = paged, 0
        self.name = name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_CUR:
            offset += self._place
        elif whence == os.SEEK_END:
            offset += self._paged.state.size_bytes
        if offset < 0:
            raise OSError(22, os.strerror(22))
        self._place = offset
        return offset

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        found = self._paged.read(self._place, len(view))
        view[: len(found)] = found
        self._place += len(found)
        return len(found)


class Films:
    """The films that a worker reads in parts. What was brought of the last one is kept in
    ``folder`` for its next segment."""

    def __init__(self, home: Home, folder: Path) -> None:
        self._home, self._folder = home, folder
        self._kept: dict[str, Paged] = {}
        self._former: list[Paged] = []
        self._count = self._shown = 0
        folder.mkdir()
        fsspec.register_implementation(_FileSystem.protocol, _FileSystem, clobber=True)

    @contextmanager
    def shown(self, source: str) -> Iterator[str]:
        """The name under which stages find ``source``, a film or numbered pictures, meanwhile.
        Raises what ``home`` raises."""
        self._count += 1
        place = f"{id(self)}-{self._count}"
        path = PurePath(source)
        files: Callable[[str], BinaryIO]
        if is_numbered(source):
            # Whatever is wrong with one of them, others may have to stand in for it.
            names = self._home.names_in(str(path.parent))
            name, files = path.name, lambda name: self._picture(path.parent / name)
        else:
            # A name may hold what means something in a URL; of a film only the suffix matters.
            names = [name := f"film{path.suffix}"]
            film = self._film(source)
            files = lambda name: io.BufferedReader(_Reader(film, name), _BUFFER_BYTES)  # noqa: E731
        _FileSystem.shown[place] = names, files
        self._shown += 1
        try:
            yield f"{AWAY}{place}/{name}"
        finally:
            del _FileSystem.shown[place]
            self._shown -= 1
            if not self._shown:
                self._drop(but=source)

    def close(self) -> None:
        """Keep nothing of them."""
        self._drop(but="")

    def _film(self, source: str) -> Paged:
        kept = self._kept.get(source)
        if kept is not None and self._home.state_of(source) == kept.state:
            return kept
        if kept is not None:
            self._former.append(kept)  # somebody may be at it
        self._kept[source] = Paged(self._home, source, self._folder / f"{self._count}")
        return self._kept[source]

    def _drop(self, but: str) -> None:
        for source, film in list(self._kept.items()):
            if source != but or film.is_large:
                self._former.append(self._kept.pop(source))
        for film in self._former:
            film.close()
        self._former.clear()

    def _picture(self, path: PurePath) -> BinaryIO:
        size_bytes = self._home.state_of(str(path)).size_bytes
        return io.BytesIO(b"".join(self._home.pieces(str(path), 0, size_bytes)))


class _FileSystem(AbstractFileSystem):
    """What is shown in this process, for fsspec. ``shown``: by their places, the names there and
    what opens them."""

    protocol = AWAY.removesuffix("://")
    shown: ClassVar[dict[str, tuple[Sequence[str], Callable[[str], BinaryIO]]]] = {}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> BinaryIO:
        place, _slash, name = path.partition("/")
        names, files = self.shown[place]
        if name not in names:
            raise FileNotFoundError(2, os.strerror(2), path)
        return files(name)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """The names at a place."""
        place = path.strip("/")
        found = [f"{place}/{name}" for name in self.shown[place][0]]
        return [{"name": name, "type": "file", "size": None} for name in found] if detail else found
