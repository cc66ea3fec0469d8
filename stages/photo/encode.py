"""Encode: from the finished picture to a file in the staging folder, ready for its commit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from restore_batch.errors import MediaError
from restore_batch.files import settle
from restore_batch.models.base import ModelRef
from restore_batch.stages.base import Cost, Pool, Role, Stage
from restore_batch.stages.media import (
    Artifact,
    Chunk,
    Failure,
    PhotoMeta,
    Sidecar,
    StagedSidecar,
)
from restore_batch.stages.photo.formats import catalogue
from restore_batch.stages.photo.provenance import Provenance, provenance_of, stamped
from restore_batch.stages.photo.verdict import BitDepth
from restore_batch.stages.photo.write import write


class Encode(Stage):
    """Write photos to the staging path of their unit, in the format of its suffix.

    In:  chunks with one pasted frame and the metadata that decode found.
    Out: the artifact: a file on the disk (fsynced) with its size and SHA-256; what the format
    could not hold joins the warnings. A file that could not be finished is removed.

    ``faces_by``, ``background_by``: the networks of the job, to be named in the metadata of the
    pictures they changed (:mod:`restore_batch.stages.photo.provenance`). ``provenance``: what is
    to be said instead.
    """

    name: ClassVar[str] = "encode"
    after: ClassVar[str] = "reassess"
    reads: ClassVar[frozenset[str]] = frozenset({"pasted", "meta", "records", "sidecars"})
    writes: ClassVar[frozenset[str]] = frozenset({"artifact"})
    of_frames: ClassVar[bool] = False
    pool: ClassVar[Pool] = "pictures"
    cost: ClassVar[Cost] = Cost(picture_s=0.06, megapixel_s=0.15)
    takes: ClassVar[Mapping[str, str]] = {
        "quality": "photos.quality",
        "bit_depth": "photos.bit_depth",
    }
    networks: ClassVar[Mapping[str, Role]] = {"faces_by": "restore", "background_by": "background"}
    version: ClassVar[int] = 2

    def __init__(
        self,
        quality: int | None = None,
        bit_depth: BitDepth = "keep",
        faces_by: ModelRef | None = None,
        background_by: ModelRef | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        self.quality = quality
        self.bit_depth = bit_depth
        self.provenance = provenance or provenance_of(faces_by, background_by)

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._encode)

    def _encode(self, chunk: Chunk) -> Chunk:
        if chunk.meta is None or len(chunk.pasted) != 1:
            raise MediaError(
                f"{chunk.unit.output}: expected one finished picture and its metadata, "
                f"got {len(chunk.pasted)}"
            )
        frame = chunk.pasted[0]
        path = chunk.unit.staged_path
        path.parent.mkdir(parents=True, exist_ok=True)
        meta, noted = self._stamped(chunk, chunk.meta, path.suffix)
        try:
            warnings = write(
                frame,
                meta,
                path,
                quality=self.quality,
                bit_depth=self.bit_depth,
                name=chunk.unit.output,
            )
            sidecars = tuple(_staged(path, sidecar) for sidecar in chunk.sidecars)
            size_bytes, sha256 = settle(path)
        except BaseException:
            for suffix in ("", *(sidecar.suffix for sidecar in chunk.sidecars)):
                _beside(path, suffix).unlink(missing_ok=True)
            raise
        size = frame.width, frame.height
        artifact = Artifact(str(path), size_bytes, sha256, *size, sidecars)
        warnings = (*chunk.warnings, *noted, *warnings)
        return dataclasses.replace(chunk, artifact=artifact, warnings=warnings)

    def _stamped(
        self, chunk: Chunk, meta: PhotoMeta, suffix: str
    ) -> tuple[PhotoMeta, tuple[str, ...]]:
        made_by = self.provenance
        format = catalogue.of_suffix(suffix)
        if made_by is None or format is None:
            return meta, ()
        if not format.holds_notices and not made_by.imagined_by:
            # Only imagined faces are worth a warning that their mark is lost.
            return meta, ()
        records = chunk.records[0] if chunk.records else ()
        return stamped(meta, made_by, records, chunk.repairs, text_entries=format.text_keys is None)


def _beside(result: Path, suffix: str) -> Path:
    return result.with_name(result.name + suffix)


def _staged(result: Path, sidecar: Sidecar) -> StagedSidecar:
    path = _beside(result, sidecar.suffix)
    path.write_bytes(sidecar.content)
    return StagedSidecar(sidecar.suffix, *settle(path))
