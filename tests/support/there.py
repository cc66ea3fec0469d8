"""The node that has the files of a job, played by a folder: nobody finds them at their paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from restore_batch.models.base import ModelRef
from restore_batch.pipeline.engine.travel.home import FilesHere, State, WeightPiece

STAGING = "/no/such/folder/here/tmp"


class There:
    """The files of a job below ``root``."""

    def __init__(self, root: Path, weights_dir: Path | None = None) -> None:
        self.root = root
        (root / STAGING[1:]).mkdir(parents=True)
        self._files = FilesHere(str(root) + STAGING, weights_dir)
        self.asked: list[str] = []
        """Names of weight files."""
        self.bytes = 0
        """Of originals, that were asked for."""
        self.when_read: Callable[[], object] = lambda: None

    def state_of(self, source: str) -> State:
        return self._files.state_of(str(self.root) + source)

    def pieces(self, source: str, first: int, stop: int) -> Iterator[bytes]:
        for place in range(first, stop, 1000):
            piece = self._files.read(str(self.root) + source, place, min(1000, stop - place))
            self.bytes += len(piece)
            yield piece
        self.when_read()

    def names_in(self, folder: str) -> Sequence[str]:
        return self._files.names_in(str(self.root) + folder)

    def content_of(self, source: str) -> str:
        return self._files.content_of(str(self.root) + source)

    def put(self, staged: Path, name: str, sha256: str) -> None:
        content = staged.read_bytes()
        # In any order, and one of them twice.
        for first in (*range(0, len(content), 1000), 0):
            self._files.write(name, first, content[first : first + 1000])
        self._files.settle(name, sha256)

    def weights(self, ref: ModelRef) -> Iterator[WeightPiece]:
        for number, path in self._files.weight_files(ref):
            self.asked.append(path.name)
            content = path.read_bytes()
            for first in range(0, len(content), 1000):
                yield WeightPiece(number, path.name, content[first : first + 1000])
