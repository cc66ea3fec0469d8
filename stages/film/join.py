"""Join the parts of a film, with everything else the original holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from restore_batch.jobs.units import Kind
from restore_batch.stages.base import Resources, Stage
from restore_batch.stages.film.frames_out import write_frames
from restore_batch.stages.film.work import JoinWork
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.video.join import Part, join


class JoinFilm(Stage):
    """Write the result of a film from its parts, by stream copy.

    In: chunks whose unit carries a :class:`JoinWork`. Out: the artifact, fsynced.
    """

    name: ClassVar[str] = "join"
    needs: ClassVar[Resources] = Resources(cpus=1.0, memory_mb=300)
    writes: ClassVar[frozenset[str]] = frozenset({"artifact"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"join"})
    version: ClassVar[int] = 1

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._join)

    def _join(self, chunk: Chunk) -> Chunk:
        work: JoinWork = chunk.unit.payload
        staged = chunk.unit.staged_path
        staged.parent.mkdir(parents=True, exist_ok=True)
        if work.frames_folder:
            return replace(chunk, artifact=write_frames(chunk.unit.source, work, staged))
        report = join(
            chunk.unit.source,
            [Part.of(Path(path), segment) for path, segment in work.parts],
            work.facts,
            work.format,
            staged,
            audio=work.audio,
            metadata=dict(work.metadata),
            excerpt=work.excerpt,
        )
        warnings = (*chunk.warnings, *report.warnings)
        return replace(chunk, artifact=report.artifact, warnings=warnings)
