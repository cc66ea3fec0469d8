"""What a unit is committed with, from what its stages have made."""

from __future__ import annotations

from restore_batch.errors import RestoreBatchError
from restore_batch.jobs.records import FaceRow, Quality, SidecarFile, StagedResult
from restore_batch.jobs.units import Segment
from restore_batch.pipeline.drive.quality import quality_in
from restore_batch.pipeline.engine.backend import Done
from restore_batch.stages.film.work import SegmentWork
from restore_batch.stages.media import Chunk


def part_of(outcome: Done) -> tuple[Done, StagedResult]:
    """What a segment of a film is committed with."""
    unit: Segment[SegmentWork] = outcome.unit  # type: ignore[assignment]
    return outcome, result_of(outcome.chunk, first_frame=unit.work.frames.first)


def result_of(
    chunk: Chunk, first_frame: int = 0, faces_of_parts: int = 0, quality: Quality | None = None
) -> StagedResult:
    """What a unit is committed with whose stages have made ``chunk``, whose first picture is that
    of the number ``first_frame``. ``faces_of_parts``, ``quality``: of a film, what is known of its
    parts. Raises RestoreBatchError where no file was written."""
    artifact = chunk.artifact
    if artifact is None:
        raise RestoreBatchError(f"{chunk.unit.source}: no stage wrote a file")
    faces = tuple(
        FaceRow(
            first_frame + frame, record.box_xyxy, record.landmarks_xy, record.score,
            record.restored, record.identity, record.blend, record.note,
        )
        for frame, records in enumerate(chunk.records)
        for record in records
    )  # fmt: skip
    return StagedResult(
        artifact.staged_path, artifact.size_bytes, artifact.sha256, artifact.width,
        artifact.height, faces, chunk.warnings, chunk.seconds, faces_of_parts,
        tuple(SidecarFile(each.suffix, each.size_bytes, each.sha256) for each in artifact.sidecars),
        sum(each.share for each in chunk.repairs) / len(chunk.repairs) if chunk.repairs else None,
        chunk.source_sha256,
        quality_in(chunk.quality) if quality is None else quality,
    )  # fmt: skip
