"""A worker on a node that does not see all files of the job: it brings what it works on to its own
disk, works there as anywhere, and sends the result home."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from restore_batch.errors import MediaError, WeightsError
from restore_batch.files import sha256_of
from restore_batch.jobs.path_options import is_url
from restore_batch.jobs.units import Unit
from restore_batch.models.base import ModelRef
from restore_batch.models.weights import brought
from restore_batch.models.weights import cache as weight_cache
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.engine.travel.home import Home, HomeLostError
from restore_batch.pipeline.engine.travel.paged import Films
from restore_batch.pipeline.engine.travel.scratch import Scratch
from restore_batch.pipeline.plan.groups import Group
from restore_batch.pipeline.plan.landmarks import Landmarks, Sees
from restore_batch.stages.base import Stage
from restore_batch.stages.chain import Reply
from restore_batch.stages.media import Artifact, Chunk, Failure
from restore_batch.text import legible

Process = Callable[[Sequence[Chunk]], list[Reply]]


@dataclass(frozen=True)
class _Trip:
    """A chunk as it came, and the same as it is worked on here. ``paths``: those of this node and
    the ones they stand for."""

    chunk: Chunk
    here: Chunk
    room: Path
    paths: tuple[tuple[str, str], ...]

    def told(self, text: str) -> str:
        """``text`` with the names of files that the job knows."""
        for path, meant in self.paths:
            text = text.replace(legible(path), legible(meant))
        return text


class Away:
    """What a worker of ``group`` does beside its stages on a node that ``sees`` only some of a
    job's files."""

    def __init__(self, group: Group, sees: Sees, home: Home) -> None:
        self._group, self._sees, self._home = group, sees, home
        self._scratch = Scratch()
        self._films = Films(home, self._scratch.folder / "films")

    def process(self, batch: Sequence[Chunk], stages: Process) -> list[Reply]:
        """What ``stages`` make of each chunk, at its place, as on a node that sees everything.
        Raises HomeLostError, whatever was done by then."""
        with ExitStack() as rooms:
            begun = [self._begin(chunk, rooms) for chunk in batch]
            trips = [trip for trip in begun if isinstance(trip, _Trip)]
            replies = iter(stages([trip.here for trip in trips]))
            return [
                self._end(trip, next(replies)) if isinstance(trip, _Trip) else trip
                for trip in begun
            ]

    def close(self) -> None:
        """Leave nothing on this node."""
        try:
            self._films.close()
        finally:
            self._scratch.close()

    # -- there ---
    def _begin(self, chunk: Chunk, rooms: ExitStack) -> _Trip | Failure:
        unit = chunk.unit
        room: Path = rooms.enter_context(self._scratch.room())
        paths: list[tuple[str, str]] = []
        readers = [stage for stage in self._stages_of(unit) if stage.reads_source]
        if readers and not self._sees.inputs and not is_url(unit.source):
            try:
                if any(stage.reads_source == "whole" for stage in readers):
                    here = str(self._bring(unit.source, room / "source"))
                else:
                    here = rooms.enter_context(self._films.shown(unit.source))
            except HomeLostError:
                raise
            except Exception as error:
                failed = readers[0].failure(chunk, error)
                return replace(failed, storage_fault=self._here(failed.storage_fault))
            # A picture of a film is told of by its own name.
            paths += [(here, unit.source), _folders(here, unit.source)]
            unit = replace(unit, source=here)
        if not self._sees.staging:
            staging = room / "staged"
            staging.mkdir()
            paths.append((str(staging), unit.staging_dir))
            # Nor would anybody find here what is only kept to be looked at.
            unit = replace(unit, staging_dir=str(staging), previews_dir="")
        return _Trip(chunk, replace(chunk, unit=unit), room, tuple(paths))

    def _bring(self, source: str, folder: Path) -> Path:
        """An original on this node, under its own name."""
        folder.mkdir()
        before = self._home.state_of(source)
        path = folder / Path(source).name
        with path.open("wb") as file:
            for piece in self._home.pieces(source, 0, before.size_bytes):
                file.write(piece)
        if self._home.state_of(source) != before and (
            self._home.content_of(source) != sha256_of(path)
        ):
            raise MediaError(
                f"{source}: it was changed while it was read; run again when nothing writes to it"
                " any more"
            )
        return path

    # -- and back ---
    def _end(self, trip: _Trip, reply: Reply) -> Reply:
        unit = trip.chunk.unit
        if isinstance(reply, Failure):
            if reply.kind == HomeLostError.__name__:
                raise HomeLostError(reply.message)
            fault = reply.storage_fault
            return replace(
                reply,
                unit=unit,
                message=trip.told(reply.message),
                storage_fault=fault if self._sees.staging else self._here(fault),
            )
        reply = replace(reply, unit=unit, warnings=tuple(map(trip.told, reply.warnings)))
        artifact = reply.artifact
        if artifact is None or not Path(artifact.staged_path).is_relative_to(trip.room):
            return reply
        try:
            return replace(reply, artifact=self._sent(unit, artifact))
        except HomeLostError:
            raise
        except Exception as error:
            writers = [each for each in self._stages_of(unit) if "artifact" in each.writes]
            return writers[-1].failure(reply, error)

    def _sent(self, unit: Unit, artifact: Artifact) -> Artifact:
        staged, here = unit.staged_path, Path(artifact.staged_path)
        for each in artifact.sidecars:
            beside = here.with_name(here.name + each.suffix)
            self._home.put(beside, staged.name + each.suffix, each.sha256)
        self._home.put(here, staged.name, artifact.sha256)
        return replace(artifact, staged_path=str(staged))

    def _stages_of(self, unit: Unit) -> list[Stage]:
        return [stage for stage in self._group.stages if type(unit) in stage.kinds]

    def _here(self, fault: str) -> str:
        """A fault of this node's disk, not of the one that results go to."""
        folder = self._scratch.folder.parent
        return f"the temporary folder {folder} of the node {platform.node()}: {fault}" * bool(fault)


def _folders(here: str, source: str) -> tuple[str, str]:
    return here.rpartition("/")[0], source.rpartition("/")[0]


def bring_weights(group: Group, landmarks: Landmarks, home: Home) -> None:
    """See to it that this node has the weights that stages of ``group`` run: from its own store, or
    brought to its cache, once for all workers of the node. Raises WeightsError."""
    roles = {role for stage in group.stages for role in stage.networks.values()}
    for role, ref in landmarks.networks.items():
        if role in roles:
            _bring(ref, Store(landmarks.weights_dir, download=False), home)


def _bring(ref: ModelRef, store: Store, home: Home) -> None:
    if _has(store, ref):
        return
    with weight_cache.locked(brought.folder_of(ref)):
        if _has(store, ref):
            return  # another worker of this node was quicker
        for (number, name), pieces in groupby(home.weights(ref), key=itemgetter(0, 1)):
            brought.keep(ref, number, name, (each.piece for each in pieces))
    store.paths_of(ref)


def _has(store: Store, ref: ModelRef) -> bool:
    try:
        store.paths_of(ref)
    except WeightsError:
        return False
    return True
