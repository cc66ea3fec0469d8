"""Join the parts of a film, with everything else the original holds."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath
from typing import ClassVar

from restore_batch.files import settle
from restore_batch.jobs.units import Join, Unit
from restore_batch.models.base import ModelRef
from restore_batch.stages.base import Pool, Role, Stage
from restore_batch.stages.credentials.claim import Claim
from restore_batch.stages.credentials.sign import Original, sign, why_unsigned
from restore_batch.stages.credentials.signer import Signer, SignsWith, load_signer
from restore_batch.stages.film.frames_out import write_frames
from restore_batch.stages.film.index import Output
from restore_batch.stages.film.work import JoinWork
from restore_batch.stages.media import Artifact, Chunk, Failure
from restore_batch.stages.photo.provenance import film_comment, provenance_of
from restore_batch.stages.photo.source import open_source
from restore_batch.stages.video.join import Part, join
from restore_batch.stages.video.streams.choice import AudioWish, left_out_of_pictures
from restore_batch.stages.video.types import FRAME_FOLDER


class JoinFilm(Stage):
    """Write the result of a film from its parts, by stream copy.

    In: chunks whose unit carries a :class:`JoinWork`. Out: the artifact, fsynced.

    ``output``: a film, or a folder of numbered pictures. ``preview_s``: the parts are only a
    stretch of the film, so the result begins at zero, with its own sound. ``faces_by``,
    ``background_by``: the networks that the result names in its comment, unless ``metadata`` is
    off. ``sign_with``: the certificate and key of content credentials, None for none.
    """

    name: ClassVar[str] = "join"
    after: ClassVar[str] = "segment"
    writes: ClassVar[frozenset[str]] = frozenset({"artifact"})
    kinds: ClassVar[frozenset[type[Unit]]] = frozenset({Join})
    of_frames: ClassVar[bool] = False
    reads_source = "whole"
    pool: ClassVar[Pool] = "io"
    takes: ClassVar[Mapping[str, str]] = {
        "audio": "video.audio",
        "output": "video.output",
        "preview_s": "video.preview_s",
        "metadata": "provenance.metadata",
        "sign_with": "provenance.sign",
    }
    added: ClassVar[Mapping[str, object]] = {"metadata": True, "sign_with": None}
    networks: ClassVar[Mapping[str, Role]] = {"faces_by": "restore", "background_by": "background"}

    def __init__(
        self,
        audio: AudioWish = "copy",
        output: Output = "file",
        preview_s: float | None = None,
        faces_by: ModelRef | None = None,
        background_by: ModelRef | None = None,
        metadata: bool = True,
        sign_with: SignsWith | None = None,
    ) -> None:
        self.audio = audio
        self.output = output
        self.is_excerpt = preview_s is not None
        self.provenance = provenance_of(faces_by, background_by)
        self.comment = film_comment(self.provenance) if metadata else ""
        self.sign_with = sign_with
        self._signer: Signer | None = None

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._join)

    def _join(self, chunk: Chunk) -> Chunk:
        unit = chunk.unit
        if not isinstance(unit, Join) or not isinstance(unit.work, JoinWork):
            raise TypeError(f"expected the join of a film with its parts, got {unit!r}")
        work, staged = unit.work, unit.staged_path
        staged.parent.mkdir(parents=True, exist_ok=True)
        if self.output == "frames":
            told = left_out_of_pictures(work.facts, self.audio)
            if self.sign_with is not None:
                told = (why_unsigned(unit.output), *told)
            artifact = write_frames(unit.source, work, staged)
            return replace(chunk, artifact=artifact, warnings=(*chunk.warnings, *told))
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
        artifact, warnings = report.artifact, (*chunk.warnings, *report.warnings)
        if self.sign_with is not None and (reason := why_unsigned(unit.output)):
            warnings += (reason,)
        elif self.sign_with is not None:
            artifact = self._signed(artifact, unit, work, self.sign_with)
        return replace(chunk, artifact=artifact, warnings=warnings)

    def _signed(self, artifact: Artifact, unit: Unit, work: JoinWork, files: SignsWith) -> Artifact:
        made_by, path = self.provenance, Path(artifact.staged_path)
        if not work.has_restored_faces:
            made_by = replace(made_by, faces="", imagined_by="", is_generative=False)
        claim = Claim(PurePosixPath(unit.output).name, film_comment(made_by), made_by.is_generative)
        try:
            self._signer = self._signer or load_signer(files)
            with ExitStack() as held:
                original = Original(PurePath(unit.source).parent.name, is_file=False)
                if work.facts.container != FRAME_FOLDER:
                    content = held.enter_context(open_source(unit.source))
                    original = Original(PurePath(unit.source).name, content)
                sign(path, self._signer, claim, original)
            size_bytes, sha256 = settle(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return replace(artifact, size_bytes=size_bytes, sha256=sha256)
