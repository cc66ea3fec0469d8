"""Join the parts of a film, with everything else the original holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from restore_batch.jobs.units import Join, Unit
from restore_batch.models.base import ModelRef
from restore_batch.stages.base import Pool, Role, Stage
from restore_batch.stages.film.frames_out import write_frames
from restore_batch.stages.film.index import Output
from restore_batch.stages.film.work import JoinWork
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.photo.provenance import film_comment, provenance_of
from restore_batch.stages.video.join import Part, join
from restore_batch.stages.video.streams.choice import AudioWish


class JoinFilm(Stage):
    """Write the result of a film from its parts, by stream copy.

    In: chunks whose unit carries a :class:`JoinWork`. Out: the artifact, fsynced.

    ``output``: a film, or a folder of numbered pictures. ``preview_s``: the parts are only a
    stretch of the film, so the result begins at zero, with its own sound. ``faces_by``,
    ``background_by``: the networks that the result names in its comment.
    """

    name: ClassVar[str] = "join"
    after: ClassVar[str] = "segment"
    writes: ClassVar[frozenset[str]] = frozenset({"artifact"})
    kinds: ClassVar[frozenset[type[Unit]]] = frozenset({Join})
    of_frames: ClassVar[bool] = False
    pool: ClassVar[Pool] = "io"
    takes: ClassVar[Mapping[str, str]] = {
        "audio": "video.audio",
        "output": "video.output",
        "preview_s": "video.preview_s",
    }
    networks: ClassVar[Mapping[str, Role]] = {"faces_by": "restore", "background_by": "background"}

    def __init__(
        self,
        audio: AudioWish = "copy",
        output: Output = "file",
        preview_s: float | None = None,
        faces_by: ModelRef | None = None,
        background_by: ModelRef | None = None,
    ) -> None:
        self.audio = audio
        self.output = output
        self.is_excerpt = preview_s is not None
        self.comment = film_comment(provenance_of(faces_by, background_by))

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._join)

    def _join(self, chunk: Chunk) -> Chunk:
        unit = chunk.unit
        if not isinstance(unit, Join) or not isinstance(unit.work, JoinWork):
            raise TypeError(f"expected the join of a film with its parts, got {unit!r}")
        work, staged = unit.work, unit.staged_path
        staged.parent.mkdir(parents=True, exist_ok=True)
        if self.output == "frames":
            return replace(chunk, artifact=write_frames(unit.source, work, staged))
        report = join(
            unit.source,
            [Part.of(Path(path), frames) for path, frames in work.parts],
            work.facts,
            work.format,
            staged,
            audio=self.audio,
            metadata={"comment": self.comment} if self.comment else {},
            excerpt=self.is_excerpt,
        )
        warnings = (*chunk.warnings, *report.warnings)
        return replace(chunk, artifact=report.artifact, warnings=warnings)
