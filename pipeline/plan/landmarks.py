"""By what a machine can tell whether it sees the files of a job: asked of it, answered by it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from restore_batch.files import version_of
from restore_batch.jobs.inputs import SourceFile
from restore_batch.jobs.numbered import is_numbered
from restore_batch.jobs.path_options import is_url
from restore_batch.models.base import ModelRef
from restore_batch.models.weights.store import Store
from restore_batch.stages.base import Role

_MOST_ROOTS = 100
_COARSEST_NS = 2_000_000_000


@dataclass(frozen=True)
class Sees:
    """What a node sees as the driver does: ``staging``, where results wait for their commit; all
    of the local ``inputs``; the ``weights``, there or in a store of its own."""

    staging: bool
    inputs: bool
    weights: bool

    @property
    def files(self) -> bool:
        """Whether it can read every original and write every result."""
        return self.staging and self.inputs


@dataclass(frozen=True)
class Mark:
    """A file or folder, and the ``state`` in which the driver saw it."""

    path: str
    state: str

    @classmethod
    def of(cls, path: Path | str) -> Mark:
        """As it is now, on this machine."""
        return cls(os.fspath(path), _state(path))

    @property
    def is_seen(self) -> bool:
        """Whether it is the same here."""
        return self.state != "" and _state(self.path) == self.state


def _state(path: Path | str) -> str:
    """ "" where nothing is."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return ""
    if stat.S_ISDIR(status.st_mode):
        return f"folder {version_of(status)}"
    # Network mounts number files as they like, and some keep every other second only.
    return f"{status.st_size} bytes, {status.st_mtime_ns // _COARSEST_NS}"


@dataclass(frozen=True)
class Landmarks:
    """``staging_dir``: of the job, which may not be there yet, and a mark at or above it.
    ``inputs``: one file below each place where the job's local inputs lie. ``networks``: those
    of its stages, by their role. ``weights_dir``: as in :class:`WorkerContext`."""

    staging_dir: str
    staging: Mark
    inputs: tuple[Mark, ...] = ()
    networks: Mapping[Role, ModelRef] = field(default_factory=dict)
    weights_dir: Path | None = None

    @classmethod
    def of(
        cls,
        staging_dir: Path,
        sources: Iterable[SourceFile],
        networks: Mapping[Role, ModelRef],
        weights_dir: Path | None,
    ) -> Landmarks:
        """As they are now, on the machine of the driver."""
        above = next(each for each in (staging_dir, *staging_dir.parents) if each.exists())
        inputs = tuple(map(Mark.of, _one_of_each_root(sources)))
        return cls(str(staging_dir), Mark.of(above), inputs, networks, weights_dir)

    def seen_here(self) -> Sees:
        """What this machine sees."""
        return Sees(
            staging=self.staging.is_seen,
            inputs=all(mark.is_seen for mark in self.inputs),
            weights=all(map(self._has, self.networks.values())),
        )

    def _has(self, ref: ModelRef) -> bool:
        if all(Path(path).exists() for path in ref.paths):
            return True
        return Store(self.weights_dir, download=False).locate(ref.card) is not None


def _one_of_each_root(sources: Iterable[SourceFile]) -> Iterator[str]:
    """A path below each folder in which inputs were looked for, as long as these are few."""
    roots: dict[str, str] = {}
    for source in sources:
        path = source.source
        if is_url(path):
            continue
        roots.setdefault(path.removesuffix(source.relative), path)
        if len(roots) == _MOST_ROOTS:
            break
    for path in roots.values():
        yield str(Path(path).parent) if is_numbered(path) else path
